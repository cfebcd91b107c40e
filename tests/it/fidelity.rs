//! What leaves is, character for character, what came, but for the stamps: from the socket over the disk to the body that
//! Polar gets.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sledge::protocol::read_ingest_body;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::recorder::{Recorder, Trap};
use crate::sledge_process::{Home, PATIENCE};

const NULL_ID: &str = "\"external_id\"";

/// An event as it is sent.
#[derive(Clone, Debug)]
struct Sent {
    text: String,
    id: Id,
    has_time: bool,
}

/// What it says of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Given,
    Missing,
    Null,
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => Just(""), 1 => Just(" "), 1 => Just("\t "), 1 => Just("\n"), 1 => Just("\r\n  ")]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,25})",
        3 => "-?(0|[1-9][0-9]{0,8})\\.[0-9]{1,20}",
        2 => "-?[1-9](\\.[0-9]{1,17})?[eE][+-]?[0-9]{1,2}",
        1 => "(0\\.12345678901234568|1e-12|12345678901234567890|-0|0\\.10|1\\.0|1E5|9007199254740993|-0\\.0)",
    ]
}

/// A JSON string of one to so many pieces, with every kind of escape.
fn string(pieces: usize) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9 ,:{}\\[\\]]",
        2 => "[éß中😀\u{301}\u{200f}\u{2028}\u{feff}\u{7f}]",
        2 => prop_oneof![
            Just("\\n"), Just("\\\""), Just("\\\\"), Just("\\/"), Just("\\b"), Just("\\u0041"), Just("\\u00E9"),
            Just("\\u00e9"), Just("\\ud83d\\uDE00"), Just("\\u2028"), Just("\\u001f")
        ].prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 1..=pieces).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// What Polar ignores: anything at all.
fn anything() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        number(),
        string(5),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("\"external_id\":null".replace(':', " "))
            .prop_map(|text| format!("[{}]", text.replace(" null", ",null"))),
        Just(r#""{\"external_id\":null}""#.to_owned()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(" ,"))),
            proptest::collection::vec((string(2), inner), 0..3).prop_map(|all| {
                let all: Vec<_> = all.iter().map(|(key, value)| format!("{key}:{value}")).collect();
                format!("{{{}}}", all.join(", "))
            }),
        ]
    })
}

