//! Two daemons that want the same folder and socket, and sockets that dead daemons left behind.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;

use crate::fake_polar::FakePolar;
use crate::sledge_process::{Home, PATIENCE};

/// Races in one run. The long form: `SLEDGE_RACES=200 cargo test --test it -- --nocapture of_two_daemons`.
fn races() -> u32 {
    std::env::var("SLEDGE_RACES").map_or(10, |races| races.parse().expect("SLEDGE_RACES is a number"))
}

/// How a contender fared.
enum Fate {
    Ready(Child),
    Ended(ExitStatus, String),
}

async fn contend(home: &Home, polar_url: &str) -> Fate {
    let mut command = home.run_command(polar_url);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await.unwrap() == 0 {
            return Fate::Ended(child.wait().await.unwrap(), said);
        }
        said.push_str(&line);
        if line.contains("\"message\":\"ready\"") {
            // Somebody must go on reading, or the daemon would one day wait for room in the pipe.
            let mut rest = lines.into_inner();
            #[expect(clippy::disallowed_methods, reason = "a test owns the reader of its child's log")]
            tokio::spawn(async move {
                let mut sink = Vec::new();
                drop(rest.read_to_end(&mut sink).await);
            });
            return Fate::Ready(child);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_daemons_on_one_folder_and_socket_exactly_one_runs() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let url = polar.url();
    let races = races();
    let mut rng = fastrand::Rng::new();
    for race in 1..=races {
        let head_start = Duration::from_micros(rng.u64(0..20_000));
        let (first, second) = tokio::join!(contend(&home, &url), async {
            tokio::time::sleep(head_start).await;
            contend(&home, &url).await
        });
        let (mut winner, status, said) = match (first, second) {
            (Fate::Ready(winner), Fate::Ended(status, said))
            | (Fate::Ended(status, said), Fate::Ready(winner)) => (winner, status, said),
            (Fate::Ready(_), Fate::Ready(_)) => panic!("race {race}: both run"),
            (Fate::Ended(_, one), Fate::Ended(_, other)) => {
                panic!("race {race}: neither runs:\n{one}\n{other}")
            }
        };
        assert_eq!(status.code(), Some(75), "{said}");
        let named = format!("process {}", winner.id().unwrap());
        assert!(said.contains(&named), "race {race}: the loser does not say that {named} has it: {said}");
        // The winner leaves its socket behind for the next race.
        winner.kill().await.unwrap();
    }
    println!("{races} races: exactly one ran in each, and came up over the last one's stale socket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_nine_the_stale_socket_is_taken_over() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    for _ in 0..races().div_ceil(4) {
        let sledge = tokio::time::timeout(PATIENCE, home.start(&polar.url())).await.unwrap();
        assert!(home.socket().exists());
        sledge.connect().await;
        sledge.kill_nine().await;
        assert!(home.socket().exists(), "a killed daemon can't tidy up");
    }
}
