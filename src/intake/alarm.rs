//! Saying a thing loudly without saying it a thousand times a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A kind of trouble is logged at most this often; what happens in between is summed up.
const SILENCE: Duration = Duration::from_secs(10);

/// One kind of trouble, counted always and heard now and then.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    quiet_until: Option<Instant>,
    unheard: u64,
}

impl Alarm {
    /// So many more cases happened at `now`. Says how many there were since the last time it was heard, when it is
    /// time to be heard.
    pub(super) fn ring(&self, cases: u64, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unheard += cases;
        if state.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        state.quiet_until = Some(now + SILENCE);
        Some(std::mem::take(&mut state.unheard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_case_is_heard_and_the_next_ones_are_summed_up() {
        let alarm = Alarm::default();
        let start = Instant::now();
        assert_eq!(alarm.ring(1, start), Some(1));
        assert_eq!(alarm.ring(5, start + SILENCE / 2), None);
        assert_eq!(alarm.ring(2, start + SILENCE), Some(7));
        assert_eq!(alarm.ring(1, start + SILENCE), None);
    }
}
