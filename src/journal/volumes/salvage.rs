//! Opening a volume without trusting the store: every intact block that lies in its file comes out of it.
//!
//! sled takes damage for a torn tail and then forgets, or overwrites, what lies behind it; or it panics; or it hangs.
//! So the file is scanned for frames before sled sees it, past every sector that can't be read. A volume that does not
//! open, or opens with less than was found, is put into quarantine, never deleted, and a fresh one is made of what was
//! found.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::found::{Found, scan_at_rest};
use super::open_volume::OpenVolume;
use crate::journal::counted;
use crate::journal::disk::{Store, StoreError, VolumeId};
use crate::journal::format::VolumeIndex;

/// An open that takes longer counts as damage: an intact volume takes milliseconds.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// What became of the damaged volumes of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::journal) struct Salvaged {
    /// Pending events that were intact, and are in their successors.
    pub(in crate::journal) events: u64,
    /// Events that are gone, as far as the seqs around them tell: what of them had been delivered, and its settlement lost
    /// too, can't be told.
    pub(in crate::journal) lost_events: u64,
}

/// Opens a volume and proves that nothing in its file is missing from it; salvages it otherwise.
///
/// # Errors
/// When the folder can't be reached, the disk refuses, or a newer sledge wrote it.
pub(super) fn open_verified<S: Store>(
    store: &Arc<S>,
    id: VolumeId,
) -> Result<OpenVolume<S::Volume>, StoreError> {
    let found = scan_at_rest(store.as_ref(), id)?;
    open_as_found(store, id, &found, None)
}

/// Opens a volume that was just scanned, and proves that nothing of what was found is missing from it; salvages it
/// otherwise. `follows` is the seq that comes after the volume before it, where that is known.
///
/// # Errors
/// When the folder can't be reached, or the disk refuses.
pub(super) fn open_as_found<S: Store>(
    store: &Arc<S>,
    id: VolumeId,
    found: &Found,
    follows: Option<u64>,
) -> Result<OpenVolume<S::Volume>, StoreError> {
    let reason = match open_guarded(store, id) {
        Ok(mut volume) => {
            volume.settle_as_found(found.settled_seqs());
            match (found.unreadable_in(&volume), found.missing_from(&volume)) {
                (0, missing) if missing.is_empty() => return Ok(volume),
                // A power cut may leave a whole block behind that the store had not come to count yet. That is no damage.
                (0, missing) if found.is_whole() => {
                    tracing::info!(volume = %id, blocks = missing.len(), "blocks that were not counted yet are taken in");
                    missing.into_iter().try_for_each(|block| volume.write(&[block], &[]))?;
                    volume.sync()?;
                    return Ok(volume);
                }
                (0, missing) => {
                    format!(
                        "the store has lost {} that its file holds intact",
                        counted(missing.len() as u64, "block")
                    )
                }
                (unreadable, _) => {
                    format!("{} can't be read through the store", counted(unreadable as u64, "block"))
                }
            }
        }
        Err(StoreError::Damaged(_, reason)) => reason,
        // The store met what the scan went past.
        Err(StoreError::Io(reason)) if found.unreadable_bytes > 0 => reason,
        Err(error) => return Err(error),
    };
    // Filled beside the damaged one, and put in its place only when it is whole: a salvage that is cut short begins anew.
    let mut fresh = OpenVolume::new(id.aside(), store.create(id.aside())?);
    fresh.begin(found.next_seq())?;
    let blocks = found.pending();
    let events: u64 = blocks.iter().map(|(entry, _)| u64::from(entry.events)).sum();
    let count = blocks.len();
    for (entry, stored) in blocks {
        fresh.write(&[(entry, stored)], &[])?;
    }
    fresh.sync()?;
    drop(fresh);
    // The fresh one does not tell what was lost, nor what was settled: where whoever salvages dies before the loss is told,
    // the next start finds it here.
    store.write_index(id, &VolumeIndex::Open(found.inventory(follows)).encode())?;
    let quarantine = store.replace(id)?;
    tracing::error!(
        volume = %id, reason, blocks = count, events, lost_events = found.lost_events(),
        unreadable_bytes = found.unreadable_bytes, quarantine,
        "a volume is damaged: every intact pending block of it was salvaged into a fresh one, and the damaged one is kept for inspection"
    );
    Ok(open_guarded(store, id)?.out_of_salvage(events))
}

/// Opens and reads a volume on a thread of its own, where a panic or a hang is only damage.
fn open_guarded<S: Store>(store: &Arc<S>, id: VolumeId) -> Result<OpenVolume<S::Volume>, StoreError> {
    let (opened, opening) = sync_channel(1);
    let store = Arc::clone(store);
    std::thread::Builder::new().name("journal-open".into()).spawn(move || {
        let open = || OpenVolume::load(id, store.open(id)?);
        let result = catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
            Err(StoreError::Damaged(id, "the store panicked while it was opened".into()))
        });
        // After the time limit nobody listens any more.
        drop(opened.send(result));
    })?;
    match opening.recv_timeout(OPEN_TIMEOUT) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            Err(StoreError::Damaged(id, format!("it did not open within {} s", OPEN_TIMEOUT.as_secs())))
        }
        Err(RecvTimeoutError::Disconnected) => {
            Err(StoreError::Damaged(id, "the store ended while it was opened".into()))
        }
    }
}
