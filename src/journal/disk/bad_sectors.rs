//! Reading a file past the places that the disk can't read any more.
//!
//! One bad sector must cost the blocks that lie in it, and neither the rest of the file nor the start.

use std::io::{self, Read, Seek, SeekFrom};

use rustix::io::Errno;

/// What is given up at a time: disks fail in sectors, and the system reads in pages of this size.
const PIECE_BYTES: u64 = 4096;

/// Whether the system says by this that a place on the disk can't be read: the file's own, or one of the file system's books.
pub(in crate::journal) fn is_unreadable(error: &io::Error) -> bool {
    let codes = [Errno::IO, Errno::BADMSG, Errno::UCLEAN].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// A file whose unreadable places read as zeros.
#[derive(Debug)]
pub(in crate::journal) struct PastBadSectors<R> {
    file: R,
    unreadable_bytes: u64,
}

impl<R: Read + Seek> PastBadSectors<R> {
    pub(in crate::journal) fn new(file: R) -> Self {
        Self { file, unreadable_bytes: 0 }
    }

    /// How much could not be read so far.
    pub(in crate::journal) fn unreadable_bytes(&self) -> u64 {
        self.unreadable_bytes
    }

    /// Reads up to the end of the piece that begins here, or gives that piece up.
    fn read_piece(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let at = self.file.stream_position()?;
        let len = usize::try_from(PIECE_BYTES - at % PIECE_BYTES).unwrap_or(into.len()).min(into.len());
        let Some(into) = into.get_mut(..len) else { return Ok(0) };
        match self.file.read(into) {
            Err(error) if is_unreadable(&error) => {
                into.fill(0);
                self.file.seek(SeekFrom::Start(at + len as u64))?;
                self.unreadable_bytes += len as u64;
                Ok(len)
            }
            read => read,
        }
    }
}

impl<R: Read + Seek> Read for PastBadSectors<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.file.read(into) {
            Err(error) if is_unreadable(&error) => self.read_piece(into),
            read => read,
        }
    }
}

/// A file of which a part can't be read, for tests.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct WithBadSectors {
    pub(super) bytes: io::Cursor<Vec<u8>>,
    pub(super) bad: std::ops::Range<u64>,
}

#[cfg(test)]
impl Read for WithBadSectors {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let at = self.bytes.position();
        if self.bad.contains(&at) {
            return Err(Errno::IO.into());
        }
        // As the system does it: what comes before the bad place is handed out first.
        let readable = if at < self.bad.start { self.bad.start - at } else { u64::MAX };
        let len = into.len().min(usize::try_from(readable).unwrap_or(usize::MAX));
        self.bytes.read(into.get_mut(..len).unwrap_or_default())
    }
}

#[cfg(test)]
impl Seek for WithBadSectors {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_sector_reads_as_zeros_and_everything_around_it_as_it_is() {
        let whole: Vec<u8> = (0..50_000_u32).map(|at| (at % 251) as u8 + 1).collect();
        for bad in [4096..8192, 0..4096, 12_288..20_480, 49_152..50_000] {
            let file = WithBadSectors { bytes: io::Cursor::new(whole.clone()), bad: bad.clone() };
            let mut reader = PastBadSectors::new(file);
            let mut read = Vec::new();
            let got = reader.by_ref().take(1 << 20).read_to_end(&mut read).unwrap();
            assert!(got >= whole.len(), "{bad:?}");
            for (at, byte) in whole.iter().enumerate() {
                let expected = if bad.contains(&(at as u64)) { 0 } else { *byte };
                assert_eq!(read[at], expected, "{bad:?}, byte {at}");
            }
            assert!(reader.unreadable_bytes() >= bad.end - bad.start, "{bad:?}");
        }
    }

    #[test]
    fn other_errors_are_not_taken_for_a_bad_sector() {
        assert!(is_unreadable(&Errno::IO.into()) && is_unreadable(&Errno::UCLEAN.into()));
        for other in [Errno::NOSPC, Errno::ACCESS, Errno::MFILE, Errno::NOMEM] {
            assert!(!is_unreadable(&other.into()), "{other}");
        }
    }
}
