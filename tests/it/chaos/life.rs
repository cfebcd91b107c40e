//! One life of sledge in the storm: how it reaches Polar, what happens to it meanwhile, how it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sledge::polar::Reply;
use sledge::simulator::Change;
use tokio::process::Command;

use super::deaf::Deaf;
use super::deck::Row;
use super::front::Front;
use super::other_doors::LoopbackAddress;
use crate::connect_proxy::{ConnectProxy, Manner};
use crate::fake_polar::FakePolar;
use crate::senders::Promises;
use crate::sledge_process::{Home, PATIENCE, Scrape, SledgeProcess};

/// How a life reaches Polar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In clear text on the loopback address.
    Clear,
    /// Over TLS.
    Tls,
    /// Over TLS, through a proxy.
    Proxied,
    /// Not at all: its name has no address.
    NoAddress,
    /// Not at all: nobody takes the connection.
    NoRoute,
}

/// What happens in the middle of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Incident {
    HangUp,
    Outage,
    ClockBehind,
    ClockAhead,
    Poison,
    NewToken,
    EventAhead,
    UntrustedCertificate,
    ProxyMisbehaves,
}

/// Everything there is around sledge.
pub(super) struct Stage {
    pub(super) polar: FakePolar,
    pub(super) front: Front,
    pub(super) proxy: ConnectProxy,
    pub(super) home: Home,
    pub(super) promises: Arc<Promises>,
    pub(super) loopback: LoopbackAddress,
    pub(super) rng: fastrand::Rng,
    /// Every outcome of a request that sledge told of.
    pub(super) outcomes: BTreeSet<&'static str>,
    /// The events that Polar never takes, by their ids: what they are.
    pub(super) poisons: BTreeMap<String, &'static str>,
    /// What sledge logged in lives that ended by themselves.
    pub(super) logs: String,
    pub(super) tokens: u32,
    /// Events that incidents sent so far.
    pub(super) events: u32,
}

impl Stage {
    pub(super) fn datagrams(&self) -> std::path::PathBuf {
        self.home.path().join("sledge.dgram")
    }

    fn token_file(&self) -> std::path::PathBuf {
        self.home.path().join("token")
    }

    /// Puts another token in place, the only one that Polar takes from now on.
    pub(super) fn change_token_at_polar(&mut self) -> String {
        self.tokens += 1;
        let token = format!("polar_oat_chaos_{}_{}", self.tokens, self.rng.u64(..));
        self.polar
            .simulator
            .change(Change { accepted_tokens: Some(vec![token.clone()]), ..Change::default() });
        token
    }

    pub(super) fn write_token(&self, token: &str) {
        let aside = self.token_file().with_extension("new");
        std::fs::write(&aside, token).unwrap();
        std::fs::rename(aside, self.token_file()).unwrap();
    }

    /// `sledge run` with every wait as short as its settings allow.
    fn command(&self, url: &str) -> Command {
        let mut command = self.home.run_command(url);
        command.env_remove("POLAR_ACCESS_TOKEN").arg("--token-file").arg(self.token_file());
        command.arg("--datagram-socket").arg(self.datagrams()).args(["--http", "127.0.0.1:0"]);
        command.env("SLEDGE_POLAR_CA_FILE", self.home.path().join("ca.pem"));
        for (name, value) in [
            ("DRAIN_DEADLINE_SECONDS", "1"),
            ("POLAR_REQUEST_TIMEOUT_SECONDS", "1"),
            ("POLAR_CONNECT_TIMEOUT_SECONDS", "1"),
            ("DELIVERY_SLOW_PROBE_SECONDS", "1"),
            ("DELIVERY_RETRY_INTERVAL_MS", "10"),
            ("DELIVERY_RETRY_INTERVAL_MS_MAX", "100"),
            ("DELIVERY_REQUESTS_PER_MINUTE", "1000000"),
            ("DELIVERY_BATCH_EVENTS_MAX", "20"),
            ("DELIVERY_LINGER_MS", "5"),
        ] {
            command.env(format!("SLEDGE_{name}"), value);
        }
        command
    }

