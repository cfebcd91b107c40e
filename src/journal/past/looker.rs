//! Looking back over everything that lies in the journal's volumes, settled or not, without holding up its writer.
//!
//! Every volume is read from its file, on the thread of whoever looks. What an open one has and its file does not show (yet)
//! the writer reads through the store, a few blocks at a time. A file that was opened stays readable when its volume is
//! given back meanwhile.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::deputy::Deputy;
use super::pace::Pace;
use super::volume_file::VolumeFile;
use crate::event::UnixMillis;
use crate::journal::consumer::Block;
use crate::journal::disk::VolumeId;
use crate::journal::error::JournalError;
use crate::journal::format::{Header, RowName, SettlementRecord, decode_block};
use crate::journal::writer::{
    AWAY_LOOKS_MAX, AWAY_PAUSE, Command, Content, FETCH_BLOCKS_MAX, KnownBlock, LookOrder, Shown, ShownBlock,
};

/// What became of a block's events.
#[derive(Debug)]
pub(super) enum Fate {
    /// Some of them owe an outcome.
    Pending,
    /// Each has one, as this says.
    Settled(SettlementRecord),
    /// Each has one, but what it is can't be read any more.
    Unknown,
}

/// A block that was looked at.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) header: Header,
    pub(super) block: Block,
    pub(super) fate: Fate,
}

/// What a look at a row came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Searched {
    /// Volumes looked at.
    pub volumes: u64,
    /// Events seen in them.
    pub events: u64,
    /// Earlier events, and events in between, whose volumes are gone: all of them had their outcome.
    pub forgotten: u64,
    /// Events that should be there and can't be read; at least so many.
    pub unreadable: u64,
    /// When the oldest event seen was accepted.
    pub oldest_accepted: Option<UnixMillis>,
    /// The earliest outcome seen: when a block that still is there was settled.
    pub oldest_settled: Option<UnixMillis>,
    /// The first seq that was not come to.
    #[serde(skip)]
    next_seq: u64,
}

impl Searched {
    fn pass(&mut self, header: &Header, fate: &Fate) {
        let end = header.seq + u64::from(header.events);
        self.unreadable += header.seq.saturating_sub(self.next_seq);
        self.next_seq = self.next_seq.max(end);
        self.events += u64::from(header.events);
        let earlier = |known: Option<UnixMillis>, now| Some(known.map_or(now, |known| known.min(now)));
        self.oldest_accepted = earlier(self.oldest_accepted, header.accepted);
        if let Fate::Settled(record) = fate {
            self.oldest_settled = earlier(self.oldest_settled, record.settled_at);
        }
    }
}

/// One who looks back, for as long as somebody wants to know.
pub(super) struct Looker<'a> {
    deputy: Deputy,
    pace: Pace,
    is_wanted: &'a (dyn Fn() -> bool + Sync),
}

/// How far a walk through a volume came.
enum Walked {
    /// To its end.
    Through,
    /// As far as anybody wants to see.
    Enough,
    /// To this block: the volume is not any more what it was.
    Changed { at: u64 },
}

impl<'a> Looker<'a> {
    /// One for whom this deputy asks the writer, on a thread of this pace.
    pub(super) fn new(deputy: Deputy, pace: Pace, is_wanted: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { deputy, pace, is_wanted }
    }

    /// Who asks the writer.
    pub(super) fn deputy(&self) -> &Deputy {
        &self.deputy
    }

