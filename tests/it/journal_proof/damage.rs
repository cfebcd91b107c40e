//! Bits flip, ranges turn to zeros or garbage, files end early: anywhere in any file of a journal. What was not hit is
//! delivered, what was hit is said to be, and sledge starts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sledge::journal::check;

use super::aftermath::Aftermath;
use super::frame_scan::{BlockName, whole_blocks};
use crate::fake_polar::FakePolar;
use crate::senders::Senders;
use crate::sledge_process::{Home, PATIENCE};
use crate::tool::number_from;

/// Damaged journals that are opened in this process. The long form:
/// `SLEDGE_DAMAGES=1000 SLEDGE_DAMAGED_STARTS=50 cargo test --test it -- --nocapture damage`.
fn damages() -> usize {
    number_from("SLEDGE_DAMAGES", 40)
}

/// Damaged journals that the real binary starts on.
fn damaged_starts() -> usize {
    number_from("SLEDGE_DAMAGED_STARTS", 4)
}

/// About every third damage hits something that is owed.
const DRAWS_MAX: usize = 200;
/// Longer than any start takes that is not stuck, on a machine that has other work too.
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A journal in which some is settled and more is owed, over several volumes, left behind by a stop or a kill.
struct Original {
    home: Home,
    /// What a start finds to deliver.
    owed: BTreeSet<String>,
    blocks: BTreeMap<BlockName, BTreeSet<String>>,
}

