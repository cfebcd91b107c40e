//! The token: where it is taken up from, and where it is never found.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sledge::simulator::{Change, Seen};
use tokio::process::Command;

use crate::fake_polar::FakePolar;
use crate::reckoning::Reckoning;
use crate::senders::Senders;
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};

/// A user of this machine who is nobody in particular.
const NOBODY: u32 = 65_534;

/// How a token is put in the place of another.
#[derive(Clone, Copy, Debug)]
enum Replaced {
    /// The file is written anew.
    InPlace,
    /// Another file is given its name.
    ByRename,
    /// The folder that a link names is another one, as Kubernetes replaces secrets.
    ByLinkedFolder,
    /// The file is written anew, and a SIGHUP says so.
    WithHangUp,
}

/// A token in a folder as Kubernetes mounts secrets: `token` links to `..data/token`, and `..data` to a folder.
struct Secret {
    folder: PathBuf,
    versions: u32,
}

impl Secret {
    fn new(folder: PathBuf, token: &str) -> Self {
        std::fs::create_dir(&folder).unwrap();
        let mut secret = Self { folder, versions: 0 };
        symlink("..data/token", secret.path()).unwrap();
        secret.replace_folder(token);
        secret
    }

    fn path(&self) -> PathBuf {
        self.folder.join("token")
    }

    fn replace_folder(&mut self, token: &str) {
        self.versions += 1;
        let version = format!("..version-{}", self.versions);
        std::fs::create_dir(self.folder.join(&version)).unwrap();
        std::fs::write(self.folder.join(&version).join("token"), token).unwrap();
        let aside = self.folder.join("..data_tmp");
        symlink(&version, &aside).unwrap();
        std::fs::rename(aside, self.folder.join("..data")).unwrap();
    }

    fn replace(&mut self, how: Replaced, token: &str) {
        let file = self.folder.join("..data/token");
        match how {
            Replaced::InPlace | Replaced::WithHangUp => std::fs::write(file, token).unwrap(),
            Replaced::ByRename => {
                let aside = file.with_extension("new");
                std::fs::write(&aside, token).unwrap();
                std::fs::rename(aside, file).unwrap();
            }
            Replaced::ByLinkedFolder => self.replace_folder(token),
        }
    }
}

fn accept_only(polar: &FakePolar, token: &str) {
    polar.simulator.change(Change { accepted_tokens: Some(vec![token.to_owned()]), ..Change::default() });
}

/// `sledge run` that takes its token from elsewhere than a variable, and probes of its own accord once a day.
fn command(home: &Home, polar: &FakePolar) -> Command {
    let mut command = home.run_command(&polar.url());
    command.env_remove("POLAR_ACCESS_TOKEN").env("SLEDGE_DELIVERY_SLOW_PROBE_SECONDS", "86400");
    command
}

