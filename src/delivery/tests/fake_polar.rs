//! Polar in memory: scripted first, and well behaved once the script is over.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::fixture::names_in;
use crate::polar::{
    Answer, Environment, Fault, Ingest, IngestReply, LocPart, Reply, TokenChange, Unreachable,
    ValidationReply,
};

/// What becomes of one request.
#[derive(Clone, Debug)]
pub(super) enum Turn {
    /// Polar does its work.
    Work,
    /// This comes back and nothing was done.
    Say(Reply),
    /// Polar does its work, but the answer is lost.
    WorkUnheard(Unreachable),
    /// Polar does its work and says it had inserted one event less.
    Miscount,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) names: Vec<String>,
    pub(super) bytes: usize,
    /// Requests in flight, this one included.
    pub(super) together: usize,
}

#[derive(Debug, Default)]
pub(super) struct World {
    /// The next requests' turns; afterwards Polar works.
    pub(super) script: VecDeque<Turn>,
    /// What every request meets until then, before the script.
    pub(super) until: Option<(Instant, Turn)>,
    /// How long an answer takes.
    pub(super) latency: Duration,
    /// Names whose request is answered 500.
    pub(super) poison: HashSet<String>,
    /// Names whose request is answered as if one event less had been inserted.
    pub(super) miscounted: HashSet<String>,
    /// Names that something on the way to Polar answers, in Polar's place and like this.
    pub(super) walled: HashMap<String, Reply>,
    /// What something on the way to Polar answers in its place to requests with any of a share of all events.
    pub(super) wall: Wall,
    /// Names that the schema refuses.
    pub(super) malformed: HashSet<String>,
    /// Names whose customer is unknown.
    pub(super) unknown_customer: HashSet<String>,
    /// Names for which Polar answers 422 without saying which event it means.
    pub(super) unnamed: HashSet<String>,
    /// Names whose timestamp lies ahead of Polar's clock until then.
    pub(super) early: HashMap<String, Instant>,
    /// More events than this are too many bytes.
    pub(super) events_max: Option<usize>,
    /// More events than this match too many meters: 500.
    pub(super) matches_max: Option<usize>,
    /// Until then this share of all requests, drawn by this chance, are answered like this.
    pub(super) partly_down: Option<(Instant, f64, fastrand::Rng, Reply)>,
    /// How far Polar's clock is behind the daemon's, and the daemon's base: both to write `Date`.
    pub(super) date: Option<(Instant, u64)>,
    /// Whether what follows an `@` in a name is the event's timestamp, which must not lie ahead of that clock.
    pub(super) reads_stamps: bool,
    /// The organization's limit, which others use up too.
    pub(super) limit: Option<Arc<Mutex<FixedWindows>>>,
    pub(super) lacks_token: bool,
    /// Whether the token in use is refused, and whether a good one was put in place.
    pub(super) refuses_token: bool,
    pub(super) has_new_token: bool,
    /// What a refused token is answered with; 401 unless told.
    pub(super) refusal: Option<Reply>,

    /// Every event Polar has.
    pub(super) inserted: HashSet<String>,
    pub(super) seen: Vec<Seen>,
    pub(super) in_flight: HashSet<String>,
    pub(super) together: usize,
}

/// An organization's requests, counted in Polar's fixed windows of a minute.
#[derive(Debug)]
pub(super) struct FixedWindows {
    pub(super) begun: Instant,
    pub(super) limit: u32,
    ends: Option<Instant>,
    requests: u32,
    /// Of delivery's own requests, by minute: how many there were and how many of them were refused.
    pub(super) minutes: Vec<(u32, u32)>,
}

impl FixedWindows {
    pub(super) fn of(limit: u32) -> Self {
        Self { begun: Instant::now(), limit, ends: None, requests: 0, minutes: Vec::new() }
    }

