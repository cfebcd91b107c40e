//! The disk fills up, by sledge's own events or by a neighbour's file. Events are refused while there is room left, what
//! was acknowledged is delivered, and sledge takes events again without anybody's hand.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::loop_disk::SmallDisk;
use rustix::fs::FallocateFlags;

use crate::fake_polar::FakePolar;
use crate::senders::{Promises, Senders};
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};
use crate::tool::number_from;

/// How often the disk fills up. The long form: `SLEDGE_FULL_DISKS=20 cargo test --test it -- --nocapture full_disk`.
fn times() -> usize {
    number_from("SLEDGE_FULL_DISKS", 2)
}

/// Large enough for the whole ballast, and for a low-water mark above what sled takes at a time.
const DISK_BYTES: u64 = 640 << 20;
/// What is left of it for events: the rest is taken from the beginning.
const ROOM_BYTES: u64 = 128 << 20;
/// `sysexits.h`: a disk that fails, and one that has no room to start on.
const MAY_EXIT_WITH: [i32; 2] = [74, 75];

/// A sledge on a small disk, and whoever starts it again when it goes.
struct Supervised {
    sledge: Option<SledgeProcess>,
    // Dropped in this order: unmounted once no process holds it, before its place goes.
    disk: SmallDisk,
    home: Home,
    polar: FakePolar,
    restarts: usize,
}

impl Supervised {
    fn command(&self) -> tokio::process::Command {
        let mut command = self.home.run_command(&self.polar.url());
        command.env("SLEDGE_JOURNAL_RETENTION_SECONDS", "0").env_remove("SLEDGE_JOURNAL_LOW_WATER_BYTES");
        command
    }

    fn is_running(&mut self) -> bool {
        self.sledge.as_mut().is_some_and(SledgeProcess::is_running)
    }

