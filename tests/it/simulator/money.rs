//! Credits, usage and balances.

use serde_json::json;
use sledge::simulator::{NewCustomer, NewMeter};

use super::wire::{Polar, SDK};

const METER: &str = r#"{"name":"API Calls","filter":{"conjunction":"and","clauses":[{"property":"name","operator":"eq","value":"api_usage"}]},"aggregation":{"func":"sum","property":"units"}}"#;
const JOHN: &str = r#"{"email":"user@example.com","name":"John Doe","external_id":"user_123"}"#;

fn usage(id: &str, units: &str) -> String {
    format!(
        r#"{{"events":[{{"name":"api_usage","external_customer_id":"user_123","external_id":"{id}","metadata":{{"units":{units}}}}}]}}"#
    )
}

fn john() -> NewCustomer {
    NewCustomer {
        email: "user@example.com".into(),
        name: Some("John Doe".into()),
        external_id: Some("user_123".into()),
    }
}

async fn seeded() -> Polar {
    let polar = Polar::start().await;
    polar.simulator.create_customer(john()).unwrap();
    polar.simulator.create_meter(NewMeter::sum("API Calls", "api_usage", "units"));
    polar
}

async fn standing(polar: &Polar) -> (f64, f64) {
    let listed = polar.get("/v1/customer-meters/?external_customer_id=user_123").await.json();
    let item = &listed["items"][0];
    assert_eq!(item["credited_units"], json!(0));
    (item["consumed_units"].as_f64().unwrap(), item["balance"].as_f64().unwrap())
}

