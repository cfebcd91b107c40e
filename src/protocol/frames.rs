//! Cutting a stream of bytes into lines, whatever the reads it arrives in.

use memchr::memchr;

/// One line of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A line without its end and without the white space around it; never empty.
    Line(&'a [u8]),
    /// A line longer than the limit. Its rest is skipped as it arrives; `head` is what a line may be at most.
    TooLarge {
        /// The first `frame_bytes_max` bytes of the line.
        head: &'a [u8],
    },
}

/// The bytes of one connection on their way to being lines.
///
/// Reads go straight into [`space`](Self::space), lines come out of [`next_frame`](Self::next_frame) as slices of
/// it. Never more is kept than one unfinished line within the limit, and what one read brought.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    start: usize,
    scanned: usize,
    skipping: bool,
    frame_bytes_max: usize,
}

impl Frames {
    /// No bytes yet. A line of exactly `frame_bytes_max` bytes is still a line.
    #[must_use]
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, scanned: 0, skipping: false, frame_bytes_max }
    }

    /// Where the next read goes, with room for `bytes` more. The caller only ever appends. To be called when
    /// `next_frame` has nothing left to give.
    pub fn space(&mut self, bytes: usize) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.reserve(bytes);
        &mut self.buffer
    }

    /// Gives the memory back when no byte is waiting in it, so that a quiet connection costs next to nothing.
    pub fn rest(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer = Vec::new();
            self.start = 0;
            self.scanned = 0;
        }
    }

    /// Everything that was not handed out yet.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Everything that was not handed out, for a connection that turned out not to speak in lines.
    #[must_use]
    pub fn into_unread(mut self) -> Vec<u8> {
        self.buffer.drain(..self.start);
        self.buffer
    }

    /// Whether a line has begun that is not finished.
    #[must_use]
    pub fn is_inside_a_line(&self) -> bool {
        self.skipping || self.start < self.buffer.len()
    }

    /// The next complete line, blank ones left out; `None` when more bytes are needed.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        loop {
            let unscanned = self.buffer.get(self.scanned..).unwrap_or_default();
            let Some(offset) = memchr(b'\n', unscanned) else {
                return self.unfinished();
            };
            let (from, end) = (self.start, self.scanned + offset);
            self.start = end + 1;
            self.scanned = self.start;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if end - from > self.frame_bytes_max {
                return Some(Frame::TooLarge { head: self.slice(from, from + self.frame_bytes_max) });
            }
            if !self.slice(from, end).trim_ascii().is_empty() {
                return Some(Frame::Line(self.slice(from, end).trim_ascii()));
            }
        }
    }

    /// The last line, when the stream ended without a line end after it.
    pub fn finish(&mut self) -> Option<Frame<'_>> {
        let (from, end) = (self.start, self.buffer.len());
        self.start = end;
        self.scanned = end;
        if std::mem::take(&mut self.skipping) {
            return None;
        }
        let line = self.slice(from, end).trim_ascii();
        (!line.is_empty()).then_some(Frame::Line(line))
    }

    fn unfinished(&mut self) -> Option<Frame<'_>> {
        let (from, end) = (self.start, self.buffer.len());
        self.scanned = end;
        if self.skipping {
            self.start = end;
            return None;
        }
        if end - from <= self.frame_bytes_max {
            return None;
        }
        self.skipping = true;
        self.start = end;
        Some(Frame::TooLarge { head: self.slice(from, from + self.frame_bytes_max) })
    }

    fn slice(&self, from: usize, end: usize) -> &[u8] {
        self.buffer.get(from..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 8;

    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Owned {
        Line(Vec<u8>),
        TooLarge(Vec<u8>),
    }

    fn owned(frame: Frame<'_>) -> Owned {
        match frame {
            Frame::Line(line) => Owned::Line(line.to_vec()),
            Frame::TooLarge { head } => Owned::TooLarge(head.to_vec()),
        }
    }

    fn frames_of<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Owned> {
        let mut frames = Frames::new(MAX);
        let mut seen = Vec::new();
        for chunk in chunks {
            frames.space(chunk.len()).extend_from_slice(chunk);
            while let Some(frame) = frames.next_frame() {
                seen.push(owned(frame));
            }
            assert!(frames.buffer.len() - frames.start <= MAX, "an unfinished line is bounded");
        }
        seen.extend(frames.finish().map(owned));
        assert!(!frames.is_inside_a_line());
        seen
    }

    /// What the lines are by definition, cut from the whole at once.
    fn expected(stream: &[u8]) -> Vec<Owned> {
        let pieces = stream.split(|byte| *byte == b'\n');
        let frame = |piece: &[u8]| {
            if piece.len() > MAX {
                Some(Owned::TooLarge(piece[..MAX].to_vec()))
            } else {
                let line = piece.trim_ascii();
                (!line.is_empty()).then(|| Owned::Line(line.to_vec()))
            }
        };
        pieces.filter_map(frame).collect()
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![4 => Just(b'a'), 2 => Just(b'\n'), 1 => Just(b'\r'), 1 => Just(b' ')];
        let piece = prop_oneof![
            proptest::collection::vec(byte, 0..12),
            (MAX - 2..MAX * 5).prop_map(|length| vec![b'x'; length]),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_split_into_reads_gives_the_same_lines(
            stream in stream(),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]);
            prop_assert_eq!(frames_of(chunks), expected(&stream));
        }

        #[test]
        fn bytes_one_by_one_give_the_same_lines(stream in stream()) {
            prop_assert_eq!(frames_of(stream.chunks(1)), expected(&stream));
        }
    }

    #[test]
    fn carriage_returns_and_blank_lines_are_tolerated() {
        let seen = frames_of([b"{1}\r\n\r\n \n\t{2} \n{3}".as_slice()]);
        let lines: Vec<_> = [b"{1}", b"{2}", b"{3}"].iter().map(|line| Owned::Line(line.to_vec())).collect();
        assert_eq!(seen, lines);
    }

    #[test]
    fn a_line_of_exactly_the_limit_passes_and_one_byte_more_is_refused() {
        let seen = frames_of([b"12345678\n123456789\nok\n".as_slice()]);
        let expected = [
            Owned::Line(b"12345678".to_vec()),
            Owned::TooLarge(b"12345678".to_vec()),
            Owned::Line(b"ok".to_vec()),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_endless_line_is_refused_once_and_takes_no_memory() {
        let mut frames = Frames::new(MAX);
        let mut refused = 0;
        for _ in 0..1_000 {
            frames.space(100).extend_from_slice(&[b'x'; 100]);
            while let Some(frame) = frames.next_frame() {
                assert!(matches!(frame, Frame::TooLarge { .. }));
                refused += 1;
            }
        }
        assert_eq!(refused, 1);
        assert!(frames.buffer.capacity() < 1_000);
        frames.rest();
        frames.space(4).extend_from_slice(b"\n{}\n");
        assert_eq!(frames.next_frame(), Some(Frame::Line(b"{}")));
    }

    #[test]
    fn a_quiet_connection_keeps_no_buffer() {
        let mut frames = Frames::new(MAX);
        frames.space(65_536).extend_from_slice(b"{}\n");
        assert!(frames.next_frame().is_some());
        frames.rest();
        assert_eq!(frames.buffer.capacity(), 0);
    }
}
