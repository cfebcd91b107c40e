//! The power goes, on a real file system: images of the disk under a working sledge, copied at any instant. What the
//! kernel still held in memory is not in them. Each is mounted, as after a power cut, and opened.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::aftermath::Aftermath;
use super::disk_shim::{DiskShim, Trouble};
use super::loop_disk::{Mounted, Shelf, make_ext4};
use crate::fake_polar::FakePolar;
use crate::senders::Senders;
use crate::sledge_process::{Home, SledgeProcess};
use crate::tool::number_from;

/// Images of one run, half of them with settling and deletion. The long form:
/// `SLEDGE_CRASH_IMAGES=300 cargo test --test it -- --nocapture crash_images`.
fn images() -> usize {
    number_from("SLEDGE_CRASH_IMAGES", 30)
}

/// Images of one life: its disk is large enough for them.
const IMAGES_PER_LIFE: usize = 50;
const DISK_BYTES: u64 = 1 << 30;
/// Every so many images the real binary starts on one and delivers what it finds.
const STARTED_EVERY: usize = 5;

/// What was found in the images.
#[derive(Debug, Default)]
struct Findings {
    images: usize,
    acked: usize,
    started: usize,
    /// Images in which the journal found more in a volume than the store knew of, and made a new one of it.
    salvaged: usize,
    /// Images that did not mount or open, or in which something acknowledged is lost.
    faults: Vec<String>,
    /// The volumes of usage seen in any image, and those in the last one.
    seen: BTreeSet<String>,
    last: BTreeSet<String>,
}

impl Findings {
    fn see_volumes(&mut self, journal: &Path) {
        let names = fs::read_dir(journal.join("usage")).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        self.last = names.filter(|name| name.starts_with("volume-") && !name.ends_with("index")).collect();
        self.seen.extend(self.last.iter().cloned());
    }
}

fn acked_by(senders: &Senders) -> usize {
    senders.promises.acked.lock().unwrap().len()
}

fn ids_at(polar: &FakePolar) -> HashSet<String> {
    polar.simulator.external_ids(0, usize::MAX).into_iter().map(|record| record.external_id).collect()
}

/// One life under load, with so many images of its disk.
async fn live(
    shelf: &Shelf,
    images: usize,
    polar_takes: bool,
    shim: Option<&DiskShim>,
    rng: &mut fastrand::Rng,
) -> Findings {
    let mut polar = FakePolar::start().await;
    if !polar_takes {
        polar.go_away().await;
    }
    let disk = shelf.image("disk.img");
    make_ext4(&disk, DISK_BYTES);
    let home = Home::new();
    let mounted = Mounted::of(&disk, &home.path().join("data")).unwrap();
    let mut command = home.run_command(&polar.url());
    command.env("SLEDGE_JOURNAL_VOLUME_BYTES", "1048576").env("SLEDGE_JOURNAL_RETENTION_SECONDS", "0");
    command.env("SLEDGE_JOURNAL_BALLAST_BYTES", "65536");
    if let Some(shim) = shim {
        command = shim.under(command, &home, "images", Trouble::NoSync);
    }
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let mut senders = Senders::to(&home.socket(), Duration::from_millis(3));
    senders.with_noise(1_500).acked_lines(1).acked_lines(8).acked_lines(32);
    let mut findings = Findings::default();
    for number in 1..=images {
        // Only between the images is anything sent, so that a slow machine does not fill the disk.
        senders.pause(false);
        let more = acked_by(&senders) + rng.usize(30..250);
        while acked_by(&senders) < more {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(rng.u64(0..20_000))).await;
        let acked = senders.promises.acked.lock().unwrap().clone();
        let copy = shelf.copy(&disk, "copy.img");
        senders.pause(true);
        let at_polar = ids_at(&polar);
        findings.acked = acked.len();
        findings.images += 1;
        let owed: Vec<String> = acked.into_iter().filter(|id| !at_polar.contains(id)).collect();
        match look_into(&copy, &owed, number % STARTED_EVERY == 0, &mut findings).await {
            Ok(lost) if lost.is_empty() => {}
            Ok(lost) => findings.faults.push(format!("image {number}: acknowledged and lost: {lost:?}")),
            Err(error) => findings.faults.push(format!("image {number}: {error}")),
        }
        fs::remove_file(copy).unwrap();
    }
    sledge.kill_nine().await;
    senders.stop().await;
    drop(mounted);
    fs::remove_file(disk).unwrap();
    findings
}

/// Mounts an image, opens the journal in it, and says which of those owed are lost.
async fn look_into(
    image: &Path,
    owed: &[String],
    start: bool,
    findings: &mut Findings,
) -> Result<Vec<String>, String> {
    let home = Home::new();
    let mounted = Mounted::of(image, &home.path().join("data"))?;
    let lost = if start {
        findings.started += 1;
        let polar = FakePolar::start().await;
        let sledge = home.start(&polar.url()).await;
        sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
        let (status, _, log) = sledge.stop().await;
        findings.salvaged += usize::from(Aftermath::has_quarantine(&home.journal()));
        if !status.success() {
            return Err(format!("{status}: {log}"));
        }
        let at_polar = ids_at(&polar);
        owed.iter().filter(|id| !at_polar.contains(*id)).cloned().collect()
    } else {
        findings.see_volumes(&home.journal());
        let found = Aftermath::of(&home.journal()).await?;
        findings.salvaged += usize::from(found.salvaged);
        if !found.alarms.is_empty() {
            return Err(format!("a false alarm: {:?}", found.alarms));
        }
        found.lacks(owed).into_iter().cloned().collect()
    };
    drop(mounted);
    Ok(lost)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_images_of_a_working_sledge_lack_no_acknowledged_event() {
    let Some(shelf) = Shelf::set_up() else { return };
    let mut rng = fastrand::Rng::new();
    for polar_takes in [false, true] {
        let mut left = images() / 2;
        while left > 0 {
            let now = left.min(IMAGES_PER_LIFE);
            left -= now;
            let findings = live(&shelf, now, polar_takes, None, &mut rng).await;
            let gone = findings.seen.difference(&findings.last).count();
            println!(
                "{} images, {} of them started, {} events acknowledged, {} volumes seen, {gone} gone again: {} with a fault, {} with a salvage",
                findings.images,
                findings.started,
                findings.acked,
                findings.seen.len(),
                findings.faults.len(),
                findings.salvaged
            );
            assert!(findings.faults.is_empty(), "{}", findings.faults.join("\n"));
            assert!(findings.seen.len() > 3, "no volume was full");
            assert!((gone > 1) == polar_takes, "{gone} volumes deleted");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_images_are_seen_to_lack_events_when_no_sync_is_done() {
    let Some(shim) = DiskShim::build() else { return };
    let Some(shelf) = Shelf::set_up() else { return };
    let findings = live(&shelf, images() / 3, false, Some(&shim), &mut fastrand::Rng::new()).await;
    println!("without syncs {} of {} images have a fault", findings.faults.len(), findings.images);
    assert!(findings.faults.len() > findings.images / 2, "the rig sees nothing: {:?}", findings.faults);
}
