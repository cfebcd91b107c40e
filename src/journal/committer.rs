//! The one thread that writes: takes all that waits, writes it, syncs once for each row, then answers everyone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::accounts::Restored;
use super::appender::Append;
use super::ballast::Ballast;
use super::block_builder::BlockBuilder;
use super::dead_letter::{DeadLetter, Origin};
use super::dead_limit::DeadLimit;
use super::error::{AppendError, JournalError};
use super::frame::RowName;
use super::high_water::HighWater;
use super::inbox::{Command, Taken};
use super::janitor::Janitor;
use super::ledger::Ledger;
use super::letter_order::LetterOrder;
use super::look::LookOrder;
use super::restorer::Restoration;
use super::row::Row;
use super::settlement::Settlement;
use super::settlement_record::SettlementRecord;
use super::shared::Shared;
use super::source::Source;
use super::space::{Disk, SpaceLimits};
use super::store::{Store, StoreError};
use super::survey::SurveyStep;
use super::units_watch::UnitsWatch;
use crate::clock::Clock;
use crate::event::{EventBuf, IdSource, Lane, PerLane, UnixMillis};
use crate::metrics::Metrics;

/// Text in one group: below a segment of the store, so that a group never needs two.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// After this much quiet settlements alone are synced (a lost one only means a block sent twice), and volumes of dead
/// letters that were looked into are closed.
const QUIET_AFTER: Duration = Duration::from_millis(200);
/// How often the space on disk is measured while something is going on, or while the gate is closed.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// Text written after which it is measured at once: at most this, and at most 1/64 of what the journal may hold.
const MEASURE_AFTER_BYTES: u64 = 1 << 20;

/// What a volume and its copy may take for a while, beside what they take already: each opens a segment or two.
const REPACKING_BYTES: u64 = 64 << 20;

/// The writer's state. Everything on disk is reached through it, and only by its thread.
#[derive(Debug)]
pub(super) struct Committer<S: Store> {
    pub(super) shared: Arc<Shared>,
    pub(super) lanes: PerLane<Row<S>>,
    pub(super) dead: Row<S>,
    pub(super) ledger: Ledger,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) space: SpaceLimits,
    pub(super) dead_limit: DeadLimit,
    /// For the ids that dead letters are retried under.
    pub(super) ids: IdSource,
    pub(super) measured: Measured,
    pub(super) janitor: Janitor<S>,
    pub(super) high_water: HighWater,
    /// Counts what customers have pending, where that is asked for.
    pub(super) units: Option<UnitsWatch>,
    /// Where there is a disk for it.
    pub(super) ballast: Option<Ballast>,
}

/// When the space was last measured, and what was written since.
#[derive(Debug, Default)]
pub(super) struct Measured {
    at: Option<Instant>,
    pub(super) bytes_since: u64,
    journal_bytes: u64,
    disk: Disk,
}

/// What one group does.
struct Group {
    now: UnixMillis,
    blocks: PerLane<BlockBuilder>,
    letters: BlockBuilder,
    /// What those letters take.
    letter_bytes: u64,
    settlements: PerLane<Vec<SettlementRecord>>,
    /// What to enter into the book once it is durable.
    settled: Vec<Settlement>,
    kept: Vec<DeadLetter>,
    appended: Vec<Waiting>,
    restored: Vec<Restoring>,
    reads: Vec<Command>,
    orders: Vec<LetterOrder>,
    survey: Vec<SurveyStep>,
    looks: Vec<LookOrder>,
}

/// An append to be answered.
struct Waiting {
    append: Append,
    answer: oneshot::Sender<Result<(), AppendError>>,
}

/// Events that come back, to be answered.
struct Restoring {
    restoration: Restoration,
    answer: oneshot::Sender<Result<(), AppendError>>,
}

