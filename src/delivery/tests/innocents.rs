//! Good events that shared a request with what is bad.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::fake_polar::FakePolar;
use super::fixture::{block_of, run_of};
use super::house::{House, NOON};
use super::memory_journal::MemoryJournal;
use crate::delivery::batch::{Batch, Run};
use crate::delivery::consume::Consume as _;
use crate::delivery::delivery::{Answered, Delivery};
use crate::delivery::departure::Departure;
use crate::delivery::resend::Kind;
use crate::event::Lane;
use crate::polar::{Answer, Fault, IngestReply, LocPart, Reply, ValidationReply};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type Tested = Delivery<MemoryJournal, FakePolar>;

/// Two events of one block, each in a batch of its own, both of which Polar was never asked for.
async fn two_events(house: &House) -> (Tested, Batch, Batch) {
    let mut delivery = house.delivery(1);
    house.journal.append(Lane::Usage, NOON, 0, &["first".to_owned(), "second".to_owned()]);
    let block = house.journal.clone().read(Lane::Usage, 10, 10_000).await.unwrap().remove(0);
    delivery.unsettled.add(&block);
    let block = Arc::new(block);
    let alone =
        |position| Batch::new(vec![Run { block: Arc::clone(&block), positions: position..position + 1 }]);
    (delivery, alone(0), alone(1))
}

async fn answer(delivery: &mut Tested, batch: Batch, reply: Reply) {
    delivery.unsettled.sent(&batch);
    let answer = Answer { reply, date: None, took: SECOND };
    delivery.conclude(Answered { batch, answer, sent: Instant::now() }).await.unwrap();
}

fn names_the_first() -> Reply {
    let loc = vec![
        LocPart::Key("body".to_owned()),
        LocPart::Key("events".to_owned()),
        LocPart::Index(0),
        LocPart::Key("customer_id".to_owned()),
    ];
    let fault = Fault { kind: "value_error".to_owned(), loc, msg: "Customer not found.".to_owned() };
    Reply::Invalid(ValidationReply { error: "PolarRequestValidationError".to_owned(), detail: vec![fault] })
}

fn accepted(inserted: u64) -> Reply {
    Reply::Accepted(IngestReply { inserted, duplicates: 0 })
}

#[tokio::test(start_paused = true)]
async fn no_event_is_given_up_for_the_trials_of_another_that_it_was_sent_with() {
    for is_joined in [true, false] {
        let house = House::with(FakePolar::default());
        let (mut delivery, mut first, second) = two_events(&house).await;
        let fail =
            |batch: &mut Batch| (0..11).for_each(|confirmed| batch.history.failed(confirmed, true, 0.0));
        delivery.tally.confirmed = 20;
        let both = if is_joined {
            fail(&mut first);
            Batch::join(vec![first, second])
        } else {
            let mut both = Batch::merge(vec![first, second]);
            fail(&mut both);
            both
        };
        answer(&mut delivery, both, names_the_first()).await;
        let later = Instant::now() + MINUTE;
        let second = delivery.resend.take_ready(later, Kind::Suspected);
        let second = second.or_else(|| delivery.resend.take_ready(later, Kind::Unsuspected)).unwrap();
        answer(&mut delivery, second, Reply::NotFound).await;
        let dead = house.journal.with(|books| books.dead.iter().map(|letter| letter.seq).collect::<Vec<_>>());
        assert_eq!(dead, [Some(0)], "{is_joined}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_never_sent_alone_does_not_wait_behind_all_that_failed_alone() {
    let house = House::with(FakePolar::default());
    let (mut delivery, first, second) = two_events(&house).await;
    let (first, second) = Batch::merge(vec![first, second]).split(0, None);
    answer(&mut delivery, first.with_tail(second), accepted(1)).await;
    for seq in 10..20 {
        let mut failed = Batch::new(vec![run_of(&block_of(Lane::Usage, seq, &["{}"]))]);
        failed.history.failed(0, true, 0.0);
        delivery.suspects.offenders.push(failed, 0);
    }
    let next = delivery.suspects.offenders.take_due(Instant::now(), 0, (1, 1_000), false).unwrap();
    assert_eq!((next.oldest_seq(), next.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_half_whose_sum_is_wrong_does_not_keep_the_other_half() {
    for mismatches in [0, 1] {
        let house = House::with(FakePolar::default());
        let (mut delivery, first, second) = two_events(&house).await;
        let (mut first, second) = Batch::merge(vec![first, second]).split(0, None);
        first.history.mismatches = mismatches;
        answer(&mut delivery, first.with_tail(second), accepted(0)).await;
        let free = delivery.resend.take_ready(Instant::now(), Kind::Unsuspected);
        assert_eq!(free.map(|batch| (batch.oldest_seq(), batch.len())), Some((1, 1)), "{mismatches}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_filled_up_with_fresh_events_stays_within_the_limit() {
    let house = House::with(FakePolar::default());
    let (mut delivery, first, _) = two_events(&house).await;
    answer(&mut delivery, first, accepted(1)).await;
    delivery.suspects.passing.failed(100, 2, 1);
    let bytes_max = delivery.settings.batch_bytes_max;
    let event = |bytes| format!(r#"{{"name":"{}"}}"#, "x".repeat(bytes));
    delivery.resend.push(Batch::new(vec![run_of(&block_of(Lane::Usage, 10, &[&event(bytes_max - 200)]))]));
    delivery.batcher.push(block_of(Lane::Usage, 20, &[&event(1_000)]), Instant::now());
    let departure = delivery.departure(Instant::now() + MINUTE, 0);
    let Departure::Leave(batch) = departure else { panic!("{departure:?}") };
    assert!(batch.oldest_seq() == 10 && batch.body_bytes() <= bytes_max, "{} events", batch.len());
}

#[tokio::test(start_paused = true)]
async fn what_was_too_large_together_keeps_its_own_trials_and_is_smaller_the_next_time() {
    let house = House::with(FakePolar::default());
    let mut delivery = house.delivery(1);
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(60_000));
    let parts = [3, 4].map(|seq| {
        let block = block_of(Lane::Usage, seq, &[&large]);
        delivery.unsettled.add(&block);
        let mut part = Batch::new(vec![run_of(&block)]);
        for confirmed in 0..seq {
            part.history.failed(confirmed, true, 0.0);
        }
        part
    });
    let joined = Batch::join(parts.into());
    let bytes = joined.body_bytes();
    delivery.tally.confirmed = 10;
    answer(&mut delivery, joined, Reply::TooLarge).await;
    assert!(delivery.size.now(Instant::now()).1 < bytes);
    let mut take = || delivery.suspects.offenders.take_probe(Instant::now(), 10).unwrap().history.trials;
    let mut trials = [take(), take()];
    trials.sort_unstable();
    assert_eq!(trials, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_together_counts_its_own_requests() {
    let house = House::with(FakePolar::default());
    let (_, mut first, mut second) = two_events(&house).await;
    (first.history.requests, second.history.requests) = (30, 2);
    let mut joined = Batch::join(vec![first, second]);
    joined.history.requests += 1;
    let requests: Vec<u32> = joined.apart().iter().map(|part| part.history.requests).collect();
    assert_eq!(requests, [31, 3]);
}
