//! The rules, one sentence each.

use super::{Code, Event, EventBuf, Form, IdSource, Lane, Rejection, Rules, UnixMillis};

/// 2026-11-23T03:05:37.123Z
const NOW: UnixMillis = 1_795_403_137_123;

fn read(text: &str) -> Result<Event<'_>, Vec<Rejection>> {
    Event::read(text.as_bytes(), Form::EventOrGrant, &Rules::default(), NOW)
}

fn written(text: &str) -> (String, String) {
    let mut out = EventBuf::new();
    let id = read(text).unwrap().write(NOW, &mut IdSource::new(), &mut out);
    (String::from_utf8(out.parts().0.to_vec()).unwrap(), id.as_str().to_owned())
}

/// The faults as `code field`.
fn faults(text: &str) -> Vec<String> {
    let faults = read(text).map(drop).unwrap_err();
    faults.iter().map(|fault| format!("{} {}", fault.code().as_str(), fault.field())).collect()
}

fn message(text: &str) -> String {
    read(text).map(drop).unwrap_err()[0].to_string()
}

#[test]
fn an_event_without_id_and_time_gets_both_stamped_behind_the_brace() {
    let (sent, id) = written("  { \"name\":\"a\", \"external_customer_id\":\"u\" }\r\n");
    assert_eq!(
        sent,
        format!(
            r#"{{"external_id":"{id}","timestamp":"2026-11-23T03:05:37.123Z", "name":"a", "external_customer_id":"u" }}"#
        )
    );
    assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7);
}

#[test]
fn a_complete_event_leaves_byte_for_byte() {
    let text = r#"{"name":"é\u00e9","external_customer_id":"u","external_id":"\u0061-1","timestamp":1577836800.50,"metadata":{"units":1.0e+2,"big":12345678901234567890123,"f":0.12345678901234568}}"#;
    assert_eq!(written(text), (text.to_owned(), "a-1".to_owned()));
}

