//! Two transactions that insert the same ids in opposite order wait for each other; the database ends one of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::id_table::Place;
use super::world::World;

/// The ids of requests that reached the database and are not answered yet.
#[derive(Debug, Default)]
pub(super) struct OpenTransactions {
    by_request: HashMap<u64, Arc<[Place]>>,
}

impl OpenTransactions {
    pub(super) fn open(&mut self, request: u64, places: Arc<[Place]>) {
        self.by_request.insert(request, places);
    }

    pub(super) fn close(&mut self, request: u64) {
        self.by_request.remove(&request);
    }
}

impl World {
    /// Whether a request with these ids would be ended by the database, where deadlocks are asked for.
    pub(super) fn is_deadlocked(&self, places: &[Option<Place>]) -> bool {
        self.settings.deadlocks
            && self.open_transactions.by_request.values().any(|other| are_crossed(other, places))
    }
}

/// Whether two ids stand in both lists, in opposite order.
fn are_crossed(one: &[Place], other: &[Option<Place>]) -> bool {
    let mut order = HashMap::new();
    for (position, place) in one.iter().enumerate() {
        order.entry(*place).or_insert(position);
    }
    let mut seen = HashSet::new();
    let first_time = other.iter().flatten().filter(|place| seen.insert(**place));
    let positions: Vec<usize> = first_time.filter_map(|place| order.get(place).copied()).collect();
    !positions.is_sorted()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shared_ids_in_opposite_order_cross() {
        let crossed = |one: &[Place], other: &[Place]| {
            are_crossed(one, &other.iter().copied().map(Some).collect::<Vec<_>>())
        };
        assert!(crossed(&[1, 2, 3], &[3, 9, 1]));
        assert!(!crossed(&[1, 2, 3], &[1, 9, 3]), "the same order waits, and goes on");
        assert!(!crossed(&[1, 2, 3], &[3, 4, 5]), "one id alone can't");
        assert!(!crossed(&[1, 2, 1], &[1, 2]), "an id counts where it stands first");
        assert!(!are_crossed(&[1, 2], &[None, None]));
    }
}
