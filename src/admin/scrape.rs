//! The text of one scrape: the ledger's figures from one moment, so that they add up, and everything the rooms reported.

use std::time::Duration;

use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::outlook::Estimate;
use crate::event::{Lane, UnixMillis};
use crate::journal::{Accounts, DeadReason, Origin, Restored};
use crate::metrics::{self, CATALOGUE, Listener, Metrics};

/// The exposition text, in the catalogue's order, so that the lag comes first; the process metrics come last.
///
/// # Errors
/// When a metric has no sample or no name: a mistake in the metrics.
pub(super) fn text(
    accounts: &Accounts,
    estimate: Estimate,
    metrics: &Metrics,
) -> Result<String, prometheus::Error> {
    let mut families = ledger(accounts);
    let one = |value: Option<f64>| value.map(|value| (vec![], value)).into_iter().collect();
    families.push(gauge("sledge_time_to_drain_seconds", one(estimate.to_drain)));
    families.push(gauge("sledge_time_to_full_seconds", one(estimate.to_full)));
    families.extend(metrics.registry().gather());
    families.retain(|family| !family.get_metric().is_empty());
    families.sort_by_key(|family| {
        CATALOGUE.iter().position(|(name, _)| *name == family.name()).unwrap_or(CATALOGUE.len())
    });
    TextEncoder::new().encode_to_string(&families)
}

/// The families of the accounts. One without samples is left out of the scrape.
fn ledger(accounts: &Accounts) -> Vec<MetricFamily> {
    let lanes = |of: &dyn Fn(Lane) -> Option<f64>| -> Vec<(Labels<'_>, f64)> {
        Lane::ALL.iter().filter_map(|lane| Some((vec![("lane", lane.as_str())], of(*lane)?))).collect()
    };
    vec![
        gauge(
            "sledge_oldest_pending_timestamp_seconds",
            lanes(&|lane| accounts.oldest_pending[lane].map(seconds)),
        ),
        gauge(
            "sledge_last_delivery_timestamp_seconds",
            accounts.last_delivery.map(|at| (vec![], seconds(at))).into_iter().collect(),
        ),
        gauge("sledge_pending_events", lanes(&|lane| Some(number(accounts.pending[lane])))),
        gauge("sledge_pending_bytes", vec![(vec![], number(accounts.pending_bytes))]),
        gauge("sledge_pending_at_start", vec![(vec![], number(accounts.pending_at_start))]),
        counter("sledge_events_accepted_total", accepted(accounts)),
        counter(
            "sledge_events_restored_total",
            by_label("source", Restored::ALL.map(Restored::as_str), accounts.restored),
        ),
        counter(
            "sledge_events_delivered_total",
            by_label("result", ["inserted", "duplicate"], [accounts.inserted, accounts.duplicates]),
        ),
        counter(
            "sledge_events_dead_lettered_total",
            by_label("reason", DeadReason::DELIVERY.map(DeadReason::as_str), accounts.dead_lettered),
        ),
        gauge(
            "sledge_dead_letters",
            by_label("origin", Origin::ALL.map(Origin::as_str), accounts.dead_letters),
        ),
        counter("sledge_dead_letters_not_kept_total", vec![(vec![], number(accounts.dead_letters_not_kept))]),
        gauge("sledge_dead_letter_bytes", vec![(vec![], number(accounts.dead_letter_bytes))]),
        gauge("sledge_dead_letter_limit_bytes", vec![(vec![], number(accounts.dead_letter_limit_bytes))]),
        gauge("sledge_quarantined_volumes", vec![(vec![], number(accounts.quarantined_volumes))]),
        gauge("sledge_losses_on_record", vec![(vec![], number(accounts.losses_on_record.lines))]),
        gauge("sledge_lost_events", lanes(&|lane| Some(number(accounts.losses_on_record.events[lane])))),
        gauge("sledge_journal_bytes", vec![(vec![], number(accounts.journal_bytes))]),
        gauge("sledge_journal_limit_bytes", vec![(vec![], number(accounts.journal_limit_bytes))]),
    ]
}

