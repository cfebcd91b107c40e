//! Delivery between the real journal and Polar's simulator, over real sockets.

mod answers;
mod hold;
mod house;
mod odd_polar;
mod poison;
mod sharing;

use std::time::Duration;

use self::house::{House, event, names};
use sledge::delivery::DrainEnd;
use sledge::event::Lane;
use sledge::simulator::{Change, Cut, RateLimit, Scripted};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn what_the_journal_holds_reaches_polar_and_the_accounts_add_up() {
    let house = House::new().await;
    house.append(Lane::Usage, names("usage", 0..20_000)).await;
    house.append(Lane::Grants, names("grant", 0..50)).await;
    let (drained, accounts) = house.deliver_until(20_050, SOON).await;
    assert_eq!((drained.end, drained.left), (DrainEnd::Empty, 0));
    assert!(accounts.add_up(), "{accounts:?}");
    assert_eq!((accounts.inserted, accounts.duplicates, accounts.pending_total()), (20_050, 0, 0));
    let state = house.simulator.state();
    assert_eq!((state.events_inserted, state.events_duplicate), (20_050, 0));
    assert_eq!(state.external_ids_in_two_requests_at_once, 0);
    assert!(state.ingest_requests <= 40, "{} requests for 20,050 events", state.ingest_requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn polars_own_words_on_bad_events_become_dead_letters_and_the_rest_arrives() {
    let house = House::new().await;
    let mut texts = names("good", 0..997);
    texts.insert(0, event("no-customer").replace("external_customer_id", "external_costumer_id"));
    texts.insert(400, event("long-name").replace("api_usage", &"n".repeat(129)));
    texts.push(event("unknown-customer").replace(
        r#""external_customer_id":"user_1""#,
        r#""customer_id":"7a1f2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b""#,
    ));
    house.append(Lane::Usage, texts).await;
    let (_, accounts) = house.deliver_until(997, SOON).await;
    assert!(accounts.add_up(), "{accounts:?}");
    assert_eq!((accounts.inserted, accounts.dead_lettered_total()), (997, 3));
    let state = house.simulator.state();
    assert_eq!(state.ingest_requests, 3, "two layers, and what is left");
    assert_eq!(state.requests_by_status.get(&422), Some(&2));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_every_kind_lose_and_double_nothing() {
    let house = House::new().await;
    house.simulator.script([
        Scripted::cut(Cut::BeforeCommit),
        Scripted::cut(Cut::AfterCommit),
        Scripted::cut(Cut::MidAnswer),
        Scripted::bad_gateway(),
        Scripted::wrong_sums(),
        Scripted::status(429).with_header("retry-after", "1"),
        Scripted::answer(500, "Internal Server Error").with_header("content-type", "text/plain"),
        Scripted::status(413),
        Scripted::answer(
            422,
            r#"{"error":"RequestValidationError","detail":[{"type":"x","loc":["body",9],"msg":"m"}]}"#,
        ),
        Scripted::answer(422, "<html>not Polar's</html>"),
    ]);
    house.append(Lane::Usage, names("usage", 0..5_000)).await;
    let (drained, accounts) = house.deliver_until(5_000, SOON).await;
    assert_eq!(drained.end, DrainEnd::Empty);
    assert!(accounts.add_up(), "{accounts:?}");
    assert_eq!((accounts.delivered_total(), accounts.dead_lettered_total()), (5_000, 0));
    let state = house.simulator.state();
    assert_eq!((state.events_inserted, state.external_ids), (5_000, 5_000));
    assert_eq!(state.external_ids_in_two_requests_at_once, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_that_polar_answers_500_to_is_found_among_thousands() {
    let mut house = House::new().await;
    house.settings.retry_interval = Duration::from_millis(10);
    house.settings.retry_interval_max = Duration::from_millis(200);
    let mut texts = names("usage", 0..3_000);
    texts[1_700] = event("poison").replace("user_1", &incompressible(9_000));
    house.append(Lane::Usage, texts).await;
    // Alone it proves nothing: only that others are taken meanwhile tells it from an outage.
    let proof = async {
        assert!(house.simulator.wait_for_events(2_999, SOON).await);
        house.wait_until_refused_alone().await;
        house.trickle_until_dead(1, "proof", Duration::from_millis(50)).await
    };
    let ((_, accounts), proofs) = tokio::join!(house.deliver_until_settled(SOON), proof);
    assert!(accounts.add_up(), "{accounts:?}");
    assert_eq!((accounts.inserted, accounts.dead_lettered_total()), (2_999 + proofs, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_waited_out_and_its_successor_picked_up_from_the_file() {
    let house = House::new().await;
    house
        .simulator
        .change(Change { accepted_tokens: Some(vec!["polar_oat_new".to_owned()]), ..Change::default() });
    house.append(Lane::Usage, names("usage", 0..100)).await;
    let replace_token = async {
        house.wait_until_degraded("not valid for this environment (custom)").await;
        std::fs::write(house.token_file(), "polar_oat_new\n").unwrap();
    };
    let ((_, accounts), ()) = tokio::join!(house.deliver_until(100, SOON), replace_token);
    assert_eq!((accounts.inserted, accounts.pending_total()), (100, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn polars_rate_limit_is_kept_without_a_single_429() {
    let mut house = House::new().await;
    house.settings.requests_per_minute = Some(100);
    house.settings.batch_events_max = 10;
    house.simulator.change(Change { rate_limit: Some(RateLimit::Sandbox), ..Change::default() });
    house.append(Lane::Usage, names("usage", 0..150)).await;
    let (_, accounts) = house.deliver_until(150, SOON).await;
    assert_eq!(accounts.inserted, 150);
    assert_eq!(house.simulator.state().requests_by_status.get(&429), None);
}

/// Text that no compression saves from Polar's index limit.
fn incompressible(length: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(3);
    std::iter::repeat_with(|| rng.alphanumeric()).take(length).collect()
}
