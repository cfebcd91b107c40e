//! Looking back over everything that lies in the journal's volumes, settled or not, without holding up its writer.
//!
//! A volume at rest is read from its file, on the thread of whoever looks; only what lies in the few open ones is handed
//! over by the writer, in slices. A file that was opened stays readable when its volume is given back meanwhile.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::consumer::Block;
use super::error::JournalError;
use super::frame::{Header, Kind, RowName, decode_block};
use super::inbox::Command;
use super::look::{LookOrder, Shown};
use super::open_volume::StoredBlock;
use super::salvage::scan_frames;
use super::settlement_record::SettlementRecord;
use super::shared::Shared;
use super::store::VolumeId;
use crate::event::UnixMillis;

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

/// One who looks back. While there is one, no retained volume goes for its age or size.
#[derive(Debug)]
pub(super) struct Looker {
    shared: Arc<Shared>,
    _presence: Arc<()>,
}

impl Looker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let presence = shared.presence_of_a_looker();
        Self { shared, _presence: presence }
    }

    /// Shows every whole block of a row, in the order of their seqs, until `see` says `false`.
    ///
    /// # Errors
    /// When the journal is closed or poisoned.
    pub(super) fn walk(
        &self,
        row: RowName,
        see: &mut dyn FnMut(Seen) -> bool,
    ) -> Result<Searched, JournalError> {
        let mut walk = Walk { searched: Searched::default(), is_after_a_gap: false, see };
        let mut before = 0;
        for id in self.order(|answer| LookOrder::Volumes { row, answer })? {
            // Volumes between that are gone were settled, and given back before this one.
            walk.is_after_a_gap = id.number != before + 1;
            before = id.number;
            if !self.walk_volume(id, &mut walk)? {
                break;
            }
        }
        Ok(walk.searched)
    }

    /// `false` when enough was seen.
    fn walk_volume(&self, id: VolumeId, walk: &mut Walk<'_>) -> Result<bool, JournalError> {
        walk.searched.volumes += 1;
        let mut from = 0;
        loop {
            match self.order(|answer| LookOrder::Show { id, from, answer })? {
                Shown::Open { blocks, next } => {
                    for shown in blocks {
                        let fate = match shown.settlement.map(|frame| SettlementRecord::decode(&frame)) {
                            None => Fate::Pending,
                            Some(Ok(record)) => Fate::Settled(record),
                            Some(Err(_)) => Fate::Unknown,
                        };
                        if !walk.show(&shown.stored, fate) {
                            return Ok(false);
                        }
                    }
                    match next {
                        Some(next) => from = next,
                        None => return Ok(true),
                    }
                }
                Shown::AtRest { file, is_settled } => {
                    let content = Content::read(file, id);
                    return Ok(content.walk(from, is_settled, walk));
                }
                Shown::Gone => {
                    walk.searched.volumes -= 1;
                    walk.is_after_a_gap = true;
                    return Ok(true);
                }
            }
        }
    }

    fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> LookOrder) -> Result<T, JournalError> {
        let (answer, answered) = oneshot::channel();
        let put = self.shared.inbox.put(Command::Look(order(answer)));
        put.map_err(|_| self.shared.failure_or_closed())?;
        answered.blocking_recv().map_err(|_| self.shared.failure_or_closed())
    }
}

/// A walk over a row.
struct Walk<'a> {
    searched: Searched,
    /// Whether volumes are missing before the block that comes next.
    is_after_a_gap: bool,
    see: &'a mut dyn FnMut(Seen) -> bool,
}

impl Walk<'_> {
    /// Shows a block if it is whole; one that is not will be missed. `false` when enough was seen.
    fn show(&mut self, stored: &StoredBlock, fate: Fate) -> bool {
        let Ok((header, block)) = decode_block(stored) else { return true };
        if std::mem::take(&mut self.is_after_a_gap) {
            self.searched.forgotten += header.seq.saturating_sub(self.searched.next_seq);
            self.searched.next_seq = self.searched.next_seq.max(header.seq);
        }
        self.searched.pass(&header, &fate);
        (self.see)(Seen { header, block, fate })
    }
}

/// All that lies in the file of a volume.
#[derive(Debug, Default)]
struct Content {
    blocks: BTreeMap<u64, BTreeMap<u16, Vec<u8>>>,
    settlements: BTreeMap<u64, SettlementRecord>,
}

impl Content {
    fn read(file: impl Read, id: VolumeId) -> Self {
        let mut content = Self::default();
        let read = scan_frames(file, &mut |header, frame| match header.kind {
            Kind::Block => {
                let parts = content.blocks.entry(header.seq).or_default();
                parts.entry(header.part).or_insert_with(|| frame.to_vec());
            }
            Kind::Settlement => {
                let record = SettlementRecord::decode(frame);
                content.settlements.extend(record.map(|record| (header.seq, record)));
            }
        });
        if let Err(error) = read {
            tracing::error!(volume = %id, %error, "a volume can't be read to its end");
        }
        content
    }

    /// Shows the blocks from `from` on. `false` when enough was seen.
    fn walk(mut self, from: u64, is_settled: bool, walk: &mut Walk<'_>) -> bool {
        for (seq, parts) in self.blocks.split_off(&from) {
            let fate = match self.settlements.remove(&seq) {
                Some(record) => Fate::Settled(record),
                None if is_settled => Fate::Unknown,
                None => Fate::Pending,
            };
            let stored: StoredBlock = parts.into_values().collect();
            if !walk.show(&stored, fate) {
                return false;
            }
        }
        // The last blocks may be lost, and only their settlements tell of them.
        let lost = self.settlements.split_off(&walk.searched.next_seq.max(from));
        walk.searched.unreadable += lost.len() as u64;
        true
    }
}
