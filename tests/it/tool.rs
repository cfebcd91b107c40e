//! Programs of the system that some tests look with. Continuous integration must have them all; elsewhere a test
//! without its tool says so, and proves nothing.

use std::io::Write;
use std::process::{Command, Stdio};

/// Whether `program` can be used, found out by running it with `probe`; where it can't, the test goes without.
///
/// # Panics
/// With `CI=true`, where a missing tool is a failure.
pub(crate) fn is_there(program: &str, probe: &[&str]) -> bool {
    let ran = Command::new(program)
        .args(probe)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let problem = match ran {
        Ok(status) if status.success() => return true,
        Ok(status) => format!("{program} does not work here ({status})"),
        Err(error) => format!("{program} can't be run ({error})"),
    };
    go_without(&problem);
    false
}

/// Says that the test that runs now proves nothing, and why.
///
/// # Panics
/// With `CI=true`.
pub(crate) fn go_without(problem: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{problem}: .ci/run installs what the tests need");
    say_skipped(problem);
}

/// Says past the test harness's capture that this test proves nothing here.
pub(crate) fn say_skipped(problem: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stdout().lock(), "\n!!! SKIPPED: {test} proves nothing, because {problem}").unwrap();
}

/// strace, and the right to use it.
pub(crate) fn strace_is_there() -> bool {
    is_there("strace", &["-f", "-o", "/dev/null", "true"])
}

/// A campaign's size or seed from the environment.
pub(crate) fn number_from(variable: &str, otherwise: usize) -> usize {
    let number = |text: String| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number"));
    std::env::var(variable).map_or(otherwise, number)
}