/// Replaces the token that Polar accepts, and then sledge's, however it may be done; sledge must have gone on by itself, long
/// before it would have probed. Returns how long it took from the new file to the first request with its token.
async fn rotate(polar: &FakePolar, sledge: &SledgeProcess, token: &str, replace: impl FnOnce()) -> Duration {
    let held = "sledge_held{reason=\"unauthorized\"}";
    accept_only(polar, token);
    sledge.scrape_until(|scrape| scrape.get(held) == Some(1.0)).await;
    let mut arrivals = polar.simulator.arrivals();
    replace();
    let replaced = Instant::now();
    tokio::time::timeout(PATIENCE, async {
        loop {
            if let Seen::Arrival(arrival) = arrivals.next().await.unwrap()
                && arrival.request.status == 200
            {
                break;
            }
        }
    })
    .await
    .expect("the new token was never used");
    let took = replaced.elapsed();
    sledge.scrape_until(|scrape| scrape.get(held) == Some(0.0)).await;
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_rotated_under_load_however_it_is_put_in_place() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let mut secret = Secret::new(home.path().join("secret"), "polar_oat_0");
    accept_only(&polar, "polar_oat_0");
    let mut command = command(&home, &polar);
    command.arg("--token-file").arg(secret.path());
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let mut senders = Senders::to(&home.socket(), Duration::from_millis(5));
    senders.acked_lines(8).http();
    let ways = [
        Replaced::InPlace,
        Replaced::ByRename,
        Replaced::ByLinkedFolder,
        Replaced::WithHangUp,
        Replaced::InPlace,
    ];
    for (number, how) in ways.into_iter().enumerate() {
        let token = format!("polar_oat_{}", number + 1);
        let took = rotate(&polar, &sledge, &token, || {
            secret.replace(how, &token);
            if matches!(how, Replaced::WithHangUp) {
                let id = Pid::from_raw(i32::try_from(sledge.id()).unwrap()).unwrap();
                kill_process(id, Signal::HUP).unwrap();
            }
        })
        .await;
        println!("{how:?}: the new token is used after {took:?}");
    }
    let promises = senders.stop().await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    let acked = promises.acked.lock().unwrap().clone();
    let reckoning = Reckoning::of(&acked, &polar.simulator);
    assert!(
        !acked.is_empty() && reckoning.missing.is_empty() && reckoning.doubled.is_empty(),
        "{reckoning:?}"
    );
    assert!(promises.refused.lock().unwrap().is_empty(), "a refused token is no reason to refuse events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_systemd_credential_that_changes_is_taken_up_though_nothing_else_happens() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let folder = home.path().join("credentials");
    std::fs::create_dir(&folder).unwrap();
    let credential = folder.join("polar_access_token");
    std::fs::write(&credential, "polar_oat_0").unwrap();
    accept_only(&polar, "polar_oat_1");
    let mut command = command(&home, &polar);
    command.env("CREDENTIALS_DIRECTORY", &folder);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let event = r#"{"events":[{"name":"api_usage","external_customer_id":"user_1"}]}"#;
    assert_eq!(sledge.ingest(event).await.0, 200);
    let replace = || std::fs::write(&credential, "polar_oat_1").unwrap();
    let took = rotate(&polar, &sledge, "polar_oat_1", replace).await;
    println!("the new credential is used after {took:?}");
}

/// Every file below `folder` that holds these bytes.
fn files_with(folder: &Path, secret: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && holds(&std::fs::read(&path).unwrap(), secret) {
                found.push(path);
            }
        }
    }
    found
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    memchr::memmem::find(bytes, secret.as_bytes()).is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_from_a_file_is_found_nowhere_else() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let random = || -> String { (0..40).map(|_| fastrand::alphanumeric()).collect() };
    let (first, second, id) =
        (format!("polar_oat_{}", random()), format!("polar_oat_{}", random()), random());
    let token_file = home.path().join("token");
    std::fs::write(&token_file, &first).unwrap();
    accept_only(&polar, &first);
    let mut command = command(&home, &polar);
    command.arg("--token-file").arg(&token_file).args(["--log-level", "trace"]);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let event = |id: &str| {
        format!(
            r#"{{"events":[{{"name":"api_usage","external_customer_id":"user_1","external_id":"{id}"}}]}}"#
        )
    };
    assert_eq!(sledge.ingest(&event(&id)).await.0, 200);
    polar.has_events(1, PATIENCE).await;

    // It is refused, a word that is none is put in its place, and then a better one.
    accept_only(&polar, &second);
    assert_eq!(sledge.ingest(&event("another")).await.0, 200);
    sledge.scrape_until(|scrape| scrape.get("sledge_held{reason=\"unauthorized\"}") == Some(1.0)).await;
    let held = [sledge.get("/readyz").await.1, sledge.get("/status").await.1, sledge.get("/metrics").await.1];
    std::fs::write(&token_file, format!("token = {second}")).unwrap();
    let id_of_process = Pid::from_raw(i32::try_from(sledge.id()).unwrap()).unwrap();
    kill_process(id_of_process, Signal::HUP).unwrap();
    let spoiled = sledge.get_until("/readyz", |_, ready| ready.contains("written as NAME=value")).await;
    std::fs::write(&token_file, &second).unwrap();
    polar.has_events(2, PATIENCE).await;
    let of_process =
        ["cmdline", "environ"].map(|name| std::fs::read(format!("/proc/{}/{name}", sledge.id())).unwrap());
    let shown = crate::one_command::run_sledge(&[
        "config",
        "show",
        "--origin",
        "--token-file",
        token_file.to_str().unwrap(),
    ])
    .await;
    let (_, said, log) = sledge.stop().await;
    for secret in [&first, &second] {
        assert!(!held.iter().chain([&spoiled]).any(|text| text.contains(secret)));
        assert!(!of_process.iter().any(|bytes| holds(bytes, secret)), "in what /proc tells of the process");
        assert!(!log.contains(secret), "in the log");
        assert!(!said.contains(secret) && !shown.out.contains(secret) && !shown.err.contains(secret));
        let files: Vec<_> =
            files_with(home.path(), secret).into_iter().filter(|path| *path != token_file).collect();
        assert!(files.is_empty(), "in {files:?}");
    }
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "it was asked to tell all it can");
    assert!(!files_with(&home.journal(), &id).is_empty(), "the search sees what the journal holds");
    assert_eq!(files_with(home.path(), &second), [token_file], "and it sees a token");
}

/// Lets a process run as nobody, if this one may.
fn as_nobody(command: &mut Command) -> &mut Command {
    if rustix::process::geteuid().is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

/// What somebody of the same user reads of a process's variables.
async fn variables_of(id: u32) -> Vec<u8> {
    let mut cat = Command::new("cat");
    cat.arg(format!("/proc/{id}/environ")).stderr(Stdio::null());
    as_nobody(&mut cat).output().await.unwrap().stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_from_a_variable_is_told_to_nobody_but_root() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let binary = home.path().join("sledge");
    std::fs::copy(env!("CARGO_BIN_EXE_sledge"), &binary).unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(home.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let usual = home.run_command(&polar.url());
    let mut command = Command::new(&binary);
    command.args(usual.as_std().get_args()).env_clear().env("POLAR_ACCESS_TOKEN", "polar_oat_test");
    as_nobody(&mut command);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let told = variables_of(sledge.id()).await;
    assert!(!holds(&told, "polar_oat_test"), "/proc tells other processes of its user");

    let mut unprotected = Command::new("sleep");
    unprotected.arg("600").env("POLAR_ACCESS_TOKEN", "polar_oat_test").kill_on_drop(true);
    let unprotected = as_nobody(&mut unprotected).spawn().unwrap();
    assert!(holds(&variables_of(unprotected.id().unwrap()).await, "polar_oat_test"), "the check sees one");

    // What it tells of itself does not suffer.
    let scrape = sledge.scrape().await;
    for metric in ["process_open_fds", "process_max_fds", "process_resident_memory_bytes"] {
        assert!(scrape.sum(metric) > 0.0, "{metric}");
    }
}
