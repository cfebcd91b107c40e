//! What can be got out of a journal's files, whole or damaged.

use std::path::{Path, PathBuf};

use crate::event::Lane;
use crate::journal::tests::{delivered, keep, letter, numbered, on_disk};
use crate::journal::*;

/// The texts of the events, and the dead letters, in `place`.
fn extracted(place: &Path, wanted: Wanted) -> (Vec<String>, Vec<DeadLetter>, Extracted) {
    let (mut events, mut letters) = (Vec::new(), Vec::new());
    let extracted = extract(place, wanted, &mut |extract| {
        match extract {
            Extract::Event { text, .. } => events.push(String::from_utf8(text.to_vec()).unwrap()),
            Extract::Letter(text) => letters.push(serde_json::from_slice(text).unwrap()),
        }
        Ok(())
    })
    .unwrap();
    assert_eq!((extracted.events, extracted.letters), (events.len() as u64, letters.len() as u64));
    (events, letters, extracted)
}

/// A journal that keeps everything: ten events of grants and thirty of usage, of which the first ten are settled, the
/// third of them as a dead letter.
async fn journal_in(folder: &Path) -> PathBuf {
    let mut journal = on_disk(folder, |settings| {
        settings.retention = std::time::Duration::from_secs(3_600);
        settings.volume_bytes = 400;
    });
    keep(&journal, Lane::Grants, &numbered(10)).await;
    for texts in numbered(30).chunks(10) {
        keep(&journal, Lane::Usage, texts).await;
    }
    let mut consumer = journal.take_consumer().unwrap();
    let block = consumer.read(Lane::Usage, 10, 1 << 20).await.unwrap().remove(0);
    let mut settlement = delivered(&block);
    settlement.inserted = 9;
    settlement.dead.push(letter("{\"n\":2}", Origin::Delivery));
    settlement.blocks[0].dead_positions.push(2);
    consumer.settle(settlement).await.unwrap();
    drop(consumer);
    journal.close().await.unwrap();
    folder.join("journal")
}

#[tokio::test]
async fn what_is_pending_and_what_was_delivered_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let place = journal_in(folder.path()).await;
    let (pending, letters, found) = extracted(&place, Wanted::Pending);
    assert_eq!(pending, [numbered(10), numbered(30).split_off(10)].concat());
    assert_eq!(letters.iter().map(|letter| letter.event.as_str()).collect::<Vec<_>>(), ["{\"n\":2}"]);
    assert_eq!((found.lost_events, found.unreadable_bytes), (0, 0));
    let (delivered, _, _) = extracted(&place, Wanted::Delivered);
    let expected: Vec<String> = numbered(10).into_iter().filter(|text| text != "{\"n\":2}").collect();
    assert_eq!(delivered, expected, "the dead one was not delivered");
}

#[tokio::test]
async fn nothing_is_got_out_of_a_journal_that_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let journal = on_disk(folder.path(), |_| ());
    let place = folder.path().join("journal");
    let refused = extract(&place, Wanted::Pending, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(refused, ExtractError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    journal.close().await.unwrap();
    extract(&place, Wanted::Pending, &mut |_| Ok(())).unwrap();
}

#[tokio::test]
async fn a_damaged_volume_gives_out_what_is_intact_wherever_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let place = journal_in(folder.path()).await;
    let volume = place.join("usage/volume-00000001");
    let mut bytes = std::fs::read(volume.join("db")).unwrap();
    let second = [&b"SLJF"[..], &[2, 1, 2]].concat();
    let mut hit = 0;
    for at in 0..bytes.len() - 60 {
        // Of the block that begins at seq 10 no copy is to stay whole.
        if bytes[at..].starts_with(&second) && bytes[at + 8..at + 16] == 10_u64.to_le_bytes() {
            bytes[at + 56] ^= 1;
            hit += 1;
        }
    }
    assert!(hit > 0);
    let rescue = folder.path().join("rescue");
    std::fs::create_dir_all(rescue.join("deep")).unwrap();
    std::fs::write(rescue.join("deep/db"), &bytes).unwrap();
    std::fs::write(rescue.join("image.bin"), &bytes).unwrap();
    for lies in [rescue.clone(), rescue.join("deep"), rescue.join("image.bin")] {
        let (pending, _, found) = extracted(&lies, Wanted::Pending);
        assert_eq!(pending, numbered(30)[20..], "{}", lies.display());
        assert_eq!(found.lost_events, 10);
    }
    // Another copy makes the loss good; a journal of somebody else's does not.
    let stranger = journal_in(&folder.path().join("stranger")).await;
    let elsewhere = rescue.join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::copy(stranger.join("usage/volume-00000001/db"), elsewhere.join("db")).unwrap();
    assert_eq!(extracted(&rescue, Wanted::Pending).2.lost_events, 10);
    std::fs::copy(volume.join("db"), elsewhere.join("db")).unwrap();
    let (pending, _, found) = extracted(&rescue, Wanted::Pending);
    assert_eq!((pending.len(), found.lost_events), (20, 0));
    std::fs::remove_dir_all(&elsewhere).unwrap();
    std::fs::remove_dir_all(rescue.join("deep")).unwrap();
    assert_eq!(extracted(&rescue, Wanted::Pending).0, numbered(30)[20..], "a file of any name");
}

#[tokio::test]
async fn a_volume_filled_aside_counts_only_where_its_place_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let place = journal_in(folder.path()).await;
    let (volume, aside) = (place.join("grants/volume-00000001"), place.join("grants/salvaging-00000001"));
    std::fs::create_dir(&aside).unwrap();
    std::fs::copy(volume.join("db"), aside.join("db")).unwrap();
    assert_eq!(extracted(&place, Wanted::Pending).0.len(), 30);
    std::fs::remove_dir_all(&volume).unwrap();
    assert_eq!(extracted(&place, Wanted::Pending).0.len(), 30);
}

#[tokio::test]
async fn a_folder_of_a_newer_sledge_is_refused_and_not_a_byte_of_its_volumes_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let journal = on_disk(folder.path(), |_| ());
    keep(&journal, Lane::Usage, &numbered(10)).await;
    journal.close().await.unwrap();
    let volume = folder.path().join("journal/usage/volume-00000001");
    let mut bytes = std::fs::read(volume.join("db")).unwrap();
    for at in 0..bytes.len() - 60 {
        if bytes[at..].starts_with(b"SLJF") {
            let body = u32::from_le_bytes(bytes[at + 44..at + 48].try_into().unwrap()) as usize;
            bytes[at + 4] = 9;
            let checksum = crc32c::crc32c(&bytes[at..at + 48]);
            let checksum = crc32c::crc32c_append(checksum, &bytes[at + 52..at + 52 + body]);
            bytes[at + 48..at + 52].copy_from_slice(&checksum.to_le_bytes());
        }
    }
    std::fs::write(volume.join("db"), &bytes).unwrap();
    let names = || {
        let entries = std::fs::read_dir(&volume).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.collect();
        names.sort();
        names
    };
    let before = names();
    let settings = Settings::in_folder(folder.path().join("journal"));
    let (clock, metrics) = (crate::clock::Clock::system(), crate::metrics::Metrics::new().unwrap());
    let refused = Journal::open(&settings, clock, metrics).unwrap_err();
    assert!(matches!(refused, OpenError::NewerFormat { .. }), "{refused}");
    assert!(refused.to_string().contains("format 9"), "{refused}");
    assert_eq!(std::fs::read(volume.join("db")).unwrap(), bytes);
    assert_eq!(names(), before);
    assert!(!folder.path().join("journal/quarantine").exists());
}
