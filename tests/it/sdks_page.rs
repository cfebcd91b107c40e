//! The page on SDKs is what its readers can do: its blocks run, its versions are the ones tried, its warnings are true.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::examples::{Running, are_installed, beside, examples};
use crate::readme::{blocks, readme};
use crate::sledge_process::PATIENCE;

const ADDRESS: &str = "127.0.0.1:9465";
const SOCKET: &str = "/run/sledge/sledge.sock";

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sdks.md")).unwrap()
}

/// What sends an event by the client that a block made, and says how many were inserted.
fn sending(folder: &str) -> &'static str {
    match folder {
        "node-sdk-1" => {
            r#"console.log((await polar.events.ingest({ events: [{ name: "n", external_customer_id: "u" }] })).inserted);"#
        }
        "node-sdk-0" => {
            r#"console.log((await polar.events.ingest({ events: [{ name: "n", externalCustomerId: "u" }] })).inserted);"#
        }
        "node-ingestion" => {
            r#"console.log((await ingestion.ingest([{ name: "n", externalCustomerId: "u" }])).inserted);"#
        }
        "python-sdk-1" => {
            r#"print(polar.events.ingest(events=[{"name": "n", "external_customer_id": "u"}]).inserted)"#
        }
        "python-sdk-0" => {
            r#"print(polar.events.ingest(request={"events": [{"name": "n", "external_customer_id": "u"}]}).inserted)"#
        }
        other => panic!("{other} is not among the examples"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_block_makes_a_client_that_sends() {
    if !are_installed() {
        return;
    }
    let running = Running::start().await;
    let mut sent = 0;
    for (kind, block) in blocks(&page()) {
        let (language, folder) = kind.split_once(' ').unwrap_or_else(|| panic!("run with what? {kind}"));
        let block = block.replace(ADDRESS, &running.http().await);
        let block = block.replace(SOCKET, running.socket().to_str().unwrap());
        let send = sending(folder);
        let (program, name, text) = match language {
            "js" => (
                PathBuf::from("node"),
                "block.mjs",
                format!("const accessToken = 'polar_oat_x';\n{block}\n{send}"),
            ),
            "python" => (
                examples(folder).join(".venv/bin/python"),
                "block.py",
                format!("token = 'polar_oat_x'\n{block}\n{send}"),
            ),
            other => panic!("{other} is not run here"),
        };
        let place = beside(folder);
        let file = place.path().join(folder).join(name);
        fs::write(&file, text).unwrap();
        let ended = running.run(folder, program, &[file.to_str().unwrap()]).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), "1\n"), "{block}\n{ended:?}");
        sent += 1;
        running.polar.has_events(sent, PATIENCE).await;
    }
    assert_eq!(sent, 9);
}

#[test]
fn the_versions_are_the_ones_tried_and_the_readme_shows_the_same_lines() {
    let page = page();
    for (folder, package) in [
        ("node-sdk-1", "@polar-sh/sdk"),
        ("node-sdk-0", "@polar-sh/sdk"),
        ("node-ingestion", "@polar-sh/ingestion"),
    ] {
        let pins = fs::read_to_string(examples(folder).join("package.json")).unwrap();
        let pins: Value = serde_json::from_str(&pins).unwrap();
        let tried = format!("`{package}` {} |", pins["dependencies"][package].as_str().unwrap());
        assert!(page.contains(&tried), "{tried}");
    }
    for folder in ["python-sdk-1", "python-sdk-0"] {
        let pins = fs::read_to_string(examples(folder).join("requirements.txt")).unwrap();
        let version = pins.lines().find_map(|line| line.strip_prefix("polar-sdk==")).unwrap();
        assert!(page.contains(&format!("`polar-sdk` {version} |")), "{version}");
    }
    let shown: Vec<String> = blocks(&readme())
        .into_iter()
        .filter(|(kind, _)| kind == "js" || kind == "python")
        .map(|(_, b)| b)
        .collect();
    assert!(!shown.is_empty());
    for line in shown.iter().flat_map(|block| block.lines()) {
        let code = line.split("  //").next().and_then(|line| line.split("  #").next()).unwrap().trim();
        assert!(page.contains(&format!("\n{code}\n")), "docs/sdks.md has not: {code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_warnings_about_ingestion_are_true() {
    if !are_installed() {
        return;
    }
    let running = Running::start().await;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdks/ingestion-pitfalls.cjs");
    let ended = running.run("node-ingestion", "node", &[program.to_str().unwrap()]).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "HTTPValidationError\n"), "{ended:?}");
    running.polar.has_events(3, PATIENCE).await;
    let events = running.polar.simulator.events();
    let of = |customer: &str| {
        let customer = format!(r#""external_customer_id":"{customer}""#);
        events.iter().filter(|event| event.contains(&customer)).count()
    };
    assert_eq!((of("first"), of("second")), (2, 1), "two uploads, and the second counts twice");
}
