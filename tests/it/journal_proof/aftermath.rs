//! What a journal still has after the harm: opened as a start opens it, and read to its end.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sledge::clock::Clock;
use sledge::event::Lane;
use sledge::journal::{Journal, Settings};
use sledge::metrics::Metrics;

/// The events of a journal.
#[derive(Debug, Default)]
pub(crate) struct Aftermath {
    /// The ids of those that are still owed.
    pub(crate) pending: BTreeSet<String>,
    /// The ids of those given up.
    pub(crate) dead: BTreeSet<String>,
    /// What a person was told of how the journal was found.
    pub(crate) alarms: Vec<String>,
    /// Events that were given up in the books because they can't be read any more.
    pub(crate) given_up: u64,
    /// Whether a volume was put into quarantine and made anew of what lay in it.
    pub(crate) salvaged: bool,
}

impl Aftermath {
    /// Opens the journal in `folder`, reads all of it, and closes it.
    ///
    /// # Errors
    /// When it does not open, or can't be read to its end.
    pub(crate) async fn of(folder: &Path) -> Result<Self, String> {
        let settings = Settings { ballast_bytes: 0, ..Settings::in_folder(folder.to_owned()) };
        let opened = Journal::open(&settings, Clock::system(), Metrics::new().unwrap());
        let mut journal = opened.map_err(|error| error.to_string())?;
        let mut found = Self { alarms: journal.alarms().to_vec(), ..Self::default() };
        let mut consumer = journal.take_consumer().unwrap();
        for lane in Lane::ALL {
            loop {
                let Ok(blocks) = consumer.read(lane, 10_000, 16 << 20).await else {
                    return Err(format!("it ended while it was read: {:?}", journal.ended().await));
                };
                if blocks.is_empty() {
                    break;
                }
                for block in &blocks {
                    found.pending.extend((0..block.len()).map(|at| id_of(block.event(at).unwrap())));
                }
            }
        }
        let letters = journal.dead_letters().read(0, usize::MAX).await.unwrap();
        found.dead.extend(letters.iter().map(|kept| id_of(kept.letter.event.as_bytes())));
        drop(consumer);
        let accounts = journal.accounts();
        journal.close().await.unwrap();
        found.given_up = accounts.read().lost();
        found.salvaged = Self::has_quarantine(folder);
        Ok(found)
    }

    /// Whether a volume of this journal lies in quarantine.
    pub(crate) fn has_quarantine(folder: &Path) -> bool {
        fs::read_dir(folder.join("quarantine")).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Those of `ids` that are neither owed nor given up any more.
    pub(crate) fn lacks<'i>(&self, ids: impl IntoIterator<Item = &'i String>) -> Vec<&'i String> {
        ids.into_iter().filter(|id| !self.pending.contains(*id) && !self.dead.contains(*id)).collect()
    }
}

fn id_of(event: &[u8]) -> String {
    const ID: &[u8] = b"\"external_id\":\"";
    let begin = memchr::memmem::find(event, ID).expect("every event has an id") + ID.len();
    let len = memchr::memchr(b'"', &event[begin..]).unwrap();
    String::from_utf8(event[begin..begin + len].to_vec()).unwrap()
}
