//! A command that does its work and ends.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::sledge_process::PATIENCE;

/// How a command ended, and what it said.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) err: String,
}

/// `sledge` with these words, and nothing of the tester's own environment.
pub(crate) fn sledge(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sledge"));
    command.args(words).env_clear();
    command
}

/// A shell for these lines, which ends at the first one that fails. `sledge` there is the one under test; of the tester's own
/// environment it has the way to other programs.
pub(crate) fn shell(lines: &str) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_sledge")).parent().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-ec", lines]).env_clear();
    shell.env("PATH", format!("{}:{}", binary.display(), std::env::var("PATH").unwrap()));
    shell
}

/// Runs a command to its end, with this standard input.
pub(crate) async fn run(mut command: Command, input: &str) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let work = async {
        // A command that wants no input may be gone before it is offered any.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
        child.wait_with_output().await.unwrap()
    };
    let output = tokio::time::timeout(PATIENCE, work).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} did not end in time"));
    let ended = Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!ended.out.contains('\u{1b}') && !ended.err.contains('\u{1b}'), "colours into a pipe: {ended:?}");
    ended
}

/// [`run`] for `sledge` without input.
pub(crate) async fn run_sledge(words: &[&str]) -> Ended {
    run(sledge(words), "").await
}
