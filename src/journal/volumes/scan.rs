//! Scanning a file for frames: every intact one is found, whatever became of the bytes around it.

use std::io::{self, ErrorKind, Read};

use crate::journal::disk::{PastBadSectors, RawFile};
use crate::journal::format::{FrameError, STORED_BYTES_EVER, frame};

/// What is read of the file at a time; frames are far smaller.
const WINDOW_BYTES: usize = 256 << 10;

/// Shows every intact frame in a file, past the places that can't be read, and says how many bytes these are.
///
/// # Errors
/// When nothing of the file can be read.
pub(in crate::journal) fn scan_past_damage(
    file: impl RawFile,
    see: &mut dyn FnMut(&frame::Header, &[u8]),
) -> io::Result<u64> {
    let mut file = PastBadSectors::new(file);
    scan_frames(&mut file, see)?;
    Ok(file.unreadable_bytes())
}

/// Shows every intact frame in a volume's file, in windows that overlap by the largest frame. Frames come in the order
/// in which they lie there, some of them more than once. Says which newer format it came across, if any.
///
/// # Errors
/// When the file can't be read.
pub(in crate::journal) fn scan_frames(
    file: impl Read,
    see: &mut dyn FnMut(&frame::Header, &[u8]),
) -> io::Result<Option<u8>> {
    scan_places(file, &mut Vec::new(), &mut |_, header, frame| see(header, frame))
}

/// The same, and says of each frame where in the file it begins. Whoever scans many files gives the same window each time.
///
/// # Errors
/// When the file can't be read.
pub(in crate::journal) fn scan_places(
    mut file: impl Read,
    window: &mut Vec<u8>,
    see: &mut dyn FnMut(u64, &frame::Header, &[u8]),
) -> io::Result<Option<u8>> {
    let (mut newer_format, mut window_at) = (None, 0_u64);
    window.clear();
    window.reserve(WINDOW_BYTES + STORED_BYTES_EVER);
    loop {
        let is_last = fill(&mut file, window)?;
        // A frame that begins here may end in the next window.
        let safe = if is_last { window.len() } else { window.len().saturating_sub(STORED_BYTES_EVER) };
        let mut at = 0;
        while let Some(start) = frame::find_magic(window, at).filter(|start| *start < safe) {
            let candidate = window.get(start..).unwrap_or_default();
            at = match frame::decode_frame(candidate) {
                Ok((header, body)) => {
                    let end = frame::HEADER_BYTES + body.len();
                    see(window_at + start as u64, &header, candidate.get(..end).unwrap_or_default());
                    // Past its end: a text may hold the picture of a frame.
                    start + end
                }
                Err(FrameError::NewerFormat(format)) => {
                    newer_format = newer_format.max(Some(format));
                    start + 1
                }
                Err(FrameError::NotAFrame | FrameError::Damaged) => start + 1,
            };
        }
        if is_last {
            return Ok(newer_format);
        }
        let done = safe.max(at).min(window.len());
        window_at += done as u64;
        window.drain(..done);
    }
}

/// Fills the window; `true` when the file has ended.
fn fill(file: &mut impl Read, window: &mut Vec<u8>) -> io::Result<bool> {
    let mut start = window.len();
    window.resize(start.max(STORED_BYTES_EVER) + WINDOW_BYTES, 0);
    while let Some(space) = window.get_mut(start..).filter(|space| !space.is_empty()) {
        match file.read(space) {
            Ok(0) => {
                window.truncate(start);
                return Ok(true);
            }
            Ok(read) => start += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
