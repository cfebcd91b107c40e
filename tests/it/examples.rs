//! Every file under `examples/` is run as its readers run it, and does what it is there to show.
//!
//! Go, PHP and Ruby: `SLEDGE_LANGUAGES=1 cargo test --test it -- --nocapture examples`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sledge::simulator::Change;
use tempfile::TempDir;
use tokio::process::Command;

use crate::fake_polar::FakePolar;
use crate::one_command::{Ended, run};
use crate::readme::{assert_as_shown, blocks, readme};
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};
use crate::tool;

/// A program that sends events and says something.
struct Example {
    file: &'static str,
    /// What it is run with; itself when that is empty.
    with: &'static [&'static str],
    says: &'static str,
    events: u64,
}

const fn example(
    file: &'static str,
    with: &'static [&'static str],
    says: &'static str,
    events: u64,
) -> Example {
    Example { file, with, says, events }
}

const NODE: &[&str] = &["node"];
const INGESTED: &str = r#"{"inserted":1,"duplicates":0}"#;
const INGESTED_JS: &str = "{ inserted: 1, duplicates: 0 }";

/// With programs of the system, and what `examples/install` puts in place.
const EXAMPLES: &[Example] = &[
    example("curl/send.sh", &[], INGESTED, 1),
    example("socat/send.sh", &[], r#"{"ok":true,"external_id":"socat-1"}"#, 1),
    example("node-http/send.mjs", NODE, INGESTED, 1),
    example("node-sdk-1/send.mjs", NODE, INGESTED_JS, 1),
    example("node-sdk-1/socket.mjs", NODE, INGESTED_JS, 1),
    example("node-sdk-0/send.mjs", NODE, INGESTED_JS, 1),
    example("node-sdk-0/socket.mjs", NODE, INGESTED_JS, 1),
    example("node-ingestion/send.mjs", NODE, "the job took … ms", 1),
    example("node-ingestion/socket.mjs", NODE, INGESTED_JS, 1),
    example("python-socket/send.py", &["python3"], "python-0\npython-1\npython-2", 3),
    example("python-sdk-1/send.py", &["python-sdk-1/.venv/bin/python"], "1 0", 1),
    example("python-sdk-1/send_async.py", &["python-sdk-1/.venv/bin/python"], "1 0", 1),
    example("python-sdk-0/send.py", &["python-sdk-0/.venv/bin/python"], "1 0", 1),
    example("python-sdk-0/over_the_socket.py", &["python-sdk-0/.venv/bin/python"], "1\n1", 2),
];

/// With languages that not everybody has.
const LONG_FORM: &[Example] = &[
    example("go/main.go", &["go", "run"], INGESTED, 1),
    example("php/send.php", &["php"], "php-1", 1),
    example("ruby/send.rb", &["ruby"], "ruby-1", 1),
];

/// What is run by tests of its own, or is no program.
const OTHERS: &[&str] = &[
    "README.md",
    "install",
    "package.json",
    "package-lock.json",
    "rust/main.rs",
    "before-after/app.mjs",
    "before-after/model.mjs",
    "before-after/before.mjs",
    "before-after/after.mjs",
    "before-after/run.mjs",
    "guide/tsconfig.json",
    "guide/sdk-0/by-id.ts",
    "guide/sdk-0/by-external-id.ts",
    "guide/sdk-1/by-external-id.ts",
];

/// A folder or file of the examples.
pub(crate) fn examples(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// Whether `examples/install` has put in place what the examples use from npm and PyPI.
pub(crate) fn are_installed() -> bool {
    tool::is_there(examples("install").to_str().unwrap(), &["--check"])
}

/// Where a Node program outside the examples finds what is installed in one of their folders.
pub(crate) fn node_path(folder: &str) -> OsString {
    std::env::join_paths([examples(folder).join("node_modules"), examples("node_modules")]).unwrap()
}

/// A copy of a folder of the examples in which nothing lies yet, and Node packages are found as in the real one.
pub(crate) fn beside(folder: &str) -> TempDir {
    let beside = tempfile::tempdir().unwrap();
    fs::create_dir_all(beside.path().join(folder)).unwrap();
    for place in ["node_modules".to_owned(), format!("{folder}/node_modules")] {
        if let Ok(installed) = examples(&place).canonicalize() {
            symlink(installed, beside.path().join(place)).unwrap();
        }
    }
    beside
}

/// A sledge with its loopback address, and its Polar.
pub(crate) struct Running {
    pub(crate) polar: FakePolar,
    sledge: SledgeProcess,
    home: Home,
}

impl Running {
    pub(crate) async fn start() -> Self {
        let (polar, home) = (FakePolar::start().await, Home::new());
        let mut command = home.run_command(&polar.url());
        command.args(["--http", "127.0.0.1:0"]);
        let sledge = SledgeProcess::start(command, home.socket()).await;
        Self { polar, sledge, home }
    }

    /// Its loopback address, as `HOST:PORT`.
    pub(crate) async fn http(&self) -> String {
        self.sledge.listener("http").await
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.socket()
    }

    /// Runs a program that finds this sledge, and Node packages as in a folder of the examples.
    pub(crate) async fn run(&self, folder: &str, program: impl AsRef<Path>, words: &[&str]) -> Ended {
        self.run_with(Some("polar_oat_of_the_app"), folder, program, words).await
    }

    /// The same with this token of Polar, or none.
    async fn run_with(
        &self,
        token: Option<&str>,
        folder: &str,
        program: impl AsRef<Path>,
        words: &[&str],
    ) -> Ended {
        let mut command = Command::new(program.as_ref());
        command.args(words).current_dir(examples("")).env("NODE_PATH", node_path(folder));
        command.env("SLEDGE_SOCKET", self.socket()).env("SLEDGE_HTTP", self.http().await);
        command.env_remove("POLAR_ACCESS_TOKEN").envs(token.map(|token| ("POLAR_ACCESS_TOKEN", token)));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        run(command, "").await
    }

    /// Runs them one after another: each says what it should, and its events are at Polar.
    async fn run_all(&self, token: Option<&str>, all: &[Example]) {
        let mut events = self.polar.simulator.state().events_inserted;
        for Example { file, with, says, events: sent } in all {
            let ended = match with {
                [program, words @ ..] => {
                    let program =
                        if program.contains('/') { examples(program) } else { PathBuf::from(program) };
                    self.run_with(token, "", program, &[words, &[*file]].concat()).await
                }
                [] => self.run_with(token, "", examples(file), &[]).await,
            };
            assert_eq!(ended.code, Some(0), "{file}: {ended:?}");
            assert_as_shown(&ended.out.lines().collect::<Vec<_>>(), says, file);
            events += sent;
            self.polar.has_events(events, PATIENCE).await;
        }
        assert_eq!(self.polar.simulator.state().events_inserted, events, "nothing came twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_sends_its_events_and_needs_no_token_for_that() {
    if !are_installed() || !tool::is_there("curl", &["--version"]) || !tool::is_there("socat", &["-V"]) {
        return;
    }
    Running::start().await.run_all(None, EXAMPLES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_in_rust_sends_its_events() {
    let binary = Path::new(env!("CARGO_BIN_EXE_sledge")).with_file_name("examples").join("rust");
    if !binary.exists() {
        // A cargo inside this one would rebuild what the outer one built.
        return tool::go_without("cargo test, without --test it, builds the example in Rust");
    }
    let running = Running::start().await;
    let ended = running.run("", binary, &[]).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "rust-0\nrust-1\nrust-2\n"), "{ended:?}");
    running.polar.has_events(3, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_in_go_php_and_ruby_send_their_events_where_that_is_asked_for() {
    if std::env::var_os("SLEDGE_LANGUAGES").is_none() {
        return;
    }
    Running::start().await.run_all(Some("polar_oat_of_the_app"), LONG_FORM).await;
}

/// The README opens with what this prints.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_opens_with_what_before_and_after_print() {
    if !are_installed() {
        return;
    }
    let mut command = Command::new(examples("before-after/run.mjs"));
    command.env("SLEDGE_BIN", env!("CARGO_BIN_EXE_sledge"));
    let ended = run(command, "").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let readme = readme();
    let mut blocks = blocks(&readme).into_iter();
    let (_, command) = blocks.next().unwrap();
    assert!(command.ends_with("examples/before-after/run.mjs"), "{command}");
    let (_, shown) = blocks.next().unwrap();
    assert_eq!(ended.out.trim_end(), shown, "the README shows what is not so");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guide_comes_to_10_7_and_minus_1_through_sledge() {
    if !are_installed() {
        return;
    }
    for flow in ["sdk-0/by-id.ts", "sdk-0/by-external-id.ts", "sdk-1/by-external-id.ts"] {
        let running = Running::start().await;
        // Polar counts after a while, so that what is read at once is not yet right.
        running.polar.simulator.change(Change { settle_delay_ms: Some(300), ..Change::default() });
        let flow = format!("guide/{flow}");
        let ended = running.run("", examples("node_modules/.bin/tsx"), &[&flow]).await;
        assert_eq!(ended.code, Some(0), "{flow}: {ended:?}");
        assert_eq!(ended.out.lines().last(), Some("balances: 10, 7, -1"), "{flow}: {ended:?}");
        assert_eq!(running.polar.simulator.state().events_inserted, 3, "{flow}");
    }
}

/// The third edit: with the guide's own filter the SDK's types say what is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guide_is_right_by_the_types_of_the_sdk() {
    if !are_installed() {
        return;
    }
    let folder = beside("guide/sdk-0");
    let flow = fs::read_to_string(examples("guide/sdk-0/by-id.ts")).unwrap();
    let as_in_the_guide = flow.replace("meter.balance !== before", "meter > 0");
    assert_ne!(flow, as_in_the_guide);
    for file in ["guide/tsconfig.json", "guide/sdk-0/package.json"] {
        fs::copy(examples(file), folder.path().join(file)).unwrap();
    }
    fs::write(folder.path().join("guide/sdk-0/by-id.ts"), as_in_the_guide).unwrap();
    let faults = async |folder: &Path| {
        let mut compiler = Command::new(examples("node_modules/.bin/tsc"));
        compiler.args(["--project", "guide"]).current_dir(folder);
        run(compiler, "").await.out
    };
    assert_eq!(faults(&examples("")).await, "");
    let fault = faults(folder.path()).await;
    assert!(fault.contains("cannot be applied to types 'CustomerMeter' and 'number'"), "{fault}");
    assert_eq!(fault.lines().count(), 1, "{fault}");
}

/// Every file of the examples, without what was installed.
fn files() -> BTreeSet<String> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![examples("")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() == "node_modules" || entry.file_name() == ".venv" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                found.insert(path.strip_prefix(examples("")).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn no_example_is_left_out() {
    let pins = |file: &String| file.ends_with("/package.json") || file.ends_with("/requirements.txt");
    let found: BTreeSet<String> = files().into_iter().filter(|file| !pins(file)).collect();
    let known = EXAMPLES.iter().chain(LONG_FORM).map(|example| example.file).chain(OTHERS.iter().copied());
    assert_eq!(found, known.map(str::to_owned).collect());
    let page = fs::read_to_string(examples("README.md")).unwrap();
    for example in EXAMPLES.iter().chain(LONG_FORM) {
        assert!(page.contains(example.file), "examples/README.md does not name {}", example.file);
    }
}
