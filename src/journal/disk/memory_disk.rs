//! The disk under a [`MemoryStore`](super::memory_store::MemoryStore): what is synced and what is not, and what a power cut
//! or a failure leaves of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::store::{Entry, StoreError, VolumeId};
use crate::journal::format::{HEADER_BYTES, Header, HighWater, Kind, RowName, VolumeIndex, read_header};

/// What is on the disk, and what will befall it.
#[derive(Debug, Default)]
pub(in crate::journal) struct Disk {
    pub(super) volumes: BTreeMap<VolumeId, Files>,
    /// The indices of volumes of which nothing else is left.
    pub(super) bereft: BTreeMap<VolumeId, Vec<u8>>,
    pub(super) trouble: Option<Trouble>,
    /// While held back, syncs wait.
    pub(super) hold: Arc<Mutex<()>>,
    /// Whether syncs are answered and not done.
    pub(super) pretends: bool,
    pub(super) syncs: u64,
    pub(super) operations: u64,
    pub(super) mark: Vec<u8>,
    pub(super) losses: Vec<u8>,
    /// How many more new files find room, where that is limited.
    pub(super) room: Option<u64>,
    pub(super) quarantined: u64,
    pub(super) refuses_copies: bool,
    /// A volume whose file is not in its place the next so many times it is looked for.
    pub(super) away: Option<(VolumeId, usize)>,
    /// Whether files show only what was synced.
    pub(super) is_lagging: bool,
    pub(super) opens: usize,
    /// Shared by every volume that is open.
    pub(super) open: Arc<()>,
    /// While held back, volumes wait to be opened.
    pub(super) hold_opens: Arc<Mutex<()>>,
    /// Counts power cuts: a store or volume of an earlier life is dead.
    pub(super) epoch: u64,
}

/// What comes after so many operations (everything that changes the disk).
#[derive(Debug)]
pub(super) enum Trouble {
    /// That operation fails, and all after it.
    Failure { left: u64 },
    /// The power goes in the middle of that operation.
    PowerCut { left: u64, rng: fastrand::Rng },
}

/// What is on it of one volume.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) synced: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) unsynced: Vec<Vec<Entry>>,
    pub(super) index: Option<Vec<u8>>,
    /// What lies in the raw file of writes that the store itself does not remember: halves, and whole ones too.
    pub(super) debris: Vec<u8>,
    /// Its file was damaged.
    pub(super) is_hurt: bool,
    /// A part of its file that can't be read: the store itself fails on all of it.
    pub(super) bad_sectors: Option<Range<u64>>,
}

impl Files {
    /// The power goes: a disk may have written what no sync covered in any order, wholly or in part.
    fn lose_power(&mut self, fate: &mut impl FnMut() -> Fate) {
        for write in std::mem::take(&mut self.unsynced) {
            let written: Vec<u8> = write.iter().flat_map(|(_, value)| value).copied().collect();
            match fate() {
                Fate::Kept => self.synced.extend(write),
                Fate::Lost => {}
                Fate::Torn => self.debris.extend_from_slice(&written[..written.len() / 2]),
                Fate::Forgotten => self.debris.extend_from_slice(&written),
            }
        }
    }
}

/// What becomes of a write that no sync covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is there.
    Kept,
    /// Nothing of it is there.
    Lost,
    /// Half of it lies in the file.
    Torn,
    /// It lies in the file, but what the store needs to know of it does not.
    Forgotten,
}

impl Fate {
    /// Any of them.
    pub(super) fn any(rng: &mut fastrand::Rng) -> Self {
        *rng.choice(&[Self::Kept, Self::Kept, Self::Lost, Self::Torn, Self::Forgotten]).unwrap()
    }
}

/// How an operation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// To its end.
    Whole,
    /// Cut short before it began, in its middle, or after its end but before anyone heard of it.
    Cut(Cut),
}

/// Where an operation is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Before,
    Within,
    After,
}

impl Course {
    pub(super) fn reaches(self, stage: Cut) -> bool {
        match self {
            Self::Whole => true,
            Self::Cut(Cut::Before) => false,
            Self::Cut(Cut::Within) => stage == Cut::Within,
            Self::Cut(Cut::After) => true,
        }
    }