fn metadata() -> impl Strategy<Value = String> {
    let value = prop_oneof![4 => number(), 2 => string(12), 1 => Just("true".to_owned()), 1 => Just("false".to_owned())];
    let special = prop_oneof![
        4 => Just(None),
        1 => Just(Some(r#""_cost": {"currency":"usd" ,"amount":0.250}"#.to_owned())),
        1 => Just(Some(r#""_llm":{"model":"m\u0061","vendor":"v","total_tokens":3e0,"input_tokens":1,"output_tokens":"2"}"#.to_owned())),
    ];
    (proptest::collection::vec((string(3), value), 0..5), special).prop_map(|(members, special)| {
        let members = members.iter().map(|(key, value)| format!("{key}:{value}"));
        format!("{{{}}}", members.chain(special).collect::<Vec<_>>().join(" ,"))
    })
}

/// One valid event, told from all others by its name.
fn sent(number: usize) -> impl Strategy<Value = Sent> {
    let id = prop_oneof![2 => Just(Id::Given), 2 => Just(Id::Missing), 1 => Just(Id::Null)];
    let more = proptest::collection::vec(("x[a-z]{0,2}", anything()), 0..3);
    let spaces = proptest::collection::vec(space(), 64);
    (
        id,
        any::<bool>(),
        proptest::option::of(metadata()),
        more,
        string(4),
        spaces,
        any::<prop::sample::Index>(),
    )
        .prop_flat_map(move |(id, has_time, metadata, more, customer, spaces, escaped)| {
            let mut members = vec![
                ("name".to_owned(), format!("\"e{number}\"")),
                ("external_customer_id".to_owned(), customer),
            ];
            match id {
                Id::Given => members.push(("external_id".to_owned(), format!("\"i\\u0064-{number}\""))),
                Id::Null => members.push(("external_id".to_owned(), "null".to_owned())),
                Id::Missing => {}
            }
            if has_time {
                members.push(("timestamp".to_owned(), "\"2026-01-02T03:04:05.1230+01:00\"".to_owned()));
            }
            members.extend(metadata.map(|metadata| ("metadata".to_owned(), metadata)));
            members.extend(more);
            let spaces = spaces.clone();
            Just(members).prop_shuffle().prop_map(move |members| {
                let mut space = spaces.iter().cycle();
                let mut gap = || *space.next().unwrap();
                let at = escaped.index(members.len());
                let members: Vec<String> = members
                    .iter()
                    .enumerate()
                    .map(|(position, (key, value))| {
                        // A key may be spelled with escapes; but for a null id, whose place is looked for below.
                        let is_escaped = position == at && value != "null";
                        let key = if is_escaped { escape_first(key) } else { key.clone() };
                        format!("{}\"{key}\"{}:{}{value}{}", gap(), gap(), gap(), gap())
                    })
                    .collect();
                let text = format!("{}{{{}}}{}", gap(), members.join(","), gap());
                Sent { text, id, has_time }
            })
        })
}

fn escape_first(key: &str) -> String {
    let (first, rest) = key.split_at(1);
    format!("\\u{:04x}{rest}", first.as_bytes()[0])
}

/// Whether Polar got what was sent, and the stamps where they belong.
fn is_faithful(sent: &Sent, got: &str) -> bool {
    let text = sent.text.trim_matches([' ', '\t', '\n', '\r']);
    let mut rest = got.strip_prefix('{').unwrap_or_default();
    let mut take_stamp = |start: &str, bytes: usize| {
        let stamp = rest.strip_prefix(start).and_then(|rest| rest.split_at_checked(bytes));
        rest = stamp.and_then(|(_, rest)| rest.strip_prefix("\",")).unwrap_or("!");
    };
    if sent.id == Id::Missing {
        take_stamp("\"external_id\":\"", 36);
    }
    if !sent.has_time {
        take_stamp("\"timestamp\":\"", 24);
    }
    let came = &text[1..];
    if sent.id != Id::Null {
        return rest == came;
    }
    // The one place where a null stands behind this key; the same words in a text have other quotes.
    let key = came.match_indices(NULL_ID).map(|(at, _)| at + NULL_ID.len()).find(|end| {
        let after = came[*end..].trim_start().strip_prefix(':');
        after.is_some_and(|after| after.trim_start().starts_with("null"))
    });
    let null = key.map(|end| end + came[end..].find("null").unwrap()).unwrap();
    let (before, after) = (&came[..null], &came[null + "null".len()..]);
    rest.strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after))
        .is_some_and(|id| id.len() == 38 && id.starts_with('"') && id.ends_with('"'))
}

/// The long form: `SLEDGE_FIDELITY=20000 cargo test --test it -- --nocapture what_leaves_is_what_came`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leaves_is_what_came_character_for_character() {
    let events: usize = std::env::var("SLEDGE_FIDELITY").map_or(600, |number| number.parse().unwrap());
    let trap = Trap::set().await;
    let polar = Recorder::start(trap.address).await;
    let home = Home::in_memory();
    let sledge = home.start(&format!("http://{}", polar.address)).await;
    let mut runner = TestRunner::deterministic();
    let sent: Vec<Sent> =
        (0..events).map(|number| sent(number).new_tree(&mut runner).unwrap().current()).collect();
    for (batch, some) in sent.chunks(50).enumerate() {
        if batch % 2 == 0 {
            let texts: Vec<&str> = some.iter().map(|event| event.text.as_str()).collect();
            let (status, answer) = sledge.ingest(&format!("{{\"events\":[{}]}}", texts.join(","))).await;
            assert_eq!(status, 200, "{answer}\n{texts:#?}");
        } else {
            let lines: Vec<String> = some.iter().map(|event| event.text.replace(['\n', '\r'], " ")).collect();
            let mut stream = sledge.connect().await;
            stream
                .write_all(format!("{{\"sledge\":{{\"ack\":\"each\"}}}}\n{}\n", lines.join("\n")).as_bytes())
                .await
                .unwrap();
            stream.shutdown().await.unwrap();
            let mut replies = String::new();
            stream.read_to_string(&mut replies).await.unwrap();
            assert_eq!(replies.matches("{\"ok\":true").count(), some.len(), "{replies}\n{lines:#?}");
        }
    }
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") < 0.5).await;

    let mut got = BTreeMap::new();
    for asked in polar.asked() {
        for text in read_ingest_body(asked.body.as_bytes()).unwrap() {
            let text = std::str::from_utf8(text).unwrap().to_owned();
            let name = serde_json::from_str::<serde_json::Value>(&text).unwrap()["name"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(got.insert(name, text).is_none(), "sent once");
        }
    }
    assert_eq!(got.len(), events);
    for (number, mut event) in sent.into_iter().enumerate() {
        if (number / 50) % 2 == 1 {
            event.text = event.text.replace(['\n', '\r'], " ");
        }
        let got = &got[&format!("e{number}")];
        assert!(is_faithful(&event, got), "sent {event:?}\n got {got}");
    }
    println!("{events} events left as they came");
    let (status, ..) = tokio::time::timeout(PATIENCE, sledge.stop()).await.unwrap();
    assert!(status.success());
}

#[test]
fn a_changed_character_would_be_noticed() {
    let sent = |text: &str, id, has_time| Sent { text: text.to_owned(), id, has_time };
    let given = sent(" {\"a\":1.0} ", Id::Given, true);
    assert!(is_faithful(&given, "{\"a\":1.0}"));
    for other in ["{\"a\":1}", "{\"a\": 1.0}", " {\"a\":1.0}", "{\"a\":1.00}", ""] {
        assert!(!is_faithful(&given, other), "{other}");
    }
    let id = "0190163d-8694-7a5b-ab01-2f5d3b5e8a00";
    let time = "2026-08-22T12:00:00.000Z";
    let bare = sent("{\"a\":1}", Id::Missing, false);
    assert!(is_faithful(&bare, &format!("{{\"external_id\":\"{id}\",\"timestamp\":\"{time}\",\"a\":1}}")));
    assert!(!is_faithful(&bare, &format!("{{\"timestamp\":\"{time}\",\"external_id\":\"{id}\",\"a\":1}}")));
    assert!(!is_faithful(&bare, "{\"a\":1}"));
    let null = sent("{\"external_id\" :null,\"a\":1}", Id::Null, true);
    assert!(is_faithful(&null, &format!("{{\"external_id\" :\"{id}\",\"a\":1}}")));
    assert!(!is_faithful(&null, &format!("{{\"external_id\":\"{id}\",\"a\":1}}")));
}
