//! The latest events of a journal on disk, for whoever wants to know what is sent. Nothing is changed, locked or asked of
//! the store: the files are scanned for frames, as salvage does it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use bytes::Bytes;

use crate::journal::disk::QUARANTINE;
use crate::journal::format::RowName;
use crate::journal::volumes::scan_volume;

/// Volumes of each row that are looked into, the latest ones.
const VOLUMES_MAX: usize = 2;

/// The texts of at most so many of the latest events, delivered ones that are still kept included; dead letters are not.
///
/// # Errors
/// When a folder or a file can't be read.
pub fn sample(folder: &Path, events_max: usize) -> io::Result<Vec<Bytes>> {
    let mut texts = Vec::new();
    for row in [RowName::Grants, RowName::Usage] {
        let row_folder = folder.join(row.as_str());
        let mut names = Vec::new();
        match fs::read_dir(&row_folder) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    if name.starts_with("volume-") && entry.file_type()?.is_dir() {
                        names.push(name);
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        }
        names.sort_unstable();
        let mut of_row = Vec::new();
        for name in names.iter().rev().take(VOLUMES_MAX) {
            let found = match fs::File::open(row_folder.join(name).join("db")) {
                Ok(file) => scan_volume(file)?,
                // It was settled and removed a moment ago.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            of_row.extend(found.latest_texts(events_max.saturating_sub(of_row.len())));
        }
        texts.extend(of_row);
    }
    texts.truncate(events_max);
    Ok(texts)
}

/// How many damaged volumes were put aside.
#[must_use]
pub fn quarantined(folder: &Path) -> usize {
    fs::read_dir(folder.join(QUARANTINE)).map(Iterator::count).unwrap_or_default()
}