    /// Sees to it that sledge runs, as systemd would.
    async fn keep_running(&mut self) -> &mut SledgeProcess {
        if !self.is_running() {
            if let Some(gone) = self.sledge.take() {
                let (status, _, log) = gone.end().await;
                assert!(MAY_EXIT_WITH.contains(&status.code().unwrap()), "{status}: {log}");
                println!("it ended with {status}: {}", log.lines().last().unwrap_or_default());
                self.restarts += 1;
            }
            let begun = Instant::now();
            self.sledge = Some(loop {
                match SledgeProcess::try_start(self.command(), self.home.socket()).await {
                    Ok(sledge) => break sledge,
                    Err((status, log)) => {
                        assert!(MAY_EXIT_WITH.contains(&status.code().unwrap()), "{status}: {log}");
                        assert!(begun.elapsed() < PATIENCE, "it never starts again: {log}");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            });
        }
        self.sledge.as_mut().unwrap()
    }

    /// Waits, sledge kept running, until it is as wanted. Gives up when Polar gets nothing new any more.
    async fn until(&mut self, what: &str, mut is_wanted: impl FnMut(&Self) -> bool) {
        let (mut moved, mut inserted) = (Instant::now(), 0);
        while !is_wanted(self) {
            self.keep_running().await;
            let now_inserted = self.polar.simulator.state().events_inserted;
            if now_inserted > inserted {
                (moved, inserted) = (Instant::now(), now_inserted);
            }
            assert!(moved.elapsed() < PATIENCE, "{what} was waited for in vain");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn lacks(&self, acked: &[String]) -> usize {
        let at_polar = self.polar.simulator.external_ids(0, usize::MAX);
        let at_polar: HashSet<String> = at_polar.into_iter().map(|record| record.external_id).collect();
        acked.iter().filter(|id| !at_polar.contains(*id)).count()
    }
}

fn acked(promises: &Promises) -> Vec<String> {
    promises.acked.lock().unwrap().clone()
}

/// How many events were refused because the journal is full.
fn refused(promises: &Promises) -> usize {
    promises.refused.lock().unwrap().iter().filter(|answer| answer.contains("journal_full")).count()
}

fn free_bytes(place: &Path) -> u64 {
    let stat = rustix::fs::statvfs(place).unwrap();
    stat.f_bavail * stat.f_frsize
}

/// A neighbour's file that leaves so much room.
fn take_room(place: &Path, name: &str, left: u64) -> PathBuf {
    let path = place.join(name);
    let file = File::create(&path).unwrap();
    let mut piece = free_bytes(place).saturating_sub(left);
    let mut taken = 0;
    // What the file system itself needs is not to be had: ever smaller pieces find out.
    while piece > 4_096 {
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), taken, piece) {
            Ok(()) => taken += piece,
            Err(_) => piece /= 2,
        }
        piece = piece.min(free_bytes(place).saturating_sub(left));
    }
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_in_time_loses_nothing_and_heals_by_itself() {
    let home = Home::new();
    let Some(disk) = SmallDisk::mount(DISK_BYTES, &home.path().join("data")) else { return };
    let polar = FakePolar::start().await;
    let mut run = Supervised { sledge: None, disk, home, polar, restarts: 0 };
    run.keep_running().await;
    take_room(run.disk.place(), "rest", ROOM_BYTES);
    let mut senders = Senders::to(&run.home.socket(), Duration::from_millis(2));
    senders.with_noise(6_000).acked_lines(1).acked_lines(8).acked_lines(32);
    let promises = std::sync::Arc::clone(&senders.promises);
    for time in 1..=times() {
        let by_neighbour = time % 2 == 0;
        run.polar.go_away().await;
        let before = refused(&promises);
        let neighbour = by_neighbour.then(|| take_room(run.disk.place(), "neighbour", 0));
        // Full: refused in time, or, where a neighbour was faster than the look at the disk, sledge ends and comes back.
        let restarts = run.restarts;
        let begun = Instant::now();
        while refused(&promises) < before + 5 && (!by_neighbour || run.is_running()) {
            if !by_neighbour {
                run.keep_running().await;
            }
            assert!(begun.elapsed() < 3 * PATIENCE, "the disk never gets full");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let free = free_bytes(run.disk.place());
        if !by_neighbour {
            assert_eq!(run.restarts, restarts, "its own events must never fill the disk up to the end");
            assert!(free > 0);
        }
        let owed = acked(&promises);
        run.polar.come_back();
        if let Some(neighbour) = neighbour {
            fs::remove_file(neighbour).unwrap();
        }
        // Where it is full of its own events, they are delivered and settled with the disk as full as it is.
        run.until("delivery of all that was acknowledged", |run| run.lacks(&owed) == 0).await;
        run.until("the first event taken again", |_| promises.acked.lock().unwrap().len() > owed.len() + 10)
            .await;
        println!(
            "full {time} ({}): {free} bytes were free, {} refused, {} restarts, {} acknowledged so far",
            if by_neighbour { "a neighbour's file" } else { "its own events" },
            refused(&promises) - before,
            run.restarts - restarts,
            owed.len(),
        );
    }
    let promises = senders.stop().await;
    let owed = acked(&promises);
    run.until("the rest", |run| run.lacks(&owed) == 0).await;
    let sledge = run.sledge.take().unwrap();
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    let (status, _, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
    let unexpected: Vec<_> = promises
        .refused
        .lock()
        .unwrap()
        .iter()
        .filter(|answer| !answer.contains("journal_full"))
        .cloned()
        .collect();
    println!("{} times full, {} acknowledged, none lost, {} restarts", times(), owed.len(), run.restarts);
    assert!(
        unexpected.iter().all(|answer| answer.contains("busy") || answer.contains("restart sledge")),
        "{unexpected:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_full_disk_takes_its_ballast_delivers_and_makes_room() {
    let home = Home::new();
    let Some(disk) = SmallDisk::mount(DISK_BYTES, &home.path().join("data")) else { return };
    let polar = FakePolar::start().await;
    let mut run = Supervised { sledge: None, disk, home, polar, restarts: 0 };
    run.polar.go_away().await;
    run.keep_running().await;
    let mut senders = Senders::to(&run.home.socket(), Duration::from_millis(2));
    senders.with_noise(6_000).acked_lines(32);
    let begun = Instant::now();
    while acked(&senders.promises).len() < 1_000 {
        assert!(begun.elapsed() < PATIENCE, "too little was acknowledged");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let promises = senders.stop().await;
    let owed = acked(&promises);
    run.sledge.take().unwrap().kill_nine().await;
    let neighbour = take_room(run.disk.place(), "neighbour", 0);
    run.polar.come_back();
    run.until("delivery on a full disk", |run| run.lacks(&owed) == 0).await;
    println!("{} events delivered from a full disk after {} restarts", owed.len(), run.restarts);
    let ballast = run.home.path().join("data/journal/ballast");
    assert!(!ballast.exists(), "it was taken for the start");
    let restarts = run.restarts;
    fs::remove_file(neighbour).unwrap();
    let begun = Instant::now();
    while fs::metadata(&ballast).map_or(0, |file| file.len()) < 32 << 20 {
        assert!(run.is_running() && begun.elapsed() < PATIENCE, "the ballast is not set aside again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        run.restarts, restarts,
        "the next full disk finds it set aside again, without a start in between"
    );
}
