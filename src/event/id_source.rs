//! Where stamped ids come from.

use std::fmt;

use uuid::Uuid;

use super::UnixMillis;
use super::event_id::{EventId, STAMPED_BYTES};

/// Random bytes fetched at a time: enough for some five hundred ids per system call.
const RANDOM_BYTES: usize = 4096;
/// The random half of an id, and the start of a millisecond's counter.
const ID_RANDOM_BYTES: usize = 8;
const COUNTER_MAX: u16 = 0x0fff;

/// Makes ids: UUIDv7 of the operating system's randomness, fetched many at a time. One per connection or thread.
///
/// The ids of one source only ever rise, also within a millisecond and when the clock is set back (a 12-bit counter
/// that starts at random in its lower half, as RFC 9562 §6.2 has it); 62 random bits keep sources apart.
pub struct IdSource {
    random: Box<[u8; RANDOM_BYTES]>,
    used: usize,
    millis: UnixMillis,
    counter: u16,
}

impl IdSource {
    /// A source with its randomness still to fetch.
    #[must_use]
    pub fn new() -> Self {
        Self { random: Box::new([0; RANDOM_BYTES]), used: RANDOM_BYTES, millis: 0, counter: COUNTER_MAX }
    }

    /// The next id, of the time `now`.
    ///
    /// # Panics
    /// When the operating system refuses randomness, which Linux never does once it has booted.
    pub fn next(&mut self, now: UnixMillis) -> EventId<'static> {
        if now > self.millis {
            self.millis = now;
            self.start_counter();
        } else if self.counter < COUNTER_MAX {
            self.counter += 1;
        } else {
            // The millisecond is used up (or the clock was set back): the next one is borrowed.
            self.millis += 1;
            self.start_counter();
        }
        let random = self.take_random() & 0x3fff_ffff_ffff_ffff;
        let time = u128::from(self.millis & 0xffff_ffff_ffff);
        let bits = time << 80 | 0x7 << 76 | u128::from(self.counter) << 64 | 0b10 << 62 | u128::from(random);
        let mut text = [0; STAMPED_BYTES];
        EventId::stamped(Uuid::from_u128(bits).as_hyphenated().encode_lower(&mut text))
    }

    fn start_counter(&mut self) {
        let [low, high, ..] = self.take_random().to_le_bytes();
        self.counter = u16::from_le_bytes([low, high]) & (COUNTER_MAX >> 1);
    }

    fn take_random(&mut self) -> u64 {
        if self.used + ID_RANDOM_BYTES > RANDOM_BYTES {
            #[expect(
                clippy::expect_used,
                reason = "an id that may not be unique would lose an event without a trace"
            )]
            getrandom::fill(self.random.as_mut_slice()).expect("the operating system gives randomness");
            self.used = 0;
        }
        let bytes = self.random.get_mut(self.used..self.used + ID_RANDOM_BYTES).unwrap_or_default();
        self.used += ID_RANDOM_BYTES;
        let mut taken = [0; ID_RANDOM_BYTES];
        taken.copy_from_slice(bytes);
        u64::from_le_bytes(taken)
    }
}

impl Default for IdSource {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for IdSource {
    /// Without the randomness: it is the ids to come.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("IdSource").field("millis", &self.millis).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_source_rise_even_when_the_clock_stands_still_or_goes_back() {
        let mut ids = IdSource::new();
        let mut last = String::new();
        for round in 0..20_000_u64 {
            let now = 1_795_403_137_123 + round / 5000 - (round / 7000) * 10;
            let id = ids.next(now).as_str().to_owned();
            assert!(id > last, "{id} after {last}");
            let uuid = Uuid::parse_str(&id).unwrap();
            assert_eq!(uuid.get_version_num(), 7);
            assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
            last = id;
        }
    }

    #[test]
    fn an_id_begins_with_its_time_and_two_sources_never_share_one() {
        let (mut one, mut other) = (IdSource::new(), IdSource::new());
        let (id, another) = (one.next(0x0191_2345_6789), other.next(0x0191_2345_6789));
        assert!(id.as_str().starts_with("01912345-6789-7"));
        assert_ne!(id, another);
    }

    #[test]
    fn a_source_does_not_print_the_randomness_of_its_next_ids() {
        let mut ids = IdSource::new();
        ids.next(7);
        assert_eq!(format!("{ids:?}"), "IdSource { millis: 7, .. }");
    }
}
