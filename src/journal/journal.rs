//! Opening and closing the journal, and the thread between.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::accounts::AccountsReader;
use super::appender::Appender;
use super::consumer::Consumer;
use super::disk::{
    Ballast, QUARANTINE, SledStore, SpaceLimits, Store, StoreError, give_large_buffers_back, why_volatile,
};
use super::error::{JournalError, OpenError};
use super::format::{HighWater, RowName};
use super::letters::{DeadLetters, DeadLimit, Origin};
use super::past::Recall;
use super::pending::{PendingUnits, UnitsWatch, survey, volumes_of};
use super::settings::Settings;
use super::volumes::{Janitor, LossBook, Row, RowLimits, Salvaged, sentences};
use super::writer::{Committer, Ledger, Measured, Restorer, Shared};
use crate::clock::Clock;
use crate::event::{IdSource, Lane, PerLane};
use crate::lock_file::{LockError, LockFile};
use crate::metrics::Metrics;

/// The fewest volumes that the `dead` row is cut into, when it is full.
const DEAD_VOLUMES: u64 = 16;

/// What a journal in a folder has there beside its store.
#[derive(Clone, Debug)]
pub(super) struct Home {
    /// Let go when the writer has ended, not before.
    _lock: Arc<LockFile>,
    ballast: Ballast,
}

/// An open journal with its writer at work. Hand out its handles, then [`close`](Self::close) it last.
#[derive(Debug)]
pub struct Journal {
    pub(super) shared: Arc<Shared>,
    consumer: Option<Consumer>,
    pending_units: Option<PendingUnits>,
    ended: oneshot::Receiver<()>,
    writer: Option<JoinHandle<()>>,
    alarms: Vec<String>,
    clock: Clock,
}

impl Journal {
    /// Opens the journal in its folder, making it if need be, and starts the writer. Blocks while volumes are read.
    ///
    /// # Errors
    /// When another process has the folder, the disk refuses, or a volume can't be read.
    pub fn open(settings: &Settings, clock: Clock, metrics: Metrics) -> Result<Self, OpenError> {
        give_large_buffers_back();
        let folder = &settings.folder;
        let at = |source: std::io::Error| OpenError::Io { path: folder.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at)?;
        let lock = Arc::new(lock_folder(folder)?);
        if settings.warns_if_volatile
            && let Some(why) = why_volatile(folder)
        {
            tracing::warn!(
                folder = %folder.display(), why,
                "what is acknowledged will not stay where the journal lies: give sledge a data folder on a disk of its own"
            );
        }
        let ballast = Ballast::new(settings);
        let home = Home { _lock: lock, ballast: ballast.clone() };
        let opened =
            Self::start(SledStore::in_folder(folder), settings, clock.clone(), metrics.clone(), &home);
        let journal = match opened {
            // The ballast was kept for this.
            Err(StoreError::DiskFull) if ballast.give_up().map_err(at)? => {
                Self::start(SledStore::in_folder(folder), settings, clock, metrics, &home)
            }
            opened => opened,
        }
        .map_err(|error| OpenError::from_store(folder, error))?;
        if !ballast.is_missing() {
            ballast.keep();
        }
        let volumes = journal.accounts().read().quarantined_volumes;
        if volumes > 0 {
            let folder = folder.join(QUARANTINE);
            tracing::error!(volumes, folder = %folder.display(), "damaged volumes wait to be looked at; check the disk, and remove them once that is done");
        }
        Ok(journal)
    }

    fn start<S: Store>(
        store: Result<S, StoreError>,
        settings: &Settings,
        clock: Clock,
        metrics: Metrics,
        home: &Home,
    ) -> Result<Self, StoreError> {
        Self::over(&Arc::new(store?), settings, clock, metrics, Some(home.clone()))
    }

    /// A journal over any store, at home in a folder if it has one.
    pub(super) fn over<S: Store>(
        store: &Arc<S>,
        settings: &Settings,
        clock: Clock,
        metrics: Metrics,
        home: Option<Home>,
    ) -> Result<Self, StoreError> {
        let (janitor, janitor_thread) = Janitor::start(store)?;
        let limits_of = |name| match name {
            RowName::Grants | RowName::Usage => RowLimits {
                volume_bytes: settings.volume_bytes,
                retention: settings.retention,
                retention_bytes_max: settings.retention_bytes_max,
                repacks: true,
            },
            // Letters are taken out one by one, so small volumes give the disk back sooner; nobody replays them.
            RowName::Dead => RowLimits {
                volume_bytes: settings.volume_bytes.min(settings.dead_bytes_max / DEAD_VOLUMES),
                retention: Duration::ZERO,
                retention_bytes_max: 0,
                repacks: false,
            },
        };
        let high_water = HighWater::decode_file(&store.read_mark()?);
        let book = LossBook::new(store, clock.clone(), home.as_ref().map(|home| home.ballast.clone()));
        let find = |name| Row::open(name, store, &janitor, &book, limits_of(name), high_water.next_seq(name));
        let found = PerLane { grants: find(RowName::Grants)?, usage: find(RowName::Usage)? };
        let found_dead = find(RowName::Dead)?;
        let losses = [&found.grants, &found.usage, &found_dead].map(|found| found.losses.as_slice()).concat();
        // Before anything is written that keeps the next start from finding it again.
        let untold = book.enter(&losses)?;
        let alarms = sentences(&untold);
        alarms.iter().for_each(|alarm| tracing::error!("{alarm}"));
        let salvaged = Lane::ALL.map(|lane| {
            let lost = untold.iter().filter(|loss| loss.volume.row == RowName::from(lane));
            let lost_events = lost.map(|loss| loss.events).sum();
            Salvaged { events: found[lane].salvaged_events, lost_events }
        });
        let lanes = PerLane { grants: found.grants.accept()?, usage: found.usage.accept()? };
        let dead = found_dead.accept()?;
        let ledger = opened_ledger(&lanes, &dead, &salvaged, settings);
        let shared = Arc::new(Shared::new(settings.intake_bytes_max));
        let pending_units =
            (settings.pending_customers_max > 0).then(|| PendingUnits::new(settings.pending_customers_max));
        let begun = PerLane { grants: lanes.grants.next_seq(), usage: lanes.usage.next_seq() };
        let units = pending_units.clone().map(|units| UnitsWatch::new(units, begun));
        let found = PerLane { grants: volumes_of(&lanes.grants), usage: volumes_of(&lanes.usage) };
        let handed_out = clock.clone();
        let mut committer = Committer {
            shared: Arc::clone(&shared),
            lanes,
            dead,
            ledger,
            clock,
            metrics,
            space: SpaceLimits::new(settings),
            dead_limit: DeadLimit::new(settings.dead_bytes_max),
            ids: IdSource::new(),
            measured: Measured::default(),
            janitor,
            high_water,
            book,
            units,
            ballast: home.as_ref().map(|home| home.ballast.clone()),
        };
        committer.begin()?;
        committer.book.tell()?;
        let (ending, ended) = oneshot::channel();
        let writer = std::thread::Builder::new().name("journal-writer".into()).spawn(move || {
            write_until_closed(&mut committer);
            drop(committer);
            if janitor_thread.join().is_err() {
                tracing::error!("the journal's janitor thread panicked");
            }
            drop(home);
            drop(ending);
        })?;
        if pending_units.is_some() {
            survey::start(store, &shared, found)?;
        }
        let consumer = Some(Consumer::new(Arc::clone(&shared)));
        Ok(Self { shared, consumer, pending_units, ended, writer: Some(writer), alarms, clock: handed_out })
    }