    pub(super) async fn start(&self, way: Way, deaf: &Deaf) -> SledgeProcess {
        let command = match way {
            Way::Clear => self.command(&self.front.url()),
            Way::Tls => self.command(&self.front.tls_url()),
            Way::Proxied => {
                let mut command = self.command(&self.front.tls_url());
                command.env("SLEDGE_POLAR_PROXY", self.proxy.url());
                command
            }
            Way::NoAddress => {
                let mut command = self.command("https://polar.invalid");
                // Where no resolver is at hand its silence must end before the attempt to connect does.
                command.env("RES_OPTIONS", "timeout:1 attempts:1");
                command.env("SLEDGE_POLAR_REQUEST_TIMEOUT_SECONDS", "60");
                command.env("SLEDGE_POLAR_CONNECT_TIMEOUT_SECONDS", "60");
                command
            }
            Way::NoRoute => {
                let mut command = self.command(&deaf.url());
                command.env("SLEDGE_POLAR_REQUEST_TIMEOUT_SECONDS", "60");
                command
            }
        };
        let sledge = SledgeProcess::start(command, self.home.socket()).await;
        *self.loopback.lock().unwrap() = sledge.listener("http").await;
        sledge
    }

    /// A life that lasts until so many batches came to Polar, or until it is clear that none will.
    pub(super) async fn live(&mut self, way: Way, batches: u64, deaf: &Deaf) {
        let sledge = self.start(way, deaf).await;
        match way {
            Way::NoAddress => self.until_outcome(&sledge, "dns", Row::NoAddress).await,
            Way::NoRoute => self.until_outcome(&sledge, "no_route", Row::NoRoute).await,
            Way::Clear | Way::Tls | Way::Proxied => {
                let incidents = self.incidents(way);
                let pause = batches / (incidents.len() as u64 + 1);
                for incident in incidents {
                    self.until_batches(&sledge, pause).await;
                    self.befall(&sledge, way, incident).await;
                }
                self.until_batches(&sledge, pause).await;
            }
        }
        self.scrape(&sledge).await;
        if self.rng.bool() {
            sledge.kill_nine().await;
        } else {
            let (status, _, log) = sledge.stop().await;
            assert!(status.success(), "{log}");
            self.logs.push_str(&log);
        }
    }

    fn incidents(&mut self, way: Way) -> Vec<Incident> {
        let clock = if self.rng.bool() { Incident::ClockBehind } else { Incident::ClockAhead };
        let mut incidents = vec![
            Incident::HangUp,
            Incident::Outage,
            Incident::Poison,
            Incident::NewToken,
            Incident::EventAhead,
            clock,
        ];
        match way {
            Way::Tls => incidents.push(Incident::UntrustedCertificate),
            Way::Proxied => incidents.push(Incident::ProxyMisbehaves),
            Way::Clear | Way::NoAddress | Way::NoRoute => {}
        }
        self.rng.shuffle(&mut incidents);
        incidents
    }

    async fn befall(&mut self, sledge: &SledgeProcess, way: Way, incident: Incident) {
        match incident {
            Incident::HangUp => hang_up(sledge),
            Incident::Outage => {
                self.front.go_away().await;
                // Through a proxy it is the proxy that is refused.
                let (outcome, row) = match way {
                    Way::Proxied => ("proxy", Row::ProxyHangsUp),
                    _ => ("connection_refused", Row::ConnectionRefused),
                };
                self.until_outcome(sledge, outcome, row).await;
                self.front.come_back();
            }
            Incident::ClockBehind => {
                self.set_clock(-1_500);
                self.until_row(sledge, Row::TimestampAhead).await;
                self.set_clock(0);
            }
            Incident::ClockAhead => {
                self.set_clock(1_500);
                self.until_batches(sledge, 5).await;
                self.set_clock(0);
            }
            Incident::Poison => self.send_poison(sledge).await,
            Incident::NewToken => {
                let token = self.change_token_at_polar();
                self.until_row(sledge, Row::TokenReplaced).await;
                self.write_token(&token);
            }
            Incident::EventAhead => self.send_ahead(sledge).await,
            Incident::UntrustedCertificate => {
                self.front.show_untrusted(true);
                self.until_row(sledge, Row::Untrusted).await;
                self.front.show_untrusted(false);
            }
            Incident::ProxyMisbehaves => {
                self.front.be_restless(true);
                for (manner, row) in [
                    (Manner::AskFor("Basic nobody".to_owned()), Row::LoginAtProxy),
                    (Manner::Answer("502 Bad Gateway"), Row::ProxyBadGateway),
                    (Manner::Answer("504 Gateway Timeout"), Row::ProxyTimeout),
                    (Manner::HangUp, Row::ProxyHangsUp),
                ] {
                    let before = self.proxy.refusals();
                    self.proxy.change(manner);
                    self.until(sledge, |stage, _| stage.proxy.refusals() > before + 1).await;
                    self.front.shared.tally.count(row);
                }
                self.proxy.change(Manner::Connect);
                self.front.be_restless(false);
            }
        }
    }

