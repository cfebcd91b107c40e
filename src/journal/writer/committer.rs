//! The one thread that writes: takes all that waits, writes it, syncs once for each row, then answers everyone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::group::{Group, Restoring};
use super::inbox::{Command, Taken};
use super::ledger::Ledger;
use super::measuring::{MEASURE_EVERY, Measured};
use super::restorer::Restoration;
use super::shared::Shared;
use crate::clock::Clock;
use crate::event::{IdSource, Lane, PerLane};
use crate::journal::accounts::Restored;
use crate::journal::disk::{Ballast, SpaceLimits, Store, StoreError};
use crate::journal::error::JournalError;
use crate::journal::format::{HighWater, RowName};
use crate::journal::letters::{DeadLimit, Origin};
use crate::journal::pending::UnitsWatch;
use crate::journal::volumes::{BlockBuilder, Janitor, LossBook, Row};
use crate::metrics::Metrics;

/// Text in one group: compressed it is a part of one of the store's segments, and where nothing can be it needs two.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// After this much quiet settlements alone are synced (a lost one only means a block sent twice), and volumes of dead
/// letters that were looked into are closed.
const QUIET_AFTER: Duration = Duration::from_millis(200);
/// What a volume and its copy may take for a while, beside what they take already: each opens a segment or two.
const REPACKING_BYTES: u64 = 64 << 20;

/// The writer's state. Everything on disk is reached through it, and only by its thread.
#[derive(Debug)]
pub(in crate::journal) struct Committer<S: Store> {
    pub(in crate::journal) shared: Arc<Shared>,
    pub(in crate::journal) lanes: PerLane<Row<S>>,
    pub(in crate::journal) dead: Row<S>,
    pub(in crate::journal) ledger: Ledger,
    pub(in crate::journal) clock: Clock,
    pub(in crate::journal) metrics: Metrics,
    pub(in crate::journal) space: SpaceLimits,
    pub(in crate::journal) dead_limit: DeadLimit,
    /// For the ids that dead letters are retried under.
    pub(in crate::journal) ids: IdSource,
    pub(in crate::journal) measured: Measured,
    pub(in crate::journal) janitor: Janitor<S>,
    pub(in crate::journal) high_water: HighWater,
    pub(in crate::journal) book: LossBook<S>,
    /// Counts what customers have pending, where that is asked for.
    pub(in crate::journal) units: Option<UnitsWatch>,
    /// Where there is a disk for it.
    pub(in crate::journal) ballast: Option<Ballast>,
}

impl<S: Store> Committer<S> {
    /// Works until the inbox is closed and empty, or until the store fails: then nothing more is acknowledged.
    ///
    /// # Errors
    /// The first failure of the store.
    pub(in crate::journal) fn run(&mut self) -> Result<(), StoreError> {
        loop {
            match self.shared.inbox.take(GROUP_BYTES_MAX, self.patience()) {
                Taken::Group(commands) => self.commit(commands)?,
                Taken::Nothing => {
                    self.sync_all()?;
                    self.tidy()?;
                    self.dead.rest()?;
                    self.measure();
                    self.mark();
                    self.publish();
                }
                Taken::Closed => {
                    let now = self.clock.now();
                    self.lanes.grants.wake_all(now)?;
                    self.lanes.usage.wake_all(now)?;
                    self.sync_all()?;
                    self.mark();
                    return Ok(());
                }
            }
        }
    }

    /// Publishes the first figures, before anyone has a handle.
    pub(in crate::journal) fn begin(&mut self) -> Result<(), StoreError> {
        // The first usage finds its volume ready, and a build whose syncs are not real is found out before it serves.
        self.lanes.usage.begin()?;
        self.reconcile_with_the_disk()?;
        self.measure();
        self.publish();
        Ok(())
    }

    /// How long the writer may sleep: for ever unless something on disk or at the gate waits for it.
    fn patience(&self) -> Option<Duration> {
        if self.rows().any(|row| row.is_dirty() || row.is_repacking()) || self.dead.is_restless() {
            return Some(QUIET_AFTER);
        }
        if self.rows().any(Row::is_restive) {
            return Some(MEASURE_EVERY);
        }
        let gate_closed = Lane::ALL.into_iter().any(|lane| self.shared.is_gate_closed(lane));
        let mark_waits = self.high_water.is_behind(|row| self.row(row).next_seq());
        let ballast_waits = self.ballast.as_ref().is_some_and(Ballast::is_missing);
        (gate_closed || mark_waits || ballast_waits).then_some(MEASURE_EVERY)
    }

