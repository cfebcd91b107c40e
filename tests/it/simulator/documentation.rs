//! The examples of the documentation are run as they stand.

use std::process::Command;

use super::wire::Polar;

#[tokio::test]
async fn every_curl_line_of_the_documentation_does_what_it_should() {
    let polar = Polar::start().await;
    let documentation = include_str!("../../../docs/simulator.md");
    let lines: Vec<&str> = documentation.lines().filter(|line| line.starts_with("curl ")).collect();
    assert!(lines.len() > 25, "only {} examples were found", lines.len());
    for line in &lines {
        let script = format!("POLAR=http://{}; {line}", polar.address);
        let run = move || Command::new("sh").arg("-c").arg(&script).output();
        let ran = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
        if ran.status.code() == Some(127) {
            // There is no curl on this machine: the examples are read, not run.
            return;
        }
        assert!(ran.status.success(), "{line}\n{}", String::from_utf8_lossy(&ran.stdout));
    }
}
