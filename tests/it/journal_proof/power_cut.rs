//! The power goes, at any instant: while events are committed, while volumes are begun, closed and read, while blocks are
//! settled and volumes deleted. What was acknowledged before is owed, given up, or was on its way to Polar.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::aftermath::Aftermath;
use super::disk_shim::{DiskShim, Trouble, root_of};
use super::platter::{Fate, Platter};
use super::recording::{Happened, Recording};
use crate::fake_polar::FakePolar;
use crate::senders::Senders;
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};
use crate::tool::number_from;

/// Power cuts of one run, half of them in a life with settling and deletion. The long form:
/// `SLEDGE_POWER_CUTS=2000 cargo test --test it -- --nocapture power_cut`.
fn cuts() -> usize {
    number_from("SLEDGE_POWER_CUTS", 40)
}

/// Bytes that one recorded life writes to its volumes: some of them are begun and closed.
const LIFE_BYTES: u64 = 6 << 20;

/// What a power cut left.
struct Cut {
    /// Acknowledged, and not there any more.
    lost: Vec<String>,
    /// What a person was told to be damaged, and is not.
    alarms: Vec<String>,
    /// Whether more lay in a volume than the store knew of, so that a new one was made of it.
    salvaged: bool,
}

/// A recorded life, and the folder that its paths begin with.
struct Life {
    recording: Recording,
    root: PathBuf,
}

impl Life {
    /// Cuts the power before the `instant`-th thing happened, and says what was acknowledged and is lost then, or why the
    /// journal does not open.
    async fn cut(&self, instant: usize, fate: &mut Fate) -> Result<Cut, String> {
        let place = Home::in_memory();
        let disk = place.path().join("disk");
        Platter::at(&self.recording, instant).lay_out(fate, &self.root, &disk);
        let found = Aftermath::of(&disk).await?;
        let told = self.recording.told(instant);
        let lost = found.lacks(&told.acked).into_iter().filter(|id| !told.sent_to_polar.contains(*id));
        Ok(Cut { lost: lost.cloned().collect(), alarms: found.alarms, salvaged: found.salvaged })
    }

    /// An instant at which something had been acknowledged.
    fn instant(&self, rng: &mut fastrand::Rng) -> usize {
        let is_ack = |happened: &Happened| matches!(happened, Happened::Sent { data } if data.starts_with(b"{\"ok\":true"));
        let first = self.recording.happened.iter().position(is_ack).unwrap();
        rng.usize(first + 1..=self.recording.happened.len())
    }

    fn count(&self, is_counted: impl Fn(&Happened) -> bool) -> usize {
        self.recording.happened.iter().filter(|happened| is_counted(happened)).count()
    }

    fn folders_named(&self, begin: &str) -> usize {
        let is_named =
            |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begin));
        self.count(|happened| match happened {
            Happened::Folder { path } => is_named(path),
            Happened::Rename { to, .. } => is_named(to),
            _ => false,
        })
    }
}

/// Small volumes that are gone as soon as they are settled, so that rotation and deletion happen all the time.
fn small_volumes(home: &Home, polar: &FakePolar) -> tokio::process::Command {
    let mut command = home.run_command(&polar.url());
    command.env("SLEDGE_JOURNAL_VOLUME_BYTES", "1048576").env("SLEDGE_JOURNAL_RETENTION_SECONDS", "0");
    command.env("SLEDGE_JOURNAL_BALLAST_BYTES", "65536");
    command
}

