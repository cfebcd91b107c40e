//! What was promised, held against what Polar has.

use std::collections::{HashMap, HashSet};

use sledge::simulator::Simulator;

/// The difference between promises and what Polar has.
#[derive(Debug)]
pub(crate) struct Reckoning {
    /// Ids that were acknowledged and that Polar does not have.
    pub(crate) missing: Vec<String>,
    /// What Polar has twice: the same id inserted again, or the same event under another id.
    pub(crate) doubled: Vec<String>,
    /// Ids that Polar has.
    pub(crate) at_polar: HashSet<String>,
}

impl Reckoning {
    /// Holds what was acknowledged against what a simulator has, which kept the text of every event. Events say in their
    /// metadata `what` they are, so that doubles show whatever their ids are.
    pub(crate) fn of(acked: &[String], simulator: &Simulator) -> Self {
        let mut inserted = HashMap::<String, u32>::new();
        let mut offset = 0;
        loop {
            let page = simulator.external_ids(offset, 10_000);
            if page.is_empty() {
                break;
            }
            offset += page.len();
            let went_in = page.into_iter().filter(|record| record.inserted > 0);
            inserted.extend(went_in.map(|record| (record.external_id, record.inserted)));
        }
        let texts = simulator.events();
        let present: u64 = inserted.values().copied().map(u64::from).sum();
        assert_eq!(
            texts.len() as u64,
            present,
            "every text was kept, so the check for doubles sees them all"
        );
        let mut seen = HashSet::new();
        let twice = inserted.iter().filter(|(_, times)| **times > 1).map(|(id, _)| id.clone());
        let again = texts.iter().filter_map(|text| what(text)).filter(|what| !seen.insert(what.clone()));
        Self {
            missing: acked.iter().filter(|id| !inserted.contains_key(*id)).cloned().collect(),
            doubled: twice.chain(again).collect(),
            at_polar: inserted.into_keys().collect(),
        }
    }
}

/// What an event says it is.
fn what(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("\"what\":\"")?;
    rest.split_once('"').map(|(what, _)| what.to_owned())
}