    /// Whether a request that comes now is let through.
    pub(super) fn admit(&mut self, is_delivery: bool) -> bool {
        let now = Instant::now();
        if self.ends.is_none_or(|ends| now >= ends) {
            (self.ends, self.requests) = (Some(now + Duration::from_secs(60)), 0);
        }
        self.requests += 1;
        let is_admitted = self.requests <= self.limit;
        if is_delivery {
            let minute = usize::try_from((now - self.begun).as_secs() / 60).unwrap();
            self.minutes.resize(self.minutes.len().max(minute + 1), (0, 0));
            self.minutes[minute].0 += 1;
            self.minutes[minute].1 += u32::from(!is_admitted);
        }
        is_admitted
    }
}

/// Answers to requests with an event that chance picked, always the same one: each with the share of events it is given to.
#[derive(Clone, Debug, Default)]
pub(super) struct Wall(pub(super) Vec<(f64, Reply)>);

impl Wall {
    pub(super) fn answer_to(&self, name: &str) -> Option<&Reply> {
        let number = name.get(1..)?.parse().ok()?;
        let mut left = fastrand::Rng::with_seed(number).f64();
        let picked = self.0.iter().find(|(share, _)| {
            left -= share;
            left < 0.0
        });
        picked.map(|(_, reply)| reply)
    }
}

#[derive(Debug, Default)]
pub(super) struct FakePolar {
    pub(super) world: Mutex<World>,
}

impl FakePolar {
    /// Answers these one after the other, then works.
    pub(super) fn replying(turns: impl IntoIterator<Item = Turn>) -> Self {
        Self::living(World { script: turns.into_iter().collect(), ..World::default() })
    }

    pub(super) fn living(world: World) -> Self {
        Self { world: Mutex::new(world) }
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.world.lock().unwrap())
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.with(|world| world.seen.clone())
    }
}

impl World {
    fn receive(&mut self, body: &Bytes) -> Vec<String> {
        let names = names_in(body);
        for name in &names {
            assert!(self.in_flight.insert(name.clone()), "{name} is in two requests at once");
        }
        self.together += 1;
        let seen =
            Seen { at: Instant::now(), names: names.clone(), bytes: body.len(), together: self.together };
        self.seen.push(seen);
        names
    }

    fn answer(&mut self, names: &[String]) -> Reply {
        self.together -= 1;
        for name in names {
            self.in_flight.remove(name);
        }
        let turn = match &self.until {
            Some((end, turn)) if Instant::now() < *end => turn.clone(),
            _ => self.script.pop_front().unwrap_or(Turn::Work),
        };
        match turn {
            Turn::Say(reply) => reply,
            Turn::Work => self.work(names),
            Turn::WorkUnheard(why) => {
                self.work(names);
                Reply::Unreachable(why)
            }
            Turn::Miscount => miscount(self.work(names)),
        }
    }