impl Original {
    async fn make(owed_bytes: usize, is_killed: bool) -> Self {
        let mut polar = FakePolar::start().await;
        let home = Home::in_memory();
        let mut command = home.run_command(&polar.url());
        command.env("SLEDGE_JOURNAL_VOLUME_BYTES", "1048576").env("SLEDGE_JOURNAL_BALLAST_BYTES", "65536");
        let sledge = crate::sledge_process::SledgeProcess::start(command, home.socket()).await;
        let mut senders = Senders::to(&home.socket(), Duration::from_millis(1));
        senders.with_noise(1_500).acked_lines(1).acked_lines(8).acked_lines(32);
        polar.has_events(300, PATIENCE).await;
        polar.go_away().await;
        let begun = Instant::now();
        while senders.promises.acked.lock().unwrap().len() < 300 + owed_bytes / 1_650 {
            assert!(begun.elapsed() < PATIENCE, "too little was acknowledged");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        senders.stop().await;
        // How far it got is written down once a second; what is cut off its end before that can't be told from the last
        // writes of a process that was killed.
        let is_marked = || {
            let rows = check(&home.journal()).unwrap().rows;
            rows.iter().all(|row| row.high_water == row.next_seq)
        };
        while !is_marked() {
            assert!(begun.elapsed() < 2 * PATIENCE, "it is never written down how far it got");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if is_killed {
            sledge.kill_nine().await;
        } else {
            sledge.stop().await;
        }
        let copy = Self::copy_of(&home.journal());
        let owed = Aftermath::of(&copy.journal()).await.unwrap().pending;
        let blocks = whole_blocks(&home.journal());
        let in_blocks: BTreeSet<String> = blocks.values().flatten().cloned().collect();
        assert!(owed.is_subset(&in_blocks), "the scan of this test does not see every block");
        Self { home, owed, blocks }
    }

    fn copy_of(journal: &Path) -> Home {
        let copy = Home::in_memory();
        copy_folder(journal, &copy.journal());
        copy
    }

    /// A damaged copy.
    fn damaged(&self, rng: &mut fastrand::Rng) -> Damaged {
        let home = Self::copy_of(&self.home.journal());
        let what = damage(&home.journal(), rng);
        let whole = whole_blocks(&home.journal());
        let hit = self.blocks.iter().filter(|(name, _)| !whole.contains_key(*name));
        let hit: BTreeSet<String> = hit.flat_map(|(_, ids)| ids).cloned().collect();
        Damaged { home, what, hit }
    }

    /// A damaged copy in which something that is owed was hit: anything else proves little.
    fn damaged_where_it_hurts(&self, rng: &mut fastrand::Rng) -> Damaged {
        let damages = std::iter::repeat_with(|| self.damaged(rng)).take(DRAWS_MAX);
        let hurts = |damaged: &Damaged| damaged.hit.intersection(&self.owed).next().is_some();
        damages.into_iter().find(hurts).expect("damage hits what is owed at least now and then")
    }

    fn bytes(&self) -> u64 {
        files_below(&self.home.journal()).iter().map(|file| fs::metadata(file).unwrap().len()).sum()
    }
}

/// A damaged journal.
struct Damaged {
    home: Home,
    what: String,
    /// The events of blocks of which no whole copy is left.
    hit: BTreeSet<String>,
}

impl Damaged {
    /// What is gone, of what the original owed, when this is what is left.
    ///
    /// # Errors
    /// When something is gone that was not hit.
    fn lost(&self, original: &Original, left: &BTreeSet<String>) -> Result<usize, String> {
        let lost: BTreeSet<&String> = original.owed.difference(left).collect();
        let unhit: Vec<_> = lost.iter().filter(|id| !self.hit.contains(**id)).collect();
        if unhit.is_empty() {
            Ok(lost.len())
        } else {
            Err(format!("{}: lost and not hit: {} of {} lost: {unhit:?}", self.what, unhit.len(), lost.len()))
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// Does one harm to one file, and says which. Volumes' files, where the events are, are hit most often.
fn damage(journal: &Path, rng: &mut fastrand::Rng) -> String {
    let (volumes, others): (Vec<_>, Vec<_>) =
        files_below(journal).into_iter().partition(|file| file.ends_with("db"));
    let files = if rng.u8(..4) == 0 { &others } else { &volumes };
    let file = rng.choice(files).unwrap();
    let mut bytes = fs::read(file).unwrap();
    // Where nothing was written yet there is little to harm.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let at = rng.usize(0..=used);
    let range = |rng: &mut fastrand::Rng, bytes: &[u8]| -> Range<usize> {
        let longest = *rng.choice(&[16, 512, 4_096, 65_536, 1 << 20]).unwrap();
        at..(at + rng.usize(1..=longest)).min(bytes.len())
    };
    let harm = match rng.u8(..5) {
        0 | 1 => {
            let bits = rng.usize(1..=3);
            for _ in 0..bits {
                let (place, bit) = (rng.usize(0..=used), rng.u8(..8));
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << bit;
                }
            }
            format!("{bits} bits flipped")
        }
        2 => {
            let range = range(rng, &bytes);
            bytes[range.clone()].fill(0);
            format!("zeros in {range:?}")
        }
        3 => {
            let range = range(rng, &bytes);
            rng.fill(&mut bytes[range.clone()]);
            format!("garbage in {range:?}")
        }
        _ => {
            bytes.truncate(at);
            format!("cut to {at} bytes")
        }
    };
    fs::write(file, bytes).unwrap();
    format!("{}: {harm}", file.strip_prefix(journal).unwrap().display())
}

/// What a campaign came to.
#[derive(Debug, Default)]
struct Tally {
    rounds: usize,
    rounds_that_hit: usize,
    events_hit: usize,
    events_lost: usize,
    slowest: Duration,
    /// Events that were lost without anybody being told.
    unnoticed: usize,
    /// Events that were told to be lost.
    told: u64,
    faults: Vec<String>,
}

impl Tally {
    fn begin_round(&mut self, original: &Original, damaged: &Damaged, took: Duration) {
        let hit = damaged.hit.intersection(&original.owed).count();
        self.rounds += 1;
        self.rounds_that_hit += usize::from(hit > 0);
        self.events_hit += hit;
        self.slowest = self.slowest.max(took);
    }

    /// What became of a round: how many events are lost, of which so many were told, or what is at fault.
    fn end_round(&mut self, damaged: &Damaged, lost: Result<usize, String>, told: u64, is_silent: bool) {
        match lost {
            Ok(lost) => {
                self.events_lost += lost;
                self.told += told;
                if lost > 0 && (is_silent || told < lost as u64) {
                    self.unnoticed += lost;
                    let fault = format!("{}: {lost} events are lost, and {told} are told", damaged.what);
                    self.faults.push(fault);
                }
            }
            Err(fault) => self.faults.push(format!("{}: {fault}", damaged.what)),
        }
    }

    fn report(&self, how: &str, original: &Original) {
        println!(
            "{} damaged journals of {} KiB {how}: {} of them with owed events in blocks that were hit, {} of {} events; {} are lost, {} told to be; the slowest start took {:?}; {} unnoticed; {} faults",
            self.rounds,
            original.bytes() >> 10,
            self.rounds_that_hit,
            self.events_hit,
            original.owed.len() * self.rounds,
            self.events_lost,
            self.told,
            self.slowest,
            self.unnoticed,
            self.faults.len(),
        );
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        assert!(self.events_hit > 0 || self.rounds < 20, "the damage never hit an event");
        assert!(self.slowest < STARTS_WITHIN);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_costs_no_event_that_was_not_hit_and_is_never_passed_over_in_silence() {
    let seed = number_from("SLEDGE_SEED", fastrand::usize(..)) as u64;
    println!("SLEDGE_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for is_killed in [false, true] {
        let original = Original::make(3 << 20, is_killed).await;
        let mut tally = Tally::default();
        for _ in 0..damages() / 2 {
            let damaged = original.damaged(&mut rng);
            let begun = Instant::now();
            let found = Aftermath::of(&damaged.home.journal()).await;
            tally.begin_round(&original, &damaged, begun.elapsed());
            match found {
                Ok(found) => {
                    let lost = damaged.lost(&original, &found.pending);
                    tally.end_round(&damaged, lost, found.given_up, found.given_up == 0);
                }
                Err(fault) => tally.end_round(&damaged, Err(fault), 0, true),
            }
        }
        tally.report(
            if is_killed { "of a killed sledge, opened" } else { "of a stopped sledge, opened" },
            &original,
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_does_not_keep_the_real_binary_from_delivering_the_rest() {
    let mut rng = fastrand::Rng::new();
    let original = Original::make(16 << 20, true).await;
    assert!(original.bytes() >= 16 << 20);
    let mut tally = Tally::default();
    for _ in 0..damaged_starts() {
        let damaged = original.damaged_where_it_hurts(&mut rng);
        let polar = FakePolar::start().await;
        let begun = Instant::now();
        let sledge = damaged.home.start(&polar.url()).await;
        tally.begin_round(&original, &damaged, begun.elapsed());
        let scrape = sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
        let told = scrape.sum("sledge_events_dead_lettered_total{reason=\"lost\"}").to_string();
        let on_record = scrape.sum("sledge_lost_events").to_string();
        let (status, _, log) = sledge.stop().await;
        let at_polar = polar.simulator.external_ids(0, usize::MAX);
        let at_polar = at_polar.into_iter().map(|record| record.external_id).collect();
        let lost = if !status.success() {
            Err(format!("{status}: {log}"))
        } else if on_record != told {
            Err(format!("{told} events are told to be lost, and {on_record} stay on record"))
        } else {
            damaged.lost(&original, &at_polar)
        };
        let is_silent = !log.contains("\"level\":\"ERROR\"");
        tally.end_round(&damaged, lost, told.parse().unwrap(), is_silent);
    }
    tally.report("the real binary started on", &original);
}