    /// Shows every whole block of a row, in the order of their seqs, until `see` says `false` or nobody wants to know.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub(super) fn walk(
        &self,
        row: RowName,
        see: &mut dyn FnMut(Seen) -> bool,
    ) -> Result<Searched, JournalError> {
        let mut walk = Walk {
            searched: Searched::default(),
            is_after_a_gap: false,
            window: Vec::new(),
            looker: self,
            see,
        };
        let mut before = 0;
        for id in self.order(move |answer| LookOrder::Volumes { row, answer })? {
            // Volumes between that are gone were settled, and given back before this one.
            walk.is_after_a_gap |= id.number != before + 1;
            before = id.number;
            if !self.walk_volume(id, &mut walk)? {
                break;
            }
        }
        Ok(walk.searched)
    }

    /// `false` when enough was seen.
    fn walk_volume(&self, id: VolumeId, walk: &mut Walk<'_>) -> Result<bool, JournalError> {
        let (mut from, mut is_second_look) = (0, false);
        loop {
            let Shown::File { file, content } = self.find(id)? else {
                // What was left of it was settled, and has been given back.
                walk.is_after_a_gap = true;
                walk.searched.volumes += u64::from(from > 0);
                return Ok(true);
            };
            let mut file = VolumeFile::scan(id, file, &mut walk.window, &self.pace, self.is_wanted);
            if !(self.is_wanted)() {
                return Ok(false);
            }
            let walked = match content {
                Content::Open(blocks) => {
                    let left = blocks.partition_point(|block| block.seq < from);
                    self.walk_open(id, &mut file, blocks.get(left..).unwrap_or_default(), walk)?
                }
                // It was opened, or another took its place, while it was read. Or else it is damaged.
                Content::Closed { pending_events, .. }
                    if pending_events != file.pending_events() && !is_second_look =>
                {
                    Walked::Changed { at: from }
                }
                Content::Closed { waiting_settlements, .. } => {
                    file.settle(waiting_settlements);
                    walk.show_rest(&mut file, from, false, !is_second_look)
                }
                Content::Settled => walk.show_rest(&mut file, from, true, false),
            };
            match walked {
                Walked::Changed { at } => (from, is_second_look) = (at, true),
                Walked::Through | Walked::Enough => {
                    walk.searched.volumes += 1;
                    return Ok(matches!(walked, Walked::Through));
                }
            }
        }
    }

    /// Looks for a volume until it has its file, or is gone.
    fn find(&self, id: VolumeId) -> Result<Shown, JournalError> {
        for _ in 0..AWAY_LOOKS_MAX {
            match self.order(move |answer| LookOrder::Show { id, answer })? {
                Shown::Away if !(self.is_wanted)() => return Ok(Shown::Gone),
                Shown::Away => std::thread::sleep(AWAY_PAUSE),
                found @ (Shown::File { .. } | Shown::Gone) => return Ok(found),
            }
        }
        tracing::error!(volume = %id, "a volume has no file; the next start finds out what became of it");
        let content = Content::Closed { pending_events: 0, waiting_settlements: BTreeMap::new() };
        Ok(Shown::File { file: Box::new(std::io::empty()), content })
    }

    /// Shows blocks of an open volume.
    fn walk_open(
        &self,
        id: VolumeId,
        file: &mut VolumeFile,
        blocks: &[KnownBlock],
        walk: &mut Walk<'_>,
    ) -> Result<Walked, JournalError> {
        for some in blocks.chunks(FETCH_BLOCKS_MAX) {
            let missing = some.iter().filter(|block| !file.has(block)).map(|block| block.seq).collect();
            let Some(mut fetched) = self.fetch(id, missing)? else {
                return Ok(Walked::Changed { at: some.first().map_or(0, |block| block.seq) });
            };
            for block in some {
                let mut shown = fetched.remove(&block.seq).unwrap_or_else(|| file.show(block.seq));
                if !shown.is_whole(block.is_settled) {
                    // Written over since it was found.
                    let Some(mut again) = self.fetch(id, vec![block.seq])? else {
                        return Ok(Walked::Changed { at: block.seq });
                    };
                    shown = again.remove(&block.seq).unwrap_or_default();
                }
                if !walk.show(&shown, block.is_settled) {
                    return Ok(Walked::Enough);
                }
            }
        }
        Ok(Walked::Through)
    }

    /// Blocks of an open volume, read through its store; `None` when it is not open any more.
    fn fetch(&self, id: VolumeId, seqs: Vec<u64>) -> Result<Option<BTreeMap<u64, ShownBlock>>, JournalError> {
        if seqs.is_empty() {
            return Ok(Some(BTreeMap::new()));
        }
        let asked = seqs.clone();
        let fetched = self.order(move |answer| LookOrder::Fetch { id, seqs: asked, answer })?;
        Ok(fetched.map(|blocks| seqs.into_iter().zip(blocks).collect()))
    }

    fn order<T: Send + 'static>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> LookOrder + Send + 'static,
    ) -> Result<T, JournalError> {
        self.deputy.run(move |shared| {
            let (answer, answered) = oneshot::channel();
            shared.inbox.put(Command::Look(order(answer))).map_err(|_| shared.failure_or_closed())?;
            answered.blocking_recv().map_err(|_| shared.failure_or_closed())
        })?
    }
}

/// A walk over a row.
struct Walk<'a> {
    searched: Searched,
    /// Whether volumes are missing before the block that comes next.
    is_after_a_gap: bool,
    /// For one file after the other.
    window: Vec<u8>,
    looker: &'a Looker<'a>,
    see: &'a mut dyn FnMut(Seen) -> bool,
}

impl Walk<'_> {
    /// Shows all blocks of a volume that is not open, from `from` on. One that is not whole any more `must_be_whole`, or will
    /// be missed.
    fn show_rest(
        &mut self,
        file: &mut VolumeFile,
        from: u64,
        is_settled: bool,
        must_be_whole: bool,
    ) -> Walked {
        for seq in file.seqs_from(from) {
            let shown = file.show(seq);
            if must_be_whole && !shown.is_whole(false) {
                return Walked::Changed { at: seq };
            }
            if !self.show(&shown, is_settled) {
                return Walked::Enough;
            }
        }
        // The last blocks may be lost, and only their settlements tell of them.
        self.searched.unreadable += file.settled_from(self.searched.next_seq.max(from));
        Walked::Through
    }

    /// Shows a block if it is whole; one that is not will be missed. `false` when enough was seen.
    fn show(&mut self, shown: &ShownBlock, is_settled: bool) -> bool {
        self.looker.pace.step();
        let Ok((header, block)) = decode_block(&shown.stored) else { return true };
        let record = shown.settlement.as_ref().and_then(|frame| SettlementRecord::decode(frame).ok());
        let fate = match record {
            Some(record) => Fate::Settled(record),
            None if is_settled || shown.settlement.is_some() => Fate::Unknown,
            None => Fate::Pending,
        };
        if std::mem::take(&mut self.is_after_a_gap) {
            self.searched.forgotten += header.seq.saturating_sub(self.searched.next_seq);
            self.searched.next_seq = self.searched.next_seq.max(header.seq);
        }
        self.searched.pass(&header, &fate);
        (self.see)(Seen { header, block, fate }) && (self.looker.is_wanted)()
    }
}
