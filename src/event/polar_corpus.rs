//! Our verdicts against those of Polar's validation, which a generator ran over a corpus of event texts.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Code, Event, Form, Rejection, Rules, UnixMillis};

/// The generator's clock: 2026-08-22T12:00:00Z.
const NOW: UnixMillis = 1_787_400_000_000;

#[derive(Deserialize)]
struct Case {
    name: String,
    text: String,
    verdict: String,
    faults: Vec<Fault>,
    /// Why we are to judge otherwise, as docs/protocol.md has it.
    #[serde(default)]
    wanted: Option<String>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "type")]
    kind: String,
    loc: Vec<String>,
}

fn corpus() -> Vec<Case> {
    read_corpus("corpus.json")
}

/// Drawn at random around every rule.
fn generated() -> Vec<Case> {
    read_corpus("generated.json")
}

fn read_corpus(name: &str) -> Vec<Case> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/polar-validation/");
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}{name}")).unwrap()).unwrap()
}

fn read(case: &Case) -> Result<(), Vec<Rejection>> {
    Event::read(case.text.as_bytes(), Form::Event, &Rules::default(), NOW).map(drop)
}

/// Accepted by us, though Polar would refuse them at this moment: held until their time has come.
const HELD: &[&str] = &[
    "timestamp 1787400001",
    "timestamp 1787400000.5",
    "timestamp 1787400000000.5",
    "timestamp 1787400000001",
    "timestamp \"2026-08-22T12:00:00.000001Z\"",
    "timestamp \"2026-08-22T12:00:01Z\"",
    "timestamp \"2026-08-22T12:04:59Z\"",
    "timestamp \"2026-08-22T12:05:00Z\"",
    "timestamp \"1787400001\"",
    "timestamp \"1787400300\"",
];

