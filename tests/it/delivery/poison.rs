//! Bad events of every kind among good ones, with a simulator that is stricter than Polar.

use std::time::Duration;

use sledge::event::Lane;
use sledge::simulator::{AlsoRefuse, Change, RefusedAs, RefusedField};

use super::house::{House, event, names};
use crate::tool;

const SOON: Duration = Duration::from_secs(300);
const EVENTS: usize = 1_000;

/// The most silent poisons that are hidden. The long form:
/// `SLEDGE_POISONS=999 cargo test --test it -- --nocapture exactly_the_bad`.
fn poisons_max() -> usize {
    tool::number_from("SLEDGE_POISONS", 10)
}

/// A thousand events, so many of which the simulator refuses, anywhere among them.
fn thousand(bad: usize) -> Vec<String> {
    let mut numbers: Vec<usize> = (0..EVENTS).collect();
    fastrand::Rng::with_seed(bad as u64).shuffle(&mut numbers);
    let mut texts = names("good", 0..EVENTS);
    for number in &numbers[..bad] {
        texts[*number] = event(&format!("cursed-{number}"));
    }
    texts
}

/// Lives through it: how many requests there were, and how many of each status.
async fn live(refused_as: RefusedAs, bad: usize) -> u64 {
    let mut house = House::new().await;
    house.settings.retry_interval = Duration::from_millis(5);
    house.settings.retry_interval_max = Duration::from_millis(100);
    let rule = AlsoRefuse { field: RefusedField::ExternalId, containing: "cursed".to_owned(), refused_as };
    house.simulator.change(Change { also_refuse: Some(vec![rule]), ..Change::default() });
    house.append(Lane::Usage, thousand(bad)).await;
    // Alone a poison proves nothing: only that others are taken meanwhile tells it from an outage.
    let trickle = house.trickle_until_dead(bad as u64, "trickle", Duration::from_millis(10));
    let ((_, accounts), trickled) = tokio::join!(house.deliver_until_settled(SOON), trickle);
    assert!(accounts.add_up(), "{accounts:?}");
    assert_eq!(accounts.dead_lettered_total(), bad as u64, "{refused_as:?}");
    assert_eq!(accounts.delivered_total(), (EVENTS - bad) as u64 + trickled, "{refused_as:?}");
    let state = house.simulator.state();
    assert_eq!(state.events_inserted, (EVENTS - bad) as u64 + trickled);
    assert_eq!(state.external_ids_in_two_requests_at_once, 0);
    println!(
        "{refused_as:?}, {bad} of {EVENTS}: {:?} by status, {trickled} trickled in",
        state.requests_by_status
    );
    state.requests_by_status.iter().filter(|(status, _)| **status != 200).map(|(_, requests)| *requests).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_bad_events_of_a_thousand_become_dead_letters_and_the_good_ones_arrive() {
    for refused_as in [RefusedAs::Schema, RefusedAs::Business] {
        for bad in [0, 1, 2, 10, 500, 999] {
            let refused = live(refused_as, bad).await;
            assert!(refused <= 1, "{refused_as:?} {bad}: {refused} requests were refused");
        }
    }
    for bad in [0, 1, 2, 10, 500, 999].into_iter().filter(|bad| *bad <= poisons_max()) {
        let failed = live(RefusedAs::ServerError, bad).await;
        let levels = (EVENTS / bad.max(1)).ilog2() as usize + 2;
        let most = if bad == 0 { 0 } else { 3 + 3 * (bad * levels).min(EVENTS - 1) + 10 * bad };
        assert!(failed <= most as u64, "{bad} poisons failed {failed} requests, not {most}");
    }
}
