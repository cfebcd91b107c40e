//! What a disk may hold after the power went: everything that a sync covered, and of the rest whatever it likes.
//!
//! Names (files made, renamed, removed) become durable in the order in which they were changed, as on every file system
//! with a journal, and only when a folder is synced: a file's own sync promises nothing about its name. Data becomes
//! durable when its own file is synced, each write for itself, in any order, and sector by sector.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::recording::{FileNumber, Happened, Recording, Synced};

const SECTOR_BYTES: u64 = 512;

/// How the disk treats what no sync has covered.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// All of it is there: the disk had just finished.
    AllKept,
    /// None of it is there.
    AllLost,
    /// Each write may be there, or not, or some of its sectors.
    AnyWay(fastrand::Rng),
}

/// How much of one write is there.
enum Kept {
    Whole,
    Nothing,
    Torn,
}

impl Fate {
    fn of_names(&mut self, durable: usize, all: usize) -> usize {
        match self {
            Self::AllKept => all,
            Self::AllLost => durable,
            Self::AnyWay(rng) => rng.usize(durable..=all),
        }
    }

    fn of_write(&mut self) -> Kept {
        match self {
            Self::AllKept => Kept::Whole,
            Self::AllLost => Kept::Nothing,
            Self::AnyWay(rng) => match rng.u8(..4) {
                0 => Kept::Torn,
                1 => Kept::Nothing,
                _ => Kept::Whole,
            },
        }
    }

    fn of_sector(&mut self) -> bool {
        match self {
            Self::AllKept => true,
            Self::AllLost => false,
            Self::AnyWay(rng) => rng.bool(),
        }
    }
}

/// A change of a file's data, and when it happened.
#[derive(Clone, Copy, Debug)]
struct Change<'r> {
    happened: usize,
    what: &'r Happened,
    is_durable: bool,
    /// A sync that failed has dropped it from memory: no later sync brings it to the disk.
    is_forgotten: bool,
}

/// The disk at an instant of a recording.
#[derive(Debug, Default)]
pub(crate) struct Platter<'r> {
    files: HashMap<FileNumber, Vec<Change<'r>>>,
    names: Vec<(usize, &'r Happened)>,
    /// So many changes of names are durable, from the first on.
    names_durable: usize,
}

impl<'r> Platter<'r> {
    /// What had been done, and what of it had been synced, before the `instant`-th thing happened.
    pub(crate) fn at(recording: &'r Recording, instant: usize) -> Self {
        let mut platter = Self::default();
        let mut begun = HashMap::new();
        for (at, happened) in recording.happened[..instant].iter().enumerate() {
            match happened {
                Happened::Write { file, .. } | Happened::Truncate { file, .. } => {
                    let change =
                        Change { happened: at, what: happened, is_durable: false, is_forgotten: false };
                    platter.files.entry(*file).or_default().push(change);
                }
                Happened::Create { .. }
                | Happened::Folder { .. }
                | Happened::Rename { .. }
                | Happened::Exchange { .. }
                | Happened::Remove { .. } => platter.names.push((at, happened)),
                Happened::SyncBegun { sync } => {
                    begun.insert(*sync, at);
                }
                Happened::SyncEnded { sync, of, ok } => platter.sync(of, begun[sync], *ok),
                Happened::Sent { .. } | Happened::Failed(_) => {}
            }
        }
        platter
    }

    fn sync(&mut self, of: &Synced, begun: usize, ok: bool) {
        match of {
            Synced::File(file) => {
                let changes = self.files.entry(*file).or_default();
                for change in changes.iter_mut().filter(|change| change.happened < begun) {
                    if ok {
                        change.is_durable |= !change.is_forgotten;
                    } else {
                        change.is_forgotten |= !change.is_durable;
                    }
                }
            }
            Synced::Folder(folder) if ok => {
                let is_in = |path: &Path| path.parent() == Some(folder);
                let is_covered = |(at, name): &(usize, &Happened)| {
                    *at < begun
                        && match name {
                            Happened::Create { path, .. }
                            | Happened::Folder { path }
                            | Happened::Remove { path } => is_in(path),
                            Happened::Rename { from: one, to: other } | Happened::Exchange { one, other } => {
                                is_in(one) || is_in(other)
                            }
                            _ => false,
                        }
                };
                let covered = self.names.iter().rposition(is_covered).map_or(0, |last| last + 1);
                self.names_durable = self.names_durable.max(covered);
            }
            Synced::Folder(_) => {}
        }
    }

