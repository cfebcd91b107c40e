//! Everything a sender can be answered that is not about an event.

use std::time::{Duration, Instant};

use serde_json::json;
use sledge::simulator::{Change, NewCustomer, RateLimit, Scripted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::{NOON_US, Polar, SDK, batch, one, request};

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[tokio::test]
async fn a_good_request_is_answered_200_with_what_was_inserted() {
    let polar = Polar::start().await;
    let answer = polar.ingest(&batch("a", 3)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"inserted":3,"duplicates":0}"#));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn two_slashes_before_v1_are_as_good_as_one() {
    let polar = Polar::start().await;
    let answer = polar.post("//v1/events/ingest", &batch("a", 1)).await;
    assert_eq!(answer.body, r#"{"inserted":1,"duplicates":0}"#);
}

#[tokio::test]
async fn a_trailing_slash_is_redirected_with_307() {
    let polar = Polar::start().await;
    let answer = polar.post("/v1/events/ingest/", &batch("a", 1)).await;
    assert_eq!(answer.status, 307);
    assert_eq!(answer.header("location"), Some("http://localhost/v1/events/ingest"));
}

#[tokio::test]
async fn no_token_is_401_unauthorized() {
    let polar = Polar::start().await;
    let answer = polar.send("POST", "/v1/events/ingest", &[JSON], batch("a", 1).as_bytes()).await.unwrap();
    assert_eq!((answer.status, &answer.json()["error"]), (401, &json!("Unauthorized")));
}

#[tokio::test]
async fn a_token_polar_does_not_know_is_401_invalid_token() {
    let polar = Polar::start().await;
    for token in ["Bearer undefined", "Bearer sk_live_x"] {
        let headers = [("Authorization", token), JSON];
        let answer =
            polar.send("POST", "/v1/events/ingest", &headers, batch("a", 1).as_bytes()).await.unwrap();
        assert_eq!((answer.status, &answer.json()["error"]), (401, &json!("invalid_token")));
        assert!(answer.json()["error_description"].is_string());
    }
    assert_eq!(polar.simulator.state().events_inserted, 0);
}

#[tokio::test]
async fn accepted_tokens_can_be_changed_while_it_runs() {
    let polar = Polar::start().await;
    polar.simulator.change(Change { accepted_tokens: Some(vec!["other".into()]), ..Change::default() });
    assert_eq!(polar.ingest(&batch("a", 1)).await.status, 401);
    polar.simulator.change(Change { accepted_tokens: Some(Vec::new()), ..Change::default() });
    assert_eq!(polar.ingest(&batch("a", 1)).await.status, 200);
}

#[tokio::test]
async fn a_token_without_the_scope_is_403_and_says_which_is_missing() {
    let polar = Polar::with(|settings| settings.tokens_without_scope = vec!["polar_oat_test".into()]).await;
    let answer = polar.ingest(&batch("a", 1)).await;
    assert_eq!((answer.status, &answer.json()["error"]), (403, &json!("insufficient_scope")));
    assert!(answer.header("www-authenticate").unwrap().contains(r#"scope="events:write""#));
}

#[tokio::test]
async fn every_endpoint_wants_a_scope_of_its_own_and_names_those_that_would_do() {
    let scopes = vec!["events:write".to_owned()];
    let polar = Polar::with(|settings| {
        settings.token_scopes.insert("polar_oat_test".to_owned(), scopes);
    })
    .await;
    assert_eq!(polar.ingest(&batch("a", 1)).await.status, 200);
    assert_eq!(polar.get("/v1/events/").await.status, 200, "whoever may write events may list them");
    let meter =
        r#"{"name":"API Calls","filter":{"conjunction":"and","clauses":[]},"aggregation":{"func":"count"}}"#;
    for (answer, missing) in [
        (polar.get("/v1/meters/").await, "meters:read meters:write"),
        (polar.post("/v1/meters/", meter).await, "meters:write"),
        (polar.get("/v1/customers/external/user_123").await, "customers:read customers:write"),
        (polar.post("/v1/customers/", r#"{"email":"a@example.com"}"#).await, "customers:write"),
        (polar.get("/v1/customer-meters/").await, "customer_meters:read"),
    ] {
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (403, &json!("insufficient_scope")),
            "{answer:?}"
        );
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains(&format!(r#"scope="{missing}""#)), "{challenge}");
    }
}

#[tokio::test]
async fn a_token_of_another_organization_is_as_good_and_finds_nothing_of_this_one() {
    let polar = Polar::start().await;
    let other = polar.simulator.another_organization(vec!["polar_oat_other".to_owned()]);
    let customer = NewCustomer {
        email: "a@example.com".to_owned(),
        name: None,
        external_id: Some("user_123".to_owned()),
    };
    let id = polar.simulator.create_customer(customer).unwrap();
    let with = |token: &'static str| [("Authorization", token), JSON];
    let theirs = with("Bearer polar_oat_other");
    let by_id = format!(r#"{{"events":[{{"name":"n","customer_id":"{id}"}}]}}"#);
    assert_eq!(polar.ingest(&by_id).await.status, 200);
    let answer = polar.send("POST", "/v1/events/ingest", &theirs, by_id.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 422, "{answer:?}");
    let answer = polar.send("GET", "/v1/customers/external/user_123", &theirs, b"").await.unwrap();
    assert_eq!(answer.status, 404, "{answer:?}");
    let answer = polar.send("POST", "/v1/events/ingest", &theirs, batch("a", 2).as_bytes()).await.unwrap();
    assert_eq!(answer.body, r#"{"inserted":2,"duplicates":0}"#);
    assert_eq!((polar.simulator.state().events_inserted, other.state().events_inserted), (1, 2));
    let listed = polar.send("GET", "/v1/events/", &theirs, b"").await.unwrap().json();
    let ours = polar.get("/v1/events/").await.json();
    assert_ne!(listed["items"][0]["organization_id"], ours["items"][0]["organization_id"]);
    let none = Change { tokens_of_another_organization: Some(Vec::new()), ..Change::default() };
    polar.simulator.change(none);
    let answer = polar.send("GET", "/v1/customers/external/user_123", &theirs, b"").await.unwrap();
    assert_eq!(answer.status, 200, "there is one organization again: {answer:?}");
}

#[tokio::test]
async fn an_unknown_version_is_404_and_the_published_ones_are_served() {
    let polar = Polar::start().await;
    for (version, status) in [("2026-04", 200), ("2026-10", 200), ("2027-01", 200), ("2025-01", 404)] {
        let headers = [SDK[0], JSON, ("Polar-Version", version)];
        let answer =
            polar.send("POST", "/v1/events/ingest", &headers, batch("a", 1).as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{version}");
        if status == 404 {
            assert_eq!(answer.body, r#"{"detail":"Not Found"}"#);
        }
    }
}

#[tokio::test]
async fn anything_else_under_v1_is_404() {
    let polar = Polar::start().await;
    for path in ["/v1/", "/v1/nothing", "/v1/events/ingest/more", "/v2/events/ingest", "/"] {
        let answer = polar.get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (404, r#"{"detail":"Not Found"}"#), "{path}");
    }
}

#[tokio::test]
async fn a_chunked_body_is_411() {
    let polar = Polar::start().await;
    let head = "POST /v1/events/ingest HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer polar_oat_x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n{\"events\":[]}\r\n0\r\n\r\n";
    let answer = polar.raw(head.as_bytes()).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (411, r#"{"error":"LengthRequired"}"#));
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_one_at_the_limit_is_not() {
    let polar = Polar::start().await;
    let mut body = br#"{"events":[]}"#.to_vec();
    body.resize(10_485_760, b' ');
    let send = async |body: &[u8]| polar.send("POST", "/v1/events/ingest", &SDK, body).await.unwrap();
    assert_eq!(send(&body).await.body, r#"{"inserted":0,"duplicates":0}"#);
    body.push(b' ');
    let answer = send(&body).await;
    assert_eq!((answer.status, answer.body.as_str()), (413, r#"{"error":"RequestBodyTooLarge"}"#));
}

#[tokio::test]
async fn a_compressed_body_is_400() {
    let polar = Polar::start().await;
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 0x4c, 4, 0];
    let headers = [SDK[0], JSON, ("Content-Encoding", "gzip")];
    let answer = polar.send("POST", "/v1/events/ingest", &headers, &gzip).await.unwrap();
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_wrong_content_type_is_422_at_the_body() {
    let polar = Polar::start().await;
    let answer = polar
        .send("POST", "/v1/events/ingest", &[SDK[0], ("Content-Type", "text/plain")], b"{}")
        .await
        .unwrap();
    assert_eq!((answer.status, &answer.json()["detail"][0]["loc"]), (422, &json!(["body"])));
}

#[tokio::test]
async fn malformed_json_is_422_at_the_offset() {
    let polar = Polar::start().await;
    let answer = polar.ingest(r#"{"events":[}"#).await;
    assert_eq!((answer.status, &answer.json()["detail"][0]["loc"]), (422, &json!(["body", 11])));
}

#[tokio::test]
async fn an_empty_list_inserts_nothing_and_missing_events_are_422() {
    let polar = Polar::start().await;
    assert_eq!(polar.ingest(r#"{"events":[]}"#).await.body, r#"{"inserted":0,"duplicates":0}"#);
    let answer = polar.ingest("{}").await;
    assert_eq!((answer.status, &answer.json()["detail"][0]["loc"]), (422, &json!(["body", "events"])));
}

#[tokio::test]
async fn over_the_rate_limit_is_429_without_a_body_or_a_type_until_the_minute_is_over() {
    for (limit, requests) in
        [(RateLimit::Production, 500), (RateLimit::Sandbox, 100), (RateLimit::Restricted, 60)]
    {
        let polar = Polar::with(|settings| settings.rate_limit = limit).await;
        for n in 0..requests {
            // The window is shared by all endpoints.
            let answer = if n % 2 == 0 {
                polar.get("/v1/meters/").await
            } else {
                polar.ingest(r#"{"events":[]}"#).await
            };
            assert_eq!(answer.status, 200, "{limit:?} {n}");
        }
        let answer = polar.ingest(&batch("late", 1)).await;
        assert_eq!((answer.status, answer.body.as_str()), (429, ""));
        assert_eq!((answer.header("retry-after"), answer.header("content-type")), (Some("60"), None));
        polar.advance_ms(60_000);
        assert_eq!(polar.ingest(&batch("late", 1)).await.status, 200);
    }
}

#[tokio::test]
async fn a_restricted_sandbox_has_10_a_minute_and_an_elevated_organization_100_a_second() {
    for (limit, requests, window_ms) in
        [(RateLimit::RestrictedSandbox, 10, 60_000), (RateLimit::Elevated, 100, 1_000)]
    {
        let polar = Polar::with(|settings| settings.rate_limit = limit).await;
        for n in 0..requests {
            assert_eq!(polar.get("/v1/meters/").await.status, 200, "{limit:?} {n}");
        }
        polar.advance_ms(window_ms - 1);
        let refused = polar.ingest(&batch("late", 1)).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")), "{limit:?}");
        polar.advance_ms(1);
        assert_eq!(polar.ingest(&batch("late", 1)).await.status, 200, "{limit:?}");
    }
}

#[tokio::test]
async fn the_window_is_shared_by_all_tokens_of_the_organization() {
    let polar = Polar::with(|settings| settings.rate_limit = RateLimit::RestrictedSandbox).await;
    for n in 0..10 {
        let token = format!("Bearer polar_oat_{}", n % 2);
        let headers = [("Authorization", token.as_str())];
        assert_eq!(polar.send("GET", "/v1/meters/", &headers, b"").await.unwrap().status, 200);
    }
    assert_eq!(polar.get("/v1/meters/").await.status, 429, "a third token finds the window used up");
}

#[tokio::test]
async fn a_burst_of_first_requests_with_a_fresh_token_is_refused_at_60() {
    let polar = Polar::with(|settings| {
        settings.rate_limit = RateLimit::Production;
        settings.fresh_token_zone = true;
    })
    .await;
    let burst = async |prefix: &str| {
        polar.simulator.script([Scripted::late(600_000).times(60)]);
        let mut unanswered = Vec::new();
        let there = polar.simulator.state().events_inserted;
        for n in 0..60 {
            let mut stream = TcpStream::connect(&polar.address).await.unwrap();
            let body = batch(&format!("{prefix}-{n}"), 1);
            stream.write_all(&request("POST", "/v1/events/ingest", &SDK, body.as_bytes())).await.unwrap();
            unanswered.push(stream);
        }
        assert!(polar.simulator.wait_for_events(there + 60, Duration::from_secs(20)).await);
        let refused = polar.ingest(&batch(prefix, 1)).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")), "{prefix}");
    };
    burst("first").await;
    assert_eq!(polar.ingest(&batch("a", 1)).await.status, 200, "a token that was answered is known");
    let other = [("Authorization", "Bearer polar_oat_other"), JSON];
    let answer = polar.send("POST", "/v1/events/ingest", &other, batch("b", 1).as_bytes()).await.unwrap();
    assert_eq!(answer.status, 200, "every token has a zone of its own");
    polar.advance_ms(300_001);
    burst("forgotten").await;
}

#[tokio::test]
async fn a_blocked_organization_is_429_everywhere_with_a_falling_retry_after() {
    let polar = Polar::start().await;
    polar.simulator.change(Change { block_organization_ms: Some(60_000), ..Change::default() });
    let mut told = Vec::new();
    for _ in 0..3 {
        assert_eq!(polar.get("/v1/meters/").await.status, 429);
        let answer = polar.ingest(&batch("a", 1)).await;
        assert_eq!((answer.status, answer.body.as_str()), (429, ""));
        told.push(answer.header("retry-after").unwrap().to_owned());
        polar.advance_ms(20_000);
    }
    assert_eq!(told, ["60", "40", "20"]);
    assert_eq!(polar.ingest(&batch("a", 1)).await.status, 200);
}

#[tokio::test]
async fn the_token_of_another_environment_is_401_and_nothing_is_inserted() {
    let polar =
        Polar::with(|settings| settings.accepted_tokens = Some(vec!["polar_oat_production".into()])).await;
    let answer = polar.ingest(&batch("a", 1)).await;
    assert_eq!((answer.status, &answer.json()["error"]), (401, &json!("invalid_token")));
    assert_eq!(polar.simulator.state().events_present, 0);
}

#[tokio::test]
async fn a_request_without_a_version_is_served() {
    let polar = Polar::start().await;
    let answer =
        polar.send("POST", "/v1/events/ingest", &[SDK[0], JSON], batch("a", 1).as_bytes()).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_redirect_to_another_host_can_be_scripted_and_commits_nothing() {
    let polar = Polar::start().await;
    for status in [307, 308] {
        polar
            .simulator
            .script([Scripted::status(status).with_header("location", "http://evil.test/v1/events/ingest")]);
        let answer = polar.ingest(&batch("a", 1)).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (status, Some("http://evil.test/v1/events/ingest"))
        );
    }
    assert_eq!(polar.simulator.state().events_inserted, 0);
}

#[tokio::test]
async fn an_answer_can_take_longer_the_more_events_it_is_about() {
    let polar = Polar::with(|settings| settings.latency_per_event_us = 300).await;
    let begun = Instant::now();
    assert_eq!(polar.ingest(&batch("a", 1_000)).await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn two_unanswered_requests_with_the_same_ids_in_opposite_order_deadlock_and_a_retry_does_not() {
    let polar = Polar::with(|settings| settings.deadlocks = true).await;
    let body = batch("a", 3);
    let crossed = format!(
        r#"{{"events":[{}]}}"#,
        [2, 0]
            .map(|n| format!(r#"{{"name":"n","external_customer_id":"u","external_id":"a-{n}"}}"#))
            .join(",")
    );
    polar.simulator.script([Scripted::late(600_000)]);
    let mut unanswered = TcpStream::connect(&polar.address).await.unwrap();
    unanswered.write_all(&request("POST", "/v1/events/ingest", &SDK, body.as_bytes())).await.unwrap();
    assert!(polar.simulator.wait_for_events(3, Duration::from_secs(10)).await);
    assert_eq!(
        polar.ingest(&body).await.body,
        r#"{"inserted":0,"duplicates":3}"#,
        "the same order only waits"
    );
    let ended = polar.ingest(&crossed).await;
    assert_eq!((ended.status, ended.body.as_str()), (500, "Internal Server Error"));
    // Off, the very same request passes: the other one is still unanswered.
    polar.simulator.change(Change { deadlocks: Some(false), ..Change::default() });
    assert_eq!(polar.ingest(&crossed).await.body, r#"{"inserted":0,"duplicates":2}"#);
}

#[tokio::test]
async fn a_deadlock_is_over_once_the_other_request_is_answered() {
    let polar = Polar::with(|settings| settings.deadlocks = true).await;
    for order in [[0, 1], [1, 0]] {
        let events =
            order.map(|n| format!(r#"{{"name":"n","external_customer_id":"u","external_id":"{n}"}}"#));
        assert_eq!(polar.ingest(&format!(r#"{{"events":[{}]}}"#, events.join(","))).await.status, 200);
    }
}

#[tokio::test]
async fn the_date_header_is_polars_clock_and_can_be_put_off_or_replaced() {
    let polar = Polar::start().await;
    assert_eq!(polar.ingest(r#"{"events":[]}"#).await.header("date"), Some("Sat, 22 Aug 2026 12:00:00 GMT"));
    polar.simulator.change(Change { clock_offset_ms: Some(-3_600_000), ..Change::default() });
    assert_eq!(polar.ingest(r#"{"events":[]}"#).await.header("date"), Some("Sat, 22 Aug 2026 11:00:00 GMT"));
    assert_eq!(polar.ingest(&one(r#""timestamp":"2026-08-22T11:30:00Z""#)).await.status, 422);
    polar.simulator.change(Change { date: Some("no date".into()), ..Change::default() });
    assert_eq!(polar.ingest(r#"{"events":[]}"#).await.header("date"), Some("no date"));
    assert_eq!(NOON_US, 1_787_400_000_000_000);
}

#[tokio::test]
async fn a_connection_cut_by_the_sender_still_commits() {
    let polar = Polar::with(|settings| settings.latency_ms = 60_000).await;
    let mut stream = TcpStream::connect(&polar.address).await.unwrap();
    stream.write_all(&request("POST", "/v1/events/ingest", &SDK, batch("a", 1000).as_bytes())).await.unwrap();
    drop(stream);
    assert!(polar.simulator.wait_for_events(1000, Duration::from_secs(10)).await);
    polar.simulator.change(Change { latency_ms: Some(0), ..Change::default() });
    assert_eq!(polar.ingest(&batch("a", 1005)).await.body, r#"{"inserted":5,"duplicates":1000}"#);
}

#[tokio::test]
async fn a_body_cut_short_commits_nothing() {
    let polar = Polar::start().await;
    let whole = request("POST", "/v1/events/ingest", &SDK, batch("a", 10).as_bytes());
    let mut stream = TcpStream::connect(&polar.address).await.unwrap();
    stream.write_all(&whole[..whole.len() - 5]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    assert!(stream.read_to_end(&mut rest).await.is_err() || !rest.starts_with(b"HTTP/1.1 200"));
    assert_eq!(polar.simulator.state().events_inserted, 0);
}

#[tokio::test]
async fn several_requests_go_over_one_connection() {
    let polar = Polar::start().await;
    let mut stream = TcpStream::connect(&polar.address).await.unwrap();
    for n in 0..3 {
        let text = String::from_utf8(request(
            "POST",
            "/v1/events/ingest",
            &SDK,
            batch(&format!("k{n}"), 2).as_bytes(),
        ))
        .unwrap();
        stream.write_all(text.replace("Connection: close\r\n", "").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the connection stays open");
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(polar.simulator.state().events_inserted, 6);
}
