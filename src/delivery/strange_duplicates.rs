//! Events that Polar knows although they are sent for the first time.

use std::time::Duration;

use tokio::time::Instant;

use super::batch::Batch;
use super::consume::Consume;
use super::delivery::Delivery;
use crate::polar::Ingest;

/// Between two warnings of duplicates among events that were sent for the first time.
const STRANGE_DUPLICATES_EVERY: Duration = Duration::from_secs(10 * 60);

impl<J: Consume, P: Ingest + 'static> Delivery<J, P> {
    /// An id that Polar knows although its event was not sent yet means that two applications share ids, or that one uses it
    /// twice, and that events are lost by it. Events from an earlier life may have been sent then, and restored ones were; a grant that
    /// its customer is to get once is made again on purpose.
    pub(super) fn notice_strange_duplicates(&mut self, batch: &Batch, duplicates: u64, now: Instant) {
        let is_first_attempt = batch.history.requests == 1;
        let of_this_life = batch.runs().iter().all(|run| run.block.accepted() >= self.tally.begun);
        if duplicates == 0 || !is_first_attempt || !of_this_life || batch.has_restored() {
            return;
        }
        let repeated = duplicates.min(batch.made_to_be_repeated());
        if repeated > 0 {
            tracing::info!(
                events = repeated,
                "Polar already had grants that are made once: each stays as it was first granted, whatever its amount is now"
            );
        }
        let strange = duplicates - repeated;
        if strange == 0 {
            return;
        }
        self.tally.strange_duplicates += strange;
        let told = self.tally.strange_duplicates_told;
        if told.is_none_or(|told| now >= told + STRANGE_DUPLICATES_EVERY) {
            self.tally.strange_duplicates_told = Some(now);
            tracing::warn!(
                events = self.tally.strange_duplicates,
                "Polar already had events that were sent for the first time: two applications use the same external_id, or one used it for two events; ids must be unique in the organization, or events are lost"
            );
        }
    }
}
