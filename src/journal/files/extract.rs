//! Getting out of a journal's files what lies intact in them. Nothing is opened, repaired or changed: the files are scanned
//! for frames, so it works on a journal that no sledge could open, on a part of one, and on what is left of its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::event::Lane;
use crate::journal::consumer::Block;
use crate::journal::disk::{HIGH_WATER, VolumeId, bereft_in, index_of, volumes_in};
use crate::journal::format::{HighWater, Kind, RowName, SettlementRecord, VolumeIndex};
use crate::journal::volumes::{Continuity, Copies, Found, scan_past_damage};
use crate::lock_file::{LockError, LockFile};

/// Which events are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those that are owed to Polar.
    Pending,
    /// Those that Polar confirmed and that are still there.
    Delivered,
}

/// Something that lies intact in a journal.
#[derive(Debug)]
pub enum Extract<'a> {
    /// An event, as it goes to Polar.
    Event {
        /// Its lane.
        lane: Lane,
        /// The time before which it must not be sent; 0 for none.
        due: u64,
        /// Its text.
        text: &'a [u8],
    },
    /// A dead letter that is kept, as JSON.
    Letter(&'a [u8]),
}

/// What was looked through, and what was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Files with blocks or settlements in them.
    pub files: u64,
    /// Events that were handed out.
    pub events: u64,
    /// Dead letters that were handed out.
    pub letters: u64,
    /// Events that are not intact in any copy, as far as the seqs around them and the indices of a journal tell.
    pub lost_events: u64,
    /// Bytes that the disk can't read any more.
    pub unreadable_bytes: u64,
}

/// Why nothing, or not everything, could be got out.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// A sledge has the journal open.
    #[error("{owner} has the journal in {} open; stop that sledge first, for its files change while it runs", folder.display())]
    InUse {
        /// The journal's folder.
        folder: PathBuf,
        /// What the lock file says of its owner.
        owner: String,
    },
    /// A file can't be read.
    #[error("failed to read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Whoever is shown the events can't take more.
    #[error(transparent)]
    Taker(#[from] io::Error),
}

/// Shows what is wanted of the events in `place`, and the dead letters that are kept there: a journal's folder, a volume's,
/// any folder with such files below it, or one file.
///
/// # Errors
/// When a sledge has the journal open, a file can't be read, or `see` fails.
pub fn extract(
    place: &Path,
    wanted: Wanted,
    see: &mut dyn FnMut(Extract<'_>) -> io::Result<()>,
) -> Result<Extracted, ExtractError> {
    let _lock = keep_others_out(place)?;
    let mut extracted = Extracted::default();
    let mut seen = BTreeSet::new();
    let mut copies = Copies::default();
    let mut rows: BTreeMap<RowName, Continuity> = BTreeMap::new();
    for (path, volume) in files_in(place)? {
        let read = |source| ExtractError::Read { path: path.clone(), source };
        let mut contents = File::open(&path).and_then(Contents::of).map_err(read)?;
        match volume {
            Some(id) => {
                let index = index_of(&place.join(id.row.as_str()), id).map_err(read)?;
                let mut nothing = Found::default();
                let of_row = contents.rows.get_mut(&id.row);
                let found = of_row.map_or(&mut nothing, |of_row| &mut of_row.found);
                let continuity = rows.entry(id.row).or_insert_with(Continuity::of_a_row);
                follow(continuity, id.place(), index, found);
            }
            None => contents.rows.iter().for_each(|(row, of_row)| copies.add(*row, &of_row.found)),
        }
        contents.show(wanted, &mut seen, &mut extracted, see)?;
    }
    for row in RowName::ALL.into_iter().filter(|_| is_journal(place)) {
        let folder = place.join(row.as_str());
        let read = |source| ExtractError::Read { path: folder.clone(), source };
        for number in bereft_in(&folder).map_err(read)? {
            let id = VolumeId { row, number };
            let continuity = rows.entry(row).or_insert_with(Continuity::of_an_empty_row);
            index_of(&folder, id).map_err(read)?.iter().for_each(|index| continuity.miss(id, index, None));
        }
    }
    let mark = fs::read(place.join(HIGH_WATER))
        .map_or_else(|_| HighWater::default(), |bytes| HighWater::decode_file(&bytes));
    let lost = rows.into_iter().map(|(row, continuity)| continuity.lost_events(mark.next_seq(row)));
    extracted.lost_events = copies.lost_events() + lost.sum::<u64>();
    Ok(extracted)
}

/// Goes along a row of a journal that nobody has open.
fn follow(continuity: &mut Continuity, id: VolumeId, index: Option<VolumeIndex>, found: &mut Found) {
    continuity.come_to(id);
    match index {
        Some(VolumeIndex::Settled(_)) => continuity.forget(),
        Some(index @ VolumeIndex::Pending { .. }) => {
            found.note(index.into_inventory());
            continuity.see(id, None, found);
            // It answers for itself, and for no other.
            continuity.forget();
        }
        Some(VolumeIndex::Open(noted)) => {
            found.note(Some(noted));
            continuity.see(id, None, found);
        }
        None => {
            continuity.see(id, None, found);
        }
    }
}

/// Holds the lock of a journal's folder meanwhile. A folder without one, or one that can't be written to, has no owner.
fn keep_others_out(place: &Path) -> Result<Option<LockFile>, ExtractError> {
    let path = place.join("lock");
    if !path.exists() {
        return Ok(None);
    }
    match LockFile::take(&path) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Held { owner }) => Err(ExtractError::InUse { folder: place.to_owned(), owner }),
        Err(LockError::Io(_)) => Ok(None),
    }
}

