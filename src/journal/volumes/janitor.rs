//! Slow errands of the writer, on a thread of its own: volumes made and opened ahead of time, closed, removed; the
//! high-water mark. What takes long even for it, rewriting volumes, it passes on to a second thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;

use super::open_volume::OpenVolume;
use super::repacking;
use super::repacking::{Job, Repacking};
use super::salvage::open_verified;
use crate::journal::disk::{Ballast, Store, StoreError, VolumeId, trim_memory};
use crate::journal::format::{HighWater, VolumeIndex};

/// Errands that may wait. A row asks for two at a time at most, and removals follow closings.
const ERRANDS_MAX: usize = 64;
/// Volumes that may wait to be rewritten: each lane asks for one at a time.
const REPACKINGS_MAX: usize = 2;

/// A volume that is on its way.
#[derive(Debug)]
pub(super) struct Ahead<V> {
    arrival: Receiver<Result<V, StoreError>>,
}

impl<V> Ahead<V> {
    /// Waits for the volume.
    ///
    /// # Errors
    /// When it could not be made or opened.
    pub(super) fn wait(self) -> Result<V, StoreError> {
        self.arrival.recv().map_err(|_| janitor_is_gone())?
    }

    /// The volume, if it has arrived, or why it never will.
    pub(super) fn poll(&self) -> Option<Result<V, StoreError>> {
        match self.arrival.try_recv() {
            Ok(arrived) => Some(arrived),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(janitor_is_gone())),
        }
    }
}

fn janitor_is_gone() -> StoreError {
    StoreError::Io("the journal's janitor thread is gone".to_owned())
}

enum Errand<S: Store> {
    Create(VolumeId, SyncSender<Result<S::Volume, StoreError>>),
    Open(VolumeId, SyncSender<Result<OpenVolume<S::Volume>, StoreError>>),
    Close(S::Volume),
    Remove(VolumeId),
    Repack(Job),
    Mark(HighWater),
    Describe(VolumeId, Vec<u8>, SyncSender<Result<(), StoreError>>),
    KeepBallast(Ballast),
}

/// Hands errands to the thread. Clones share it; it ends when the last is dropped.
#[derive(Debug)]
pub(in crate::journal) struct Janitor<S: Store> {
    errands: SyncSender<Errand<S>>,
}

impl<S: Store> Clone for Janitor<S> {
    fn clone(&self) -> Self {
        Self { errands: self.errands.clone() }
    }
}

