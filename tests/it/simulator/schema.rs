//! Events: what is accepted, what is refused, and what takes the whole batch down.

use serde_json::{Value, json};
use sledge::simulator::{NewCustomer, NewMeter};

use super::wire::{Answer, Polar, batch, one};

fn inserted(answer: &Answer) -> (u64, u64) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    (answer.json()["inserted"].as_u64().unwrap(), answer.json()["duplicates"].as_u64().unwrap())
}

fn event(customer: &str) -> String {
    format!(r#"{{"events":[{{"name":"n",{customer}}}]}}"#)
}

async fn poison(body: &str) {
    let polar = Polar::start().await;
    let good = batch("good", 2);
    let joined = good.replace("]}", &format!(",{body}]}}"));
    let answer = polar.ingest(&joined).await;
    assert_eq!((answer.status, answer.body.as_str()), (500, "Internal Server Error"), "{body}");
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
    assert_eq!(polar.simulator.state().events_inserted, 0, "the whole batch is refused");
    assert_eq!(inserted(&polar.ingest(&good).await), (2, 0));
}

fn user(fields: &str) -> String {
    format!(r#"{{"name":"n","external_customer_id":"u",{fields}}}"#)
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let polar = Polar::start().await;
    assert_eq!(inserted(&polar.ingest(&one(r#""unknown":[1,{"a":null}]"#)).await), (1, 0));
}

#[tokio::test]
async fn a_name_has_at_most_128_characters_and_may_be_empty_or_one_of_polars_own() {
    let polar = Polar::start().await;
    for name in [String::new(), "meter.credited".into(), "é".repeat(128)] {
        let body = format!(r#"{{"events":[{{"name":"{name}","external_customer_id":"u"}}]}}"#);
        assert_eq!(inserted(&polar.ingest(&body).await), (1, 0));
    }
    let long = format!(r#"{{"events":[{{"name":"{}","external_customer_id":"u"}}]}}"#, "é".repeat(129));
    assert_eq!(polar.ingest(&long).await.status, 422);
}

#[tokio::test]
async fn a_customer_id_must_be_one_of_an_existing_customer() {
    let polar = Polar::start().await;
    let unknown = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
    let answer = polar.ingest(&event(&format!(r#""customer_id":"{unknown}""#))).await;
    let expected = json!({
        "error": "PolarRequestValidationError",
        "detail": [{
            "type": "customer_id",
            "loc": ["body", "events", 0, "customer_id"],
            "msg": "Customer not found.",
            "input": unknown,
        }],
    });
    assert_eq!((answer.status, answer.json()), (422, expected));
    let customer = NewCustomer { email: "a@example.com".into(), name: None, external_id: None };
    let known = polar.simulator.create_customer(customer).unwrap();
    assert_eq!(inserted(&polar.ingest(&event(&format!(r#""customer_id":"{known}""#))).await), (1, 0));
}

#[tokio::test]
async fn an_unknown_external_customer_is_accepted_and_so_is_an_empty_one() {
    let polar = Polar::start().await;
    assert_eq!(inserted(&polar.ingest(&event(r#""external_customer_id":"nobody""#)).await), (1, 0));
    assert_eq!(inserted(&polar.ingest(&event(r#""external_customer_id":"""#)).await), (1, 0));
}

#[tokio::test]
async fn one_of_the_two_customer_fields_is_required_and_with_both_the_customer_id_is_dropped() {
    let polar = Polar::start().await;
    assert_eq!(polar.ingest(r#"{"events":[{"name":"n"}]}"#).await.status, 422);
    let both = r#""customer_id":"3fa85f64-5717-4562-b3fc-2c963f66afa6","external_customer_id":"u""#;
    assert_eq!(
        inserted(&polar.ingest(&event(both)).await),
        (1, 0),
        "an unknown id would be refused if it counted"
    );
}

#[tokio::test]
async fn an_unknown_member_is_refused_and_an_external_one_is_not() {
    let polar = Polar::start().await;
    let customer = NewCustomer { email: "a@example.com".into(), name: None, external_id: None };
    let id = polar.simulator.create_customer(customer).unwrap();
    let member = format!(r#""customer_id":"{id}","member_id":"3fa85f64-5717-4562-b3fc-2c963f66afa6""#);
    let answer = polar.ingest(&event(&member)).await;
    assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", "events", 0, "member_id"]));
    let external = r#""external_customer_id":"u","external_member_id":"m""#;
    assert_eq!(inserted(&polar.ingest(&event(external)).await), (1, 0));
}

#[tokio::test]
async fn an_external_id_is_unique_and_the_first_wins_whatever_it_carries() {
    let polar = Polar::start().await;
    let twice = r#"{"events":[{"name":"first","external_customer_id":"u","external_id":"x"},{"name":"second","external_customer_id":"v","external_id":"x"}]}"#;
    assert_eq!(inserted(&polar.ingest(twice).await), (1, 1));
    assert_eq!(inserted(&polar.ingest(twice).await), (0, 2));
    let events = polar.simulator.events();
    assert!(events.len() == 1 && events[0].contains("first"));
}

#[tokio::test]
async fn an_empty_external_id_is_a_value_and_dedupes_and_none_at_all_never_does() {
    let polar = Polar::start().await;
    for expected in [(1, 0), (0, 1)] {
        assert_eq!(inserted(&polar.ingest(&one(r#""external_id":"""#)).await), expected);
    }
    for _ in 0..2 {
        assert_eq!(inserted(&polar.ingest(&one(r#""external_id":null"#)).await), (1, 0));
    }
}

#[tokio::test]
async fn a_parent_may_come_later_or_in_the_same_batch_and_orphans_are_counted() {
    let polar = Polar::start().await;
    assert_eq!(inserted(&polar.ingest(&one(r#""parent_id":"late""#)).await), (1, 0));
    assert_eq!(inserted(&polar.ingest(&one(r#""parent_id":"never""#)).await), (1, 0));
    assert_eq!(polar.simulator.state().orphans, 2);
    assert_eq!(inserted(&polar.ingest(&one(r#""external_id":"late","parent_id":"late""#)).await), (1, 0));
    assert_eq!(polar.simulator.state().orphans, 1);
    assert_eq!(polar.simulator.state().events_with_parent, 3);
}

#[tokio::test]
async fn a_parent_may_be_named_by_polars_own_id() {
    let polar = Polar::start().await;
    polar.ingest(&batch("a", 1)).await;
    let id = polar.get("/v1/events/").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(inserted(&polar.ingest(&one(&format!(r#""parent_id":"{id}""#))).await), (1, 0));
    assert_eq!(polar.simulator.state().orphans, 0);
    assert_eq!(
        inserted(&polar.ingest(&one(r#""parent_id":"3fa85f64-5717-4562-b3fc-2c963f66afa6""#)).await),
        (1, 0)
    );
    assert_eq!(polar.simulator.state().orphans, 1);
}

#[tokio::test]
async fn an_id_that_is_no_string_is_refused() {
    let polar = Polar::start().await;
    for field in [r#""external_id":5"#, r#""parent_id":5"#, r#""external_customer_id":5"#, r#""name":null"#] {
        let answer = polar.ingest(&user(field).replace('{', r#"{"events":[{"#).replace('}', "}]}")).await;
        assert_eq!(answer.status, 422, "{field}");
        let kinds =
            answer.json()["detail"].as_array().unwrap().iter().any(|fault| fault["type"] == "string_type");
        assert!(kinds, "{field}: {}", answer.body);
    }
    let no_uuid4 = event(r#""customer_id":"3fa85f64-5717-1562-b3fc-2c963f66afa6""#);
    assert_eq!(polar.ingest(&no_uuid4).await.json()["error"], "RequestValidationError");
}

#[tokio::test]
async fn the_same_id_under_another_name_or_customer_is_a_duplicate_for_ever() {
    let polar = Polar::start().await;
    assert_eq!(inserted(&polar.ingest(&one(r#""external_id":"x""#)).await), (1, 0));
    polar.advance_ms(400 * 24 * 3_600_000);
    let other = r#"{"events":[{"name":"other","external_customer_id":"v","external_id":"x"}]}"#;
    assert_eq!(inserted(&polar.ingest(other).await), (0, 1));
}

#[tokio::test]
async fn a_language_model_needs_its_five_fields_and_takes_three_more() {
    let polar = Polar::start().await;
    let needed = r#""vendor":"v","model":"m","input_tokens":1,"output_tokens":2,"total_tokens":3"#;
    let more = r#","cached_input_tokens":0,"prompt":"p","response":null"#;
    for (fields, status) in [
        (needed.to_owned(), 200),
        (format!("{needed}{more}"), 200),
        (needed.replace(r#","total_tokens":3"#, ""), 422),
        (needed.replace(":1,", ":1.5,"), 422),
    ] {
        let body = one(&format!(r#""metadata":{{"_llm":{{{fields}}}}}"#));
        assert_eq!(polar.ingest(&body).await.status, status, "{fields}");
    }
}

#[tokio::test]
async fn a_fault_repeats_what_was_sent() {
    let polar = Polar::start().await;
    let answer = polar.ingest(&one(r#""metadata":{"k":["secret"]}"#)).await;
    assert_eq!(answer.json()["detail"][0]["input"], json!(["secret"]));
    assert_eq!(
        answer.json()["detail"][0]["loc"].as_array().unwrap()[..6],
        [
            json!("body"),
            json!("events"),
            json!(0),
            json!("EventCreateCustomer"),
            json!("metadata"),
            json!("k")
        ]
    );
}

#[tokio::test]
async fn the_second_layer_names_only_the_first_fault_of_an_event() {
    let polar = Polar::start().await;
    let id = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
    let twice = format!(r#"{{"name":"n","customer_id":"{id}","organization_id":"{id}"}}"#);
    let answer = polar.ingest(&format!(r#"{{"events":[{twice},{twice}]}}"#)).await;
    let places: Vec<Value> =
        answer.json()["detail"].as_array().unwrap().iter().map(|fault| fault["loc"][2].clone()).collect();
    assert_eq!(places, [json!(0), json!(1)]);
}

#[tokio::test]
async fn an_instant_after_polars_clock_is_refused_and_now_is_not() {
    let polar = Polar::start().await;
    assert_eq!(inserted(&polar.ingest(&one(r#""timestamp":"2026-08-22T12:00:00Z""#)).await), (1, 0));
    let answer = polar.ingest(&one(r#""timestamp":"2026-08-22T12:00:00.000001Z""#)).await;
    let fault = &answer.json()["detail"][0];
    assert!(fault["msg"].as_str().unwrap().ends_with("Timestamp must be in the past."));
    assert_eq!(fault["loc"], json!(["body", "events", 0, "EventCreateCustomer", "timestamp"]));
}

#[tokio::test]
async fn timestamps_without_a_zone_or_null_or_dates_or_leap_seconds_are_refused() {
    let polar = Polar::start().await;
    for text in [r#""2026-08-22T11:00:00""#, "null", r#""2026-08-22""#, r#""2026-06-30T23:59:60Z""#] {
        assert_eq!(polar.ingest(&one(&format!(r#""timestamp":{text}"#))).await.status, 422, "{text}");
    }
    for text in [
        "1755860000",
        "0",
        "-1",
        "1755860000000",
        r#""1755860000""#,
        "1755860000.5",
        r#""2026-08-22T13:00:00+02:00""#,
    ] {
        assert_eq!(polar.ingest(&one(&format!(r#""timestamp":{text}"#))).await.status, 200, "{text}");
    }
}

#[tokio::test]
async fn an_organization_may_not_be_named_with_an_organization_token() {
    let polar = Polar::start().await;
    let answer = polar.ingest(&one(r#""organization_id":"3fa85f64-5717-4562-b3fc-2c963f66afa6""#)).await;
    assert_eq!(answer.json()["error"], "PolarRequestValidationError");
    assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", "events", 0, "organization_id"]));
}

#[tokio::test]
async fn metadata_takes_short_strings_numbers_and_booleans_and_nothing_else() {
    let polar = Polar::start().await;
    let long = format!("\"{}\"", "x".repeat(501));
    let digits = "9".repeat(60);
    let longest = format!("\"{}\"", "é".repeat(500));
    for good in [
        "0.12345678901234568",
        "1e-12",
        longest.as_str(),
        "1",
        "-1.5",
        "true",
        r#""x""#,
        digits.as_str(),
        r#""5""#,
    ] {
        assert_eq!(polar.ingest(&one(&format!(r#""metadata":{{"k":{good}}}"#))).await.status, 200, "{good}");
    }
    for bad in ["null", r#""""#, long.as_str(), "[]", "{}", r#""\u0000""#] {
        assert_eq!(polar.ingest(&one(&format!(r#""metadata":{{"k":{bad}}}"#))).await.status, 422, "{bad}");
    }
}

#[tokio::test]
async fn neither_the_length_nor_the_number_of_metadata_keys_is_limited() {
    let polar = Polar::start().await;
    let many: Vec<String> = (0..60).map(|n| format!(r#""k{n}":1"#)).collect();
    for keys in [format!(r#""{}":1"#, "k".repeat(100)), r#""":1"#.to_owned(), many.join(",")] {
        assert_eq!(inserted(&polar.ingest(&one(&format!(r#""metadata":{{{keys}}}"#))).await), (1, 0));
    }
}

#[tokio::test]
async fn a_cost_has_at_most_17_digits_with_12_of_them_decimals() {
    let polar = Polar::start().await;
    for (amount, status) in [("0.3", 200), ("99999", 200), ("0.30000000000000004", 422), ("100000", 422)] {
        let body = one(&format!(r#""metadata":{{"_cost":{{"amount":{amount},"currency":"usd"}}}}"#));
        assert_eq!(polar.ingest(&body).await.status, status, "{amount}");
    }
}

#[tokio::test]
async fn one_bad_event_refuses_the_batch_and_every_bad_one_is_named_under_both_arms() {
    let polar = Polar::start().await;
    let body = r#"{"events":[{"name":"n","external_customer_id":"u"},{"name":1,"external_customer_id":"u"},{"name":2,"external_customer_id":"u"}]}"#;
    let answer = polar.ingest(body).await;
    assert_eq!((answer.status, &answer.json()["error"]), (422, &json!("RequestValidationError")));
    let named: Vec<Value> = answer.json()["detail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| json!([fault["loc"][2], fault["loc"][3]]))
        .collect();
    for index in [1, 2] {
        for arm in ["EventCreateCustomer", "EventCreateExternalCustomer"] {
            assert!(named.contains(&json!([index, arm])), "{index} {arm} in {named:?}");
        }
    }
    assert_eq!(polar.simulator.state().events_inserted, 0);
}

#[tokio::test]
async fn the_second_layer_speaks_only_when_the_first_is_silent() {
    let polar = Polar::start().await;
    let unknown = r#"{"name":"n","customer_id":"3fa85f64-5717-4562-b3fc-2c963f66afa6"}"#;
    let answer =
        polar.ingest(&format!(r#"{{"events":[{unknown},{{"name":1,"external_customer_id":"u"}}]}}"#)).await;
    assert_eq!(answer.json()["error"], "RequestValidationError");
    let answer = polar.ingest(&format!(r#"{{"events":[{unknown},{unknown}]}}"#)).await;
    assert_eq!(answer.json()["error"], "PolarRequestValidationError");
    assert_eq!(answer.json()["detail"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn numbers_that_are_none_and_lone_surrogates_are_poison() {
    for value in ["NaN", "Infinity", "-Infinity", "1e400", r#""\ud800""#] {
        poison(&user(&format!(r#""metadata":{{"k":{value}}}"#))).await;
    }
}

#[tokio::test]
async fn ids_beyond_the_index_limit_are_poison() {
    let long = "x".repeat(2705);
    poison(&user(&format!(r#""external_id":"{long}""#))).await;
    poison(&format!(r#"{{"name":"n","external_customer_id":"{long}"}}"#)).await;
    let polar = Polar::start().await;
    let longest = "x".repeat(2704);
    assert_eq!(inserted(&polar.ingest(&one(&format!(r#""external_id":"{longest}""#))).await), (1, 0));
}

#[tokio::test]
async fn an_instant_python_cannot_hold_is_poison() {
    poison(&user(r#""timestamp":"0001-01-01T00:00:00+14:00""#)).await;
}

#[tokio::test]
async fn more_than_32767_events_are_a_500() {
    let polar = Polar::start().await;
    assert_eq!(polar.ingest(&batch("a", 32_768)).await.status, 500);
    assert_eq!(inserted(&polar.ingest(&batch("a", 32_767)).await), (32_767, 0));
}

#[tokio::test]
async fn more_than_4681_meter_rows_are_a_500() {
    let polar = Polar::start().await;
    polar.simulator.create_meter(NewMeter::sum("one", "api_usage", "units"));
    polar.simulator.create_meter(NewMeter::sum("two", "api_usage", "units"));
    assert_eq!(polar.ingest(&batch("a", 2341)).await.status, 500);
    assert_eq!(inserted(&polar.ingest(&batch("a", 2340)).await), (2340, 0));
}