    pub(super) fn row(&self, name: RowName) -> &Row<S> {
        match name {
            RowName::Grants => &self.lanes.grants,
            RowName::Usage => &self.lanes.usage,
            RowName::Dead => &self.dead,
        }
    }

    /// Has it written down how far the rows got, where everything up to there is durable, and that losses were told.
    fn mark(&mut self) {
        let next_seq = |row| self.row(row).next_seq();
        if self.high_water.is_behind(next_seq) {
            let mark = self.high_water.next(next_seq);
            if self.janitor.mark(mark) {
                self.high_water = mark;
            }
        }
        // Nothing to do, unless the disk was full when it was to be noted.
        if let Err(error) = self.book.tell() {
            tracing::warn!(%error, "the book of losses can't be written; the next start may tell again what is in it");
        }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row<S>> {
        [&self.lanes.grants, &self.lanes.usage, &self.dead].into_iter()
    }

    fn sync_all(&mut self) -> Result<(), StoreError> {
        self.lanes.grants.sync()?;
        self.lanes.usage.sync()?;
        self.dead.sync()
    }

    fn commit(&mut self, commands: Vec<Command>) -> Result<(), StoreError> {
        let started = Instant::now();
        let mut group = self.gather(commands);
        let events: usize = group.appended.iter().map(|waiting| waiting.append.len()).sum();
        // Those who wait learn why from the shared state, so the failure must be there before they are let go.
        self.write(&mut group).inspect_err(|error| self.shared.fail(error.clone().into()))?;
        if events > 0 {
            self.metrics.commit(started.elapsed(), events);
        }
        self.enter(&group);
        self.publish();
        for waiting in group.appended {
            // A sender that went away meanwhile has its events kept all the same.
            drop(waiting.answer.send(Ok(())));
        }
        for restoring in group.restored {
            drop(restoring.answer.send(Ok(())));
        }
        group.looks.into_iter().for_each(|order| self.look(order));
        for read in group.reads {
            self.read(read)?;
        }
        self.reconcile_with_the_disk()?;
        for order in group.orders {
            // Again the failure is there before those who wait are let go.
            let shared = Arc::clone(&self.shared);
            self.carry_out(order).inspect_err(|error| shared.fail(error.clone().into()))?;
        }
        for step in group.survey {
            self.survey(step)?;
        }
        self.reconcile_with_the_disk()?;
        self.tidy()?;
        if self.measuring_is_due() {
            self.mark();
            self.measure();
        }
        self.publish();
        Ok(())
    }

    /// Dead letters become durable before the settlements that rely on them, and everything before it is answered.
    fn write(&mut self, group: &mut Group) -> Result<(), StoreError> {
        let letters = std::mem::replace(&mut group.letters, BlockBuilder::new(RowName::Dead, 0, 0));
        if !letters.is_empty() {
            self.dead.write(&letters.finish(), Vec::new())?;
            self.dead.sync_tail()?;
        }
        for lane in Lane::ALL {
            let builder =
                std::mem::replace(&mut group.blocks[lane], BlockBuilder::new(RowName::from(lane), 0, 0));
            let settlements = std::mem::take(&mut group.settlements[lane]);
            let blocks = builder.finish();
            self.lanes[lane].write(&blocks, settlements)?;
            if !blocks.is_empty() {
                self.lanes[lane].sync_tail()?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, group: &Group) {
        for waiting in &group.appended {
            self.ledger.accepted(&waiting.append);
            if let Some(units) = &self.units {
                Lane::ALL.into_iter().for_each(|lane| units.added(&waiting.append.events[lane]));
            }
        }
        for Restoring { restoration: Restoration { source, events }, .. } in &group.restored {
            for lane in Lane::ALL {
                let bytes = events[lane].text_bytes() as u64;
                self.ledger.restored(*source, lane, events[lane].len() as u64, bytes);
                if let Some(units) = &self.units {
                    units.added(&events[lane]);
                }
            }
        }
        for settlement in &group.settled {
            self.ledger.settled(settlement);
            if let Some(units) = &mut self.units {
                units.settled(settlement);
            }
            self.ledger.letters_kept(&settlement.dead);
        }
        self.ledger.letters_kept(&group.kept);
        self.ledger.letter_bytes_kept(group.letter_bytes);
        self.look_at_limit(group);
        if !self.ledger.accounts().add_up() {
            tracing::error!(accounts = ?self.ledger.accounts(), "the accounts do not add up; please report this");
        }
        self.measured.bytes_since += group.settled.len() as u64 * 64;
        let oldest = PerLane {
            grants: self.lanes.grants.waiting_since(group.now),
            usage: self.lanes.usage.waiting_since(group.now),
        };
        self.ledger.measured(oldest, self.measured.journal_bytes);
    }

    /// What delivery gives up is never dropped, however full the `dead` row is; but then somebody must hear of it.
    fn look_at_limit(&mut self, group: &Group) {
        let given_up = group.settled.iter().map(|settlement| settlement.dead.len() as u64).sum::<u64>();
        let bytes = self.ledger.accounts().dead_letter_bytes;
        if given_up > 0
            && let Some(detail) = self.dead_limit.refusal(bytes)
            && let Some(events) = self.dead_limit.kept_beyond(given_up, Instant::now())
        {
            tracing::error!(
                events,
                detail,
                "delivery gave events up beyond the limit of dead letters; they are kept all the same, on a disk that has an end: retry, or export and drop, with `sledge dead-letters`"
            );
        }
    }

    /// Answers one who reads. If nobody listens any more, what was read stays where it is.
    fn read(&mut self, command: Command) -> Result<(), StoreError> {
        match command {
            Command::Read { lane, events_max, bytes_max, answer } => {
                let blocks = self.lanes[lane].read(events_max, bytes_max);
                // Again the failure is there before the one who waits is let go.
                let blocks = blocks.inspect_err(|error| self.shared.fail(error.clone().into()))?;
                self.publish_unread();
                drop(answer.send(blocks));
            }
            Command::Append { .. }
            | Command::KeepRefused(..)
            | Command::Settle(_)
            | Command::Restore { .. }
            | Command::Letters(_)
            | Command::Look(_)
            | Command::Survey(_) => {}
        }
        Ok(())
    }

    /// What a row found in a volume beside what its index said is owed again; what it found to be lost on the disk leaves
    /// the book of what is owed, and somebody hears of it.
    fn reconcile_with_the_disk(&mut self) -> Result<(), StoreError> {
        let mut is_damaged = false;
        for lane in Lane::ALL {
            let again = self.lanes[lane].take_found_again();
            if again.events > 0 {
                self.ledger.restored(Restored::Salvage, lane, again.events, again.text_bytes);
                if let Some(units) = &self.units {
                    units.lost();
                }
            }
            let lost = self.lanes[lane].take_lost();
            if lost.events > 0 {
                is_damaged = true;
                self.ledger.lost(lane, lost.events, lost.text_bytes);
                if let Some(units) = &self.units {
                    units.lost();
                }
                tracing::error!(
                    lane = lane.as_str(),
                    events = lost.events,
                    "accepted events are lost: the disk damaged the blocks they lay in; journal/losses in the data folder says which, and what is left of their volume is in quarantine"
                );
            }
        }
        let again = self.dead.take_found_again();
        self.ledger.dead_letters_kept(Origin::Intake, again.from_intake);
        self.ledger.dead_letters_kept(Origin::Delivery, again.events - again.from_intake);
        self.ledger.letter_bytes_kept(again.text_bytes);
        let lost = self.dead.take_lost();
        if lost.events > 0 {
            is_damaged = true;
            let of_delivery = lost.events - lost.from_intake;
            self.ledger.letters_gone(Origin::Intake, lost.from_intake, lost.text_bytes);
            self.ledger.letters_gone(Origin::Delivery, of_delivery, 0);
            tracing::error!(letters = lost.events, "dead letters are lost: the disk damaged them");
        }
        if is_damaged {
            self.ledger.losses_on_record(self.book.on_record()?);
            self.publish();
            self.book.tell()?;
        }
        Ok(())
    }

    fn tidy(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.lanes.grants.tidy(now)?;
        self.lanes.usage.tidy(now)?;
        self.dead.tidy(now)?;
        if !self.shared.is_looked_back_at() {
            self.lanes.grants.expire(now);
            self.lanes.usage.expire(now);
            self.dead.expire(now);
        }
        let has_room = self.space.has_room_for(REPACKING_BYTES, self.measured.disk);
        self.lanes.grants.repack(has_room)?;
        self.lanes.usage.repack(has_room)?;
        self.reconcile_with_the_disk()
    }

    pub(in crate::journal) fn publish(&self) {
        self.shared.accounts.publish(self.ledger.accounts());
        self.publish_unread();
    }

    fn publish_unread(&self) {
        let unread = PerLane { grants: self.lanes.grants.has_unread(), usage: self.lanes.usage.has_unread() };
        self.shared.unread.send_if_modified(|published| std::mem::replace(published, unread) != unread);
    }
}

impl From<StoreError> for JournalError {
    fn from(error: StoreError) -> Self {
        Self::Poisoned { detail: error.to_string() }
    }
}