impl<S: Store> Janitor<S> {
    /// Starts the thread. The handle is joined after the last `Janitor` is gone.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(in crate::journal) fn start(store: &Arc<S>) -> Result<(Self, JoinHandle<()>), StoreError> {
        let (errands, inbox) = sync_channel(ERRANDS_MAX);
        let (jobs, waiting) = sync_channel(REPACKINGS_MAX);
        let repacker = {
            let store = Arc::clone(store);
            let work = move || repacking::work(&store, &waiting);
            std::thread::Builder::new().name("journal-repacker".into()).spawn(work)?
        };
        let store = Arc::clone(store);
        let work = move || {
            work(&store, &inbox, &jobs);
            drop(jobs);
            if repacker.join().is_err() {
                tracing::error!("the journal's repacker thread panicked");
            }
        };
        let thread = std::thread::Builder::new().name("journal-janitor".into()).spawn(work)?;
        Ok((Self { errands }, thread))
    }

    /// Has a new volume made. `None` when there is too much to do already: it is then made when it is needed.
    pub(super) fn create(&self, id: VolumeId) -> Option<Ahead<S::Volume>> {
        let (arrived, arrival) = sync_channel(1);
        self.errands.try_send(Errand::Create(id, arrived)).ok().map(|()| Ahead { arrival })
    }

    /// Has a volume opened and verified. `None` when there is too much to do already.
    pub(super) fn open(&self, id: VolumeId) -> Option<Ahead<OpenVolume<S::Volume>>> {
        let (arrived, arrival) = sync_channel(1);
        self.errands.try_send(Errand::Open(id, arrived)).ok().map(|()| Ahead { arrival })
    }

    /// Opens a volume now, once what was asked before is done: the volume itself may still be closing.
    ///
    /// # Errors
    /// When it can't be opened.
    pub(super) fn open_now(&self, id: VolumeId) -> Result<OpenVolume<S::Volume>, StoreError> {
        let (arrived, arrival) = sync_channel(1);
        self.errands.send(Errand::Open(id, arrived)).map_err(|_| janitor_is_gone())?;
        Ahead { arrival }.wait()
    }

    /// Closes a volume: its store is dropped, which may sync.
    pub(super) fn close(&self, volume: S::Volume) {
        // A full list of errands is waited for: dropping it here instead could overtake its removal.
        if self.errands.send(Errand::Close(volume)).is_err() {
            tracing::error!("the journal's janitor thread is gone; a volume was closed without it");
        }
    }

    /// Writes down how far the journal got. `false` when there is too much to do already; a later mark says more.
    pub(in crate::journal) fn mark(&self, mark: HighWater) -> bool {
        self.errands.try_send(Errand::Mark(mark)).is_ok()
    }

    /// Has the index of a volume written that was just begun. `None` when there is too much to do already: its store
    /// remembers the same, in a file that may be damaged.
    pub(super) fn describe(&self, id: VolumeId, index: &VolumeIndex) -> Option<Ahead<()>> {
        let (arrived, arrival) = sync_channel(1);
        let errand = Errand::Describe(id, index.encode(), arrived);
        self.errands.try_send(errand).ok().map(|()| Ahead { arrival })
    }

    /// Has the ballast set aside again; if there is too much to do already, somebody asks once more.
    pub(in crate::journal) fn keep_ballast(&self, ballast: &Ballast) {
        drop(self.errands.try_send(Errand::KeepBallast(ballast.clone())));
    }

    /// Has a closed volume rewritten, on yet another thread, once it is really closed. `None` when there is too much to do
    /// already.
    pub(super) fn repack(&self, id: VolumeId) -> Option<Repacking> {
        let (repacking, job) = Repacking::of(id);
        self.errands.try_send(Errand::Repack(job)).ok().map(|()| repacking)
    }

    /// Removes a closed volume.
    pub(super) fn remove(&self, id: VolumeId) {
        match self.errands.try_send(Errand::Remove(id)) {
            Ok(()) => {}
            // It stays on disk, settled, and goes at the next start.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                tracing::warn!(volume = %id, "too many errands; the settled volume stays until the next start");
            }
        }
    }
}

fn work<S: Store>(store: &Arc<S>, inbox: &Receiver<Errand<S>>, jobs: &SyncSender<Job>) {
    while let Ok(errand) = inbox.recv() {
        match errand {
            // Where no more fit, whoever waits for this one learns that nothing came of it.
            Errand::Repack(job) => drop(jobs.try_send(job)),
            // Nobody waits any more only when the journal is closing; the volume is found at the next start.
            Errand::Create(id, arrived) => drop(arrived.send(store.create(id))),
            Errand::Open(id, arrived) => {
                // Nothing takes more memory than this, and what was needed for it is not needed any more then.
                trim_memory();
                drop(arrived.send(open_verified(store, id)));
                trim_memory();
            }
            Errand::Close(volume) => {
                drop(volume);
                trim_memory();
            }
            Errand::Mark(mark) => {
                if let Err(error) = store.write_mark(mark.slot(), &mark.encode()) {
                    tracing::warn!(%error, "the high-water mark could not be written; a lost tail may go unnoticed");
                }
            }
            Errand::Describe(id, index, arrived) => {
                let written = store.write_index(id, &index);
                if let Err(error) = &written {
                    tracing::warn!(volume = %id, %error, "the index of a new volume could not be written; damage to its beginning may go unnoticed");
                }
                drop(arrived.send(written));
            }
            Errand::KeepBallast(ballast) => ballast.keep(),
            Errand::Remove(id) => {
                if let Err(error) = store.remove(id) {
                    tracing::warn!(volume = %id, %error, "a settled volume could not be removed; it is tried again at the next start");
                }
            }
        }
    }
}
