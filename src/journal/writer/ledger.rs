//! Counts every transition of every event. Pure: the committer tells it what has become durable.

use crate::event::{Lane, PerLane, UnixMillis};
use crate::journal::accounts::{Accounts, OnRecord, Restored};
use crate::journal::appender::Append;
use crate::journal::letters::{DeadLetter, DeadReason, Origin};
use crate::journal::settlement::Settlement;
use crate::journal::volumes::Salvaged;
use crate::metrics::Listener;

/// The one book of the house.
#[derive(Debug)]
pub(in crate::journal) struct Ledger {
    accounts: Accounts,
}

impl Ledger {
    /// A book opened with what the journal was found to owe.
    pub(in crate::journal) fn opened(
        pending: PerLane<u64>,
        pending_bytes: u64,
        journal_limit_bytes: u64,
    ) -> Self {
        let pending_at_start = pending.grants + pending.usage;
        Self {
            accounts: Accounts {
                pending_at_start,
                pending,
                pending_bytes,
                journal_limit_bytes,
                ..Accounts::default()
            },
        }
    }

    /// Events were made durable.
    pub(super) fn accepted(&mut self, append: &Append) {
        let place = Listener::ALL.iter().position(|listener| *listener == append.listener);
        for lane in Lane::ALL {
            let events = append.events[lane].len() as u64;
            if let Some(accepted) = place.and_then(|place| self.accounts.accepted.get_mut(place)) {
                accepted[lane] += events;
            }
            self.accounts.pending[lane] += events;
        }
        self.accounts.pending_bytes += append.text_bytes() as u64;
    }

    /// Events came back into pending.
    pub(in crate::journal) fn restored(&mut self, source: Restored, lane: Lane, events: u64, bytes: u64) {
        bump(&mut self.accounts.restored, &Restored::ALL, source, events);
        self.accounts.pending[lane] += events;
        self.accounts.pending_bytes += bytes;
    }

    /// Of what was found pending, some came out of damaged volumes, and some did not: it was owed and is given up.
    pub(in crate::journal) fn found_damaged(&mut self, salvaged: Salvaged) {
        let whole = self.accounts.pending_at_start.saturating_sub(salvaged.events);
        self.accounts.pending_at_start = whole + salvaged.lost_events;
        bump(&mut self.accounts.restored, &Restored::ALL, Restored::Salvage, salvaged.events);
        bump(&mut self.accounts.dead_lettered, &DeadReason::DELIVERY, DeadReason::Lost, salvaged.lost_events);
    }

    /// Events that were pending turned out to be lost on the disk.
    pub(super) fn lost(&mut self, lane: Lane, events: u64, bytes: u64) {
        bump(&mut self.accounts.dead_lettered, &DeadReason::DELIVERY, DeadReason::Lost, events);
        self.accounts.pending[lane] = self.accounts.pending[lane].saturating_sub(events);
        self.accounts.pending_bytes = self.accounts.pending_bytes.saturating_sub(bytes);
    }

    /// Events were delivered or given up.
    pub(super) fn settled(&mut self, settlement: &Settlement) {
        self.accounts.inserted += settlement.inserted;
        self.accounts.duplicates += settlement.duplicates;
        self.accounts.last_delivery = settlement.delivered_at.max(self.accounts.last_delivery);
        for letter in &settlement.dead {
            bump(&mut self.accounts.dead_lettered, &DeadReason::DELIVERY, letter.reason, 1);
        }
        for lane in Lane::ALL {
            let amount = settlement.resolved[lane];
            self.accounts.pending[lane] = self.accounts.pending[lane].saturating_sub(amount.events);
            self.accounts.pending_bytes = self.accounts.pending_bytes.saturating_sub(amount.bytes);
        }
    }

    /// Dead letters were kept, or found at open.
    pub(in crate::journal) fn dead_letters_kept(&mut self, origin: Origin, letters: u64) {
        bump(&mut self.accounts.dead_letters, &Origin::ALL, origin, letters);
    }

    /// Dead letters were kept.
    pub(in crate::journal) fn letters_kept(&mut self, letters: &[DeadLetter]) {
        for letter in letters {
            self.dead_letters_kept(letter.origin, 1);
        }
    }

    /// What letters that were kept, or found at open, take.
    pub(in crate::journal) fn letter_bytes_kept(&mut self, bytes: u64) {
        self.accounts.dead_letter_bytes += bytes;
    }

