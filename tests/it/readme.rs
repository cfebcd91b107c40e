//! The README does what it says: its shell blocks are run as they stand, against a running `sledge dev`, and what it
//! shows is what comes out.

use std::fs;
use std::path::Path;

use crate::dev_process::DevProcess;
use crate::one_command::{run, shell};
use crate::tool;

/// Where the README's dev listens. The test's own listens elsewhere, so that it can run beside another.
const SOCKET: &str = "/tmp/sledge-dev.sock";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The fenced blocks: what follows the fence, and the text inside.
pub(crate) fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((kind.to_owned(), inside.join("\n")));
        }
    }
    blocks
}

/// Whether a line is as shown, where each `…` stands for anything.
fn is_as_shown(line: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// Every line is as shown, one by one.
pub(crate) fn assert_as_shown(said: &[&str], shown: &str, of: &str) {
    let shown: Vec<&str> = shown.lines().collect();
    let fits =
        said.len() == shown.len() && said.iter().zip(&shown).all(|(said, shown)| is_as_shown(said, shown));
    assert!(fits, "{of}\nsays\n{}\nand is shown as\n{}", said.join("\n"), shown.join("\n"));
}

#[test]
fn a_line_is_told_from_one_that_is_not_as_shown() {
    assert!(is_as_shown("accepted 1 event", "accepted 1 event"));
    assert!(is_as_shown("lag        none", "lag        …"));
    assert!(is_as_shown("id=7  balance 10 (A)", "id=…  balance 10 (A)"));
    for other in ["id=7  balance 1 (A)", "id=7  balance 10 (A) and more", "no id=7  balance 10 (A)", ""] {
        assert!(!is_as_shown(other, "id=…  balance 10 (A)"), "{other}");
    }
    assert!(!is_as_shown("accepted 1 event more", "accepted 1 event"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shell_block_of_the_readme_does_what_is_shown() {
    if !tool::is_there("curl", &["--version"]) || !tool::is_there("nc", &["-h"]) {
        return;
    }
    let mut dev = DevProcess::start().await;
    let folder = tempfile::tempdir().unwrap();
    let socket = dev.socket().to_str().unwrap().to_owned();
    let mut exports = String::new();
    let mut ran = 0;
    let text = readme();
    let mut blocks = blocks(&text).into_iter().peekable();
    while let Some((kind, block)) = blocks.next() {
        if kind == "text dev" {
            let shown: Vec<&str> =
                dev.said.iter().map(String::as_str).filter(|line| line.starts_with("  ")).collect();
            assert_as_shown(&shown, &block, "sledge dev");
        }
        if kind == "text export" {
            let exported: Vec<&String> = dev.said.iter().filter(|line| line.starts_with("export ")).collect();
            let [export] = exported[..] else { panic!("dev prints one line to paste: {exported:?}") };
            assert_as_shown(&[export], &block.replace(SOCKET, &socket), "sledge dev");
            exports.push_str(&format!("{export}\n"));
        }
        if kind != "sh" || block.starts_with("cargo ") {
            continue;
        }
        // Of commands that are typed one by one, each has arrived before the next: dev shows all events of one batch
        // with the balance after the last.
        let are_typed = block.lines().all(|line| line.starts_with("export ") || line.starts_with("sledge "));
        let steps: Vec<&str> = if are_typed { block.lines().collect() } else { vec![&block] };
        let mut said = String::new();
        for step in steps {
            let mut command = shell(&format!("exec 2>&1\n{exports}{step}"));
            // Whatever the reader has set; what is pasted outweighs it.
            command.current_dir(folder.path()).env("POLAR_ACCESS_TOKEN", "polar_oat_of_the_reader");
            command
                .env("SLEDGE_SOCKET", "/nowhere/sledge.sock")
                .env("SLEDGE_POLAR_URL", "http://127.0.0.1:1");
            let ended = run(command, "").await;
            assert_eq!(ended.code, Some(0), "{step}\n{ended:?}");
            said.push_str(&ended.out);
            if step.starts_with("sledge grant ") || step.starts_with("sledge send ") {
                dev.says("  api_usage ").await;
            }
            if step.starts_with("export ") {
                exports.push_str(&format!("{step}\n"));
            }
        }
        match blocks.peek() {
            Some((kind, shown)) if kind == "text" => {
                assert_as_shown(&said.lines().collect::<Vec<_>>(), shown, &block);
            }
            _ => assert_eq!(said, "", "what it says is not shown: {block}"),
        }
        ran += 1;
    }
    assert!(ran >= 7, "only {ran} blocks were run");
}

#[test]
fn what_the_readme_does_not_run_here_is_there_all_the_same() {
    let text = readme();
    let blocks = blocks(&text);
    let shell = blocks.iter().filter(|(kind, _)| kind == "sh").map(|(_, block)| block.as_str());
    let cargo: Vec<&str> = shell.filter(|block| block.starts_with("cargo ")).collect();
    assert_eq!(cargo, ["cargo run --release -- dev", "cargo test"]);
    sledge::cli::check(["sledge", "dev"].map(Into::into)).unwrap();
    for (_, block) in blocks.iter().filter(|(kind, _)| kind == "bash") {
        for line in block.lines() {
            if line.starts_with("sledge ") {
                sledge::cli::check(line.split(' ').map(Into::into)).unwrap();
            }
            for word in line.split(' ').filter(|word| word.starts_with("systemd/")) {
                assert!(root().join(word).is_file(), "{line}");
            }
        }
    }
    let metrics = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    for (_, block) in blocks.iter().filter(|(kind, _)| kind == "yaml") {
        for line in block.lines() {
            assert!(
                metrics.contains(line.trim()),
                "docs/metrics.md, whose rules are checked, has not: {line}"
            );
        }
    }
}

/// The anchors that a page's headings have, as the forges make them.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let words = line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-");
        words.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_of_every_page_leads_somewhere() {
    let pages = |folder: &str| {
        let files = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect::<Vec<_>>()
    };
    let mut links = 0;
    for page in ["", "docs", "examples"].into_iter().flat_map(pages) {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, heading) =
                link.split_once('#').map_or((link, None), |(file, name)| (file, Some(name)));
            let there = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            let is_there = |heading: &str| {
                anchors(&fs::read_to_string(&there).unwrap()).iter().any(|anchor| anchor == heading)
            };
            let leads = link.starts_with("https://") || (there.exists() && heading.is_none_or(is_there));
            assert!(leads, "{}: nothing is at {link}", page.display());
            links += 1;
        }
    }
    assert!(links > 60, "only {links} links were found");
}

#[test]
fn the_pages_install_sledge_where_the_unit_runs_it() {
    let unit = fs::read_to_string(root().join("systemd/sledge.service")).unwrap();
    for page in ["README.md", "docs/upgrade.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let installs = text.lines().filter(|line| line.starts_with("install -m 755 "));
        let places: Vec<&str> = installs.filter_map(|line| line.split(' ').next_back()).collect();
        let [place] = places[..] else { panic!("{page} installs sledge once: {places:?}") };
        assert!(unit.contains(&format!("ExecStart={place} run")), "{page} installs it at {place}");
    }
}
