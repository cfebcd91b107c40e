//! What the journal needs of an embedded store, and no more: volumes that can be created, opened and removed, and in
//! each a few operations on ordered keys.

use crate::journal::format::RowName;

/// A volume's place: the row and its number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::journal) struct VolumeId {
    pub(in crate::journal) row: RowName,
    pub(in crate::journal) number: u32,
}

/// Marks the number of a volume that is being filled to take another's place.
const ASIDE: u32 = 1 << 31;
/// Such a volume's folder, before its number.
pub(super) const SALVAGING: &str = "salvaging-";
/// Any other volume's.
pub(super) const VOLUME: &str = "volume-";

impl VolumeId {
    /// The place beside this volume where its successor is filled, before it takes over.
    pub(in crate::journal) fn aside(self) -> Self {
        Self { number: self.number | ASIDE, ..self }
    }

    /// The volume's own place.
    pub(in crate::journal) fn place(self) -> Self {
        Self { number: self.number & !ASIDE, ..self }
    }

    /// Whether this is such a place.
    pub(super) fn is_aside(self) -> bool {
        self.number & ASIDE != 0
    }

    /// The name of its folder in its row.
    pub(in crate::journal) fn folder_name(self) -> String {
        let kind = if self.is_aside() { SALVAGING } else { VOLUME };
        format!("{kind}{:08}", self.place().number)
    }
}

impl std::fmt::Display for VolumeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.row.as_str(), self.folder_name())
    }
}

/// A key and its value.
pub(in crate::journal) type Entry = (Vec<u8>, Vec<u8>);

/// Why the store did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::journal) enum StoreError {
    /// The disk has no room left.
    #[error("the disk is full")]
    DiskFull,
    /// What is on disk can't be read.
    #[error("{0} is damaged: {1}")]
    Damaged(VolumeId, String),
    /// A newer sledge wrote it.
    #[error("{0} was written by a newer sledge (format {1})")]
    NewerFormat(VolumeId, u8),
    /// A system call failed.
    #[error("{0}")]
    Io(String),
    /// The program is not linked against the symbol that makes sled's syncs real.
    #[error("this build of sledge can't make its writes durable: sled's flush did not end in a real sync")]
    SyncNotReal,
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            Self::DiskFull
        } else {
            Self::Io(error.to_string())
        }
    }
}

/// A volume's file at rest, for a scan.
pub(in crate::journal) trait RawFile: std::io::Read + std::io::Seek + Send {}

impl<T: std::io::Read + std::io::Seek + Send> RawFile for T {}

/// A place for volumes and for the small index file beside each closed one.
pub(in crate::journal) trait Store: std::fmt::Debug + Send + Sync + 'static {
    /// An open volume.
    type Volume: Volume;

    /// The numbers of a row's volumes, ascending.
    fn list(&self, row: RowName) -> Result<Vec<u32>, StoreError>;
    /// Makes a new, empty, durable volume.
    fn create(&self, id: VolumeId) -> Result<Self::Volume, StoreError>;
    /// Opens a volume that exists.
    fn open(&self, id: VolumeId) -> Result<Self::Volume, StoreError>;
    /// Removes a volume that is not open, with its index. It is gone at once; its space comes back soon.
    fn remove(&self, id: VolumeId) -> Result<(), StoreError>;
    /// The file in which a volume's values lie, byte for byte, for a scan that does not trust the store's index; `None`
    /// where there is none at this moment. While the volume is open, what lies in it is true, but need not be all.
    fn find_raw(&self, id: VolumeId) -> Result<Option<Box<dyn RawFile>>, StoreError>;
    /// The same for a volume that nobody else opens or replaces meanwhile: without a file it is an empty one, which was
    /// being made when the process died.
    fn raw(&self, id: VolumeId) -> Result<Box<dyn RawFile>, StoreError> {
        Ok(self.find_raw(id)?.unwrap_or_else(|| Box::new(std::io::empty())))
    }
    /// Makes durable what any earlier process wrote to that file. What a scan finds in it is then there for good.
    fn sync_raw(&self, id: VolumeId) -> Result<(), StoreError>;
    /// Puts a damaged volume out of the way, says where (it is never deleted), and puts what was filled
    /// [aside](VolumeId::aside) in its place; its index stays, and must hold for either. Cut short, it is finished at the
    /// next start. Neither may be open.
    fn replace(&self, id: VolumeId) -> Result<String, StoreError>;
    /// Puts what was filled [aside](VolumeId::aside) in a volume's place and removes the volume; its index stays, and must
    /// hold for either. Cut short, it is finished at the next start. Neither may be open.
    fn swap(&self, id: VolumeId) -> Result<(), StoreError>;
    /// What a volume takes on disk, in bytes.
    fn disk_bytes(&self, id: VolumeId) -> u64;
    /// How many damaged volumes were put out of the way and are still there.
    fn quarantined(&self) -> u64;

    /// The high-water file, whole; empty when there is none.
    fn read_mark(&self) -> Result<Vec<u8>, StoreError>;
    /// Writes one slot of the high-water file, durably.
    fn write_mark(&self, slot: u64, bytes: &[u8]) -> Result<(), StoreError>;

    /// The book of losses, whole; empty when there is none.
    fn read_losses(&self) -> Result<Vec<u8>, StoreError>;
    /// Writes the book of losses, whole or not at all, durably.
    fn write_losses(&self, bytes: &[u8]) -> Result<(), StoreError>;

    /// The numbers of volumes of which nothing but the index is left, ascending.
    fn list_bereft(&self, row: RowName) -> Result<Vec<u32>, StoreError>;
    /// The index file of a volume, when it has one.
    fn read_index(&self, id: VolumeId) -> Result<Option<Vec<u8>>, StoreError>;
    /// Writes a volume's index file, whole or not at all, durably.
    fn write_index(&self, id: VolumeId, bytes: &[u8]) -> Result<(), StoreError>;
    /// Removes the index files of volumes of a row, durably; they need not exist.
    fn remove_indices(&self, row: RowName, numbers: &[u32]) -> Result<(), StoreError>;
    /// Removes a volume's index file, durably; it need not exist.
    fn remove_index(&self, id: VolumeId) -> Result<(), StoreError> {
        self.remove_indices(id.row, &[id.number])
    }
}

/// An open volume: an ordered map. Dropping it closes it.
pub(in crate::journal) trait Volume: std::fmt::Debug + Send + 'static {
    /// The value under `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Shows every entry in the order of the keys.
    fn scan(&self, see: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError>;
    /// Writes all entries or none. Not durable yet.
    fn apply(&self, entries: &[Entry]) -> Result<(), StoreError>;
    /// Makes everything written so far durable: returns after a real sync.
    fn sync(&self) -> Result<(), StoreError>;
}