    /// Lays what the disk holds after this fate into a folder that does not exist yet; paths below `root` go there.
    pub(crate) fn lay_out(&self, fate: &mut Fate, root: &Path, place: &Path) {
        fs::create_dir(place).unwrap();
        let names = fate.of_names(self.names_durable, self.names.len());
        let mut files: BTreeMap<PathBuf, FileNumber> = BTreeMap::new();
        let placed = |path: &Path| place.join(path.strip_prefix(root).unwrap());
        for (_, name) in &self.names[..names] {
            match name {
                Happened::Create { path, file } => {
                    files.insert(placed(path), *file);
                }
                Happened::Folder { path } => fs::create_dir_all(placed(path)).unwrap(),
                Happened::Rename { from, to } => move_all(&mut files, &placed(from), &placed(to)),
                Happened::Exchange { one, other } => {
                    let (one, other, between) = (placed(one), placed(other), place.join("between"));
                    move_all(&mut files, &one, &between);
                    move_all(&mut files, &other, &one);
                    move_all(&mut files, &between, &other);
                }
                Happened::Remove { path } => {
                    let path = placed(path);
                    if files.remove(&path).is_none() {
                        fs::remove_dir(path).unwrap();
                    }
                }
                _ => {}
            }
        }
        for (path, number) in files {
            let file = fs::File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            for change in self.files.get(&number).into_iter().flatten() {
                let kept = if change.is_durable { Kept::Whole } else { fate.of_write() };
                lay(&file, change.what, kept, fate);
            }
        }
    }
}

/// Gives a file, or a folder with all in it, another name.
fn move_all(files: &mut BTreeMap<PathBuf, FileNumber>, from: &Path, to: &Path) {
    let moved: Vec<_> = files.keys().filter(|path| path.starts_with(from)).cloned().collect();
    for path in moved {
        let file = files.remove(&path).unwrap();
        // A file's own path has nothing after the part that changes.
        let rest = path.strip_prefix(from).unwrap();
        let now = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
        files.insert(now, file);
    }
    if from.is_dir() {
        fs::rename(from, to).unwrap();
    }
}

