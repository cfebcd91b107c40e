//! The examples of the documentation are run as they stand.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::wire::Polar;
use crate::one_command::{Ended, run, shell};
use crate::readme::blocks;
use crate::tool;

#[tokio::test]
async fn every_curl_line_of_the_documentation_does_what_it_should() {
    if !tool::is_there("curl", &["--version"]) {
        return;
    }
    let polar = Polar::start().await;
    let documentation = include_str!("../../../docs/simulator.md");
    let lines: Vec<&str> = documentation.lines().filter(|line| line.starts_with("curl ")).collect();
    assert!(lines.len() > 25, "only {} examples were found", lines.len());
    for line in &lines {
        let script = format!("POLAR=http://{}; {line}", polar.address);
        let ran = run(shell(&script), "").await;
        assert_eq!(ran.code, Some(0), "{line}\n{ran:?}");
    }
}

/// What an app's tests might send, and a second time when asked to.
fn your_tests(folder: &Path, times: usize) {
    let send = r#"for id in a b c; do curl -sf "$POLAR/v1/events/ingest" -H "Authorization: Bearer $POLAR_ACCESS_TOKEN" -H 'Content-Type: application/json' -d "{\"events\":[{\"name\":\"n\",\"external_customer_id\":\"u\",\"external_id\":\"$id\"}]}"; done"#;
    let script = folder.join("your-tests.sh");
    fs::write(&script, format!("#!/bin/sh\nset -eu\n{}", vec![send; times].join("\n"))).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
}

async fn run_the_ci_script(times: usize) -> Ended {
    let documentation = include_str!("../../../docs/simulator.md");
    let blocks = blocks(documentation);
    let (_, script) = blocks.iter().find(|(_, block)| block.starts_with("#!/bin/sh")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    your_tests(folder.path(), times);
    let mut command = shell(script);
    command.current_dir(folder.path());
    run(command, "").await
}

#[tokio::test]
async fn the_script_for_a_ci_job_passes_what_is_right_and_fails_what_came_twice() {
    if !tool::is_there("curl", &["--version"]) {
        return;
    }
    let ran = run_the_ci_script(1).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = run_the_ci_script(2).await;
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains(r#""events_duplicate":3"#), "{ran:?}");
}
