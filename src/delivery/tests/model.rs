//! Whatever Polar does, every event ends inserted once or as one dead letter.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::fake_polar::{FakePolar, Turn, World};
use super::house::{House, NOON, after};
use crate::event::Lane;
use crate::polar::{IngestReply, Reply, TlsFault, Unreachable};

fn turn() -> impl Strategy<Value = Turn> {
    let unreachable = prop::sample::select(vec![
        Unreachable::Refused,
        Unreachable::NoRoute,
        Unreachable::Dns,
        Unreachable::Tls(TlsFault::Untrusted),
        Unreachable::Proxy,
        Unreachable::Timeout,
        Unreachable::Reset,
        Unreachable::CutOff,
        Unreachable::Garbage,
    ]);
    let wait = || prop::option::of((0_u64..90).prop_map(Duration::from_secs));
    prop_oneof![
        6 => Just(Turn::Work),
        2 => unreachable.clone().prop_map(Turn::WorkUnheard),
        1 => Just(Turn::Miscount),
        1 => unreachable.prop_map(|why| Turn::Say(Reply::Unreachable(why))),
        1 => (500_u16..600, wait()).prop_map(|(status, retry_after)| {
            Turn::Say(Reply::ServerError { status, retry_after })
        }),
        1 => wait().prop_map(|retry_after| Turn::Say(Reply::RateLimited { retry_after })),
        1 => prop::sample::select(vec![
            Reply::Unauthorized { in_polars_words: true },
            Reply::Unauthorized { in_polars_words: false },
            Reply::Forbidden,
            Reply::NotFound,
            Reply::Redirect { status: 302 },
            Reply::Unproven { status: 200 },
            Reply::Refused { status: 400 },
            Reply::Accepted(IngestReply { inserted: 0, duplicates: 0 }),
        ])
        .prop_map(Turn::Say),
    ]
}

/// Turns a script's excess of failures into work: with more of them, one innocent event could meet so many alone that
/// it looks like a poison.
fn convicting_nobody(mut script: Vec<Turn>) -> Vec<Turn> {
    let (mut failures, mut blames) = (0, 0);
    for turn in &mut script {
        match turn {
            Turn::Say(
                Reply::ServerError { status: 502..=504 | 520..=530, .. }
                | Reply::Unreachable(_)
                | Reply::Unauthorized { in_polars_words: false }
                | Reply::NotFound
                | Reply::Redirect { .. }
                | Reply::Unproven { .. },
            )
            | Turn::WorkUnheard(_) => failures += 1,
            Turn::Say(Reply::ServerError { .. } | Reply::Refused { .. }) => {
                failures += 1;
                blames += 1;
            }
            Turn::Work | Turn::Miscount | Turn::Say(_) => continue,
        }
        if failures > 11 || blames > 4 {
            *turn = Turn::Work;
        }
    }
    script
}

#[derive(Debug, Clone)]
struct Story {
    script: Vec<Turn>,
    blocks: Vec<(bool, usize, u64)>,
    malformed: HashSet<usize>,
    unknown_customer: HashSet<usize>,
    unnamed: HashSet<usize>,
    poison: HashSet<usize>,
    early: HashSet<usize>,
    events_max: Option<usize>,
    batch_events_max: usize,
    in_flight_max: usize,
    unsettled_bytes_max: usize,
    latency_ms: u64,
    seed: u64,
}

fn story() -> impl Strategy<Value = Story> {
    let few = || prop::collection::hash_set(0_usize..150, 0..4);
    (
        (
            prop::collection::vec(turn(), 0..40).prop_map(convicting_nobody),
            prop::collection::vec((any::<bool>(), 1_usize..30, 0_u64..20_000), 1..12),
            prop::option::of(1_usize..50),
            1_usize..60,
            1_usize..5,
        ),
        (few(), few(), few(), few(), few()),
        (200_usize..20_000, 0_u64..3_000, any::<u64>()),
    )
        .prop_map(
            |(
                (script, blocks, events_max, batch_events_max, in_flight_max),
                (malformed, unknown_customer, unnamed, poison, early),
                (unsettled_bytes_max, latency_ms, seed),
            )| Story {
                script,
                blocks,
                malformed,
                unknown_customer,
                unnamed,
                poison,
                early,
                events_max,
                batch_events_max,
                in_flight_max,
                unsettled_bytes_max,
                latency_ms,
                seed,
            },
        )
}

async fn live_through(story: Story) {
    let mut names = Vec::new();
    for (number, (_, events, _)) in story.blocks.iter().enumerate() {
        names.push((0..*events).map(|event| format!("{number}.{event}")).collect::<Vec<_>>());
    }
    let all: Vec<String> = names.concat();
    let pick = |numbers: &HashSet<usize>| -> HashSet<String> {
        numbers.iter().filter_map(|number| all.get(*number).cloned()).collect()
    };
    let (malformed, unknown_customer) = (pick(&story.malformed), pick(&story.unknown_customer));
    let (unnamed, poison) = (pick(&story.unnamed), pick(&story.poison));
    let bad: HashSet<String> =
        [&malformed, &unknown_customer, &unnamed, &poison].into_iter().flatten().cloned().collect();
    let mut house = House::with(FakePolar::living(World {
        script: story.script.into(),
        early: pick(&story.early)
            .into_iter()
            .map(|name| (name, tokio::time::Instant::now() + Duration::from_secs(40)))
            .collect(),
        malformed,
        unknown_customer,
        unnamed,
        poison,
        events_max: story.events_max,
        latency: Duration::from_millis(story.latency_ms),
        ..World::default()
    }));
    house.settings.batch_events_max = story.batch_events_max;
    house.settings.requests_in_flight_max = story.in_flight_max;
    house.settings.unsettled_bytes_max = story.unsettled_bytes_max;
    house
        .run_seeded(story.seed, async {
            for ((is_grant, _, pause), names) in story.blocks.iter().zip(&names) {
                let lane = if *is_grant { Lane::Grants } else { Lane::Usage };
                house.journal.append(lane, NOON, NOON + pause, names);
                after(Duration::from_millis(*pause)).await;
            }
            // What fails alone is given up only once others succeed, so good events keep coming.
            for extra in 0.. {
                if house.journal.with(|books| books.pending) == 0 {
                    break;
                }
                assert!(
                    extra < 400,
                    "something stays for ever: {} events",
                    house.journal.with(|b| b.pending)
                );
                house.journal.append(Lane::Usage, NOON, 0, &[format!("extra{extra}")]);
                after(Duration::from_secs(120)).await;
            }
            Duration::from_secs(60)
        })
        .await
        .unwrap();

    let inserted = house.polar.with(|world| world.inserted.clone());
    let dead: Vec<String> = house.journal.with(|books| {
        books
            .dead
            .iter()
            .map(|letter| letter.event.trim_matches(['{', '}']).replace("\"name\":", "").replace('"', ""))
            .collect()
    });
    let dead_once: HashSet<String> = dead.iter().cloned().collect();
    assert_eq!(dead.len(), dead_once.len(), "an event is a dead letter once");
    assert_eq!(dead_once, bad, "exactly what Polar won't take is given up");
    for name in &all {
        assert!(inserted.contains(name) != dead_once.contains(name), "{name} has exactly one fate");
    }
    house.journal.with(|books| {
        assert_eq!(books.inserted + books.duplicates, inserted.len() as u64, "the sums are exact");
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_event_ends_inserted_once_or_as_one_dead_letter(story in story()) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(live_through(story));
    }
}
