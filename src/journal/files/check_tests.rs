//! What a look at the files tells, and that it changes nothing.

use crate::event::Lane;
use crate::journal::tests::{delivered, keep, keep_blocks, numbered, on_disk};
use crate::journal::*;

#[tokio::test]
async fn a_check_tells_what_lies_there_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = on_disk(folder.path(), |settings| settings.volume_bytes = 2_000);
    for _ in 0..30 {
        keep(&journal, Lane::Usage, &numbered(20)).await;
    }
    let mut consumer = journal.take_consumer().unwrap();
    let block = consumer.read(Lane::Usage, 1, 1).await.unwrap().remove(0);
    consumer.settle(delivered(&block)).await.unwrap();
    drop(consumer);
    journal.close().await.unwrap();
    let folder = folder.path().join("journal");
    let report = check(&folder).unwrap();
    assert_eq!(report.findings, [] as [String; 0]);
    let usage = &report.rows[1];
    assert_eq!((usage.pending_events, usage.next_seq, usage.high_water), (580, 600, 600));
    assert!(usage.volumes.iter().any(|volume| volume.state == "pending"));

    let closed = usage.volumes.iter().find(|volume| volume.state == "pending").unwrap();
    let file = folder.join("usage").join(&closed.volume).join("db");
    let mut bytes = std::fs::read(&file).unwrap();
    let first = bytes.windows(4).position(|window| window == b"SLJF").unwrap();
    let head = bytes[first..first + 16].to_vec();
    // Its volume may have been rewritten with larger ones.
    let events = u32::from_le_bytes(bytes[first + 16..first + 20].try_into().unwrap());
    // The store may hold a page twice; the block is lost when every copy is.
    for at in first..bytes.len() - 64 {
        if bytes[at..].starts_with(&head) {
            bytes[at + 60] ^= 1;
        }
    }
    std::fs::write(&file, &bytes).unwrap();
    let report = check(&folder).unwrap();
    let damaged = format!("1 block with {events} events");
    assert!(report.findings[0].contains(&damaged), "{:?}", report.findings);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

#[tokio::test]
async fn a_check_misses_what_vanished_until_a_start_has_told_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = on_disk(folder.path(), |_| ());
    keep_blocks(&journal, 5).await;
    let place = folder.path().join("journal");
    assert_eq!(check(&place).unwrap().findings, [] as [String; 0], "while it runs");
    journal.close().await.unwrap();
    assert_eq!(check(&place).unwrap().findings, [] as [String; 0]);
    let file = place.join("usage/volume-00000001/db");
    let mut bytes = std::fs::read(&file).unwrap();
    for at in 0..bytes.len() - 60 {
        if bytes[at..].starts_with(b"SLJF\x02\x01") && bytes[at + 8..at + 16] == 20_u64.to_le_bytes() {
            bytes[at..at + 60].fill(0);
        }
    }
    std::fs::write(&file, bytes).unwrap();
    let findings = check(&place).unwrap().findings;
    assert!(
        findings.len() == 1 && findings[0].contains("usage/volume-00000001 has lost 10 events"),
        "{findings:?}"
    );
    let salvaged = extract(&place, Wanted::Pending, &mut |_| Ok(())).unwrap();
    assert_eq!((salvaged.events, salvaged.lost_events), (40, 10));
    let journal = on_disk(folder.path(), |_| ());
    assert_eq!((journal.alarms().len(), journal.accounts().read().lost()), (1, 10));
    journal.close().await.unwrap();
    let findings = check(&place).unwrap().findings;
    assert!(findings.len() == 2 && findings[0].contains("quarantine"), "{findings:?}");
    assert!(findings[1].contains("lost 10 accepted events, as"), "{findings:?}");
    let journal = on_disk(folder.path(), |_| ());
    assert_eq!((journal.alarms(), journal.accounts().read().lost()), (&[] as &[String], 0));
    journal.close().await.unwrap();
}
