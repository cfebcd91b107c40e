//! What must hold of any bytes at all, for the fuzzers in `fuzz/` and the cases they left behind.

use serde::de::IgnoredAny;

use super::{FirstLine, Frame, Frames, Route, Speech, read_ingest_body};

/// Small, so that too large is often.
const FRAME_BYTES_MAX: usize = 48;

/// A stream gives the same lines in whatever pieces it arrives; hellos, paths and bodies are read without a fault of
/// ours, and the texts cut out of a body are JSON.
///
/// # Panics
/// When that does not hold.
pub fn stream(bytes: &[u8]) {
    let whole = lines(std::iter::once(bytes));
    assert_eq!(lines(bytes.chunks(1)), whole);
    assert_eq!(lines(bytes.chunks(7)), whole);
    for (_, line) in &whole {
        // Either reading is right, as long as there is one.
        drop(format!("{:?}", FirstLine::read(line)));
    }
    drop(format!("{:?}", Speech::of_start(bytes)));
    drop(format!("{:?}", Route::of_path(&String::from_utf8_lossy(bytes))));
    for text in read_ingest_body(bytes).unwrap_or_default() {
        assert!(serde_json::from_slice::<IgnoredAny>(text).is_ok(), "an event's text is one JSON value");
    }
}

/// The lines of a stream; `false` for the head of one that is too large.
fn lines<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<(bool, Vec<u8>)> {
    let mut frames = Frames::new(FRAME_BYTES_MAX);
    let mut lines = Vec::new();
    let owned = |frame: Frame<'_>| match frame {
        Frame::Line(line) => (true, line.to_vec()),
        Frame::TooLarge { head } => (false, head.to_vec()),
    };
    for piece in pieces {
        frames.space(piece.len()).extend_from_slice(piece);
        while let Some(frame) = frames.next_frame() {
            lines.push(owned(frame));
        }
    }
    lines.extend(frames.finish().map(owned));
    lines
}