/// A life from the first start to the end of the drain, written down. Where `polar_takes`, Polar is away and there in
/// turns, so that volumes are closed, read, settled and deleted; else it is away, and everything stays owed.
async fn live(shim: &DiskShim, name: &str, trouble: Trouble, polar_takes: bool) -> Life {
    let mut polar = FakePolar::start().await;
    polar.go_away().await;
    let home = Home::in_memory();
    let command = shim.under(small_volumes(&home, &polar), &home, name, trouble);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let mut senders = Senders::to(&home.socket(), Duration::from_millis(2));
    senders.with_noise(1_500).acked_lines(1).acked_lines(8).acked_lines(32);
    let turns = if polar_takes { 3 } else { 1 };
    for turn in 1..=turns {
        let enough = (LIFE_BYTES / turns * turn / 1_600) as usize;
        let begun = Instant::now();
        while senders.promises.acked.lock().unwrap().len() < enough {
            assert!(begun.elapsed() < PATIENCE, "too little was acknowledged");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if polar_takes {
            polar.come_back();
            let there = polar.simulator.state().events_inserted;
            polar.has_events(there + enough as u64 / 2, PATIENCE).await;
            polar.go_away().await;
        }
    }
    senders.stop().await;
    let (status, _, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
    let life = Life { recording: shim.recording(name), root: root_of(&home) };
    assert_nothing_escaped(&life, trouble);
    life
}

/// The recording says all that became of the files: laid out in full it is the folder as it is.
fn assert_nothing_escaped(life: &Life, trouble: Trouble) {
    let place = tempfile::tempdir().unwrap();
    let disk = place.path().join("disk");
    Platter::at(&life.recording, life.recording.happened.len()).lay_out(
        &mut Fate::AllKept,
        &life.root,
        &disk,
    );
    let (recorded, real) = (files_below(&disk), files_below(&life.root));
    assert_eq!(recorded, real, "{trouble:?}: other files are there than were recorded");
    for name in real {
        let (recorded, real) =
            (fs::read(disk.join(&name)).unwrap(), fs::read(life.root.join(&name)).unwrap());
        assert!(recorded == real, "{trouble:?}: {} holds other bytes than were recorded", name.display());
    }
}

/// Every file, by its path from `folder`. Sockets are none.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(inner).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_type().unwrap().is_file() {
                found.push(entry.path().strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_that_drops_tears_and_reorders_what_was_not_synced_loses_no_acknowledged_event() {
    let Some(shim) = DiskShim::build() else { return };
    let seed = number_from("SLEDGE_SEED", fastrand::usize(..)) as u64;
    let mut rng = fastrand::Rng::with_seed(seed);
    let (cuts, lives) = (cuts(), (cuts() / 300).max(1));
    println!("SLEDGE_SEED={seed}");
    let (mut faults, mut salvaged) = (Vec::new(), 0);
    for round in 0..lives {
        for polar_takes in [false, true] {
            let life = live(&shim, &format!("life-{round}-{polar_takes}"), Trouble::None, polar_takes).await;
            let (begun, deleted) = (life.folders_named("volume-"), life.folders_named("deleting-"));
            println!(
                "a life of {} operations and answers: {begun} volumes begun, {deleted} deleted, {} acknowledged",
                life.recording.happened.len(),
                life.recording.told(life.recording.happened.len()).acked.len(),
            );
            assert!(begun > 4 && (deleted > 1) == polar_takes, "{begun} begun, {deleted} deleted");
            for cut in 0..cuts / lives / 2 {
                let instant = life.instant(&mut rng);
                let mut fate = if cut % 4 == 0 { Fate::AllLost } else { Fate::AnyWay(rng.fork()) };
                match life.cut(instant, &mut fate).await {
                    Ok(cut) if !cut.lost.is_empty() => {
                        faults.push(format!("{instant}: acknowledged and lost: {:?}", cut.lost));
                    }
                    Ok(cut) if !cut.alarms.is_empty() => {
                        faults.push(format!("{instant}: a false alarm: {:?}", cut.alarms));
                    }
                    Ok(cut) => salvaged += usize::from(cut.salvaged),
                    Err(error) => faults.push(format!("{instant}: {error}")),
                }
            }
        }
    }
    println!(
        "{cuts} power cuts with unsynced writes dropped, torn and reordered: {} with a fault, {salvaged} with a salvage",
        faults.len()
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_is_seen_to_lose_events_when_no_sync_is_done() {
    let Some(shim) = DiskShim::build() else { return };
    let mut rng = fastrand::Rng::with_seed(7);
    let life = live(&shim, "unsynced", Trouble::NoSync, false).await;
    let (mut with_losses, cuts) = (0, 12);
    for _ in 0..cuts {
        let mut fate = Fate::AnyWay(rng.fork());
        let cut = life.cut(life.instant(&mut rng), &mut fate).await;
        with_losses += usize::from(cut.is_err() || cut.is_ok_and(|cut| !cut.lost.is_empty()));
    }
    println!("without syncs {with_losses} of {cuts} power cuts lost what was acknowledged");
    assert!(with_losses > cuts / 2, "the rig sees nothing: {with_losses} of {cuts}");
}