/// Whether this is the folder of a journal.
fn is_journal(place: &Path) -> bool {
    RowName::ALL.iter().any(|row| place.join(row.as_str()).is_dir())
}

/// The files to look through, each before those it is older than; of a journal, which volume each is of.
fn files_in(place: &Path) -> Result<Vec<(PathBuf, Option<VolumeId>)>, ExtractError> {
    let read = |source| ExtractError::Read { path: place.to_owned(), source };
    if fs::metadata(place).map_err(read)?.is_file() {
        return Ok(vec![(place.to_owned(), None)]);
    }
    if !is_journal(place) {
        let mut files = Vec::new();
        files_below(place, &mut files).map_err(read)?;
        // Of a database only this one holds values. Where there is none, the folder is somebody's rescue.
        let named_db = |path: &&PathBuf| path.file_name().is_some_and(|name| name == "db");
        let databases: Vec<PathBuf> = files.iter().filter(named_db).cloned().collect();
        let chosen = if databases.is_empty() { files } else { databases };
        return Ok(chosen.into_iter().map(|path| (path, None)).collect());
    }
    let mut files = Vec::new();
    for row in RowName::ALL {
        let folder = place.join(row.as_str());
        for id in volumes_in(&folder, row).map_err(read)? {
            files.push((folder.join(id.folder_name()).join("db"), Some(id)));
        }
    }
    files.retain(|(path, _)| path.is_file());
    Ok(files)
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files_below(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// What a scan of one file found.
#[derive(Default)]
struct Contents {
    rows: BTreeMap<RowName, OfRow>,
    unreadable_bytes: u64,
}

/// What it found of one row.
#[derive(Default)]
struct OfRow {
    found: Found,
    /// By the seq of each settled block, the positions in it that are dead.
    settled: BTreeMap<u64, Vec<u32>>,
}

impl Contents {
    fn of(file: File) -> io::Result<Self> {
        let mut contents = Self::default();
        contents.unreadable_bytes = scan_past_damage(file, &mut |header, frame| {
            let of_row = contents.rows.entry(header.row).or_default();
            if header.kind == Kind::Settlement {
                // One that can't be understood settles its block all the same.
                let dead = SettlementRecord::decode(frame).map(|record| record.dead_positions);
                of_row.settled.insert(header.seq, dead.unwrap_or_default());
            }
            of_row.found.take(frame, header);
        })?;
        Ok(contents)
    }

    fn show(
        mut self,
        wanted: Wanted,
        seen: &mut BTreeSet<(RowName, u64, u32)>,
        extracted: &mut Extracted,
        see: &mut dyn FnMut(Extract<'_>) -> io::Result<()>,
    ) -> Result<(), ExtractError> {
        extracted.files += u64::from(!self.rows.is_empty());
        extracted.unreadable_bytes += self.unreadable_bytes;
        for (row, of_row) in &mut self.rows {
            for seq in of_row.found.block_seqs() {
                let settled = of_row.settled.get(&seq);
                let is_wanted = match (row, wanted) {
                    // Whatever else is wanted, a letter counts as long as it is kept.
                    (RowName::Dead, _) | (_, Wanted::Pending) => settled.is_none(),
                    (RowName::Grants | RowName::Usage, Wanted::Delivered) => settled.is_some(),
                };
                if !is_wanted {
                    continue;
                }
                let dead = settled.map(Vec::as_slice).unwrap_or_default();
                let Some(block) = of_row.found.take_block(seq) else { continue };
                // Two images of one disk hold the same blocks, each perhaps damaged elsewhere; two journals count from
                // the same number. Only what is the same to the letter is the same.
                if seen.insert((*row, seq, crc32c::crc32c(block.text()))) {
                    show_block(*row, &block, dead, extracted, see)?;
                }
            }
        }
        Ok(())
    }
}

fn show_block(
    row: RowName,
    block: &Block,
    dead: &[u32],
    extracted: &mut Extracted,
    see: &mut dyn FnMut(Extract<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let is_dead = |position: usize| u32::try_from(position).is_ok_and(|position| dead.contains(&position));
    for position in (0..block.len()).filter(|position| !is_dead(*position)) {
        let text = block.event(position).unwrap_or_default();
        let lane = match row {
            RowName::Grants => Lane::Grants,
            RowName::Usage => Lane::Usage,
            RowName::Dead => {
                see(Extract::Letter(text))?;
                extracted.letters += 1;
                continue;
            }
        };
        see(Extract::Event { lane, due: block.due(), text })?;
        extracted.events += 1;
    }
    Ok(())
}
