//! The process stands still, as in a paused container or on a suspended machine, in the middle of everything; then it
//! goes on.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::fake_polar::FakePolar;
use crate::senders::Senders;
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};
use crate::survival::report;
use crate::tool::number_from;

/// How long it stands still. The long form: `SLEDGE_FROZEN_SECONDS=60 cargo test --test it -- --nocapture frozen`.
fn frozen_for() -> Duration {
    Duration::from_secs(number_from("SLEDGE_FROZEN_SECONDS", 3) as u64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sledge_that_was_frozen_has_lost_and_doubled_nothing() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let mut command = home.run_command(&polar.url());
    command.env("SLEDGE_JOURNAL_VOLUME_BYTES", "1048576").env("SLEDGE_JOURNAL_RETENTION_SECONDS", "0");
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let mut senders = Senders::to(&home.socket(), Duration::from_millis(1));
    senders.with_noise(1_500).acked_lines(1).acked_lines(32).with_noise(0).unacked_lines().http();
    let acked = || senders.promises.acked.lock().unwrap().len();
    let more_acks = async |events: usize| {
        let (before, begun) = (acked(), Instant::now());
        while acked() < before + events {
            assert!(begun.elapsed() < PATIENCE, "nothing is acknowledged any more");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    more_acks(1_000).await;
    let process = Pid::from_raw(i32::try_from(sledge.id()).unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    tokio::time::sleep(frozen_for() / 2).await;
    // What had left it before is read by now.
    let when_frozen = acked();
    tokio::time::sleep(frozen_for() / 2).await;
    assert_eq!(acked(), when_frozen, "a frozen process acknowledges nothing");
    kill_process(process, Signal::CONT).unwrap();
    more_acks(1_000).await;
    let promises = senders.stop().await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    let (status, _, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
    report(&format!("frozen for {:?}", frozen_for()), 2_000, &promises, &polar);
}
