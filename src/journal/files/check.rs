//! A look at a journal on disk that changes nothing: what lies there, and what a person should know of it.
//!
//! The files are scanned for frames as salvage does it; sled is never asked, so that the look can't repair, truncate or
//! lock anything. While a sledge runs on the folder the figures are of a moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use serde::Serialize;

use super::sample::quarantined;
use crate::event::PerLane;
use crate::journal::accounts::OnRecord;
use crate::journal::counted;
use crate::journal::disk::{
    HIGH_WATER, LOSSES, QUARANTINE, UNREADABLE, VolumeId, bereft_in, blobs, folder_bytes, index_of,
    is_unreadable, volumes_in,
};
use crate::journal::format::{HighWater, RowName, VolumeIndex};
use crate::journal::volumes::{Continuity, Found, Loss, LossKind, LossLines, by_volume, scan_volume};

/// What lies in a journal's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The three rows: grants, usage, dead.
    pub rows: Vec<RowReport>,
    /// Damaged volumes put aside.
    pub quarantined: usize,
    /// Accepted events that the disk lost, as far as a start or a delivery came across it.
    pub lost_events: u64,
    /// Lines in the book of losses. There are some of which no event is counted.
    pub losses_on_record: u64,
    /// What a person should know, in sentences; empty when all is well.
    pub findings: Vec<String>,
}

/// One row of volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowReport {
    /// `grants`, `usage` or `dead`.
    pub row: String,
    /// Its volumes, oldest first.
    pub volumes: Vec<VolumeReport>,
    /// Events (in the dead row: letters) that are owed (kept).
    pub pending_events: u64,
    /// The first seq never used, as the volumes tell.
    pub next_seq: u64,
    /// The first seq never used, as the high-water mark tells; at most a second behind, never ahead.
    pub high_water: u64,
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeReport {
    /// Its folder's name.
    pub volume: String,
    /// `pending` or `settled` as its index says, `open` otherwise.
    pub state: &'static str,
    /// What it takes on disk.
    pub bytes: u64,
    /// Whole blocks found in it.
    pub blocks: usize,
    /// Of them, those without a settlement.
    pub pending_blocks: usize,
    /// Their events.
    pub pending_events: u64,
}

/// Looks at the journal in `folder` without changing anything.
///
/// # Errors
/// When the folder or a file in it can't be read.
pub fn check(folder: &Path) -> io::Result<CheckReport> {
    let mut report = CheckReport::default();
    let mark = HighWater::decode_file(&read_if_there(&folder.join(HIGH_WATER))?);
    for row in RowName::ALL {
        let rows = check_row(folder, row, &mark, &mut report.findings)?;
        report.rows.push(rows);
    }
    report.quarantined = quarantined(folder);
    if report.quarantined > 0 {
        report.findings.push(format!(
            "{} in {}: check the disk, and remove what lies there once it has been looked at",
            counted(report.quarantined as u64, "damaged volume"),
            folder.join(QUARANTINE).display()
        ));
    }
    check_losses(folder, &mut report)?;
    for blob in blobs(folder) {
        report
            .findings
            .push(format!("{} lies outside the files that are synced; please report this", blob.display()));
    }
    Ok(report)
}

/// Each line of the book is a finding, whether or not its events could be counted; and so is a book that can't be read.
fn check_losses(folder: &Path, report: &mut CheckReport) -> io::Result<()> {
    let book = folder.join(LOSSES);
    let lines = match read_if_there(&book) {
        Err(error) if is_unreadable(&error) => LossLines::read(UNREADABLE),
        read => LossLines::read(&read?),
    };
    let OnRecord { lines: losses, events: PerLane { grants, usage } } = lines.on_record();
    (report.losses_on_record, report.lost_events) = (losses, grants + usage);
    if losses > 0 {
        let what = match report.lost_events {
            0 => "something, how much of what was owed can't be told".to_owned(),
            lost => counted(lost, "accepted event"),
        };
        report.findings.push(format!(
            "the disk has lost {what}, as {} tells line by line; check the disk, and remove that file once it has been looked at",
            book.display()
        ));
    }
    if lines.damaged() > 0 {
        report.findings.push(format!(
            "{} of {} can't be read any more: which losses were told there is not known",
            counted(lines.damaged() as u64, "line"),
            book.display()
        ));
    }
    Ok(())
}

