//! What lies in the journal.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::finding::{Code, Finding};
use super::meters::Sent;
use super::running::letters_fix;
use crate::journal::{CheckReport, check, counted, quarantined, sample};

/// Events that are looked at, the latest ones.
const EVENTS_MAX: usize = 5_000;

/// What is seen of the journal.
#[derive(Clone, Debug, Default)]
pub(super) struct JournalSeen {
    /// The whole of it, where no daemon is at work in it: it would be read while it changes.
    report: Option<CheckReport>,
    /// Damaged volumes that were put aside.
    quarantined: usize,
    /// The latest events, delivered ones that are still kept included.
    pub(super) sent: Vec<Sent>,
}

impl JournalSeen {
    /// Looks into the journal's folder. Reads files, so it blocks.
    ///
    /// # Errors
    /// Why it can't be read.
    pub(super) fn look(folder: &Path, may_run: bool) -> Result<Self, String> {
        let unread = |error: std::io::Error| format!("{} can't be read: {error}", folder.display());
        match fs::metadata(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unread(error)),
            Ok(_) => {}
        }
        let report = if may_run { None } else { Some(check(folder).map_err(unread)?) };
        let texts = sample(folder, EVENTS_MAX).map_err(unread)?;
        let sent = texts.iter().filter_map(|text| Sent::read(text)).collect();
        Ok(Self { report, quarantined: quarantined(folder), sent })
    }
}

pub(super) fn judge(seen: &JournalSeen) -> Vec<Finding> {
    let mut findings = Vec::new();
    if seen.quarantined > 0 {
        let found = format!("put aside: {}", counted(seen.quarantined as u64, "damaged volume"));
        let fix = "check the disk (dmesg, smartctl); what was intact in them was taken over; remove them when they have been looked at";
        findings.push(Finding::new(Code::JournalDamaged, found, fix));
    }
    let Some(report) = &seen.report else { return findings };
    let damage = report.findings.iter().filter(|_| seen.quarantined == 0);
    findings.extend(damage.map(|damage| {
        Finding::new(
            Code::JournalDamaged,
            damage.clone(),
            "check the disk; start sledge, which salvages what is intact",
        )
    }));
    let pending = |is_dead: bool| -> u64 {
        let rows = report.rows.iter().filter(|row| (row.row == "dead") == is_dead);
        rows.map(|row| row.pending_events).sum()
    };
    if pending(false) > 0 {
        let found = format!("{} pending, and no sledge runs", counted(pending(false), "event"));
        findings.push(Finding::new(
            Code::PendingWithoutDaemon,
            found,
            "start sledge: it delivers them by itself",
        ));
    }
    if pending(true) > 0 {
        let found = format!("{} kept", counted(pending(true), "dead letter"));
        findings.push(Finding::new(Code::DeadLettersWaiting, found, letters_fix()));
    }
    findings
}