    fn work(&mut self, names: &[String]) -> Reply {
        let walled = |name: &String| self.walled.get(name).or_else(|| self.wall.answer_to(name));
        if let Some(reply) = names.iter().find_map(walled) {
            return reply.clone();
        }
        if self.limit.as_ref().is_some_and(|limit| !limit.lock().unwrap().admit(true)) {
            return Reply::RateLimited { retry_after: Some(Duration::from_secs(60)) };
        }
        if self.refuses_token {
            return self.refusal.clone().unwrap_or(Reply::Unauthorized { in_polars_words: true });
        }
        if let Some((until, share, chance, reply)) = &mut self.partly_down
            && Instant::now() < *until
            && chance.f64() < *share
        {
            return reply.clone();
        }
        if self.events_max.is_some_and(|max| names.len() > max) {
            return Reply::TooLarge;
        }
        let named_in = |set: &HashSet<String>| -> Vec<usize> {
            (0..names.len()).filter(|index| set.contains(&names[*index])).collect()
        };
        let now = Instant::now();
        let early: Vec<usize> = (0..names.len())
            .filter(|index| {
                let name = &names[*index];
                self.early.get(name).is_some_and(|until| now < *until) || self.is_stamped_ahead(name)
            })
            .collect();
        let malformed = named_in(&self.malformed);
        if !named_in(&self.unnamed).is_empty() {
            return invalid(vec![fault(&["body"], None, "missing", "Field required")]);
        }
        if malformed.len() + early.len() > 0 {
            let mut detail = Vec::new();
            for kind in ["EventCreateCustomer", "EventCreateExternalCustomer"] {
                for index in &early {
                    let message = "Value error, Timestamp must be in the past.";
                    detail.push(fault(&[kind, "timestamp"], Some(*index), "value_error", message));
                }
                for index in &malformed {
                    let message = "String should have at most 128 characters";
                    detail.push(fault(&[kind, "name"], Some(*index), "string_too_long", message));
                }
            }
            return invalid(detail);
        }
        if !named_in(&self.poison).is_empty() || self.matches_max.is_some_and(|max| names.len() > max) {
            return Reply::ServerError { status: 500, retry_after: None };
        }
        let unknown = named_in(&self.unknown_customer);
        if !unknown.is_empty() {
            let words = "Customer not found.";
            return invalid(
                unknown
                    .iter()
                    .map(|index| fault(&["customer_id"], Some(*index), "value_error", words))
                    .collect(),
            );
        }
        let new = names.iter().filter(|name| self.inserted.insert((*name).clone())).count() as u64;
        let reply = Reply::Accepted(IngestReply { inserted: new, duplicates: names.len() as u64 - new });
        if named_in(&self.miscounted).is_empty() { reply } else { miscount(reply) }
    }

    fn is_stamped_ahead(&self, name: &str) -> bool {
        let stamp = name.split_once('@').filter(|_| self.reads_stamps);
        stamp.is_some_and(|(_, stamp)| stamp.parse::<u64>().unwrap() > self.now().unwrap())
    }

    fn now(&self) -> Option<u64> {
        let (begun, base) = self.date?;
        Some(base + u64::try_from(begun.elapsed().as_millis()).unwrap())
    }

    fn date(&self) -> Option<u64> {
        Some(self.now()? / 1_000 * 1_000)
    }
}

impl Ingest for FakePolar {
    async fn ingest(&self, body: Bytes) -> Answer {
        let (names, latency) = self.with(|world| (world.receive(&body), world.latency));
        // The network's time, which is what paused time is for.
        tokio::time::sleep(latency).await;
        let (reply, date) = self.with(|world| (world.answer(&names), world.date()));
        Answer { reply, date, took: latency }
    }

    fn reread_token(&self) -> TokenChange {
        self.with(|world| {
            if !std::mem::take(&mut world.has_new_token) {
                return TokenChange::Same;
            }
            (world.refuses_token, world.lacks_token) = (false, false);
            TokenChange::Changed
        })
    }

    fn lacks_token(&self) -> bool {
        self.with(|world| world.lacks_token)
    }

    fn environment(&self) -> Environment {
        Environment::Production
    }

    fn token_fix(&self) -> String {
        "put a valid one in /etc/sledge/token, it is picked up by itself".to_owned()
    }
}

/// The same with one event less.
fn miscount(reply: Reply) -> Reply {
    match reply {
        Reply::Accepted(reply) => Reply::Accepted(IngestReply {
            inserted: reply.inserted.saturating_sub(1),
            duplicates: reply.duplicates.saturating_sub(u64::from(reply.inserted == 0)),
        }),
        other => other,
    }
}

fn invalid(detail: Vec<Fault>) -> Reply {
    Reply::Invalid(ValidationReply { error: "RequestValidationError".to_owned(), detail })
}

fn fault(path: &[&str], index: Option<usize>, kind: &str, msg: &str) -> Fault {
    let key = |key: &str| LocPart::Key(key.to_owned());
    let mut loc: Vec<LocPart> = Vec::new();
    if let Some(index) = index {
        loc.extend([key("body"), key("events"), LocPart::Index(index as u64)]);
    }
    loc.extend(path.iter().copied().map(key));
    Fault { kind: kind.to_owned(), loc, msg: msg.to_owned() }
}