    /// Dead letters left the `dead` row.
    pub(in crate::journal) fn letters_gone(&mut self, origin: Origin, letters: u64, bytes: u64) {
        let kept = self.accounts.dead_letters.iter_mut().zip(Origin::ALL);
        if let Some((kept, _)) = kept.into_iter().find(|(_, known)| *known == origin) {
            *kept = kept.saturating_sub(letters);
        }
        self.accounts.dead_letter_bytes = self.accounts.dead_letter_bytes.saturating_sub(bytes);
    }

    /// Refused events found no room in the `dead` row.
    pub(super) fn letters_not_kept(&mut self, letters: u64) {
        self.accounts.dead_letters_not_kept += letters;
    }

    /// Figures that are measured, not counted.
    pub(super) fn measured(&mut self, oldest_pending: PerLane<Option<UnixMillis>>, journal_bytes: u64) {
        self.accounts.oldest_pending = oldest_pending;
        self.accounts.journal_bytes = journal_bytes;
    }

    /// What the book of losses has.
    pub(super) fn losses_on_record(&mut self, on_record: OnRecord) {
        self.accounts.losses_on_record = on_record;
    }

    /// How many damaged volumes wait for a person to look at them.
    pub(super) fn quarantined(&mut self, volumes: u64) {
        self.accounts.quarantined_volumes = volumes;
    }

    /// The most the dead letters may take.
    pub(in crate::journal) fn limit_letters(&mut self, limit_bytes: u64) {
        self.accounts.dead_letter_limit_bytes = limit_bytes;
    }

    /// The figures now.
    pub(in crate::journal) fn accounts(&self) -> &Accounts {
        &self.accounts
    }
}

fn bump<K: PartialEq, const N: usize>(counts: &mut [u64; N], keys: &[K; N], key: K, by: u64) {
    if let Some((count, _)) = counts.iter_mut().zip(keys).find(|(_, known)| **known == key) {
        *count += by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventBuf;
    use crate::journal::settlement::Amount;

    fn append(events: usize) -> Append {
        let mut usage = EventBuf::new();
        (0..events).for_each(|_| usage.push(b"{}", 0));
        Append { listener: Listener::Ndjson, events: PerLane { grants: EventBuf::new(), usage } }
    }

    #[test]
    fn every_transition_keeps_the_two_sides_equal() {
        let mut ledger = Ledger::opened(PerLane { grants: 2, usage: 3 }, 10, 1_000);
        assert!(ledger.accounts().add_up());
        ledger.accepted(&append(10));
        assert!(ledger.accounts().add_up());
        ledger.restored(Restored::Import, Lane::Grants, 4, 8);
        assert!(ledger.accounts().add_up());
        ledger.settled(&Settlement {
            inserted: 5,
            duplicates: 1,
            resolved: PerLane {
                grants: Amount { events: 2, bytes: 4 },
                usage: Amount { events: 4, bytes: 8 },
            },
            ..Settlement::default()
        });
        assert!(ledger.accounts().add_up());
        assert_eq!(ledger.accounts().pending, PerLane { grants: 4, usage: 9 });
    }

    #[test]
    fn what_a_damaged_disk_lost_is_given_up_and_what_was_salvaged_came_back() {
        // Twelve were found, four of them in a damaged volume that had held three more.
        let mut ledger = Ledger::opened(PerLane { grants: 2, usage: 10 }, 24, 1_000);
        ledger.found_damaged(Salvaged { events: 4, lost_events: 3 });
        let accounts = ledger.accounts();
        assert!(accounts.add_up());
        assert_eq!((accounts.pending_at_start, accounts.pending_total()), (11, 12));
        assert_eq!(accounts.restored, [0, 0, 0, 4]);
        assert_eq!(accounts.lost(), 3);
        ledger.lost(Lane::Usage, 2, 4);
        let accounts = ledger.accounts();
        assert!(accounts.add_up());
        assert_eq!((accounts.lost(), accounts.pending_total(), accounts.pending_bytes), (5, 10, 20));
    }

    #[test]
    fn a_settlement_that_does_not_balance_shows() {
        let mut ledger = Ledger::opened(PerLane { grants: 0, usage: 3 }, 6, 1_000);
        ledger.settled(&Settlement { inserted: 3, ..Settlement::default() });
        assert!(!ledger.accounts().add_up());
    }
}
