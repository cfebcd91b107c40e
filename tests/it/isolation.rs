//! One bad event harms no other: it is found out, kept with Polar's words, and the rest goes on.

use sledge::journal::DeadLetter;
use sledge::simulator::{AlsoRefuse, Change, RefusedAs, RefusedField};

use crate::fake_polar::FakePolar;
use crate::sledge_process::{Home, PATIENCE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_events_with_bad_ones_of_both_layers_take_three_requests() {
    let mut polar = FakePolar::start().await;
    // What this Polar refuses in its schema, and sledge does not know of.
    polar.simulator.change(Change {
        also_refuse: Some(vec![AlsoRefuse {
            field: RefusedField::Name,
            containing: "retired_event".to_owned(),
            refused_as: RefusedAs::Schema,
        }]),
        ..Change::default()
    });
    polar.go_away().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let events: Vec<String> = (0..1_000)
        .map(|number| match number {
            100 | 500 | 999 => format!(r#"{{"name":"retired_event","external_customer_id":"user_1","external_id":"e{number}"}}"#),
            0 | 501 => format!(
                r#"{{"name":"api_usage","customer_id":"0190163d-8694-4a5b-ab01-2f5d3b5e8a00","external_id":"e{number}"}}"#
            ),
            _ => format!(r#"{{"name":"api_usage","external_customer_id":"user_1","external_id":"e{number}"}}"#),
        })
        .collect();
    let (status, body) = sledge.ingest(&format!(r#"{{"events":[{}]}}"#, events.join(","))).await;
    assert_eq!(status, 200, "{body}");
    // The one block of all of them is pending; the requests that count begin now.
    let before = polar.simulator.state().ingest_requests;
    polar.come_back();
    polar.has_events(995, PATIENCE).await;
    let scrape = sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
    assert_eq!(scrape.get("sledge_events_dead_lettered_total{reason=\"refused_by_polar\"}"), Some(5.0));
    assert_eq!(scrape.get("sledge_dead_letters{origin=\"delivery\"}"), Some(5.0));
    let requests = polar.simulator.state().ingest_requests - before;
    assert!(requests <= 3, "{requests} requests: {:?}", polar.simulator.requests());

    sledge.stop().await;
    let letters = home.dead_letters().await;
    let retired = |letter: &&DeadLetter| letter.event.contains("retired_event");
    assert_eq!(letters.iter().filter(retired).count(), 3);
    assert!(
        letters
            .iter()
            .filter(retired)
            .all(|letter| letter.message.contains("refused by a rule of the simulator"))
    );
    assert_eq!(letters.iter().filter(|letter| letter.message.contains("Customer not found.")).count(), 2);
    assert!(letters.iter().all(|letter| letter.event.contains("\"external_id\":\"e")));
}