impl<S: Store> Committer<S> {
    /// Works until the inbox is closed and empty, or until the store fails: then nothing more is acknowledged.
    ///
    /// # Errors
    /// The first failure of the store.
    pub(super) fn run(&mut self) -> Result<(), StoreError> {
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
                    self.sync_all()?;
                    self.mark();
                    return Ok(());
                }
            }
        }
    }

    /// Publishes the first figures, before anyone has a handle.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        // The first usage finds its volume ready, and a build whose syncs are not real is found out before it serves.
        self.lanes.usage.begin()?;
        self.reconcile_with_the_disk();
        self.measure();
        self.publish();
        Ok(())
    }

    /// How long the writer may sleep: for ever unless something on disk or at the gate waits for it.
    fn patience(&self) -> Option<Duration> {
        if self.rows().any(|row| row.is_dirty() || row.is_repacking()) || self.dead.is_restless() {
            return Some(QUIET_AFTER);
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

    /// Has it written down how far the rows got. Everything up to there is durable.
    fn mark(&mut self) {
        let next_seq = |row| self.row(row).next_seq();
        if self.high_water.is_behind(next_seq) {
            let mark = self.high_water.next(next_seq);
            if self.janitor.mark(mark) {
                self.high_water = mark;
            }
        }
    }

    fn rows(&self) -> impl Iterator<Item = &Row<S>> {
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
        self.reconcile_with_the_disk();
        for order in group.orders {
            // Again the failure is there before those who wait are let go.
            let shared = Arc::clone(&self.shared);
            self.carry_out(order).inspect_err(|error| shared.fail(error.clone().into()))?;
        }
        for step in group.survey {
            self.survey(step)?;
        }
        self.reconcile_with_the_disk();
        self.tidy()?;
        if self.measured.at.is_none_or(|at| at.elapsed() >= MEASURE_EVERY)
            || self.measured.bytes_since >= self.measure_after_bytes()
        {
            self.mark();
            self.measure();
        }
        self.publish();
        Ok(())
    }

    fn gather(&mut self, commands: Vec<Command>) -> Group {
        let now = self.clock.now();
        let builder = |row: &Row<S>, name| BlockBuilder::new(name, now, row.next_seq());
        let mut group = Group {
            now,
            blocks: PerLane {
                grants: builder(&self.lanes.grants, RowName::Grants),
                usage: builder(&self.lanes.usage, RowName::Usage),
            },
            letters: builder(&self.dead, RowName::Dead),
            letter_bytes: 0,
            settlements: PerLane::default(),
            settled: Vec::new(),
            kept: Vec::new(),
            appended: Vec::new(),
            restored: Vec::new(),
            reads: Vec::new(),
            orders: Vec::new(),
            survey: Vec::new(),
            looks: Vec::new(),
        };
        for command in commands {
            match command {
                Command::Append { append, room, answer } => {
                    self.gather_append(&mut group, Waiting { append, answer });
                    drop(room);
                }
                Command::KeepRefused(letters, room) => {
                    self.gather_refused(&mut group, letters);
                    drop(room);
                }
                Command::Settle(settlement) => gather_settlement(&mut group, settlement),
                Command::Read { .. } => group.reads.push(command),
                Command::Restore { restoration, answer } => {
                    self.gather_restored(&mut group, Restoring { restoration, answer });
                }
                Command::Letters(order) => group.orders.push(order),
                Command::Survey(step) => group.survey.push(step),
                Command::Look(order) => group.looks.push(order),
            }
        }
        group
    }

    fn gather_append(&mut self, group: &mut Group, waiting: Waiting) {
        let source = Source::Listener(waiting.append.listener);
        match self.gather_events(group, source, &waiting.append.events) {
            Ok(()) => group.appended.push(waiting),
            Err(refusal) => drop(waiting.answer.send(Err(refusal))),
        }
    }

    fn gather_restored(&mut self, group: &mut Group, restoring: Restoring) {
        let Restoration { source, events } = &restoring.restoration;
        match self.gather_events(group, Source::Restored(*source), events) {
            Ok(()) => group.restored.push(restoring),
            Err(refusal) => drop(restoring.answer.send(Err(refusal))),
        }
    }

    fn gather_events(
        &mut self,
        group: &mut Group,
        source: Source,
        events: &PerLane<EventBuf>,
    ) -> Result<(), AppendError> {
        let bytes = (events.grants.text_bytes() + events.usage.text_bytes()) as u64;
        let ahead = self.measured.bytes_since + bytes;
        for lane in Lane::ALL.into_iter().filter(|lane| !events[*lane].is_empty()) {
            let refusal = self.space.refusal(lane, self.measured.journal_bytes, self.measured.disk, ahead);
            refusal.map_or(Ok(()), |detail| Err(AppendError::Full { detail }))?;
        }
        for lane in Lane::ALL {
            group.blocks[lane].push_all(source, &events[lane]);
        }
        self.measured.bytes_since += bytes;
        Ok(())
    }

    fn gather_refused(&mut self, group: &mut Group, letters: Vec<DeadLetter>) {
        let bytes = self.ledger.accounts().dead_letter_bytes + group.letter_bytes;
        let full = self.dead_limit.refusal(bytes);
        // A journal that takes no usage has no room for what was not even accepted.
        let full = full.or_else(|| self.shared.refusal(Lane::Usage).map(|refusal| refusal.to_string()));
        if let Some(detail) = full {
            self.ledger.letters_not_kept(letters.len() as u64);
            if let Some(events) = self.dead_limit.not_kept(letters.len() as u64, Instant::now()) {
                tracing::error!(
                    events,
                    detail,
                    "there is no more room for dead letters: refused events are only counted, not kept; look at them with `sledge dead-letters list`, export and drop them, or raise dead_bytes_max"
                );
            }
            return;
        }
        for letter in letters {
            let letter = self.with_spare_id(letter);
            group.letter_bytes += push_letter(&mut group.letters, &letter);
            group.kept.push(letter);
        }
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
    fn reconcile_with_the_disk(&mut self) {
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
                self.ledger.lost(lane, lost.events, lost.text_bytes);
                if let Some(units) = &self.units {
                    units.lost();
                }
                tracing::error!(
                    lane = lane.as_str(),
                    events = lost.events,
                    "accepted events are lost: the disk damaged the blocks they lay in; what is left of their volume is in quarantine"
                );
            }
        }
        let again = self.dead.take_found_again();
        self.ledger.dead_letters_kept(Origin::Intake, again.from_intake);
        self.ledger.dead_letters_kept(Origin::Delivery, again.events - again.from_intake);
        self.ledger.letter_bytes_kept(again.text_bytes);
        let lost = self.dead.take_lost();
        if lost.events > 0 {
            let of_delivery = lost.events - lost.from_intake;
            self.ledger.letters_gone(Origin::Intake, lost.from_intake, lost.text_bytes);
            self.ledger.letters_gone(Origin::Delivery, of_delivery, 0);
            tracing::error!(letters = lost.events, "dead letters are lost: the disk damaged them");
        }
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
        self.lanes.usage.repack(has_room)
    }

    /// Looks at the disk; where there is too little room, as many retained volumes go as are needed, then the gate
    /// closes.
    fn measure(&mut self) {
        let mut disk = self.space.measure_disk();
        let mut journal_bytes = self.rows().map(Row::disk_bytes).sum::<u64>();
        while self.space.shortage(Lane::Usage, journal_bytes, disk) > 0
            && let Some(bytes) = self.lanes.usage.give_back().or_else(|| self.lanes.grants.give_back())
        {
            // It is deleted in a moment, off this thread.
            journal_bytes = journal_bytes.saturating_sub(bytes);
            disk.free = disk.free.saturating_add(bytes);
        }
        self.ledger.quarantined(self.dead.store.quarantined());
        for lane in Lane::ALL {
            let refusal = self.space.refusal(lane, journal_bytes, disk, 0);
            if let Some(detail) = &refusal
                && !self.shared.is_gate_closed(lane)
            {
                tracing::error!(lane = lane.as_str(), detail, "the journal is full: new events are refused");
            }
            self.shared.set_gate(lane, refusal);
        }
        if let Some(ballast) = self.ballast.as_ref().filter(|ballast| ballast.is_missing())
            && self.space.has_room_for(ballast.bytes(), disk)
        {
            self.janitor.keep_ballast(ballast);
        }
        self.measured = Measured { at: Some(Instant::now()), bytes_since: 0, journal_bytes, disk };
        let now = self.clock.now();
        let oldest = PerLane {
            grants: self.lanes.grants.waiting_since(now),
            usage: self.lanes.usage.waiting_since(now),
        };
        self.ledger.measured(oldest, journal_bytes);
    }

    fn measure_after_bytes(&self) -> u64 {
        MEASURE_AFTER_BYTES.min(self.ledger.accounts().journal_limit_bytes / 64)
    }

    pub(super) fn publish(&self) {
        self.shared.accounts.publish(self.ledger.accounts());
        self.publish_unread();
    }

    fn publish_unread(&self) {
        let unread = PerLane { grants: self.lanes.grants.has_unread(), usage: self.lanes.usage.has_unread() };
        self.shared.unread.send_if_modified(|published| std::mem::replace(published, unread) != unread);
    }
}

fn gather_settlement(group: &mut Group, settlement: Settlement) {
    for letter in &settlement.dead {
        group.letter_bytes += push_letter(&mut group.letters, letter);
    }
    for block in &settlement.blocks {
        group.settlements[block.id.lane].push(SettlementRecord {
            row: RowName::from(block.id.lane),
            seq: block.id.seq,
            events: 0,
            settled_at: group.now,
            attempts: block.attempts.clone(),
            dead_positions: block.dead_positions.clone(),
        });
    }
    group.settled.push(settlement);
}

/// Adds a letter and says how many bytes it takes, written down.
pub(super) fn push_letter(letters: &mut BlockBuilder, letter: &DeadLetter) -> u64 {
    match serde_json::to_vec(letter) {
        Ok(text) => {
            letters.push_letter(letter.origin == Origin::Intake, &text);
            text.len() as u64
        }
        Err(error) => {
            tracing::error!(%error, "a dead letter could not be written down");
            0
        }
    }
}

impl From<StoreError> for JournalError {
    fn from(error: StoreError) -> Self {
        Self::Poisoned { detail: error.to_string() }
    }
}
