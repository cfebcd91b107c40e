//! Missing timestamps, and a machine whose clock is set.

use std::sync::atomic::Ordering;

use super::desk::{Desk, HELLO, NOW, code, ok};

const HOUR: u64 = 3_600_000;

async fn stamped(desk: &Desk, id: &str) -> String {
    let mut sender = desk.connect().await;
    sender
        .send(format!(
            "{HELLO}{{\"name\":\"api_usage\",\"external_customer_id\":\"c\",\"external_id\":\"{id}\"}}\n"
        ))
        .await;
    let held = desk.writer.append().await;
    let text = held.append.events.usage.iter().next().map(|text| String::from_utf8(text.to_vec()).unwrap());
    held.commit();
    assert_eq!(sender.line().await, ok(id));
    text.unwrap()
}

#[tokio::test]
async fn an_event_without_a_timestamp_is_stamped_by_polars_clock_when_ours_is_set_wrong() {
    for wrong in [NOW + HOUR, NOW - HOUR] {
        let desk = Desk::open();
        assert!(stamped(&desk, "right").await.contains("2026-09-13T12:26:40.000Z"));
        // Two answers of Polar's that agree.
        desk.clock.sync_to(NOW);
        desk.clock.sync_to(NOW);
        desk.wall.store(wrong, Ordering::Relaxed);
        let text = stamped(&desk, "wrong").await;
        assert!(text.contains("2026-09-13T12:26:40.000Z"), "{text}");
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_no_past_event_a_future_one() {
    let desk = Desk::open();
    let event = r#"{"name":"api_usage","external_customer_id":"c","external_id":"e","timestamp":"2026-09-13T12:26:40Z"}"#;
    desk.wall.store(NOW - HOUR, Ordering::Relaxed);
    let mut sender = desk.connect().await;
    sender.send(format!("{HELLO}{event}\n")).await;
    assert_eq!(code(&sender.line().await), "timestamp_in_future", "nothing is known of Polar's clock");
    desk.clock.sync_to(NOW);
    desk.clock.sync_to(NOW);
    sender.send(format!("{event}\n")).await;
    let held = desk.writer.append().await;
    assert_eq!(held.append.events.usage.due(), 0);
    held.commit();
    assert_eq!(sender.line().await, ok("e"));
}