fn lay(file: &fs::File, change: &Happened, kept: Kept, fate: &mut Fate) {
    match (change, kept) {
        (_, Kept::Nothing) => {}
        (Happened::Truncate { len, .. }, Kept::Whole | Kept::Torn) => file.set_len(*len).unwrap(),
        (Happened::Write { at, data, .. }, Kept::Whole) => file.write_all_at(data, *at).unwrap(),
        (Happened::Write { at, data, .. }, Kept::Torn) => {
            let mut at = *at;
            let mut rest = data.as_slice();
            while !rest.is_empty() {
                let to_edge = usize::try_from(SECTOR_BYTES - at % SECTOR_BYTES).unwrap();
                let (sector, after) = rest.split_at(to_edge.min(rest.len()));
                if fate.of_sector() {
                    file.write_all_at(sector, at).unwrap();
                }
                at += sector.len() as u64;
                rest = after;
            }
        }
        (_, Kept::Whole | Kept::Torn) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "/r";

    fn laid_out(happened: Vec<Happened>, fate: &mut Fate) -> BTreeMap<String, Vec<u8>> {
        let recording = Recording { happened };
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        Platter::at(&recording, recording.happened.len()).lay_out(fate, Path::new(ROOT), &place);
        let mut found = BTreeMap::new();
        let mut folders = vec![place.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&place).unwrap().to_str().unwrap().to_owned();
                    found.insert(name, fs::read(path).unwrap());
                }
            }
        }
        found
    }

    fn create(path: &str, file: FileNumber) -> Happened {
        Happened::Create { path: path.into(), file }
    }

    fn write(file: FileNumber, at: u64, data: &[u8]) -> Happened {
        Happened::Write { file, at, data: data.to_vec() }
    }

    fn sync(sync: u64, of: Synced, ok: bool) -> [Happened; 2] {
        [Happened::SyncBegun { sync }, Happened::SyncEnded { sync, of, ok }]
    }

    fn sync_folder(number: u64) -> [Happened; 2] {
        sync(number, Synced::Folder(ROOT.into()), true)
    }

    #[test]
    fn what_was_synced_is_there_and_the_rest_may_be_lost() {
        let mut happened = vec![create("/r/a", 0), write(0, 0, b"durable")];
        happened.extend(sync_folder(1));
        happened.extend(sync(2, Synced::File(0), true));
        happened.extend([write(0, 7, b" not"), create("/r/b", 1), write(1, 0, b"b")]);
        let worst = laid_out(happened.clone(), &mut Fate::AllLost);
        assert_eq!(worst, [("a".to_owned(), b"durable".to_vec())].into());
        let best = laid_out(happened, &mut Fate::AllKept);
        assert_eq!(best, [("a".to_owned(), b"durable not".to_vec()), ("b".to_owned(), b"b".to_vec())].into());
    }

    #[test]
    fn a_write_during_a_sync_is_not_covered_by_it() {
        let mut happened = vec![create("/r/a", 0)];
        happened.extend(sync_folder(1));
        let [begun, ended] = sync(2, Synced::File(0), true);
        happened.extend([begun, write(0, 0, b"late"), ended]);
        assert_eq!(laid_out(happened, &mut Fate::AllLost), [("a".to_owned(), Vec::new())].into());
    }

    #[test]
    fn what_a_failed_sync_dropped_no_later_sync_brings_back() {
        let mut happened = vec![create("/r/a", 0), write(0, 0, b"x")];
        happened.extend(sync_folder(1));
        happened.extend(sync(2, Synced::File(0), false));
        happened.extend(sync(3, Synced::File(0), true));
        assert_eq!(laid_out(happened, &mut Fate::AllLost), [("a".to_owned(), Vec::new())].into());
    }

    #[test]
    fn a_renamed_folder_keeps_its_files_once_its_parent_is_synced() {
        let mut happened =
            vec![Happened::Folder { path: "/r/v".into() }, create("/r/v/db", 0), write(0, 0, b"x")];
        happened.extend(sync(1, Synced::File(0), true));
        happened.push(Happened::Rename { from: "/r/v".into(), to: "/r/w".into() });
        assert_eq!(laid_out(happened.clone(), &mut Fate::AllLost), BTreeMap::new());
        happened.extend(sync_folder(2));
        assert_eq!(laid_out(happened, &mut Fate::AllLost), [("w/db".to_owned(), b"x".to_vec())].into());
    }

    #[test]
    fn folders_that_changed_places_take_their_files_along_both_at_once() {
        let mut happened = Vec::new();
        for (file, folder) in ["/r/v", "/r/w"].into_iter().enumerate() {
            happened.push(Happened::Folder { path: folder.into() });
            happened.extend([create(&format!("{folder}/db"), file), write(file, 0, folder.as_bytes())]);
            happened.extend(sync(file as u64, Synced::File(file), true));
        }
        // A change of names takes all before it along.
        happened.push(Happened::Folder { path: "/r/x".into() });
        happened.extend(sync_folder(7));
        let as_it_was = [("v/db".to_owned(), b"/r/v".to_vec()), ("w/db".to_owned(), b"/r/w".to_vec())].into();
        assert_eq!(laid_out(happened.clone(), &mut Fate::AllLost), as_it_was);
        happened.push(Happened::Exchange { one: "/r/v".into(), other: "/r/w".into() });
        assert_eq!(laid_out(happened.clone(), &mut Fate::AllLost), as_it_was);
        happened.extend(sync_folder(8));
        let exchanged = [("v/db".to_owned(), b"/r/w".to_vec()), ("w/db".to_owned(), b"/r/v".to_vec())].into();
        assert_eq!(laid_out(happened, &mut Fate::AllLost), exchanged);
    }

    #[test]
    fn an_unsynced_write_is_torn_at_sectors() {
        const SEVENS: usize = 2_048;
        let happened = || {
            let mut happened = vec![create("/r/a", 0)];
            happened.extend(sync_folder(1));
            happened.push(write(0, 256, &[7; SEVENS]));
            happened
        };
        let mut seen_torn = false;
        for seed in 0..64 {
            let mut fate = Fate::AnyWay(fastrand::Rng::with_seed(seed));
            let laid = laid_out(happened(), &mut fate).remove("a").unwrap();
            let sevens = laid.iter().filter(|byte| **byte == 7).count();
            seen_torn |= sevens > 0 && sevens < SEVENS;
        }
        assert!(seen_torn);
    }
}