fn accepted(accounts: &Accounts) -> Vec<(Labels<'static>, f64)> {
    let listeners = Listener::ALL.iter().zip(&accounts.accepted);
    let sample = |(listener, per_lane): (&Listener, &crate::event::PerLane<u64>), lane: Lane| {
        (vec![("listener", listener.as_str()), ("lane", lane.as_str())], number(per_lane[lane]))
    };
    listeners.flat_map(|one| Lane::ALL.map(|lane| sample(one, lane))).collect()
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

fn by_label<const N: usize>(
    label: &'static str,
    values: [&'static str; N],
    figures: [u64; N],
) -> Vec<(Labels<'static>, f64)> {
    values.into_iter().zip(figures).map(|(value, figure)| (vec![(label, value)], number(figure))).collect()
}

fn gauge(name: &'static str, samples: Vec<(Labels<'_>, f64)>) -> MetricFamily {
    family(name, MetricType::GAUGE, samples, |metric, value| {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    })
}

fn counter(name: &'static str, samples: Vec<(Labels<'_>, f64)>) -> MetricFamily {
    family(name, MetricType::COUNTER, samples, |metric, value| {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    })
}

fn family(
    name: &'static str,
    kind: MetricType,
    samples: Vec<(Labels<'_>, f64)>,
    fill: impl Fn(&mut Metric, f64),
) -> MetricFamily {
    let metric = |(labels, value): (Labels<'_>, f64)| {
        let mut metric = Metric::from_label(labels.into_iter().map(label).collect());
        fill(&mut metric, value);
        metric
    };
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(metrics::help(name).to_owned());
    family.set_field_type(kind);
    family.set_metric(samples.into_iter().map(metric).collect());
    family
}

fn label((name, value): (&str, &str)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn seconds(at: UnixMillis) -> f64 {
    Duration::from_millis(at).as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "the exposition format knows only floats, exact up to 2^53")]
fn number(figure: u64) -> f64 {
    figure as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PerLane;

    fn accounts() -> Accounts {
        let mut accounts = Accounts {
            pending_at_start: 5,
            restored: [1, 0, 0, 2],
            inserted: 6,
            duplicates: 1,
            dead_lettered: [1, 0, 0, 0],
            pending: PerLane { grants: 1, usage: 3 },
            pending_bytes: 800,
            oldest_pending: PerLane { grants: None, usage: Some(1_700_000_000_250) },
            last_delivery: Some(1_700_000_001_000),
            dead_letters: [1, 4],
            journal_bytes: 4096,
            journal_limit_bytes: 1 << 30,
            ..Accounts::default()
        };
        accounts.accepted[1] = PerLane { grants: 1, usage: 3 };
        assert!(accounts.add_up());
        accounts
    }

    fn total(text: &str, name: &str) -> f64 {
        let of_name = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
        };
        let values =
            text.lines().filter(of_name).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        values.sum()
    }

    #[test]
    fn a_scrape_adds_up() {
        let text = text(&accounts(), Estimate::default(), &Metrics::new().unwrap()).unwrap();
        let of = |name| total(&text, name);
        let came = of("sledge_pending_at_start")
            + of("sledge_events_accepted_total")
            + of("sledge_events_restored_total");
        let went = of("sledge_events_delivered_total")
            + of("sledge_events_dead_lettered_total")
            + of("sledge_pending_events");
        assert!((came - 12.0).abs() < f64::EPSILON, "{text}");
        assert!((came - went).abs() < f64::EPSILON, "{text}");
    }

    #[test]
    fn the_lag_comes_first_and_is_absent_when_nothing_is_owed() {
        let metrics = Metrics::new().unwrap();
        let owing = text(&accounts(), Estimate::default(), &metrics).unwrap();
        assert!(owing.starts_with("# HELP sledge_oldest_pending_timestamp_seconds "), "{owing}");
        assert!(owing.contains("sledge_oldest_pending_timestamp_seconds{lane=\"usage\"} 1700000000.25\n"));
        assert!(!owing.contains("sledge_oldest_pending_timestamp_seconds{lane=\"grants\"}"));
        let settled = text(&Accounts::default(), Estimate::default(), &metrics).unwrap();
        assert!(!settled.contains("sledge_oldest_pending_timestamp_seconds"));
        assert!(!settled.contains("sledge_last_delivery_timestamp_seconds"));
    }

    #[test]
    fn every_family_of_the_ledger_is_in_the_catalogue() {
        for family in ledger(&accounts()) {
            assert!(CATALOGUE.iter().any(|(name, _)| *name == family.name()), "{}", family.name());
        }
    }

    #[test]
    fn process_metrics_come_last() {
        let text = text(&accounts(), Estimate::default(), &Metrics::new().unwrap()).unwrap();
        let first_process = text.find("# HELP process_").unwrap();
        assert!(text.rfind("# HELP sledge_").unwrap() < first_process);
    }
}
