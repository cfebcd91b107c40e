//! Every connection takes a descriptor, and so does every file of the journal.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// The connections of both listeners at their limits, and several times as many for everything else.
const WANTED: u64 = 4_096;
/// What the journal, Polar, forwarded requests and the admin address may need together, and more.
const SPARE: u64 = 256;

/// Takes more descriptors than a process usually gets, as far as the system lets it. Where it does not, accepting rests
/// when there are none left, and says so.
pub(super) fn take_enough() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(WANTED, |maximum| maximum.min(WANTED));
    if current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).ok();
    }
}

/// Warns when connections at their limits would leave the journal without descriptors.
pub(super) fn warn_of_too_few(config: &Config) {
    let intake = &config.intake;
    let Some(descriptors) = getrlimit(Resource::Nofile).current else { return };
    let connections_most = descriptors.saturating_sub(SPARE);
    if !leave_enough([intake.connections_max, intake.http_connections_max], descriptors) {
        tracing::warn!(
            descriptors,
            "connections may take every descriptor, and the journal stops when it finds none: raise the limit of open files, or \
             lower intake.connections_max and intake.http_connections_max to {connections_most} together"
        );
    }
}

fn leave_enough(connections: [usize; 2], descriptors: u64) -> bool {
    let connections = connections.into_iter().fold(0, usize::saturating_add);
    u64::try_from(connections).is_ok_and(|connections| connections.saturating_add(SPARE) <= descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_at_their_limits_leave_the_journal_descriptors() {
        assert!(leave_enough([384, 384], 1_024) && !leave_enough([384, 384], 1_023));
        assert!(!leave_enough([usize::MAX, 384], WANTED));
    }
}
