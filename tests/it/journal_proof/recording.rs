//! What a sledge did to its files, and what it told others, in the order in which it happened: as `disk_shim.c` wrote it
//! down.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// A file in one life: an inode's number is given again to the next file once this one is gone.
pub(crate) type FileNumber = usize;

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum Happened {
    Create { path: PathBuf, file: FileNumber },
    Folder { path: PathBuf },
    Write { file: FileNumber, at: u64, data: Vec<u8> },
    Truncate { file: FileNumber, len: u64 },
    Rename { from: PathBuf, to: PathBuf },
    Exchange { one: PathBuf, other: PathBuf },
    Remove { path: PathBuf },
    SyncBegun { sync: u64 },
    SyncEnded { sync: u64, of: Synced, ok: bool },
    Sent { data: Vec<u8> },
    Failed(Failure),
}

/// What a sync was of.
#[derive(Clone, Debug)]
pub(crate) enum Synced {
    File(FileNumber),
    Folder(PathBuf),
}

/// An operation that was made to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) operation: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) nanos_since_1970: u64,
}

/// The operations that can be made to fail, by the kinds of `disk_shim.c`.
const OPERATIONS: [(u8, &str); 7] =
    [(1, "create"), (2, "mkdir"), (3, "write"), (4, "truncate"), (5, "rename"), (6, "remove"), (7, "sync")];

/// All that happened.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) happened: Vec<Happened>,
}

const HEAD_BYTES: usize = 32;

impl Recording {
    /// Reads a log. What its writer was killed over is left out.
    pub(crate) fn read(log: &Path) -> Self {
        let bytes = fs::read(log).unwrap();
        let mut recording = Self::default();
        let mut files = Files::default();
        let mut rest = bytes.as_slice();
        while rest.len() >= HEAD_BYTES {
            let number = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().unwrap());
            let path_len = usize::from(u16::from_le_bytes([rest[2], rest[3]]));
            let data_len = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
            let end = HEAD_BYTES + path_len + data_len;
            let Some(record) = rest.get(..end) else { break };
            let path = PathBuf::from(str::from_utf8(&record[HEAD_BYTES..HEAD_BYTES + path_len]).unwrap());
            let data = &record[HEAD_BYTES + path_len..];
            let (kind, what, inode, at, nanos) = (record[0], record[1], number(8), number(16), number(24));
            recording.happened.push(match kind {
                1 => Happened::Create { path, file: files.create(inode) },
                2 => Happened::Folder { path },
                3 => Happened::Write { file: files.number(inode), at, data: data.to_vec() },
                4 => Happened::Truncate { file: files.number(inode), len: at },
                5 => {
                    let to = PathBuf::from(str::from_utf8(data).unwrap());
                    match what {
                        0 => Happened::Rename { from: path, to },
                        _ => Happened::Exchange { one: path, other: to },
                    }
                }
                6 => Happened::Remove { path },
                7 => Happened::SyncBegun { sync: at },
                8 => {
                    let is_folder = what & 2 != 0;
                    let of = if is_folder { Synced::Folder(path) } else { Synced::File(files.number(inode)) };
                    Happened::SyncEnded { sync: at, of, ok: what & 1 == 0 }
                }
                9 => Happened::Sent { data: data.to_vec() },
                10 => {
                    let operation = OPERATIONS.iter().find(|(code, _)| *code == what).unwrap().1;
                    Happened::Failed(Failure { operation, path, nanos_since_1970: nanos })
                }
                _ => panic!("an unknown record of kind {kind}"),
            });
            rest = &rest[end..];
        }
        recording
    }

    /// How many operations could be made to fail with this errno (0: a short write).
    pub(crate) fn operations_that_can_fail(&self, errno: i32) -> usize {
        let is_operation = |happened: &&Happened| match happened {
            Happened::Write { .. } => true,
            Happened::Create { .. }
            | Happened::Folder { .. }
            | Happened::Truncate { .. }
            | Happened::SyncBegun { .. } => errno != 0,
            Happened::Rename { .. } | Happened::Exchange { .. } | Happened::Remove { .. } => errno == EIO,
            Happened::SyncEnded { .. } | Happened::Sent { .. } | Happened::Failed(_) => false,
        };
        self.happened.iter().filter(is_operation).count()
    }

    /// What was made to fail.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        let failure = |happened: &Happened| match happened {
            Happened::Failed(failure) => Some(failure.clone()),
            _ => None,
        };
        self.happened.iter().filter_map(failure).collect()
    }

    /// The ids of events in what had been sent up to `instant`: those that applications were told are safe, and those
    /// that were on their way to Polar.
    pub(crate) fn told(&self, instant: usize) -> Told {
        let mut told = Told::default();
        for happened in &self.happened[..instant] {
            if let Happened::Sent { data } = happened {
                told.hear(data);
            }
        }
        told
    }
}

/// `EIO`, the same everywhere on Linux.
pub(crate) const EIO: i32 = 5;
/// `ENOSPC`.
pub(crate) const ENOSPC: i32 = 28;

/// Which file an inode's number stands for just now.
#[derive(Debug, Default)]
struct Files {
    by_inode: HashMap<u64, FileNumber>,
    count: usize,
}

impl Files {
    fn create(&mut self, inode: u64) -> FileNumber {
        self.count += 1;
        self.by_inode.insert(inode, self.count - 1);
        self.count - 1
    }

    fn number(&self, inode: u64) -> FileNumber {
        *self.by_inode.get(&inode).expect("the folder was empty when the recording began")
    }
}

/// What others were told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) acked: BTreeSet<String>,
    pub(crate) sent_to_polar: BTreeSet<String>,
}

impl Told {
    fn hear(&mut self, data: &[u8]) {
        const ID: &[u8] = b"\"external_id\":\"";
        const ACK: &[u8] = b"{\"ok\":true,";
        let mut from = 0;
        while let Some(at) = memchr::memmem::find(&data[from..], ID).map(|at| from + at) {
            let begin = at + ID.len();
            let Some(len) = memchr::memchr(b'"', &data[begin..]) else { return };
            let id = str::from_utf8(&data[begin..begin + len]).unwrap().to_owned();
            let is_ack = data[..at].ends_with(ACK);
            if is_ack {
                self.acked.insert(id)
            } else {
                self.sent_to_polar.insert(id)
            };
            from = begin + len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_are_told_from_what_goes_to_polar() {
        let mut told = Told::default();
        told.hear(b"{\"ok\":true,\"external_id\":\"a\"}\n{\"ok\":false,\"error\":{}}\n{\"ok\":true,\"external_id\":\"b\"}\n");
        told.hear(b"{\"events\":[{\"name\":\"n\",\"external_id\":\"a\"},{\"external_id\":\"c\"}]}");
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(told, Told { acked: set(&["a", "b"]), sent_to_polar: set(&["a", "c"]) });
    }
}