#[test]
fn a_null_id_is_replaced_where_it_stands() {
    let (sent, id) = written(r#"{"name":"a","external_id": null ,"external_customer_id":"u","timestamp":0}"#);
    assert_eq!(
        sent,
        format!(r#"{{"name":"a","external_id": "{id}" ,"external_customer_id":"u","timestamp":0}}"#)
    );
}

#[test]
fn of_a_repeated_id_the_last_one_counts() {
    let (sent, id) = written(
        r#"{"external_id":"x","name":"a","external\u005fid":null,"external_customer_id":"u","timestamp":0}"#,
    );
    assert!(sent.contains(&format!(r#""external\u005fid":"{id}","#)), "{sent}");
    assert!(sent.starts_with(r#"{"external_id":"x""#));
    let (_, id) = written(r#"{"external_id":null,"name":"a","external_id":"y","external_customer_id":"u"}"#);
    assert_eq!(id, "y");
}

#[test]
fn a_negative_number_in_the_metadata_makes_an_event_a_grant() {
    let lane = |metadata: &str| {
        let text = format!(r#"{{"name":"a","external_customer_id":"u","metadata":{metadata}}}"#);
        read(&text).unwrap().lane()
    };
    assert_eq!(lane(r#"{"units":-10}"#), Lane::Grants);
    assert_eq!(lane(r#"{"plan":"x","units":-0.5e-3}"#), Lane::Grants);
    assert_eq!(lane(r#"{"units":10}"#), Lane::Usage);
    assert_eq!(lane(r#"{"units":-0,"b":-0.0,"c":-1e-400}"#), Lane::Usage);
    assert_eq!(lane(r#"{"units":"-10"}"#), Lane::Usage);
    assert_eq!(lane(r#"{"units":-10,"units":10}"#), Lane::Usage);
    assert_eq!(lane(r#"{"units":10,"un\u0069ts":-10}"#), Lane::Grants);
    assert_eq!(lane(r#"{"_cost":{"amount":-5,"currency":"usd"}}"#), Lane::Usage);
    assert_eq!(lane("{}"), Lane::Usage);
}

#[test]
fn a_grant_becomes_an_event_with_a_negative_value() {
    let (sent, id) = written(
        r#"{"grant":{"event":"api_usage","property":"units","credits":10},"external_customer_id":"user_123"}"#,
    );
    assert_eq!(
        sent,
        format!(
            r#"{{"external_id":"{id}","timestamp":"2026-11-23T03:05:37.123Z","name":"api_usage","metadata":{{"units":-10}},"external_customer_id":"user_123"}}"#
        )
    );
}

#[test]
fn a_grant_keeps_the_characters_of_its_credits_and_what_stands_beside_it() {
    let (sent, id) = written(
        r#"{"external_customer_id":"u","metadata": { "note":"hi" } ,"external_id":"g-1","grant":{"credits":2.50,"property":"u\u006eits","event":"a"},"timestamp":1577836800,"own":[ 1.0 ]}"#,
    );
    assert_eq!(
        (sent.as_str(), id.as_str()),
        (
            r#"{"name":"a","metadata":{"u\u006eits":-2.50,"note":"hi"},"external_customer_id":"u","external_id":"g-1","timestamp":1577836800,"own":[ 1.0 ]}"#,
            "g-1"
        )
    );
    let (sent, _) = written(
        r#"{"grant":{"event":"a","property":"p","credits":1e3},"customer_id":"9f1c2d3e-4b5a-4c6d-8e7f-0a1b2c3d4e5f","external_id":null}"#,
    );
    assert!(sent.contains(r#""p":-1e3"#));
    assert_eq!(sent.matches("external_id").count(), 1, "{sent}");
}

#[test]
fn a_grant_travels_the_lane_of_grants() {
    let text = r#"{"grant":{"event":"a","property":"p","credits":1},"external_customer_id":"u"}"#;
    assert_eq!(read(text).unwrap().lane(), Lane::Grants);
}

#[test]
fn credits_are_a_number_above_zero() {
    for (credits, code) in [
        ("0", Code::GrantCreditsInvalid),
        ("-1", Code::GrantCreditsInvalid),
        ("-0.0", Code::GrantCreditsInvalid),
        ("1e-400", Code::GrantCreditsInvalid),
        ("\"10\"", Code::GrantCreditsInvalid),
        ("null", Code::GrantCreditsInvalid),
        ("true", Code::GrantCreditsInvalid),
        ("1e400", Code::NumberNotFinite),
    ] {
        let text = format!(
            r#"{{"grant":{{"event":"a","property":"p","credits":{credits}}},"external_customer_id":"u"}}"#
        );
        let faults = read(&text).map(drop).unwrap_err();
        assert_eq!(
            (faults.len(), faults[0].code(), faults[0].field()),
            (1, code, "grant.credits"),
            "{credits}"
        );
    }
}

#[test]
fn a_grant_that_says_a_thing_twice_is_refused() {
    assert_eq!(
        faults(
            r#"{"name":"b","grant":{"event":"a","property":"p","credits":1},"external_customer_id":"u","metadata":{"\u0070":5}}"#
        ),
        ["grant_conflict name", "grant_conflict metadata.p"]
    );
}

#[test]
fn an_unknown_key_inside_a_grant_is_refused_with_a_guess() {
    let text = r#"{"grant":{"event":"a","property":"p","amount":1},"external_customer_id":"u"}"#;
    assert_eq!(faults(text), ["grant_key_unknown grant.amount", "missing_field grant.credits"]);
    assert!(message(text).contains("did you mean `credits`?"), "{}", message(text));
}

#[test]
fn a_grants_own_faults_and_those_beside_it_are_reported_together() {
    assert_eq!(
        faults(r#"{"grant":{"event":"","property":"_cost"},"timestamp":null,"external_id":""}"#),
        [
            "grant_invalid grant.event",
            "grant_invalid grant.property",
            "missing_field grant.credits",
            "missing_field external_customer_id",
            "external_id_empty external_id",
            "wrong_type timestamp"
        ]
    );
}

#[test]
fn each_form_takes_only_what_it_names() {
    let grant = r#"{"grant":{"event":"a","property":"p","credits":1},"external_customer_id":"u"}"#;
    let event = r#"{"name":"a","external_customer_id":"u"}"#;
    let read = |text: &str, form| Event::read(text.as_bytes(), form, &Rules::default(), NOW).map(drop);
    assert!(read(grant, Form::Grant).is_ok());
    assert!(read(event, Form::Event).is_ok());
    let refused = read(grant, Form::Event).unwrap_err();
    assert_eq!(refused[0].code(), Code::MissingField);
    assert!(refused[0].message().contains("/sledge/v1/grants"));
    let refused = read(event, Form::Grant).unwrap_err();
    assert_eq!((refused.len(), refused[0].field()), (1, "grant"));
}

#[test]
fn every_fault_of_an_event_is_reported() {
    assert_eq!(
        faults(
            r#"{"name":5,"external_customer_id":6,"external_id":7,"parent_id":8,"timestamp":null,"metadata":{"a":null,"b":[]},"organization_id":9}"#
        ),
        [
            "wrong_type name",
            "wrong_type external_customer_id",
            "wrong_type external_id",
            "wrong_type parent_id",
            "organization_id_forbidden organization_id",
            "wrong_type timestamp",
            "metadata_value_invalid metadata.a",
            "metadata_value_invalid metadata.b"
        ]
    );
}

#[test]
fn an_event_that_is_its_own_parent_is_refused() {
    let text = r#"{"name":"a","external_customer_id":"u","parent_id":"x","external_id":"x"}"#;
    assert_eq!(faults(text), ["parent_is_itself parent_id"]);
}

#[test]
fn a_missing_field_names_the_key_that_was_probably_meant() {
    let text = r#"{"name":"a","customerId":"9f1c2d3e-4b5a-4c6d-8e7f-0a1b2c3d4e5f"}"#;
    assert_eq!(faults(text), ["missing_field external_customer_id"]);
    assert!(
        message(text).ends_with("Polar ignores `customerId`: did you mean `customer_id`?"),
        "{}",
        message(text)
    );
    let text = r#"{"event_name":"a","externalCustomerId":"u"}"#;
    let faults = read(text).map(drop).unwrap_err();
    assert!(faults[0].message().contains("did you mean `name`?"));
    assert!(faults[1].message().contains("did you mean `external_customer_id`?"));
}

#[test]
fn the_body_of_an_ingest_request_is_told_how_to_become_lines() {
    let text = r#"{"events":[{"name":"a","external_customer_id":"u"}]}"#;
    assert_eq!(faults(text), ["events_wrapper "]);
    assert!(message(text).contains("its own line"));
    assert!(message("[]").contains("its own line"));
}

#[test]
fn an_event_of_the_near_future_says_when_it_is_due() {
    let at = |stamp: &str| {
        let text = format!(r#"{{"name":"a","external_customer_id":"u","timestamp":{stamp}}}"#);
        read(&text).map(|event| event.due()).map_err(|faults| faults[0].code())
    };
    assert_eq!(at("\"2026-11-23T03:05:37.123Z\""), Ok(0));
    assert_eq!(at("\"2026-11-23T03:05:37.123001Z\""), Ok(NOW + 1));
    assert_eq!(at("\"2026-11-23T03:05:37.124Z\""), Ok(NOW + 1));
    assert_eq!(at("\"2026-11-23T03:10:37.123Z\""), Ok(NOW + 300_000));
    assert_eq!(at("\"2026-11-23T03:10:37.123001Z\""), Err(Code::TimestampInFuture));
    assert_eq!(at("1795403138"), Ok(1_795_403_138_000));
    assert_eq!(at("1795403137124"), Ok(NOW + 1));
}

#[test]
fn a_due_time_reaches_the_buffer() {
    let mut out = EventBuf::new();
    let text = r#"{"name":"a","external_customer_id":"u","timestamp":1795403138}"#;
    read(text).unwrap().write(NOW, &mut IdSource::new(), &mut out);
    assert_eq!((out.len(), out.due()), (1, 1_795_403_138_000));
}

#[test]
fn an_event_is_measured_as_it_will_be_sent() {
    let text = r#"{"name":"a","external_customer_id":"u"}"#;
    let bytes = read(text).unwrap().written_bytes();
    let spaced = format!("  {text}\n");
    let read = |event_bytes_max| {
        let rules = Rules { event_bytes_max, ..Rules::default() };
        Event::read(spaced.as_bytes(), Form::Event, &rules, NOW).map(drop)
    };
    assert!(read(bytes).is_ok());
    assert_eq!(read(bytes - 1).unwrap_err()[0].code(), Code::EventTooLarge);
    assert_eq!(read(5).unwrap_err()[0].code(), Code::EventTooLarge);
}

#[test]
fn bytes_that_are_no_json_object_are_refused_with_the_place() {
    assert_eq!(faults(""), ["malformed_json "]);
    assert_eq!(faults("5"), ["wrong_type "]);
    assert_eq!(faults("[{}]"), ["wrong_type "]);
    assert!(message(r#"{"name":"a""#).contains("ends in the middle"));
    assert!(message("{\"name\":\"a\",\n x}").contains("line 2, column 2"));
    let faults =
        Event::read(b"{\"name\":\"\xff\"}", Form::Event, &Rules::default(), NOW).map(drop).unwrap_err();
    assert_eq!((faults[0].code(), faults[0].polar_kind()), (Code::MalformedJson, "json_invalid"));
    assert!(faults[0].message().contains("UTF-8"));
}

#[test]
fn nan_and_infinities_are_named_for_what_they_are() {
    for word in ["NaN", "Infinity", "-Infinity"] {
        let text = format!(r#"{{"name":"a","external_customer_id":"u","metadata":{{"x":{word}}}}}"#);
        assert_eq!(faults(&text), ["number_not_finite "], "{word}");
    }
    assert_eq!(
        faults(r#"{"name":"a","external_customer_id":"u","metadata":{"x":-1e400}}"#),
        ["number_not_finite metadata.x"]
    );
}

#[test]
fn what_polars_parser_would_choke_on_is_refused_in_unknown_fields_too() {
    let with = |value: &str| format!(r#"{{"name":"a","external_customer_id":"u","own":{value}}}"#);
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(&with(&nested(100))).is_ok());
    assert_eq!(faults(&with(&nested(101))), ["nesting_too_deep own"]);
    assert_eq!(
        faults(&with(&format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000)))),
        ["nesting_too_deep own"]
    );
    assert!(read(&with(&format!("\"{}\"", "[".repeat(5000)))).is_ok());
    assert!(read(&with(&format!(r#"["\\\"{}"]"#, "[".repeat(5000)))).is_ok());
    assert_eq!(faults(&with(&format!("[1,-{}]", "9".repeat(4301)))), ["number_too_long own"]);
    assert!(
        read(&with(&format!("[1,-{}, 0.{}, 1e-{}]", "9".repeat(4300), "9".repeat(4301), "9".repeat(4301))))
            .is_ok()
    );
    let repeated = format!(
        r#"{{"metadata":{{"a":{}}},"name":"a","external_customer_id":"u","metadata":{{}}}}"#,
        "9".repeat(4301)
    );
    assert_eq!(faults(&repeated), ["number_too_long metadata"]);
}

#[test]
fn a_text_cut_in_the_middle_of_a_character_is_refused() {
    let text = r#"{"name":"a\ud83d","external_customer_id":"u","metadata":{"k":"\udc00"}}"#;
    assert_eq!(faults(text), ["text_invalid name", "text_invalid metadata.k"]);
    assert_eq!(
        faults(r#"{"name":"a","external_customer_id":"u","metadata":{"\ud800":1}}"#),
        ["text_invalid metadata"]
    );
}

#[test]
fn a_path_tells_a_key_with_a_dot_from_two_keys_and_cuts_long_ones() {
    let text = format!(
        r#"{{"name":"a","external_customer_id":"u","metadata":{{"a.b":null,"{}":null}}}}"#,
        "é".repeat(5000)
    );
    let faults = read(&text).map(drop).unwrap_err();
    assert_eq!(faults[0].path(), ["metadata", "a.b"]);
    assert_eq!(faults[0].field(), "metadata.a.b");
    assert_eq!(faults[1].path()[1].chars().count(), 101);
}

#[test]
fn a_key_can_not_steer_the_terminal_it_is_shown_on() {
    let text = r#"{"name":"a","external_customer_id":"u","metadata":{"\u001b[31mred":null}}"#;
    assert_eq!(faults(text), ["metadata_value_invalid metadata.\u{fffd}[31mred"]);
}

#[test]
fn an_event_of_nothing_but_faults_gets_a_list_with_an_end() {
    let nulls: Vec<_> = (0..10_000).map(|key| format!("\"{key}\":null")).collect();
    assert_eq!(faults(&format!("{{\"metadata\":{{{}}}}}", nulls.join(","))).len(), 100);
    assert_eq!(faults(&format!("{{\"grant\":{{{}}}}}", nulls.join(","))).len(), 100);
}

#[test]
fn an_id_taken_from_its_bytes_is_the_same_id() {
    let id = read(r#"{"name":"a","external_customer_id":"u","external_id":"x"}"#).unwrap();
    assert_eq!(id.external_id(), Some("x"));
    let id = id.write(NOW, &mut IdSource::new(), &mut EventBuf::new());
    assert_eq!(id.clone().into_owned(), id);
}