/// Refused by us, though Polar accepts them, and why.
const STRICTER: &[(&str, &str)] = &[
    ("external_id \"\"", "at Polar every second event with an empty id vanishes"),
    ("parent of itself, empty", "at Polar every second event with an empty id vanishes"),
    ("external_id \"aaaaaaaaaaaaaaaaaaa…2003", LONG_ID),
    ("external_id \"ééééééééééééééééééé…1003", LONG_ID),
    ("parent_id \"aaaaaaaaaaaaaaaaaaa…2003", LONG_ID),
    ("parent_id \"ééééééééééééééééééé…1003", LONG_ID),
    ("external_member_id \"aaaaaaaaaaaaaaaaaaa…2003", LONG_ID),
    ("external_member_id \"ééééééééééééééééééé…1003", LONG_ID),
    ("external_customer_id \"aaaaaaaaaaaaaaaaaaa…2003", LONG_ID),
    ("external_customer_id \"ééééééééééééééééééé…1003", LONG_ID),
    ("external_customer_id \"aaaaaaaaaaaaaaaaaaa…2003 beside customer_id", LONG_ID),
    ("external_member_id \"aaaaaaaaaaaaaaaaaaa…2003 beside customer_id", LONG_ID),
    (r#"external_member_id "\ud800" beside customer_id"#, "an id that is no Unicode names nobody"),
    ("metadata.units \"7777777777777777777…503", LONG_NUMBER),
    ("metadata.units \"                   …503", LONG_NUMBER),
    ("metadata.units \"0.11111111111111111…604", LONG_NUMBER),
    (r#"amount "\u0661""#, "digits of other scripts: nobody counts cents in them"),
    ("unknown field NaN", NO_JSON),
    ("unknown field Infinity", NO_JSON),
    ("unknown field -Infinity", NO_JSON),
    ("unknown key lone surrogate", "keys are compared as Unicode, and this one is none"),
];
const LONG_ID: &str = "ids end at 2,000 bytes, with room to spare below the limit of Polar's index";
const LONG_NUMBER: &str = "a text over 500 characters passes at Polar only if it happens to spell a number";
const NO_JSON: &str = "Python reads these words, the JSON standard does not have them";

/// Polar has no fault of the field's own for these, or a less telling one.
fn is_told_better_here(fault: &Rejection) -> bool {
    matches!(fault.code(), Code::OrganizationIdForbidden | Code::NumberTooLong | Code::TextInvalid)
}

#[test]
fn every_verdict_is_polars_but_for_the_wanted_differences() {
    let mut surprises = Vec::new();
    let (mut held, mut stricter) = (BTreeSet::new(), BTreeSet::new());
    for case in corpus() {
        match (case.verdict.as_str(), read(&case)) {
            ("accept", Ok(())) | ("refuse" | "fail", Err(_)) => {}
            ("accept", Err(_)) if STRICTER.iter().any(|(name, _)| *name == case.name) => {
                stricter.insert(case.name);
            }
            ("refuse", Ok(())) if HELD.contains(&case.name.as_str()) => {
                held.insert(case.name);
            }
            (verdict, ours) => surprises.push(format!("{}: {verdict} at Polar, here {ours:?}", case.name)),
        }
    }
    assert!(surprises.is_empty(), "{} surprises:\n{}", surprises.len(), surprises.join("\n"));
    assert_eq!(held.len(), HELD.len(), "each difference named is really in the corpus: {held:?}");
    assert_eq!(stricter.len(), STRICTER.len(), "each difference named is really in the corpus: {stricter:?}");
}

#[test]
fn every_verdict_on_a_drawn_event_is_polars_but_for_the_wanted_differences() {
    let (mut surprises, mut differences) = (Vec::new(), 0);
    let cases = generated();
    for case in &cases {
        let ours = read(case);
        differences += usize::from(case.wanted.is_some());
        match (case.verdict.as_str(), case.wanted.as_deref(), &ours) {
            ("accept", None, Ok(())) | ("refuse" | "fail", None, Err(_)) => {}
            ("refuse", Some("held_until_due"), Ok(())) => {}
            ("accept", Some(reason), Err(_)) if reason != "held_until_due" => {}
            (verdict, wanted, _) => {
                let (name, text) = (&case.name, &case.text);
                surprises.push(format!("{name}: {verdict} ({wanted:?}) at Polar, here {ours:?}:\n  {text}"));
            }
        }
    }
    assert!(surprises.is_empty(), "{} surprises:\n{}", surprises.len(), surprises.join("\n"));
    assert!(cases.len() >= 2_000 && differences > 50, "{} cases, {differences} differences", cases.len());
}

#[test]
fn every_fault_lies_where_polar_sees_it_under_polars_type() {
    let mut surprises = Vec::new();
    for case in corpus().iter().filter(|case| case.verdict == "refuse") {
        let kinds: BTreeSet<&str> = case.faults.iter().map(|fault| fault.kind.as_str()).collect();
        for fault in read(case).err().into_iter().flatten() {
            if is_told_better_here(&fault) {
                continue;
            }
            let seen = case.faults.iter().any(|polar| polar.loc.starts_with(fault.path()));
            if !seen || !kinds.contains(fault.polar_kind()) {
                surprises.push(format!(
                    "{}: {kinds:?} at Polar, here {} {fault:?}",
                    case.name,
                    fault.polar_kind()
                ));
            }
        }
    }
    assert!(surprises.is_empty(), "{} surprises:\n{}", surprises.len(), surprises.join("\n"));
}

#[test]
fn no_message_echoes_a_value_and_every_message_says_something() {
    let secret = "s3cr3t-customer-value";
    for text in [
        format!(
            r#"{{"name":["{secret}"],"external_customer_id":5,"timestamp":"{secret}","metadata":{{"k":["{secret}"]}}}}"#
        ),
        format!(
            r#"{{"name":"a","customer_id":"{secret}","member_id":"{secret}","metadata":{{"_cost":{{"amount":"{secret}","currency":"{secret}"}}}}}}"#
        ),
        format!(r#"{{"name":"{secret}" "{secret}"}}"#),
        format!(r#"{{"name":"a","external_customer_id":"{secret}\u0000","external_id":"{secret}\ud800"}}"#),
        format!(r#"{{"grant":{{"event":"{secret}\u0000","property":"","credits":"{secret}"}}}}"#),
        format!(r#"["{secret}"]"#),
    ] {
        let faults = Event::read(text.as_bytes(), Form::EventOrGrant, &Rules::default(), NOW).unwrap_err();
        assert!(!faults.is_empty());
        for fault in faults {
            assert!(!fault.to_string().contains(secret), "{fault}");
            assert!(fault.message().len() > 10);
        }
    }
}
