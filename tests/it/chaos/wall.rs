//! A gateway on the way that takes offence at what an event says, and answers in Polar's place.

use std::time::Duration;

use sledge::journal::DeadReason;

use super::answer::{answer, location, page};
use super::deck::Row;
use super::front::Front;
use crate::certificates::Authority;
use crate::fake_polar::FakePolar;
use crate::senders::Senders;
use crate::sledge_process::{Home, SledgeProcess};

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wall {
    NotFound,
    Redirect,
    Page,
}

impl Wall {
    const ALL: [Self; 3] = [Self::NotFound, Self::Redirect, Self::Page];

    /// The name of the events it means.
    fn event(self) -> &'static str {
        match self {
            Self::NotFound => "walled_not_found",
            Self::Redirect => "walled_redirect",
            Self::Page => "walled_page",
        }
    }

    /// The one that a request meets.
    pub(super) fn before(request: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(request);
        Self::ALL.into_iter().find(|wall| text.contains(wall.event()))
    }

    pub(super) fn answer(self, elsewhere: &str) -> Vec<u8> {
        match self {
            Self::NotFound => page("404 Not Found", &[]),
            Self::Redirect => answer("302 Found", &[&location(elsewhere)], ""),
            Self::Page => page("200 OK", &[]),
        }
    }

    pub(super) fn row(self) -> Row {
        match self {
            Self::NotFound => Row::WalledWithNotFound,
            Self::Redirect => Row::WalledWithRedirect,
            Self::Page => Row::WalledWithPage,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_that_a_gateway_answers_with_404_or_a_redirect_or_a_page_holds_up_no_others() {
    let polar = FakePolar::start().await;
    let mut rng = fastrand::Rng::with_seed(0);
    let front = Front::start(polar.address(), &Authority::new("nobody you need"), &mut rng).await;
    front.clear_up();
    let home = Home::new();
    let mut command = home.run_command(&front.url());
    command.env("SLEDGE_DELIVERY_RETRY_INTERVAL_MS", "10");
    command.env("SLEDGE_DELIVERY_RETRY_INTERVAL_MS_MAX", "200");
    // Whoever is held is held for longer than this test waits for anything.
    command.env("SLEDGE_DELIVERY_SLOW_PROBE_SECONDS", "600");
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let mut senders = Senders::to(&home.socket(), Duration::from_millis(20));
    senders.acked_lines(4).http();
    for wall in Wall::ALL {
        let event =
            format!(r#"{{"events":[{{"name":"{}","external_customer_id":"user_1"}}]}}"#, wall.event());
        assert_eq!(sledge.ingest(&event).await.0, 200);
    }
    sledge.scrape_until(|scrape| scrape.sum("sledge_events_dead_lettered_total") > 2.5).await;
    let promises = senders.stop().await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") < 0.5).await;
    let (_, _, log) = sledge.stop().await;
    assert!(!log.contains("delivery is held"), "{log}");

    let acked = promises.acked.lock().unwrap().len() as u64;
    let state = polar.simulator.state();
    assert_eq!((state.events_inserted, state.external_ids), (acked, acked));
    for wall in Wall::ALL {
        println!("{wall:?}: {} requests, beside {acked} events", front.shared.tally.of(wall.row()));
    }
    let letters = home.dead_letters().await;
    assert!(letters.iter().all(|letter| letter.reason == DeadReason::Poison), "{letters:?}");
    for (wall, code) in Wall::ALL.into_iter().zip(["404", "302", "200"]) {
        let of_it = letters.iter().filter(|letter| letter.event.contains(wall.event()));
        assert_eq!(of_it.map(|letter| letter.code.as_str()).collect::<Vec<_>>(), [code]);
    }
    assert!(front.nobody_went_elsewhere(), "a redirect was followed");
}