fn read_if_there(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn check_row(
    folder: &Path,
    row: RowName,
    mark: &HighWater,
    findings: &mut Vec<String>,
) -> io::Result<RowReport> {
    let row_folder = folder.join(row.as_str());
    let mut report = RowReport {
        row: row.as_str().to_owned(),
        volumes: Vec::new(),
        pending_events: 0,
        next_seq: 0,
        high_water: mark.next_seq(row),
    };
    // A running sledge goes on while its files are read: what must be there is what was durable before.
    let mut durable_to = report.high_water;
    let mut volumes = Vec::new();
    let mut begins = BTreeMap::new();
    for id in volumes_in(&row_folder, row)? {
        let index = index_of(&row_folder, id)?;
        let noted = index.clone().and_then(VolumeIndex::into_inventory);
        if let Some(noted) = noted {
            durable_to = durable_to.max(noted.end);
            begins.insert(id.place().number, noted.begin);
        }
        volumes.push((id, index));
    }
    let mut continuity =
        if volumes.is_empty() { Continuity::of_an_empty_row() } else { Continuity::of_a_row() };
    for (id, index_before) in volumes {
        continuity.come_to(id.place());
        let (volume, mut found, index) = check_volume(&row_folder, id, findings)?;
        report.next_seq = report.next_seq.max(found.next_seq());
        match index {
            Some(VolumeIndex::Open(noted)) if index_before == Some(VolumeIndex::Open(noted.clone())) => {
                report.next_seq = report.next_seq.max(noted.end);
                found.note(Some(noted));
                continuity.see(id.place(), None, &found);
            }
            None if index_before.is_none() => {
                continuity.see(id.place(), None, &found);
            }
            Some(VolumeIndex::Pending { begin, .. }) => continuity.pass(id.place(), begin),
            Some(VolumeIndex::Open(_) | VolumeIndex::Settled(_)) | None => continuity.forget(),
        }
        report.pending_events += volume.pending_events;
        report.volumes.push(volume);
    }
    for number in bereft_in(&row_folder)? {
        let id = VolumeId { row, number };
        let Some(index) = index_of(&row_folder, id)? else {
            findings.push(format!(
                "{id} is gone, and its index is damaged: what of it was still owed can't be told"
            ));
            continue;
        };
        let next = begins.range(number..).next().map(|(_, begin)| *begin);
        continuity.miss(id, &index, next);
        let end = index.into_inventory().map_or(0, |noted| noted.end);
        report.next_seq = report.next_seq.max(end);
        durable_to = durable_to.max(end);
    }
    for Loss { volume, seqs, events, kind } in by_volume(&continuity.losses_before(durable_to)) {
        let (first, last) = (seqs.start, seqs.end - 1);
        findings.push(match kind {
            LossKind::Blocks | LossKind::End => format!(
                "{volume} has lost {}, with seqs from {first} to {last}: nothing is left of the blocks there; the next start counts them as lost",
                counted(events, "event")
            ),
            LossKind::Among => format!(
                "{volume} is gone: how many events of it were still owed, among those with seqs from {first} to {last}, can't be told"
            ),
        });
    }
    if report.high_water > report.next_seq && !report.volumes.is_empty() {
        findings.push(format!(
            "the {} row once got to seq {}, but only seqs below {} are found: the disk may have lost what it had confirmed",
            report.row, report.high_water, report.next_seq
        ));
    }
    Ok(report)
}

/// What is in a volume, and what its index says afterwards.
fn check_volume(
    row_folder: &Path,
    id: VolumeId,
    findings: &mut Vec<String>,
) -> io::Result<(VolumeReport, Found, Option<VolumeIndex>)> {
    let name = id.folder_name();
    let path = row_folder.join(&name);
    let found = match fs::File::open(path.join("db")) {
        Ok(file) => scan_volume(file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => scan_volume(io::empty())?,
        Err(error) => return Err(error),
    };
    if found.unreadable_bytes > 0 {
        findings.push(format!(
            "{} of {name} can't be read: the disk has bad sectors; what is intact is salvaged when the volume is read",
            counted(found.unreadable_bytes, "byte")
        ));
    }
    let pending = found.pending();
    let mut state = "open";
    let mut known = None;
    let index = row_folder.join(id.place().folder_name()).with_extension("index");
    if let Ok(bytes) = fs::read(index) {
        known = VolumeIndex::decode(&bytes);
        match &known {
            Some(VolumeIndex::Settled(_)) => state = "settled",
            Some(VolumeIndex::Open(_)) => {}
            Some(VolumeIndex::Pending { blocks: entries, .. }) => {
                state = "pending";
                let is_there = |seq| pending.iter().any(|(entry, _)| entry.seq == seq);
                let lost: Vec<_> = entries.iter().filter(|entry| !is_there(entry.seq)).collect();
                if !lost.is_empty() {
                    let events: u64 = lost.iter().map(|entry| u64::from(entry.events)).sum();
                    findings.push(format!(
                        "{name} is damaged in {} with {}; what is intact is salvaged when the volume is read",
                        counted(lost.len() as u64, "block"),
                        counted(events, "event")
                    ));
                }
            }
            None => {
                findings.push(format!("the index of {name} is damaged; the volume itself is read instead"))
            }
        }
    }
    let settled = state == "settled";
    let volume = VolumeReport {
        state,
        bytes: folder_bytes(&path),
        blocks: found.blocks(),
        pending_blocks: if settled { 0 } else { pending.len() },
        pending_events: if settled {
            0
        } else {
            pending.iter().map(|(entry, _)| u64::from(entry.events)).sum()
        },
        volume: name,
    };
    Ok((volume, found, known))
}