    /// What a person should know of how the journal was found, in sentences; empty when all was well.
    #[must_use]
    pub fn alarms(&self) -> &[String] {
        &self.alarms
    }

    /// A way in. Make as many as there are listeners.
    #[must_use]
    pub fn appender(&self) -> Appender {
        Appender::new(Arc::clone(&self.shared))
    }

    /// The way out; there is one.
    pub fn take_consumer(&mut self) -> Option<Consumer> {
        self.consumer.take()
    }

    /// A way to the dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(Arc::clone(&self.shared), self.clock.clone())
    }

    /// What customers have pending, where that is counted.
    #[must_use]
    pub fn pending_units(&self) -> Option<PendingUnits> {
        self.pending_units.clone()
    }

    /// A way back into the lanes.
    #[must_use]
    pub fn restorer(&self) -> Restorer {
        Restorer::new(Arc::clone(&self.shared))
    }

    /// A way to look back at what was delivered. Make one, and clone it.
    #[must_use]
    pub fn recall(&self) -> Recall {
        Recall::new(Arc::clone(&self.shared), self.restorer())
    }

    /// A view of the figures.
    #[must_use]
    pub fn accounts(&self) -> AccountsReader {
        self.shared.accounts.clone()
    }

    /// Resolves when the writer has ended: with `Ok` only after [`close`](Self::close). Cancel-safe.
    ///
    /// # Errors
    /// The failure that stopped it.
    pub async fn ended(&mut self) -> Result<(), JournalError> {
        if self.writer.is_some() {
            // The sender is never used, only dropped, by the thread's end.
            drop((&mut self.ended).await);
            self.writer = None;
        }
        self.shared.failure().map_or(Ok(()), Err)
    }

    /// Writes what is waiting, syncs, and ends the writer.
    ///
    /// # Errors
    /// When the writer had failed, or fails now.
    pub async fn close(mut self) -> Result<(), JournalError> {
        self.shared.inbox.close();
        self.ended().await
    }
}

/// The book of what the rows were found to hold.
fn opened_ledger<S: Store>(
    lanes: &PerLane<Row<S>>,
    dead: &Row<S>,
    salvaged: &[Salvaged],
    settings: &Settings,
) -> Ledger {
    let (grants, usage, letters) = (lanes.grants.pending(), lanes.usage.pending(), dead.pending());
    let mut ledger = Ledger::opened(
        PerLane { grants: grants.events, usage: usage.events },
        grants.text_bytes + usage.text_bytes,
        settings.journal_bytes_max,
    );
    salvaged.iter().for_each(|salvaged| ledger.found_damaged(*salvaged));
    ledger.limit_letters(settings.dead_bytes_max);
    ledger.letter_bytes_kept(letters.text_bytes);
    ledger.dead_letters_kept(Origin::Intake, letters.from_intake);
    ledger.dead_letters_kept(Origin::Delivery, letters.events - letters.from_intake);
    ledger
}

fn write_until_closed<S: Store>(committer: &mut Committer<S>) {
    let shared = Arc::clone(&committer.shared);
    match catch_unwind(AssertUnwindSafe(|| committer.run())) {
        Ok(Ok(())) => shared.room.close(),
        Ok(Err(error)) => {
            tracing::error!(%error, "the journal failed and takes nothing more; what was acknowledged is on disk");
            shared.fail(error.into());
        }
        Err(_) => shared.fail(JournalError::Poisoned { detail: "its writer panicked".into() }),
    }
}

/// One process for each folder.
fn lock_folder(folder: &Path) -> Result<LockFile, OpenError> {
    let path = folder.join("lock");
    LockFile::take(&path).map_err(|error| match error {
        LockError::Held { owner } => OpenError::InUse { folder: folder.to_owned(), owner },
        LockError::Io(source) => OpenError::Io { path, source },
    })
}
