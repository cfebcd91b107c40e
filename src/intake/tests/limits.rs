use super::desk::{Desk, HELLO, code, event, ids, ingest, ok, settle_down};
use crate::event::Rules;
use crate::intake::Settings;

#[tokio::test]
async fn a_connection_over_the_limit_is_told_so_in_its_own_way() {
    let settings = Settings { connections_max: 1, ..Settings::default() };
    let desk = Desk::with(settings, 16 << 20);
    let mut first = desk.connect().await;
    first.send(format!("{HELLO}{}\n", event("a"))).await;
    desk.writer.append().await.commit();
    assert_eq!(first.line().await, ok("a"));

    let mut lines = desk.connect().await;
    lines.send(HELLO).await;
    assert_eq!(code(&lines.line().await), "busy");
    assert!(lines.is_closed().await);

    let mut http = desk.connect().await;
    http.send(ingest(&[event("b")])).await;
    let (status, head, body) = http.response().await;
    assert_eq!(status, 503);
    assert!(head.contains("retry-after: 1\r\n"));
    assert!(body.contains("\"busy\""));

    drop(first);
    settle_down().await;
    let mut next = desk.connect().await;
    next.send(format!("{HELLO}{}\n", event("c"))).await;
    desk.writer.append().await.commit();
    assert_eq!(next.line().await, ok("c"));
}

#[tokio::test]
async fn one_flooding_connection_is_held_back_and_the_others_are_served() {
    let settings = Settings { in_flight_bytes_max: 4_096, ..Settings::default() };
    let desk = Desk::with(settings, 16 << 20);
    let mut flood = desk.connect().await;
    let line = format!("{}\n", event("flood"));
    let mut held = Vec::new();
    for _ in 0..1_000 {
        flood.send(&line).await;
        settle_down().await;
        let before = held.len();
        held.extend(std::iter::from_fn(|| desk.writer.waiting_append()));
        if held.len() == before {
            break;
        }
    }
    let bytes: usize = held.iter().map(|held| held.append.text_bytes()).sum();
    assert!((2_048..=4_096).contains(&bytes), "{bytes} bytes are in flight");

    let mut other = desk.connect().await;
    other.send(format!("{HELLO}{}\n", event("other"))).await;
    let served = desk.writer.append().await;
    assert_eq!(ids(&served.append), ["other"]);
    served.commit();
    assert_eq!(other.line().await, ok("other"));

    for held in held {
        held.commit();
    }
    assert_eq!(ids(&desk.writer.append().await.append)[0], "flood");
}

#[tokio::test]
async fn a_sender_who_does_not_read_his_acks_is_not_read_further() {
    let settings = Settings { in_flight_bytes_max: 1_024, ..Settings::default() };
    let desk = Desk::with(settings, 16 << 20);
    let mut sender = desk.connect().await;
    sender.send(HELLO).await;
    let line = format!("{}\n", event(&"long".repeat(300)));
    // The kernel holds some hundred KiB of replies and as much of events; beyond it the writes must stall.
    let mut sent = 0;
    let stalled = loop {
        let write = tokio::time::timeout(std::time::Duration::from_millis(200), sender.send(&line));
        tokio::pin!(write);
        let stalled = tokio::select! {
            written = &mut write => written.is_err(),
            () = async { loop { desk.writer.append().await.commit(); } } => true,
        };
        sent += 1;
        if stalled || sent > 20_000 {
            break stalled;
        }
    };
    assert!(stalled, "{sent} events were read although nobody reads the acks");
}

#[tokio::test]
async fn changed_terms_hold_from_the_next_read_and_the_next_connection_on() {
    let desk = Desk::open();
    let mut early = desk.connect().await;
    early.send(format!("{HELLO}{}\n", event("a"))).await;
    desk.writer.append().await.commit();
    assert_eq!(early.line().await, ok("a"));

    let settings = Settings { connections_max: 1, ..Settings::default() };
    desk.admission.change_terms(Rules { event_bytes_max: 10, ..Rules::default() }, settings);
    early.send(format!("{}\n", event("b"))).await;
    assert_eq!(
        code(&early.line().await),
        "event_too_large",
        "an open connection stays open under the new rules"
    );
    let mut late = desk.connect().await;
    late.send(HELLO).await;
    assert_eq!(code(&late.line().await), "busy");
}