    pub(super) fn answer(self) -> Result<(), StoreError> {
        match self {
            Self::Whole => Ok(()),
            Self::Cut(_) => Err(no_power()),
        }
    }
}

pub(super) fn no_power() -> StoreError {
    StoreError::Io("the power is gone".into())
}

impl Disk {
    /// What a start does with what was filled aside: it takes an empty place, and is swept away otherwise.
    pub(super) fn end_replacements(&mut self, row: RowName) {
        let asides: Vec<VolumeId> =
            self.volumes.keys().filter(|id| id.row == row && id.is_aside()).copied().collect();
        for aside in asides {
            let filled = self.volumes.remove(&aside);
            self.volumes.entry(aside.place()).or_insert_with(|| filled.unwrap_or_default());
        }
    }

    pub(super) fn lose_power(&mut self, fate: &mut impl FnMut() -> Fate) {
        self.epoch += 1;
        self.trouble = None;
        self.volumes.values_mut().for_each(|files| files.lose_power(fate));
    }

    /// Damages something at random: an index, or a value of which the file then shows something else, or nothing, and the
    /// store gives out something else, or nothing. What came after the mark was written is left alone, for nobody could tell
    /// that it had been there; and so is a volume without an index, and the index of a damaged one. Says which seqs lay in the block that was hit, if one was.
    pub(super) fn hurt(&mut self, rng: &mut fastrand::Rng) -> Option<Range<u64>> {
        let mark = HighWater::decode_file(&self.mark);
        let volumes: Vec<VolumeId> = self.volumes.keys().copied().collect();
        let files = self.volumes.get_mut(rng.choice(&volumes)?)?;
        if rng.u8(..8) == 0 {
            let index = files.index.as_mut().filter(|_| !files.is_hurt)?;
            let at = rng.usize(..index.len());
            index[at] ^= 1 << rng.u32(..8);
            return None;
        }
        files.index.as_deref().and_then(VolumeIndex::decode)?;
        files.is_hurt = true;
        let end = |header: &Header| header.seq + u64::from(header.events);
        let is_known = |value: &Vec<u8>| {
            read_header(value).is_ok_and(|header| {
                header.kind == Kind::Settlement || end(&header) <= mark.next_seq(header.row)
            })
        };
        let frames: Vec<Vec<u8>> =
            files.synced.iter().filter(|(_, value)| is_known(value)).map(|(key, _)| key.clone()).collect();
        let key = rng.choice(&frames)?;
        let mut value = files.synced.remove(key)?;
        let header = read_header(&value).ok()?;
        let at = rng.usize(..value.len());
        value[at] ^= 1 << rng.u32(..8);
        match rng.u8(..3) {
            0 if at >= HEADER_BYTES => drop(files.synced.insert(key.clone(), value)),
            1 => files.debris.extend(value),
            _ => {}
        }
        (header.kind == Kind::Block).then(|| header.seq..end(&header))
    }

    /// Room for a new file.
    pub(super) fn take_room(&mut self) -> Result<(), StoreError> {
        match &mut self.room {
            None => Ok(()),
            Some(0) => Err(StoreError::DiskFull),
            Some(room) => {
                *room -= 1;
                Ok(())
            }
        }
    }

    /// How the next operation goes. A power cut has happened by the time this returns: what the operation changes is
    /// what was on its way.
    pub(super) fn operate(&mut self, epoch: u64) -> Result<Course, StoreError> {
        if epoch != self.epoch {
            return Err(no_power());
        }
        self.operations += 1;
        match &mut self.trouble {
            None => Ok(Course::Whole),
            Some(Trouble::Failure { left: 0 }) => Err(StoreError::Io("told to fail".into())),
            Some(Trouble::PowerCut { left: 0, rng }) => {
                let mut rng = rng.fork();
                let cut = *rng.choice(&[Cut::Before, Cut::Within, Cut::After]).unwrap();
                self.lose_power(&mut || Fate::any(&mut rng));
                Ok(Course::Cut(cut))
            }
            Some(Trouble::Failure { left } | Trouble::PowerCut { left, .. }) => {
                *left -= 1;
                Ok(Course::Whole)
            }
        }
    }
}
