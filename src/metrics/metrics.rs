//! The metrics that rooms report as things happen. The figures of the accounts are read from the journal at each scrape.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
    Registry,
};

use super::catalogue;
use super::labels::Listener;

/// Seconds from 100 µs to about 100 s, for waits on disks and on Polar.
const WAIT_BUCKETS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0, 120.0,
];
/// Seconds from 5 ms to a day: a delivery may wait through an outage.
const LAG_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0,
    14_400.0, 86_400.0,
];
/// Events in one commit.
const COUNT_BUCKETS: &[f64] = &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0];

/// Every metric that is not read from the accounts. Clone it freely: clones share the same figures.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    refused: IntCounterVec,
    foreign_tokens: IntCounter,
    forwarded: IntCounterVec,
    delivery_lag: HistogramVec,
    polar_request: HistogramVec,
    commit_seconds: Histogram,
    commit_events: Histogram,
    held: IntGaugeVec,
    clock_skew: Gauge,
    config_reloads: IntCounterVec,
    budget: Gauge,
    build_info: GaugeVec,
}

impl Metrics {
    /// Makes and registers every metric.
    ///
    /// # Errors
    /// When two metrics share a name: a mistake in this room.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let histogram =
            |name, buckets: &[f64]| HistogramOpts::new(name, catalogue::help(name)).buckets(buckets.to_vec());
        let opts = |name| Opts::new(name, catalogue::help(name));
        let metrics = Self {
            refused: IntCounterVec::new(opts("sledge_events_refused_total"), &["listener", "reason"])?,
            foreign_tokens: IntCounter::with_opts(opts("sledge_foreign_token_requests_total"))?,
            forwarded: IntCounterVec::new(opts("sledge_forwarded_requests_total"), &["outcome"])?,
            delivery_lag: HistogramVec::new(
                histogram("sledge_delivery_lag_seconds", LAG_BUCKETS),
                &["lane"],
            )?,
            polar_request: HistogramVec::new(
                histogram("sledge_polar_request_seconds", WAIT_BUCKETS),
                &["outcome"],
            )?,
            commit_seconds: Histogram::with_opts(histogram("sledge_commit_seconds", WAIT_BUCKETS))?,
            commit_events: Histogram::with_opts(histogram("sledge_commit_events", COUNT_BUCKETS))?,
            held: IntGaugeVec::new(opts("sledge_held"), &["reason"])?,
            clock_skew: Gauge::with_opts(opts("sledge_clock_skew_seconds"))?,
            config_reloads: IntCounterVec::new(opts("sledge_config_reloads_total"), &["result"])?,
            budget: Gauge::with_opts(opts("sledge_budget_requests_per_minute"))?,
            build_info: GaugeVec::new(opts("sledge_build_info"), &["version"])?,
            registry,
        };
        metrics.registry.register(Box::new(metrics.refused.clone()))?;
        metrics.registry.register(Box::new(metrics.foreign_tokens.clone()))?;
        metrics.registry.register(Box::new(metrics.forwarded.clone()))?;
        metrics.registry.register(Box::new(metrics.delivery_lag.clone()))?;
        metrics.registry.register(Box::new(metrics.polar_request.clone()))?;
        metrics.registry.register(Box::new(metrics.commit_seconds.clone()))?;
        metrics.registry.register(Box::new(metrics.commit_events.clone()))?;
        metrics.registry.register(Box::new(metrics.held.clone()))?;
        metrics.registry.register(Box::new(metrics.clock_skew.clone()))?;
        metrics.registry.register(Box::new(metrics.config_reloads.clone()))?;
        metrics.registry.register(Box::new(metrics.budget.clone()))?;
        metrics.registry.register(Box::new(metrics.build_info.clone()))?;
        metrics.registry.register(Box::new(ProcessCollector::for_self()))?;
        // Both are there from the start, so that the first refusal is an increase.
        for result in ["applied", "refused"] {
            metrics.config_reloads.with_label_values(&[result]);
        }
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        Ok(metrics)
    }

    /// The registry, for the scrape.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Events refused at a listener. `reason` is one of a closed set (a rejection's code, or intake's own).
    pub fn refused(&self, listener: Listener, reason: &'static str, events: u64) {
        self.refused.with_label_values(&[listener.as_str(), reason]).inc_by(events);
    }

    /// One request brought a token of Polar that is not ours.
    pub fn foreign_token(&self) {
        self.foreign_tokens.inc();
    }

    /// Requests may be forwarded, and this may become of them: shown from the start, so that the first is an increase.
    pub fn may_forward(&self, outcomes: &[&'static str]) {
        for outcome in outcomes {
            self.forwarded.with_label_values(&[*outcome]);
        }
    }

    /// One request was forwarded, or was to be. `outcome` is one of a closed set.
    pub fn forwarded(&self, outcome: &'static str) {
        self.forwarded.with_label_values(&[outcome]).inc();
    }

    /// So many events were confirmed by Polar this long after their accept. `lane` is a lane's name.
    pub fn delivery_lag(&self, lane: &'static str, lag: Duration, events: usize) {
        let of_lane = self.delivery_lag.with_label_values(&[lane]);
        (0..events).for_each(|_| of_lane.observe(lag.as_secs_f64()));
    }

    /// One request to Polar was answered, or not. `outcome` is one of a closed set.
    pub fn polar_request(&self, outcome: &'static str, took: Duration) {
        self.polar_request.with_label_values(&[outcome]).observe(took.as_secs_f64());
    }

    /// One group was made durable.
    pub fn commit(&self, took: Duration, events: usize) {
        self.commit_seconds.observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a group holds far fewer than 2^52 events")]
        self.commit_events.observe(events as f64);
    }

    /// Whether delivery is held for `reason`, one of a closed set.
    pub fn held(&self, reason: &'static str, held: bool) {
        self.held.with_label_values(&[reason]).set(i64::from(held));
    }

    /// The reasons delivery is held for now, in alphabetical order; empty when it is not held.
    #[must_use]
    pub fn held_reasons(&self) -> Vec<String> {
        let families = self.held.collect();
        let samples = families.iter().flat_map(|family| family.get_metric());
        let mut reasons: Vec<String> = samples
            .filter(|sample| sample.get_gauge().get_value() > 0.0)
            .flat_map(|sample| sample.get_label())
            .map(|label| label.value().to_owned())
            .collect();
        reasons.sort_unstable();
        reasons
    }

    /// The configuration was read again. `result` is one of a closed set.
    pub fn config_reload(&self, result: &'static str) {
        self.config_reloads.with_label_values(&[result]).inc();
    }

    /// How many requests a minute delivery allows itself now; infinite without a limit.
    pub fn budget(&self, requests_per_minute: f64) {
        self.budget.set(requests_per_minute);
    }

    /// How far our clock is ahead of Polar's (negative: behind).
    pub fn clock_skew(&self, seconds: f64) {
        self.clock_skew.set(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reasons_that_hold_now_are_listed() {
        let metrics = Metrics::new().unwrap();
        assert!(metrics.held_reasons().is_empty());
        metrics.held("unauthorized", true);
        metrics.held("answer_mismatch", true);
        metrics.held("not_found", true);
        metrics.held("not_found", false);
        assert_eq!(metrics.held_reasons(), ["answer_mismatch", "unauthorized"]);
    }

    #[test]
    fn everything_registered_is_in_the_catalogue_or_a_process_metric() {
        let metrics = Metrics::new().unwrap();
        metrics.refused(Listener::Ndjson, "malformed_json", 1);
        for family in metrics.registry().gather() {
            let name = family.name();
            let known = catalogue::CATALOGUE.iter().any(|(listed, _)| *listed == name);
            assert!(known || name.starts_with("process_"), "{name} has no entry in the catalogue");
        }
    }
}