#[tokio::test]
async fn a_grant_of_10_and_uses_of_3_and_8_leave_10_then_7_then_minus_1() {
    let polar = Polar::start().await;
    assert_eq!(polar.post("/v1/meters/", METER).await.status, 201);
    assert_eq!(polar.post("/v1/customers/", JOHN).await.status, 201);
    let mut seen = Vec::new();
    for (id, units) in [("grant", "-10"), ("use-1", "3"), ("use-2", "8")] {
        assert_eq!(polar.ingest(&usage(id, units)).await.body, r#"{"inserted":1,"duplicates":0}"#);
        seen.push(standing(&polar).await);
    }
    assert_eq!(seen, [(-10.0, 10.0), (-7.0, 7.0), (1.0, -1.0)]);
}

#[tokio::test]
async fn a_grant_sent_before_its_customer_exists_is_theirs_once_they_do() {
    let polar = Polar::start().await;
    polar.simulator.create_meter(NewMeter::sum("API Calls", "api_usage", "units"));
    polar.ingest(&usage("grant", "-10")).await;
    assert_eq!(
        polar.get("/v1/customer-meters/?external_customer_id=user_123").await.json()["items"],
        json!([])
    );
    let id = polar.simulator.create_customer(john()).unwrap();
    assert_eq!(standing(&polar).await, (-10.0, 10.0));
    let body =
        format!(r#"{{"events":[{{"name":"api_usage","customer_id":"{id}","metadata":{{"units":4}}}}]}}"#);
    polar.ingest(&body).await;
    assert_eq!(standing(&polar).await, (-6.0, 6.0), "both ways to name a customer meet");
    assert_eq!(polar.simulator.balance("user_123", "API Calls"), Some(6.0));
    assert_eq!(polar.simulator.balance("nobody", "API Calls"), None);
}

#[tokio::test]
async fn a_duplicate_grant_is_not_granted_twice() {
    let polar = seeded().await;
    polar.ingest(&usage("grant", "-10")).await;
    polar.ingest(&usage("grant", "-10")).await;
    assert_eq!(standing(&polar).await, (-10.0, 10.0));
}

#[tokio::test]
async fn a_number_sent_as_a_string_is_accepted_and_not_counted() {
    let polar = seeded().await;
    polar.ingest(&usage("grant", "-10")).await;
    assert_eq!(polar.ingest(&usage("text", r#""5""#)).await.status, 200);
    assert_eq!(standing(&polar).await, (-10.0, 10.0));
}

#[tokio::test]
async fn a_balance_moves_a_while_after_the_customers_last_event() {
    let polar = Polar::with(|settings| settings.settle_delay_ms = 15_000).await;
    polar.simulator.create_customer(john()).unwrap();
    polar.simulator.create_meter(NewMeter::sum("API Calls", "api_usage", "units"));
    polar.ingest(&usage("grant", "-10")).await;
    assert_eq!(standing(&polar).await.1, 0.0);
    polar.advance_ms(10_000);
    polar.ingest(&usage("use", "3")).await;
    polar.advance_ms(10_000);
    assert_eq!(standing(&polar).await.1, 0.0, "every event puts it off again");
    polar.advance_ms(5_000);
    assert_eq!(standing(&polar).await.1, 7.0);
}

#[tokio::test]
async fn a_busy_customers_balance_moves_after_180_minutes_all_the_same() {
    let polar = Polar::with(|settings| settings.settle_delay_ms = 15_000).await;
    polar.simulator.create_customer(john()).unwrap();
    polar.simulator.create_meter(NewMeter::sum("API Calls", "api_usage", "units"));
    // An event every ten seconds for three hours: the last one is always too recent.
    for n in 0..1_080 {
        polar.ingest(&usage(&n.to_string(), "1")).await;
        polar.advance_ms(10_000);
        if n % 100 == 0 {
            assert_eq!(standing(&polar).await.0, 0.0, "after {n} events");
        }
    }
    assert_eq!(standing(&polar).await.0, 1_080.0);
    polar.ingest(&usage("next", "1")).await;
    assert_eq!(standing(&polar).await.0, 1_080.0, "a new wait begins");
}

#[tokio::test]
async fn an_event_that_no_meter_counts_puts_the_balance_off_too() {
    let polar = Polar::with(|settings| settings.settle_delay_ms = 15_000).await;
    polar.simulator.create_customer(john()).unwrap();
    polar.simulator.create_meter(NewMeter::sum("API Calls", "api_usage", "units"));
    polar.ingest(&usage("grant", "-10")).await;
    polar.advance_ms(10_000);
    polar.ingest(&usage("other", "1").replace("api_usage", "login")).await;
    polar.advance_ms(10_000);
    assert_eq!(standing(&polar).await.1, 0.0);
    polar.advance_ms(5_000);
    assert_eq!(standing(&polar).await.1, 10.0);
}

#[tokio::test]
async fn a_customer_created_after_180_minutes_has_nothing_until_their_next_event() {
    for (minutes, shown) in [(179, 10.0), (181, 0.0)] {
        let polar = Polar::with(|settings| settings.settle_delay_ms = 15_000).await;
        polar.simulator.create_meter(NewMeter::sum("API Calls", "api_usage", "units"));
        polar.ingest(&usage("grant", "-10")).await;
        polar.advance_ms(minutes * 60_000);
        polar.simulator.create_customer(john()).unwrap();
        polar.advance_ms(60_000);
        assert_eq!(standing(&polar).await.1, shown, "{minutes} minutes");
        polar.ingest(&usage("use", "3")).await;
        assert_eq!(standing(&polar).await.1, shown, "{minutes} minutes");
        polar.advance_ms(15_000);
        assert_eq!(standing(&polar).await.1, 7.0, "{minutes} minutes");
    }
}

#[tokio::test]
async fn usage_beyond_the_balance_is_accepted() {
    let polar = seeded().await;
    for n in 0..3 {
        assert_eq!(polar.ingest(&usage(&n.to_string(), "1000000")).await.status, 200);
    }
    assert_eq!(standing(&polar).await.1, -3_000_000.0);
}

#[tokio::test]
async fn an_event_is_corrected_by_another_one_and_by_nothing_else() {
    let polar = seeded().await;
    polar.ingest(&usage("wrong", "100")).await;
    polar.ingest(&usage("wrong", "1")).await;
    assert_eq!(standing(&polar).await.0, 100.0, "the first one stays");
    let id = polar.get("/v1/events/").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    for method in ["DELETE", "PATCH", "PUT"] {
        for path in ["/v1/events/".to_owned(), "/v1/events/ingest".to_owned(), format!("/v1/events/{id}")] {
            let answer = polar.send(method, &path, &SDK, b"{}").await.unwrap();
            assert!(matches!(answer.status, 404 | 405), "{method} {path} {}", answer.status);
        }
    }
    polar.ingest(&usage("correction", "-99")).await;
    assert_eq!(standing(&polar).await.0, 1.0);
}

#[tokio::test]
async fn an_email_that_cannot_be_one_is_refused() {
    let polar = Polar::start().await;
    for email in ["", "user", "user@", "@example.com", "user@localhost", "us er@example.com"] {
        let body = format!(r#"{{"email":"{email}"}}"#);
        let answer = polar.post("/v1/customers/", &body).await;
        assert_eq!(
            (answer.status, &answer.json()["detail"][0]["loc"]),
            (422, &json!(["body", "email"])),
            "{email}"
        );
    }
    assert_eq!(polar.post("/v1/customers/", JOHN).await.status, 201);
    assert_eq!(polar.post("/v1/customers/", JOHN).await.status, 422, "taken");
}

#[tokio::test]
async fn customer_meters_are_found_by_either_id() {
    let polar = seeded().await;
    polar.ingest(&usage("grant", "-10")).await;
    let id = polar.get("/v1/customers/external/user_123").await.json()["id"].as_str().unwrap().to_owned();
    let by_external = polar.get("/v1/customer-meters/?external_customer_id=user_123").await.json();
    let by_id = polar.get(&format!("/v1/customer-meters/?customer_id={id}")).await.json();
    assert_eq!(by_id, by_external);
    let item = &by_id["items"][0];
    assert_eq!(
        (&item["consumed_units"], &item["credited_units"], &item["balance"], &item["meter"]["name"]),
        (&json!(-10.0), &json!(0), &json!(10.0), &json!("API Calls"))
    );
    assert_eq!(
        polar.get("/v1/customer-meters/?external_customer_id=nobody").await.json()["items"],
        json!([])
    );
}

#[tokio::test]
async fn a_filter_may_join_conditions_on_metadata_and_a_count_counts() {
    let polar = Polar::start().await;
    polar.simulator.create_customer(john()).unwrap();
    let meter = r#"{"name":"Paid calls","filter":{"conjunction":"and","clauses":[{"property":"name","operator":"eq","value":"api_usage"},{"conjunction":"or","clauses":[{"property":"metadata.tier","operator":"eq","value":"paid"},{"property":"units","operator":"gte","value":100}]}]},"aggregation":{"func":"count"}}"#;
    assert_eq!(polar.post("/v1/meters/", meter).await.status, 201);
    for metadata in [
        r#""tier":"paid""#,
        r#""tier":"free","units":100"#,
        r#""tier":"free","units":99"#,
        r#""units":"100""#,
    ] {
        let body = format!(
            r#"{{"events":[{{"name":"api_usage","external_customer_id":"user_123","metadata":{{{metadata}}}}}]}}"#
        );
        polar.ingest(&body).await;
    }
    assert_eq!(standing(&polar).await.0, 3.0, "the string is compared as one with \"100\"");
}

#[tokio::test]
async fn customers_are_read_by_either_id_and_their_state_shows_their_meters() {
    let polar = seeded().await;
    polar.ingest(&usage("grant", "-10")).await;
    let customer = polar.get("/v1/customers/external/user_123").await.json();
    assert_eq!(
        (&customer["external_id"], &customer["email"]),
        (&json!("user_123"), &json!("user@example.com"))
    );
    let id = customer["id"].as_str().unwrap();
    assert_eq!(polar.get(&format!("/v1/customers/{id}")).await.json(), customer);
    let state = polar.get("/v1/customers/external/user_123/state").await.json();
    assert_eq!(state["active_meters"][0]["balance"], json!(10.0));
    assert_eq!(polar.get(&format!("/v1/customers/{id}/state")).await.json(), state);
    let missing = polar.get("/v1/customers/external/nobody").await;
    assert_eq!((missing.status, &missing.json()["error"]), (404, &json!("ResourceNotFound")));
}

#[tokio::test]
async fn meters_are_listed_with_filter_and_aggregation() {
    let polar = seeded().await;
    let listed = polar.get("/v1/meters/").await.json();
    let sent: serde_json::Value = serde_json::from_str(METER).unwrap();
    let meter = &listed["items"][0];
    assert_eq!((&meter["filter"], &meter["aggregation"]), (&sent["filter"], &sent["aggregation"]));
    assert_eq!(listed["pagination"], json!({"total_count": 1, "max_page": 1}));
    let id = meter["id"].as_str().unwrap();
    assert_eq!(&polar.get(&format!("/v1/meters/{id}")).await.json(), meter);
}

#[tokio::test]
async fn listed_events_carry_no_external_id_and_come_in_pages() {
    let polar = seeded().await;
    for n in 0..25 {
        polar.ingest(&usage(&format!("e{n}"), &n.to_string())).await;
    }
    let listed = polar.get("/v1/events/?limit=10&page=3&name=api_usage").await.json();
    assert_eq!(listed["pagination"], json!({"total_count": 25, "max_page": 3}));
    assert_eq!(listed["items"].as_array().unwrap().len(), 5);
    let event = &listed["items"][0];
    assert!(event.get("external_id").is_none());
    assert_eq!((&event["metadata"]["units"], &event["source"]), (&json!(4), &json!("user")));
    assert_eq!(event["timestamp"], json!("2026-08-22T12:00:00Z"));
}

#[tokio::test]
async fn objects_have_every_field_polars_description_requires() {
    let polar = seeded().await;
    polar.ingest(&usage("grant", "-10")).await;
    let required = [
        (
            "/v1/customers/",
            "id created_at modified_at metadata email email_verified type name billing_name billing_address tax_id organization_id deleted_at first_user_event_at avatar_url",
        ),
        ("/v1/meters/", "metadata created_at modified_at id name unit filter aggregation organization_id"),
        (
            "/v1/customer-meters/",
            "id created_at modified_at customer_id meter_id consumed_units credited_units balance customer meter",
        ),
        (
            "/v1/events/",
            "id timestamp organization_id customer_id customer external_customer_id label name source metadata",
        ),
    ];
    for (path, fields) in required {
        let listed = polar.get(path).await.json();
        for field in fields.split(' ') {
            assert!(listed["items"][0].get(field).is_some(), "{path} lacks {field}");
        }
    }
}

#[tokio::test]
async fn the_slash_at_the_end_of_a_collection_is_asked_for_by_307() {
    let polar = Polar::start().await;
    let answer = polar.send("GET", "/v1/meters?limit=5", &SDK, b"").await.unwrap();
    assert_eq!(
        (answer.status, answer.header("location")),
        (307, Some("http://localhost/v1/meters/?limit=5"))
    );
}
