//! Good events that shared a request with what is bad.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::fake_polar::FakePolar;
use super::house::{House, NOON};
use super::memory_journal::MemoryJournal;
use crate::delivery::batch::{Batch, Run};
use crate::delivery::consume::Consume as _;
use crate::delivery::delivery::{Answered, Delivery};
use crate::delivery::resend::Kind;
use crate::event::Lane;
use crate::polar::{Answer, Fault, LocPart, Reply, ValidationReply};

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

#[tokio::test(start_paused = true)]
async fn no_event_is_given_up_for_the_trials_of_another_that_it_was_sent_with() {
    for is_joined in [true, false] {
        let house = House::with(FakePolar::default());
        let (mut delivery, mut first, second) = two_events(&house).await;
        let fail = |batch: &mut Batch| (0..11).for_each(|confirmed| batch.history.failed(confirmed, true));
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
