use std::sync::Arc;

use tempfile::TempDir;

use super::desk::{BAD, Desk, HELLO, event, ingest, ok};
use crate::clock::Clock;
use crate::event::Lane;
use crate::intake::Settings;
use crate::journal::{Journal, Settings as JournalSettings, WriterByHand};
use crate::metrics::{Listener, Metrics};

#[tokio::test]
async fn what_was_acknowledged_is_in_the_journal() {
    let folder = TempDir::new().unwrap();
    let settings = JournalSettings::in_folder(folder.path().join("journal"));
    let mut journal = Journal::open(&settings, Clock::system(), Metrics::new().unwrap()).unwrap();
    let mut consumer = journal.take_consumer().unwrap();
    let desk = Desk::over(journal.appender(), WriterByHand::new(1), Settings::default());

    let mut lines = desk.connect().await;
    let many: String = (0..500).map(|n| event(&format!("line-{n}")) + "\n").collect();
    lines.send(format!("{HELLO}{many}")).await;
    for n in 0..500 {
        assert_eq!(lines.line().await, ok(&format!("line-{n}")));
    }
    let mut http = desk.connect().await;
    http.send(ingest(&[event("http-1"), event("http-2")])).await;
    assert_eq!(http.response().await.2, r#"{"inserted":2,"duplicates":0}"#);
    let mut silent = desk.connect().await;
    silent.send(format!("{BAD}\n{}\n", event("silent"))).await;
    silent.end_writing().await;
    desk.drain();
    desk.ended().await;

    let accounts = journal.accounts();
    let mut seen = Vec::new();
    while seen.len() < 503 {
        for block in consumer.read(Lane::Usage, 10_000, 1 << 20).await.unwrap() {
            for position in 0..block.len() {
                let event: serde_json::Value =
                    serde_json::from_slice(block.event(position).unwrap()).unwrap();
                seen.push(event["external_id"].as_str().unwrap().to_owned());
            }
        }
    }
    assert!(seen.contains(&"line-499".to_owned()) && seen.contains(&"http-2".to_owned()));
    assert!(seen.contains(&"silent".to_owned()));
    journal.close().await.unwrap();
    let accounts = Arc::new(accounts.read());
    assert_eq!(accounts.accepted_total(), 503);
    let by =
        |listener| accounts.accepted[Listener::ALL.iter().position(|one| *one == listener).unwrap()].usage;
    assert_eq!((by(Listener::Ndjson), by(Listener::Http)), (501, 2));
    assert_eq!(accounts.dead_letters[1], 1);
    assert!(accounts.add_up());
}
