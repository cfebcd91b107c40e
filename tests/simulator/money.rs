//! Credits, usage and balances.

use serde_json::json;
use sledge::simulator::{NewCustomer, NewMeter};

use crate::wire::Polar;

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

async fn balance(polar: &Polar) -> f64 {
    let listed = polar.get("/v1/customer-meters/?external_customer_id=user_123").await.json();
    assert_eq!(listed["items"][0]["credited_units"], json!(0));
    listed["items"][0]["balance"].as_f64().unwrap()
}

#[tokio::test]
async fn a_grant_of_10_and_uses_of_3_and_8_leave_10_then_7_then_minus_1() {
    let polar = Polar::start().await;
    polar.simulator.create_customer(john()).unwrap();
    polar.simulator.create_meter(NewMeter::sum("API Calls", "api_usage", "units"));
    let mut seen = Vec::new();
    for (id, units) in [("grant", "-10"), ("use-1", "3"), ("use-2", "8")] {
        assert_eq!(polar.ingest(&usage(id, units)).await.body, r#"{"inserted":1,"duplicates":0}"#);
        seen.push(balance(&polar).await);
    }
    assert_eq!(seen, [10.0, 7.0, -1.0]);
}
