//! What the disk does by itself: append and fdatasync, one group after the other.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Groups of so many bytes that become durable in a second.
pub(crate) fn groups_per_second(folder: &Path, group_bytes: usize, each: Duration) -> f64 {
    let path = folder.join("raw");
    let mut file = File::options().create(true).append(true).open(&path).unwrap();
    let group: Vec<u8> =
        std::iter::repeat_with(|| fastrand::alphanumeric() as u8).take(group_bytes.max(1)).collect();
    let begun = Instant::now();
    let mut groups = 0_u32;
    while begun.elapsed() < each {
        file.write_all(&group).unwrap();
        file.sync_data().unwrap();
        groups += 1;
    }
    let rate = f64::from(groups) / begun.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(path).unwrap();
    rate
}
