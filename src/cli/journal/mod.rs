//! A journal's files: looked into, got out, brought back.

mod export;
mod export_file;
mod import;
#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod journal;
mod salvage;

pub(super) use export_file::ExportFile;
pub(super) use journal::{JournalArgs, journal};
