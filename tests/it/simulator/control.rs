//! What users and tests can do to a simulator.

use std::time::Duration;

use serde_json::json;
use sledge::simulator::{
    AlsoRefuse, Change, Cut, NewCustomer, NewMeter, RefusedAs, RefusedField, Scripted, Seen,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::wire::{Polar, SDK, batch, one, request};

#[tokio::test]
async fn the_next_replies_can_be_scripted_and_then_polar_answers_again() {
    let polar = Polar::start().await;
    polar.simulator.script([
        Scripted::status(503).with_header("retry-after", "7").times(2),
        Scripted::bad_gateway(),
        Scripted::wrong_json(),
        Scripted::wrong_sums(),
    ]);
    for _ in 0..2 {
        let answer = polar.ingest(&batch("a", 1)).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
    }
    let answer = polar.ingest(&batch("a", 1)).await;
    assert_eq!((answer.status, answer.header("content-type")), (502, Some("text/html")));
    assert_eq!(polar.simulator.state().events_inserted, 0);
    assert!(serde_json::from_str::<serde_json::Value>(&polar.ingest(&batch("a", 1)).await.body).is_err());
    assert_eq!(polar.ingest(&batch("b", 1)).await.body, r#"{"inserted":0,"duplicates":0}"#);
    assert_eq!(polar.simulator.state().events_inserted, 2, "these two committed all the same");
    assert_eq!(polar.ingest(&batch("c", 1)).await.body, r#"{"inserted":1,"duplicates":0}"#);
}

#[tokio::test]
async fn a_connection_can_be_cut_before_the_commit_after_it_and_in_the_middle_of_the_answer() {
    let polar = Polar::start().await;
    for (n, (cut, committed)) in
        [(Cut::BeforeCommit, 0), (Cut::AfterCommit, 1), (Cut::MidAnswer, 2)].into_iter().enumerate()
    {
        polar.simulator.script([Scripted::cut(cut)]);
        let answer =
            polar.send("POST", "/v1/events/ingest", &SDK, batch(&format!("{n}"), 1).as_bytes()).await;
        assert!(answer.is_none(), "{cut:?} answered {answer:?}");
        assert_eq!(polar.simulator.state().events_inserted, committed, "{cut:?}");
    }
    assert_eq!(polar.simulator.state().requests_by_status[&0], 3);
}

#[tokio::test]
async fn connections_can_be_refused_for_a_while() {
    let polar = Polar::start().await;
    polar.simulator.change(Change { refuse_connections: Some(true), ..Change::default() });
    assert!(polar.send("POST", "/v1/events/ingest", &SDK, batch("a", 1).as_bytes()).await.is_none());
    assert_eq!(polar.get("/simulator/state").await.status, 200, "the control surface stays");
    polar.simulator.change(Change { refuse_connections: Some(false), ..Change::default() });
    assert_eq!(polar.ingest(&batch("a", 1)).await.status, 200);
}

#[tokio::test]
async fn rules_stricter_than_polars_refuse_in_either_layer_or_take_the_batch_down() {
    let polar = Polar::start().await;
    for (refused_as, status, depth) in
        [(RefusedAs::Schema, 422, 5), (RefusedAs::Business, 422, 4), (RefusedAs::ServerError, 500, 0)]
    {
        let rule = AlsoRefuse { field: RefusedField::ExternalId, containing: "-1".into(), refused_as };
        polar.simulator.change(Change { also_refuse: Some(vec![rule]), ..Change::default() });
        let answer = polar.ingest(&batch("a", 3)).await;
        assert_eq!(answer.status, status);
        if status == 422 {
            let place = &answer.json()["detail"][0]["loc"];
            assert_eq!((&place[2], place.as_array().unwrap().len()), (&json!(1), depth));
        }
    }
    for (field, containing) in [
        (RefusedField::Name, "usage"),
        (RefusedField::ExternalCustomerId, "user"),
        (RefusedField::MetadataKey, "unit"),
    ] {
        let rule = AlsoRefuse { field, containing: containing.into(), refused_as: RefusedAs::Business };
        polar.simulator.change(Change { also_refuse: Some(vec![rule]), ..Change::default() });
        assert_eq!(polar.ingest(&batch("a", 1)).await.status, 422, "{field:?}");
    }
    assert_eq!(polar.simulator.state().events_inserted, 0);
}

#[tokio::test]
async fn a_rule_of_the_schema_and_real_faults_are_named_in_one_answer() {
    let polar = Polar::start().await;
    let rule = |field| AlsoRefuse { field, containing: "bad".into(), refused_as: RefusedAs::Schema };
    let rules = [RefusedField::Name, RefusedField::ExternalCustomerId, RefusedField::MetadataKey].map(rule);
    polar.simulator.change(Change { also_refuse: Some(rules.into()), ..Change::default() });
    let events = [
        r#"{"name":"bad","external_customer_id":"u"}"#.to_owned(),
        r#"{"name":"n","external_customer_id":"u","metadata":{"k":null}}"#.to_owned(),
        r#"{"name":"n","external_customer_id":"u"}"#.to_owned(),
        r#"{"name":"n","external_customer_id":"bad","metadata":{"bad key":1,"k":[]}}"#.to_owned(),
        // What the schema itself refuses, a rule does not refuse a second time.
        format!(r#"{{"name":"bad{}","external_customer_id":"u"}}"#, "x".repeat(128)),
    ];
    let answer = polar.ingest(&format!(r#"{{"events":[{}]}}"#, events.join(","))).await;
    assert_eq!((answer.status, &answer.json()["error"]), (422, &json!("RequestValidationError")));
    let detail = answer.json()["detail"].clone();
    let external: Vec<_> = detail
        .as_array()
        .unwrap()
        .iter()
        .filter(|fault| fault["loc"][3] == "EventCreateExternalCustomer")
        .map(|fault| (fault["loc"][2].as_u64().unwrap(), fault["loc"][4].clone(), fault["type"].clone()))
        .collect();
    let expected = [
        (0, "name", "value_error"),
        (1, "metadata", "value_error"),
        (3, "metadata", "value_error"),
        (3, "external_customer_id", "value_error"),
        (4, "name", "string_too_long"),
    ];
    for (index, field, kind) in expected {
        let named = external
            .iter()
            .any(|fault| fault.0 == index && fault.1 == field && (index == 1 || fault.2 == kind));
        assert!(named, "{index} {field} {kind} in {external:?}");
    }
    assert!(external.iter().all(|fault| fault.0 != 2), "the good one is not named: {external:?}");
    assert_eq!(external.iter().filter(|fault| fault.0 == 4).count(), 1, "{external:?}");
}

#[tokio::test]
async fn a_rule_of_the_second_layer_and_real_faults_are_named_in_one_answer() {
    let polar = Polar::start().await;
    let rule =
        AlsoRefuse { field: RefusedField::Name, containing: "bad".into(), refused_as: RefusedAs::Business };
    polar.simulator.change(Change { also_refuse: Some(vec![rule]), ..Change::default() });
    let unknown = r#"{"name":"n","customer_id":"3fa85f64-5717-4562-b3fc-2c963f66afa6"}"#;
    let bad = r#"{"name":"bad","external_customer_id":"u"}"#;
    let answer = polar.ingest(&format!(r#"{{"events":[{bad},{unknown}]}}"#)).await;
    assert_eq!(answer.json()["error"], "PolarRequestValidationError");
    let fields: Vec<_> =
        answer.json()["detail"].as_array().unwrap().iter().map(|fault| fault["loc"][3].clone()).collect();
    assert_eq!(fields, [json!("name"), json!("customer_id")]);
}

#[tokio::test]
async fn another_page_of_the_same_browser_can_control_nothing() {
    let polar = Polar::start().await;
    polar.ingest(&batch("a", 1)).await;
    let ask = async |method: &str, path: &str, host: &str, headers: &str| {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n"
        );
        polar.raw(head.as_bytes()).await.unwrap().status
    };
    let own = polar.address.clone();
    for headers in [
        "Origin: https://evil.test\r\n".to_owned(),
        "Origin: null\r\n".to_owned(),
        "Sec-Fetch-Site: cross-site\r\n".to_owned(),
        format!("Sec-Fetch-Site: same-site\r\nOrigin: http://{own}1\r\n"),
    ] {
        assert_eq!(ask("POST", "/simulator/reset", &own, &headers).await, 403, "{headers}");
        assert_eq!(ask("GET", "/simulator/events", &own, &headers).await, 403, "{headers}");
    }
    for host in ["evil.test", "evil.test:8899", "127.0.0.1.evil.test"] {
        assert_eq!(ask("POST", "/simulator/reset", host, "").await, 403, "{host}");
    }
    assert_eq!(polar.simulator.state().events_inserted, 1, "nothing was reset");
    // The page as a browser opens it, as it loads itself again, and a program that is no browser.
    assert_eq!(ask("GET", "/simulator", &own, "Sec-Fetch-Site: none\r\n").await, 200);
    assert_eq!(ask("GET", "/simulator", &own, "Sec-Fetch-Site: same-origin\r\n").await, 200);
    assert_eq!(ask("GET", "/simulator", "localhost:8899", "").await, 200);
    assert_eq!(ask("POST", "/simulator/reset", &own, &format!("Origin: http://{own}\r\n")).await, 204);
    assert_eq!(polar.simulator.state().events_inserted, 0);
}

#[tokio::test]
async fn snapshots_and_scripted_replies_are_bounded() {
    let polar = Polar::start().await;
    for _ in 0..16 {
        assert_eq!(polar.post("/simulator/snapshots", "").await.status, 201);
    }
    let answer = polar.post("/simulator/snapshots", "").await;
    assert_eq!(answer.status, 409);
    assert!(answer.body.contains("restore") && answer.body.contains("reset"), "{}", answer.body);
    let replies = format!("[{}]", vec![r#"{"status":500}"#; 5_000].join(","));
    for status in [204, 204, 409] {
        assert_eq!(polar.post("/simulator/replies", &replies).await.status, status);
    }
    assert_eq!(polar.simulator.state().scripted_replies, 10_000);
}

#[tokio::test]
async fn what_a_restore_took_back_is_listed_until_it_is_sent_again() {
    let polar = Polar::start().await;
    polar.ingest(&batch("old", 1)).await;
    let snapshot = polar.simulator.snapshot();
    polar.ingest(&batch("new", 3)).await;
    assert_eq!(polar.get("/simulator/external-ids?lost=true").await.json(), json!([]));
    polar.simulator.restore(snapshot).unwrap();
    let lost = polar.get("/simulator/external-ids?lost=true&offset=1&limit=1").await.json();
    assert_eq!(lost, json!([{"external_id": "new-1", "sent": 1, "inserted": 1, "present": false}]));
    assert_eq!(polar.simulator.state().external_ids_lost, 3);
    polar.ingest(&batch("new", 2)).await;
    let ids: Vec<_> = polar.simulator.lost_ids(0, 10).into_iter().map(|record| record.external_id).collect();
    assert_eq!(ids, ["new-2"]);
}

#[tokio::test]
async fn arrivals_are_told_with_what_became_of_them() {
    let polar = Polar::start().await;
    let mut arrivals = polar.simulator.arrivals();
    polar.simulator.script([Scripted::default(), Scripted::status(503)]);
    polar.ingest(&batch("a", 30)).await;
    polar.ingest(&batch("b", 1)).await;
    polar.ingest("{\"events\":[{\"name\":1,\n\"external_customer_id\":\"u\"}]}").await;
    polar.get("/v1/meters/").await;
    let mut told = Vec::new();
    while let Some(Seen::Arrival(arrival)) = arrivals.already() {
        let request = &arrival.request;
        told.push((
            request.status,
            request.events,
            request.inserted,
            arrival.first_events.len(),
            request.scripted,
        ));
        if request.status == 422 {
            assert!(
                arrival.refusal.as_deref().unwrap().starts_with("body.events.0.EventCreateCustomer.name: ")
            );
            assert!(!arrival.first_events[0].get().contains('\n'));
        }
    }
    assert_eq!(
        told,
        [(200, 30, 30, 20, true), (503, 1, 0, 1, true), (422, 1, 0, 1, false), (200, 0, 0, 0, false)]
    );
}

#[tokio::test]
async fn every_id_is_listed_with_how_often_it_came_and_went_in() {
    let polar = Polar::start().await;
    polar.simulator.script([Scripted::status(500)]);
    for _ in 0..3 {
        polar.ingest(&batch("a", 2)).await;
    }
    let listed = polar.get("/simulator/external-ids?offset=1&limit=5").await.json();
    assert_eq!(listed, json!([{"external_id": "a-1", "sent": 3, "inserted": 1, "present": true}]));
    assert_eq!(polar.simulator.external_id("a-0").unwrap().sent, 3);
    assert_eq!(polar.simulator.external_id("b"), None);
}

#[tokio::test]
async fn ids_of_refused_requests_are_counted_as_sent_too() {
    let polar = Polar::start().await;
    polar.ingest(&one(r#""external_id":"bad","metadata":{"k":null}"#)).await;
    let record = polar.simulator.external_id("bad").unwrap();
    assert_eq!((record.sent, record.inserted, record.present), (1, 0, false));
}

#[tokio::test]
async fn an_id_in_two_requests_at_once_is_noticed() {
    let polar = Polar::start().await;
    polar.simulator.script([Scripted::late(600_000)]);
    let mut unanswered = TcpStream::connect(&polar.address).await.unwrap();
    let first = request("POST", "/v1/events/ingest", &SDK, batch("a", 1).as_bytes());
    unanswered.write_all(&first).await.unwrap();
    assert!(polar.simulator.wait_for_events(1, Duration::from_secs(10)).await);
    polar.ingest(&batch("b", 1)).await;
    assert_eq!(polar.simulator.state().external_ids_in_two_requests_at_once, 0);
    polar.ingest(&batch("a", 1)).await;
    let state = polar.simulator.state();
    assert_eq!((state.external_ids_in_two_requests_at_once, state.concurrent_requests_max), (1, 2));
}

#[tokio::test]
async fn the_state_counts_requests_sizes_and_statuses() {
    let polar = Polar::start().await;
    polar.ingest(&batch("a", 3)).await;
    polar.ingest(&batch("a", 3)).await;
    polar.ingest("{").await;
    let state = polar.get("/simulator/state").await.json();
    assert_eq!(state["request_sizes"], json!({"0": 1, "3": 2}));
    assert_eq!(state["requests_by_status"], json!({"200": 2, "422": 1}));
    assert_eq!(
        (&state["events_received"], &state["events_inserted"], &state["events_duplicate"]),
        (&json!(6), &json!(3), &json!(3))
    );
    let requests = polar.get("/simulator/requests").await.json();
    assert_eq!((&requests[0]["path"], &requests[0]["events"]), (&json!("/v1/events/ingest"), &json!(3)));
}

#[tokio::test]
async fn a_restored_snapshot_has_forgotten_what_was_answered_since() {
    let polar = Polar::start().await;
    polar.simulator.create_meter(NewMeter::sum("API Calls", "api_usage", "units"));
    polar.ingest(&batch("old", 2)).await;
    let snapshot = polar.simulator.snapshot();
    assert_eq!(polar.ingest(&batch("new", 3)).await.status, 200);
    polar.simulator.restore(snapshot).unwrap();
    assert_eq!(polar.simulator.state().events_present, 2);
    assert_eq!(polar.simulator.balance("user_123", "API Calls"), Some(-2.0));
    assert_eq!(polar.simulator.events().len(), 2);
    assert_eq!(polar.ingest(&batch("new", 3)).await.body, r#"{"inserted":3,"duplicates":0}"#);
    assert_eq!(polar.ingest(&batch("old", 2)).await.body, r#"{"inserted":0,"duplicates":2}"#);
    assert_eq!(polar.simulator.external_id("new-0").unwrap().inserted, 2);
    assert_eq!(polar.post("/simulator/snapshots/9/restore", "").await.status, 404);
}

#[tokio::test]
async fn a_reset_forgets_what_arrived() {
    let polar = Polar::start().await;
    polar.ingest(&batch("a", 2)).await;
    assert_eq!(polar.post("/simulator/reset", "").await.status, 204);
    assert_eq!(polar.simulator.state().events_inserted, 0);
    assert_eq!(polar.ingest(&batch("a", 2)).await.body, r#"{"inserted":2,"duplicates":0}"#);
}

#[tokio::test]
async fn waiting_ends_when_enough_events_are_there_or_the_time_is_over() {
    let polar = Polar::start().await;
    let body = batch("a", 2);
    let (arrived, _) =
        tokio::join!(polar.get("/simulator/wait?events=2&timeout_ms=10000"), polar.ingest(&body));
    assert_eq!(arrived.status, 200);
    assert_eq!(polar.get("/simulator/wait?events=3&timeout_ms=1").await.status, 408);
    assert!(!polar.simulator.wait_for_events(3, Duration::from_millis(1)).await);
}

#[tokio::test]
async fn settings_and_replies_can_be_changed_over_http_and_typing_errors_are_answered() {
    let polar = Polar::start().await;
    let change = r#"{"rate_limit":"production","clock_offset_ms":1000,"also_refuse":[{"field":"name","containing":"x","refused_as":"schema"}]}"#;
    assert_eq!(polar.send("PATCH", "/simulator/settings", &[], change.as_bytes()).await.unwrap().status, 204);
    assert_eq!(
        polar.send("PATCH", "/simulator/settings", &[], b"{\"latency\":1}").await.unwrap().status,
        400
    );
    assert_eq!(
        polar.post("/simulator/replies", r#"[{"status":500},{"cut":"after_commit","times":2}]"#).await.status,
        204
    );
    assert_eq!(polar.simulator.state().scripted_replies, 3);
    assert_eq!(polar.send("DELETE", "/simulator/replies", &[], b"").await.unwrap().status, 204);
    assert_eq!(polar.simulator.state().scripted_replies, 0);
}

#[tokio::test]
async fn the_page_shows_what_arrived_and_runs_nothing_of_it() {
    let polar = Polar::start().await;
    polar.simulator.create_meter(NewMeter::sum("<b>m</b>", "api_usage", "units"));
    let nasty = r#"{"events":[{"name":"api_usage","external_customer_id":"<script>alert(1)</script>","metadata":{"units":1}}]}"#;
    polar.ingest(nasty).await;
    let page = polar.get("/simulator").await;
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(
        page.body.contains("&lt;script&gt;alert(1)")
            && !page.body.contains("<script>")
            && !page.body.contains("<b>m")
    );
    assert!(!page.body.contains("http://") && !page.body.contains("https://"), "no assets from elsewhere");
}

#[tokio::test]
async fn only_the_latest_events_are_kept_in_full_and_all_ids_are() {
    let polar = Polar::with(|settings| settings.kept_events_max = 5).await;
    polar.ingest(&batch("a", 12)).await;
    assert_eq!(polar.simulator.events().len(), 5);
    assert_eq!(polar.simulator.external_ids(0, 100).len(), 12);
    assert_eq!(polar.ingest(&batch("a", 12)).await.body, r#"{"inserted":0,"duplicates":12}"#);
}

#[tokio::test]
async fn a_server_told_to_stop_answers_what_it_has_and_ends() {
    let polar = Polar::with(|settings| settings.latency_ms = 20).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let second = Polar { address, ..polar };
    let serving = second.simulator.clone();
    let body = batch("a", 1);
    let (served, answer) = tokio::join!(serving.serve(listener, async { drop(stopped.await) }), async {
        let answer = second.ingest(&body);
        let stopping = async {
            assert!(second.simulator.wait_for_events(1, Duration::from_secs(10)).await);
            stop.send(()).unwrap();
        };
        tokio::join!(answer, stopping).0
    });
    served.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_customer_is_only_created_once() {
    let polar = Polar::start().await;
    let john =
        NewCustomer { email: "user@example.com".into(), name: None, external_id: Some("user_123".into()) };
    polar.simulator.create_customer(john.clone()).unwrap();
    assert!(polar.simulator.create_customer(john).is_err());
}
