//! sledge's judgement and Polar's: the corpora are judged by the library that Polar validates with, and that judgement
//! can be looked at again. How sledge judges them is tested beside its rules.

use std::path::Path;
use std::process::Command;

use crate::tool;

const FIXTURES: &str = "tests/fixtures/polar-validation";

/// Made by `.ci/run`; see the requirements beside the generator.
fn oracle() -> String {
    format!("{}/target/oracle/bin/python", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_corpora_are_what_polars_own_library_makes_of_them() {
    if !tool::is_there(&oracle(), &["-c", "import pydantic; assert pydantic.VERSION == '2.13.4'"]) {
        return;
    }
    let generator = Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURES).join("generate.py");
    let judged = Command::new(oracle()).arg(generator).arg("--check").output().unwrap();
    let said = String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success(), "{said}");
}

#[test]
fn every_wanted_difference_is_documented() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md")).unwrap();
    let generator =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURES).join("generate.py"))
            .unwrap();
    let (_, after) = generator.split_once("def wanted(").unwrap();
    let (wanted, _) = after.split_once("\ndef ").unwrap();
    let reasons: Vec<&str> =
        wanted.split("return \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(reasons.len() > 5, "{reasons:?}");
    for reason in reasons {
        assert!(page.contains(&format!("| `{reason}`")), "docs/protocol.md does not tell of {reason}");
    }
}
