//! What the journal's tests begin with: journals over a disk in memory and over a real one, what is put into them, and
//! what is done to their disks.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::event::{EventBuf, Lane, PerLane};
use crate::journal::disk::{MemoryStore, Store, StoreError, VolumeId};
use crate::journal::format::RowName;
use crate::journal::volumes::scan_file;
use crate::journal::*;
use crate::metrics::{Listener, Metrics};

/// Longer than anything takes that a test waits for.
pub(in crate::journal) const PATIENCE: Duration = Duration::from_secs(60);

pub(in crate::journal) fn settings() -> Settings {
    Settings { retention: Duration::ZERO, ..Settings::in_folder(std::env::temp_dir()) }
}

pub(in crate::journal) fn over(store: &MemoryStore, settings: &Settings) -> Journal {
    try_over(store, settings).unwrap()
}

pub(in crate::journal) fn try_over(store: &MemoryStore, settings: &Settings) -> Result<Journal, StoreError> {
    Journal::over(&Arc::new(store.clone()), settings, Clock::system(), Metrics::new().unwrap(), None)
}

pub(in crate::journal) fn on_disk(folder: &std::path::Path, change: impl FnOnce(&mut Settings)) -> Journal {
    let mut settings = Settings { retention: Duration::ZERO, ..Settings::in_folder(folder.join("journal")) };
    change(&mut settings);
    Journal::open(&settings, Clock::system(), Metrics::new().unwrap()).unwrap()
}

pub(super) fn append_of(lane: Lane, texts: &[String]) -> Append {
    let mut events: PerLane<EventBuf> = PerLane::default();
    texts.iter().for_each(|text| events[lane].push(text.as_bytes(), 0));
    Append { listener: Listener::Ndjson, events }
}

pub(in crate::journal) async fn keep(journal: &Journal, lane: Lane, texts: &[String]) {
    let receipt = journal.appender().append(append_of(lane, texts)).await.unwrap();
    receipt.committed().await.unwrap();
}

pub(in crate::journal) fn texts_of(block: &Block) -> Vec<String> {
    (0..block.len()).map(|at| String::from_utf8(block.event(at).unwrap().to_vec()).unwrap()).collect()
}

pub(in crate::journal) async fn read_all(consumer: &mut Consumer) -> Vec<Block> {
    let mut blocks = Vec::new();
    for lane in Lane::ALL {
        loop {
            let more = consumer.read(lane, 1_000, 1 << 20).await.unwrap();
            if more.is_empty() {
                break;
            }
            blocks.extend(more);
        }
    }
    blocks
}

pub(in crate::journal) fn delivered(block: &Block) -> Settlement {
    let mut resolved: PerLane<Amount> = PerLane::default();
    resolved[block.id().lane] = Amount { events: block.len() as u64, bytes: block.text_bytes() as u64 };
    Settlement {
        inserted: block.len() as u64,
        delivered_at: Some(1),
        resolved,
        blocks: vec![settled(block, 1)],
        ..Settlement::default()
    }
}

/// A block that a request of so many events took to Polar.
pub(super) fn settled(block: &Block, at: crate::event::UnixMillis) -> SettledBlock {
    let took = Attempt { at, status: 200, events: 1, carried: Carried::All };
    SettledBlock {
        id: block.id(),
        attempts: Attempts { made: 1, noted: vec![took] },
        dead_positions: Vec::new(),
    }
}

pub(in crate::journal) fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{{\"n\":{number}}}")).collect()
}

pub(in crate::journal) fn letter(text: &str, origin: Origin) -> DeadLetter {
    DeadLetter {
        origin,
        reason: if origin == Origin::Intake {
            DeadReason::RefusedAtIntake
        } else {
            DeadReason::RefusedByPolar
        },
        code: "missing".into(),
        field: Some("name".into()),
        message: "Field required".into(),
        at: 5,
        lane: Some(Lane::Usage),
        seq: None,
        accepted: None,
        attempts: 1,
        altered: false,
        spare_id: None,
        source: None,
        event: text.into(),
    }
}

pub(in crate::journal) fn usage(number: u32) -> VolumeId {
    VolumeId { row: RowName::Usage, number }
}

/// Blocks of ten events.
pub(in crate::journal) async fn keep_blocks(journal: &Journal, blocks: usize) {
    for _ in 0..blocks {
        keep(journal, Lane::Usage, &numbered(10)).await;
    }
}

/// A journal over blocks that lie where they were written.
pub(in crate::journal) fn over_uncopied(store: &MemoryStore, settings: &Settings) -> Journal {
    store.refuse_copies(true);
    over(store, settings)
}

/// Ends a journal as a crash does: everything written is there, and nothing was closed.
pub(in crate::journal) async fn crash(store: &MemoryStore, mut journal: Journal) {
    store.cut_power(|| true);
    drop(journal.ended_now().await);
}

/// The seqs of the blocks in a volume.
pub(in crate::journal) fn seqs_in(store: &MemoryStore, id: VolumeId) -> Vec<u64> {
    let mut bytes = Vec::new();
    store.raw(id).unwrap().read_to_end(&mut bytes).unwrap();
    scan_file(bytes.as_slice()).unwrap().block_seqs()
}

/// Flips a bit in the n-th block of a volume.
pub(in crate::journal) fn damage_block(store: &MemoryStore, id: VolumeId, nth: usize) {
    let mut blocks = 0;
    store.damage(id, |value| {
        if value.starts_with(b"SLJF") {
            if blocks == nth {
                let last = value.len() - 1;
                value[last] ^= 1;
            }
            blocks += 1;
        }
    });
}

/// Twelve letters in small volumes, all but the last of them closed.
pub(in crate::journal) async fn twelve_letters(store: &MemoryStore) -> Settings {
    let small = Settings { volume_bytes: 1_000, ..settings() };
    let journal = over(store, &small);
    for number in 0..12 {
        let one = letter(&format!("refused {number}"), Origin::Intake);
        journal.appender().keep_refused(vec![one]).await.unwrap();
        keep(&journal, Lane::Usage, &numbered(1)).await;
    }
    journal.close().await.unwrap();
    assert!(store.indices(RowName::Dead) > 1, "{}", store.indices(RowName::Dead));
    small
}
