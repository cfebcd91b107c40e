use std::time::Duration;

use super::desk::{BAD, Desk, HELLO, code, event, ids, ok, settle_down};
use crate::intake::Settings;
use crate::journal::{AppendError, JournalError};

#[tokio::test]
async fn an_ack_is_never_written_before_the_commit() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(format!("{HELLO}{}\n{}\n", event("a"), event("b"))).await;
    let held = desk.writer.append().await;
    assert_eq!(ids(&held.append), ["a", "b"]);
    assert!(sender.hears_nothing().await);
    held.commit();
    assert_eq!(sender.line().await, ok("a"));
    assert_eq!(sender.line().await, ok("b"));
}

#[tokio::test]
async fn refused_events_have_their_place_in_the_order_of_replies() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    let grant = r#"{"grant":{"event":"api_usage","property":"units","credits":10},"external_customer_id":"c","external_id":"g"}"#;
    sender.send(format!("{HELLO}{}\n{BAD}\n{grant}\nnonsense\n{}\n", event("a"), event("b"))).await;
    let held = desk.writer.append().await;
    assert_eq!(ids(&held.append), ["a", "b", "g"]);
    assert_eq!(held.append.events.grants.len(), 1);
    assert!(sender.hears_nothing().await, "not even the refusals: replies keep the order of the events");
    held.commit();
    assert_eq!(sender.line().await, ok("a"));
    assert_ne!(code(&sender.line().await), "malformed_json");
    assert_eq!(sender.line().await, ok("g"));
    assert_eq!(code(&sender.line().await), "malformed_json");
    assert_eq!(sender.line().await, ok("b"));
    assert_eq!(desk.refused("ndjson", "malformed_json"), 1);
}

#[tokio::test]
async fn reading_goes_on_during_a_sync_and_acks_keep_their_order() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(format!("{HELLO}{}\n", event("a"))).await;
    let first = desk.writer.append().await;
    sender.send(format!("{}\n", event("b"))).await;
    let second = desk.writer.append().await;
    second.commit();
    assert!(sender.hears_nothing().await);
    first.commit();
    assert_eq!(sender.line().await, ok("a"));
    assert_eq!(sender.line().await, ok("b"));
}

#[tokio::test]
async fn a_refused_read_alone_is_answered_without_the_journal() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(format!("{HELLO}{BAD}\n")).await;
    code(&sender.line().await);
    assert!(desk.writer.waiting_append().is_none());
}

#[tokio::test]
async fn whoever_wants_acks_is_told_busy_while_the_others_wait() {
    let desk = Desk::with(Settings::default(), 700);
    let (mut answered, mut silent) = (desk.connect().await, desk.connect().await);
    silent.send(format!("{}\n", event("first"))).await;
    let held = desk.writer.append().await;
    silent.send(format!("{}\n", event("second"))).await;
    settle_down().await;
    answered.send(format!("{HELLO}{}\n", event("third"))).await;
    assert_eq!(code(&answered.line().await), "busy");
    assert_eq!(desk.refused("ndjson", "busy"), 1);
    assert!(desk.writer.waiting_append().is_none());
    held.commit();
    assert_eq!(ids(&desk.writer.append().await.append), ["second"]);
}

#[tokio::test]
async fn a_full_journal_refuses_and_takes_again_once_there_is_room() {
    let desk = Desk::open();
    let (mut answered, mut silent) = (desk.connect().await, desk.connect().await);
    desk.writer.set_full(Some("1 GiB of 1 GiB"));
    answered.send(format!("{HELLO}{}\n", event("a"))).await;
    assert_eq!(code(&answered.line().await), "journal_full");
    silent.send(format!("{}\n{}\n", event("b"), event("c"))).await;
    settle_down().await;
    assert_eq!(desk.refused("ndjson", "journal_full"), 3);
    desk.writer.set_full(None);
    silent.send(format!("{}\n", event("d"))).await;
    let held = desk.writer.append().await;
    assert_eq!(ids(&held.append), ["d"]);
    held.commit();
    answered.send(format!("{}\n", event("e"))).await;
    desk.writer.append().await.commit();
    assert_eq!(answered.line().await, ok("e"));
}

#[tokio::test]
async fn events_the_commit_refused_are_not_acknowledged() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(format!("{HELLO}{}\n{BAD}\n{}\n", event("a"), event("b"))).await;
    desk.writer.append().await.refuse(AppendError::Full { detail: "1 GiB of 1 GiB".to_owned() });
    assert_eq!(code(&sender.line().await), "journal_full");
    assert_ne!(code(&sender.line().await), "journal_full");
    assert_eq!(code(&sender.line().await), "journal_full");
    assert_eq!(desk.refused("ndjson", "journal_full"), 2);
}

