//! What the journal needs of a store and of a disk, and the store it has.

mod bad_sectors;
mod ballast;
#[cfg(test)]
mod memory_disk;
#[cfg(test)]
mod memory_store;
mod row_folder;
mod sled_store;
mod sled_volume;
mod space;
mod store;
mod system;
mod volatile;

pub(super) use bad_sectors::{PastBadSectors, is_unreadable};
pub(super) use ballast::Ballast;
#[cfg(test)]
pub(super) use memory_store::MemoryStore;
pub(super) use row_folder::{bereft_in, index_of, volumes_in};
pub(super) use sled_store::{HIGH_WATER, LOSSES, QUARANTINE, SledStore, UNREADABLE, blobs, folder_bytes};
pub(super) use space::{Disk, SpaceLimits};
pub(super) use store::{Entry, RawFile, Store, StoreError, Volume, VolumeId};
#[cfg(test)]
pub(super) use system::exchange;
pub(super) use system::{give_large_buffers_back, only_when_idle, trim_memory};
pub(super) use volatile::why_volatile;