    fn set_clock(&self, clock_offset_ms: i64) {
        let change = Change { clock_offset_ms: Some(clock_offset_ms), ..Change::default() };
        self.polar.simulator.change(change);
    }

    /// Hands sledge events that Polar will never take, among good ones.
    async fn send_poison(&mut self, sledge: &SledgeProcess) {
        let mut events = Vec::new();
        for (what, fields) in [
            ("good", r#""name":"api_usage","external_customer_id":"user_1""#),
            ("retired", r#""name":"retired_event","external_customer_id":"user_1""#),
            ("stranger", r#""name":"api_usage","customer_id":"0190163d-8694-4a5b-ab01-2f5d3b5e8a00""#),
            ("crashing", r#""name":"crashing_event","external_customer_id":"user_1""#),
            ("walled", r#""name":"walled_not_found","external_customer_id":"user_1""#),
            ("walled", r#""name":"walled_redirect","external_customer_id":"user_1""#),
            ("walled", r#""name":"walled_page","external_customer_id":"user_1""#),
            ("good", r#""name":"api_usage","external_customer_id":"user_2""#),
        ] {
            self.events += 1;
            let id = format!("{what}-{}", self.events);
            events.push(format!(r#"{{{fields},"external_id":"{id}","metadata":{{"what":"{id}"}}}}"#));
            match what {
                "good" => self.promises.acked.lock().unwrap().push(id),
                _ => drop(self.poisons.insert(id, what)),
            }
        }
        let (status, body) = sledge.ingest(&format!(r#"{{"events":[{}]}}"#, events.join(","))).await;
        assert_eq!(status, 200, "{body}");
    }

    /// Hands sledge an event whose time comes in a moment.
    async fn send_ahead(&mut self, sledge: &SledgeProcess) {
        self.events += 1;
        let id = format!("ahead-{}", self.events);
        let due = sledge::clock::Clock::system().now() + 1_200;
        let event = format!(
            r#"{{"name":"api_usage","external_customer_id":"user_1","external_id":"{id}","timestamp":{due},"metadata":{{"what":"{id}"}}}}"#
        );
        let (status, body) = sledge.ingest(&format!(r#"{{"events":[{event}]}}"#)).await;
        assert_eq!(status, 200, "{body}");
        self.promises.acked.lock().unwrap().push(id);
    }

    /// Waits until something is as wanted, and scrapes meanwhile: the accounts must add up every time.
    async fn until(&mut self, sledge: &SledgeProcess, mut is_so: impl FnMut(&Self, &Scrape) -> bool) {
        let begun = Instant::now();
        loop {
            let scrape = self.scrape(sledge).await;
            if is_so(self, &scrape) {
                return;
            }
            assert!(begun.elapsed() < 2 * PATIENCE, "nothing goes on: {scrape:#?}");
            // Whoever is held for a reason of the deck is asked to try again sooner than the settings allow.
            if scrape.sum("sledge_held") > 0.0 && self.rng.u8(..4) == 0 {
                hang_up(sledge);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_batches(&mut self, sledge: &SledgeProcess, batches: u64) {
        let wanted = self.front.shared.batches() + batches;
        self.until(sledge, |stage, _| stage.front.shared.batches() >= wanted).await;
    }

    async fn until_row(&mut self, sledge: &SledgeProcess, row: Row) {
        let before = self.front.shared.tally.of(row);
        self.until(sledge, |stage, _| stage.front.shared.tally.of(row) > before).await;
    }

    /// Waits until a request more came to this, which the front can't see.
    async fn until_outcome(&mut self, sledge: &SledgeProcess, outcome: &str, row: Row) {
        let sample = requests_with(outcome);
        let of = |scrape: &Scrape| scrape.get(&sample).unwrap_or(0.0);
        let before = of(&self.scrape(sledge).await);
        self.until(sledge, |_, scrape| of(scrape) > before).await;
        self.front.shared.tally.count(row);
    }

    pub(super) async fn scrape(&mut self, sledge: &SledgeProcess) -> Scrape {
        let scrape = sledge.scrape().await;
        let came =
            |outcome: &&str| scrape.get(&requests_with(outcome)).is_some_and(|requests| requests > 0.0);
        self.outcomes.extend(Reply::LABELS.into_iter().filter(came));
        scrape
    }
}

fn requests_with(outcome: &str) -> String {
    format!("sledge_polar_request_seconds_count{{outcome=\"{outcome}\"}}")
}

fn hang_up(sledge: &SledgeProcess) {
    let id = Pid::from_raw(i32::try_from(sledge.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
}