#[tokio::test]
async fn after_the_journal_failed_acks_are_negative_and_the_connection_closes() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(format!("{HELLO}{}\n", event("a"))).await;
    let first = desk.writer.append().await;
    sender.send(format!("{}\n", event("b"))).await;
    let second = desk.writer.append().await;
    desk.writer.fail(JournalError::Poisoned { detail: "EIO".to_owned() });
    drop((first, second));
    assert_eq!(code(&sender.line().await), "journal_failed");
    assert_eq!(code(&sender.line().await), "journal_failed");
    assert!(sender.is_closed().await);
}

#[tokio::test]
async fn what_is_refused_without_an_answer_is_kept_as_a_dead_letter() {
    let settings = Settings { refused_text_bytes_max: 12, ..Settings::default() };
    let desk = Desk::with(settings, 16 << 20);
    let mut sender = desk.connect().await;
    sender.send(format!("{BAD}\n{}\n", event("a"))).await;
    let held = desk.writer.append().await;
    assert_eq!(ids(&held.append), ["a"]);
    held.commit();
    let letters = desk.writer.letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].event, BAD[..12]);
    assert_eq!(desk.refused("ndjson", &letters[0].code), 1);
    assert!(sender.hears_nothing().await);
}

#[tokio::test]
async fn an_oversize_line_is_refused_and_the_connection_goes_on() {
    let settings = Settings { frame_bytes_max: 200, ..Settings::default() };
    let desk = Desk::with(settings, 16 << 20);
    let mut sender = desk.connect().await;
    let long = "x".repeat(200_000);
    sender.send(format!("{HELLO}{long}\n{}\n", event("a"))).await;
    desk.writer.append().await.commit();
    assert_eq!(code(&sender.line().await), "event_too_large");
    assert_eq!(sender.line().await, ok("a"));
    assert_eq!(desk.refused("ndjson", "event_too_large"), 1);
}

#[tokio::test]
async fn an_unknown_option_is_told_and_the_connection_closes() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(format!("{{\"sledge\":{{\"ack\":\"all\"}}}}\n{}\n", event("a"))).await;
    assert_eq!(code(&sender.line().await), "unknown_option");
    assert!(sender.is_closed().await);
    assert!(desk.writer.waiting_append().is_none());
}

#[tokio::test]
async fn a_last_line_without_its_end_counts() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(format!("{}\n{}", event("a"), event("b"))).await;
    sender.end_writing().await;
    let mut seen = ids(&desk.writer.append().await.append);
    while seen.len() < 2 {
        seen.extend(ids(&desk.writer.append().await.append));
    }
    assert_eq!(seen, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_never_closed() {
    let desk = Desk::open();
    let (mut silent, mut answered) = (desk.connect().await, desk.connect().await);
    answered.send(HELLO).await;
    tokio::time::sleep(Duration::from_secs(7 * 24 * 60 * 60)).await;
    answered.send(format!("{}\n", event("a"))).await;
    desk.writer.append().await.commit();
    assert_eq!(answered.line().await, ok("a"));
    silent.send(format!("{}\n", event("b"))).await;
    assert_eq!(ids(&desk.writer.append().await.append), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_never_ends_is_taken_as_it_is_when_its_time_is_up() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(format!("{HELLO}{}", event("a"))).await;
    assert!(sender.hears_nothing().await);
    tokio::time::sleep(Settings::default().frame_timeout + Duration::from_secs(1)).await;
    desk.writer.append().await.commit();
    assert_eq!(sender.line().await, ok("a"));
    assert!(sender.is_closed().await);
}

#[tokio::test]
async fn a_drain_takes_what_was_written_answers_it_and_refuses_the_next_write() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(format!("{HELLO}{}\n", event("a"))).await;
    let first = desk.writer.append().await;
    sender.send(format!("{}\n", event("b"))).await;
    desk.drain();
    let second = desk.writer.append().await;
    assert!(sender.try_send(event("c")).await.is_err(), "the sender knows that nobody reads any more");
    assert!(sender.hears_nothing().await);
    first.commit();
    second.commit();
    assert_eq!(sender.line().await, ok("a"));
    assert_eq!(sender.line().await, ok("b"));
    assert!(sender.is_closed().await);
    desk.ended().await;
}

#[tokio::test]
async fn a_drain_accepts_who_stood_in_line() {
    let desk = Desk::open();
    let mut sender = desk.connect().await;
    sender.send(format!("{}\n", event("a"))).await;
    drop(sender);
    desk.drain();
    assert_eq!(ids(&desk.writer.append().await.append), ["a"]);
    desk.ended().await;
}
