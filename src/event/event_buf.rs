//! Events as they will be sent, back to back in one buffer.

use super::UnixMillis;

/// Event texts of one lane, each a complete JSON object exactly as Polar will get it, with where each ends.
///
/// Cutting and joining batches needs no parsing: the n-th event is a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventBuf {
    text: Vec<u8>,
    ends: Vec<u32>,
    /// The positions of events that are not due at once, ascending, with their times. Nearly always empty.
    dues: Vec<(u32, UnixMillis)>,
}

impl EventBuf {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one event. `due` is the time (by our clock) before which Polar would refuse its timestamp as lying in
    /// the future, 0 for an event that may go at once.
    ///
    /// # Panics
    /// Never in practice: the buffer would have to pass 4 GiB, and intake bounds it far below.
    pub fn push(&mut self, text: &[u8], due: UnixMillis) {
        self.text.extend_from_slice(text);
        self.close_event(due);
    }

    /// The text buffer, to write one event into; [`close_event`](Self::close_event) must follow.
    pub fn text_mut(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Ends the event whose text was written through [`text_mut`](Self::text_mut).
    ///
    /// # Panics
    /// As [`push`](Self::push).
    pub fn close_event(&mut self, due: UnixMillis) {
        #[expect(clippy::expect_used, reason = "intake bounds a buffer to a few MiB, far below 4 GiB")]
        let end = u32::try_from(self.text.len()).expect("an event buffer stays below 4 GiB");
        if due > 0 {
            self.dues.push((u32::try_from(self.ends.len()).unwrap_or(u32::MAX), due));
        }
        self.ends.push(end);
    }

    /// How many events it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All texts together, in bytes.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// The latest due time of its events; 0 when all may go at once.
    #[must_use]
    pub fn due(&self) -> UnixMillis {
        self.dues.iter().map(|(_, due)| *due).max().unwrap_or_default()
    }

    /// The texts of the events in order, each with its due time (0 for at once).
    pub fn iter_with_due(&self) -> impl Iterator<Item = (&[u8], UnixMillis)> {
        let mut dues = self.dues.iter().peekable();
        self.iter().zip(0_u32..).map(move |(text, position)| {
            let due = dues.next_if(|(held, _)| *held == position).map_or(0, |(_, due)| *due);
            (text, due)
        })
    }

    /// The texts of the events, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(self.ends.iter().copied())
            .map(|(start, end)| self.text.get(start as usize..end as usize).unwrap_or_default())
    }

    /// The whole text and where each event ends in it.
    #[must_use]
    pub fn parts(&self) -> (&[u8], &[u32]) {
        (&self.text, &self.ends)
    }

    /// Forgets the events, keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.dues.clear();
    }
}
