//! What lies in a row's folder, for whoever only looks: nothing is opened or changed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::bad_sectors::is_unreadable;
use super::sled_store::DELETING;
use super::store::{SALVAGING, VOLUME, VolumeId};
use crate::journal::format::{RowName, VolumeIndex};

/// The volumes of a row, each once: what was filled aside counts only where its volume is gone.
///
/// # Errors
/// When the folder can't be read; one that is not there has none.
pub(in crate::journal) fn volumes_in(row_folder: &Path, row: RowName) -> io::Result<BTreeSet<VolumeId>> {
    let mut volumes = BTreeSet::new();
    let mut asides = Vec::new();
    let entries = match fs::read_dir(row_folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(volumes),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let number_after = |prefix| name.strip_prefix(prefix).and_then(|number: &str| number.parse().ok());
        if let Some(number) = number_after(VOLUME).filter(|_| entry.path().is_dir()) {
            volumes.insert(VolumeId { row, number });
        } else if let Some(number) = number_after(SALVAGING) {
            asides.push(VolumeId { row, number });
        }
    }
    asides.retain(|id| !volumes.contains(id));
    volumes.extend(asides.into_iter().map(VolumeId::aside));
    Ok(volumes)
}

/// The numbers of the volumes in a row's folder of which nothing but the index is left, ascending. One that is on its way
/// into its place, or to its end, is still there.
///
/// # Errors
/// When the folder can't be read; one that is not there has none.
pub(in crate::journal) fn bereft_in(row_folder: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    let entries = match fs::read_dir(row_folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(numbers),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(number) = name.strip_prefix(VOLUME).and_then(|name| name.strip_suffix(".index")) else {
            continue;
        };
        let has = |kind| row_folder.join(format!("{kind}{number}")).exists();
        if ![VOLUME, SALVAGING, DELETING].into_iter().any(has) {
            numbers.extend(number.parse::<u32>());
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The index of a volume, where it has an intact one.
///
/// # Errors
/// When it can't be read.
pub(in crate::journal) fn index_of(row_folder: &Path, id: VolumeId) -> io::Result<Option<VolumeIndex>> {
    match fs::read(row_folder.join(id.place().folder_name()).with_extension("index")) {
        Ok(bytes) => Ok(VolumeIndex::decode(&bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound || is_unreadable(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
