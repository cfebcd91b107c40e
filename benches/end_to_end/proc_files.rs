//! What `/proc` says of a process and of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Linux counts processor time in hundredths of a second for everyone who asks.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of all threads of a process, ended ones included.
pub(crate) fn cpu(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = &stat[stat.rfind(')').unwrap() + 2..];
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    TICK * ticks
}

/// `VmRSS` now and `VmHWM`, its peak, in MiB.
pub(crate) fn rss_and_peak_mib(process: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
    };
    (kib("VmRSS:") / 1024.0, kib("VmHWM:") / 1024.0)
}

/// How often each thread went to sleep, by its number, with its name.
pub(crate) fn wakes(process: u32) -> BTreeMap<u32, (String, u64)> {
    let mut wakes = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten() {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let status = read("status");
        let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let count = switches.map_or(0, |count| count.trim().parse().unwrap());
        let number = task.file_name().to_str().unwrap().parse().unwrap();
        wakes.insert(number, (read("comm").trim().to_owned(), count));
    }
    wakes
}

/// How many threads a process has.
pub(crate) fn threads(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/task")).unwrap().count()
}

/// What the files below a folder take on disk, in bytes.
pub(crate) fn disk_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(folder).unwrap().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    bytes.sum()
}

/// One line about this machine and the disk below `folder`.
pub(crate) fn machine(folder: &Path) -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let file_system = mounts
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            folder.starts_with(fields[1]).then(|| (fields[1].len(), fields[2].to_owned()))
        })
        .max();
    format!(
        "{cpus} processors ({}), Linux {}, {}",
        model.map_or("unknown", |(_, model)| model),
        kernel.trim(),
        file_system.map_or("unknown file system".to_owned(), |(_, name)| name),
    )
}
