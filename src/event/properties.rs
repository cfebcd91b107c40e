//! What must hold for every event, tried on generated ones.

use proptest::prelude::*;

use super::value::each_member;
use super::{Event, EventBuf, Form, IdSource, Rules, UnixMillis};

const NOW: UnixMillis = 1_787_400_000_123;

fn written(text: &str, form: Form) -> Option<(String, String)> {
    let event = Event::read(text.as_bytes(), form, &Rules::default(), NOW).ok()?;
    let (bytes, due) = (event.written_bytes(), event.due());
    let given = event.external_id().map(str::to_owned);
    let mut out = EventBuf::new();
    let id = event.write(NOW, &mut IdSource::new(), &mut out);
    assert_eq!(given.is_none(), id.is_stamped());
    assert_eq!(given.as_deref().unwrap_or(id.as_str()), id.as_str());
    assert_eq!(out.text_bytes(), bytes);
    assert_eq!(out.due(), due);
    Some((String::from_utf8(out.iter().next()?.to_vec()).unwrap(), id.as_str().to_owned()))
}

fn members(text: &str) -> Vec<(String, String)> {
    let mut members = Vec::new();
    each_member(text, |key, value| members.push((key.into_owned(), value.json().to_owned()))).unwrap();
    members
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\n\t"), 1 => Just("\r\n  ")]
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
        "\"[a-z é😀]{1,12}\"",
        Just(r#""\u0061\n\"\\\/\ud83d\ude00""#.to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
    ]
}

fn unknown() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => scalar(),
        1 => Just("null".to_owned()),
        1 => Just(r#""}{\",\"name\":null""#.to_owned()),
        1 => Just(r#""\ud800""#.to_owned()),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|all| format!("[{}]", all.join(" , "))),
            proptest::collection::vec(("[a-z]{0,3}", inner), 0..4).prop_map(|all| {
                let all: Vec<_> = all.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
                format!("{{{}}}", all.join(","))
            }),
        ]
    })
}

fn metadata() -> impl Strategy<Value = String> {
    proptest::collection::vec(("[a-d]{1,2}", scalar(), space()), 0..5).prop_map(|all| {
        let all: Vec<_> =
            all.iter().map(|(key, value, space)| format!("{space}\"{key}\"{space}:{value}")).collect();
        format!("{{{}}}", all.join(","))
    })
}

/// A member an event may have once or repeatedly, in any place; keys are sometimes escaped.
fn member() -> impl Strategy<Value = String> {
    prop_oneof![
        r#""name" ?: ?"[a-z]{1,8}""#,
        Just(r#""n\u0061me":"api_usage""#.to_owned()),
        r#""external_customer_id":"[a-z]{0,8}""#,
        r#""external_id":("[a-z]{1,8}"|null)"#,
        Just(r#""external\u005fid" : null"#.to_owned()),
        Just(r#""timestamp":"2026-08-22T12:00:01Z""#.to_owned()),
        Just(r#""timestamp":1577836800.5"#.to_owned()),
        r#""parent_id":("[a-z]{0,8}"|null)"#,
        metadata().prop_map(|metadata| format!(r#""metadata":{metadata}"#)),
        ("[a-z]{1,6}_", unknown()).prop_map(|(key, value)| format!("\"{key}\":{value}")),
    ]
}

fn event() -> impl Strategy<Value = String> {
    (proptest::collection::vec((space(), member()), 0..8), space(), 0..8_usize).prop_map(
        |(members, space, at)| {
            let mut all: Vec<String> =
                members.into_iter().map(|(space, member)| format!("{space}{member}{space}")).collect();
            let required = r#""name":"api_usage","external_customer_id":"user_123""#.to_owned();
            all.insert(at.min(all.len()), required);
            format!("{space}{{{}{space}}}{space}", all.join(","))
        },
    )
}

fn grant() -> impl Strategy<Value = String> {
    (member(), metadata(), "[1-9][0-9]{0,5}(\\.[0-9]{1,4})?(e[0-9])?", space()).prop_map(
        |(member, metadata, credits, space)| {
            format!(
                r#"{{"external_customer_id":"u",{member}{space},"grant":{space}{{"event":"\u0061pi","property":"unïts","credits":{credits}}},"metadata":{space}{metadata}}}"#
            )
        },
    )
}

proptest! {
    #[test]
    fn every_member_leaves_with_its_own_characters_and_the_stamps_beside_it(text in event()) {
        let (sent, id) = written(&text, Form::Event).expect("the generator makes events that pass");
        let (before, mut after) = (members(&text), members(&sent));
        let last = |members: &[(String, String)], name: &str| {
            members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        };
        if last(&before, "external_id").is_none() {
            prop_assert_eq!(after.remove(0), ("external_id".to_owned(), format!("\"{id}\"")));
        }
        if last(&before, "timestamp").is_none() {
            prop_assert_eq!(after.remove(0), ("timestamp".to_owned(), "\"2026-08-22T12:00:00.123Z\"".to_owned()));
        }
        let mut expected = before;
        if let Some((_, null)) = expected.iter_mut().rev().find(|(key, _)| key == "external_id").filter(|(_, value)| value == "null") {
            *null = format!("\"{id}\"");
        }
        prop_assert_eq!(after, expected);
        prop_assert_eq!(last(&members(&sent), "external_id"), Some(format!("\"{id}\"")));
    }

    #[test]
    fn a_written_event_is_read_and_written_again_unchanged(text in prop_oneof![event(), grant()]) {
        if let Some((sent, id)) = written(&text, Form::EventOrGrant) {
            let lane = Event::read(text.as_bytes(), Form::EventOrGrant, &Rules::default(), NOW).unwrap().lane();
            let again = Event::read(sent.as_bytes(), Form::Event, &Rules::default(), NOW).unwrap();
            prop_assert_eq!(again.lane(), lane);
            prop_assert_eq!(again.external_id(), Some(id.as_str()));
            prop_assert_eq!(written(&sent, Form::EventOrGrant), Some((sent, id)));
        }
    }

    #[test]
    fn reading_any_bytes_ends_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for form in [Form::Event, Form::Grant, Form::EventOrGrant] {
            if let Err(faults) = Event::read(&bytes, form, &Rules::default(), NOW) {
                prop_assert!(!faults.is_empty());
            }
        }
    }

    #[test]
    fn reading_a_damaged_event_ends_without_a_panic(
        text in prop_oneof![event(), grant()],
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = text.into_bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [&bytes[..], &bytes[..end.index(bytes.len())]] {
            for form in [Form::Event, Form::Grant, Form::EventOrGrant] {
                match Event::read(bytes, form, &Rules::default(), NOW) {
                    Ok(event) => { event.write(NOW, &mut IdSource::new(), &mut EventBuf::new()); }
                    Err(faults) => prop_assert!(!faults.is_empty()),
                }
            }
        }
    }
}
