//! The names and meanings of all metrics, in one place, for the scrape and for the documentation's test.

/// Every metric of ours: its name and what it tells.
pub const CATALOGUE: &[(&str, &str)] = &[
    (
        "sledge_oldest_pending_timestamp_seconds",
        "When the oldest event still owed to Polar was accepted; absent when nothing is owed. Lag is time() minus this.",
    ),
    ("sledge_delivery_lag_seconds", "From an event's accept to Polar's confirmation."),
    (
        "sledge_last_delivery_timestamp_seconds",
        "When Polar last confirmed events; absent before the first time.",
    ),
    (
        "sledge_time_to_drain_seconds",
        "Until nothing is owed to Polar, at the pace of the last minutes; 0 when nothing is owed, absent while that does not shrink.",
    ),
    (
        "sledge_time_to_full_seconds",
        "Until the journal reaches its limit, at the pace of the last minutes; absent while it does not grow.",
    ),
    ("sledge_pending_events", "Events owed to Polar."),
    ("sledge_pending_bytes", "Text of the events owed to Polar."),
    ("sledge_pending_at_start", "Events found pending when this process opened the journal."),
    ("sledge_events_accepted_total", "Events made durable here."),
    ("sledge_events_refused_total", "Events refused here."),
    (
        "sledge_foreign_token_requests_total",
        "Ingest requests with a token of Polar that is not this daemon's.",
    ),
    (
        "sledge_forwarded_requests_total",
        "Requests for Polar's other paths that were handed on, or refused, by what became of them.",
    ),
    ("sledge_events_restored_total", "Events put back into pending."),
    ("sledge_events_delivered_total", "Events Polar confirmed: inserted, or known to it already."),
    ("sledge_events_dead_lettered_total", "Accepted events that were given up."),
    ("sledge_dead_letters", "Dead letters kept now."),
    (
        "sledge_dead_letters_not_kept_total",
        "Refused events that found no room among the dead letters: only counted.",
    ),
    ("sledge_dead_letter_bytes", "The dead letters kept now, as they are written down."),
    (
        "sledge_dead_letter_limit_bytes",
        "The most the dead letters may hold before refused events are only counted.",
    ),
    ("sledge_polar_request_seconds", "Requests to Polar, by what became of them."),
    ("sledge_held", "1 while delivery is held for this reason."),
    ("sledge_commit_seconds", "From the first write of a group to the end of its sync."),
    ("sledge_commit_events", "Events in one group."),
    ("sledge_quarantined_volumes", "Damaged volumes that were put aside and wait to be looked at."),
    (
        "sledge_losses_on_record",
        "What the disk lost, in lines of the book of losses, until somebody has seen it.",
    ),
    (
        "sledge_lost_events",
        "Accepted events that the disk lost, in this life or before, until somebody has seen it.",
    ),
    ("sledge_journal_bytes", "The journal on disk."),
    ("sledge_journal_limit_bytes", "The most the journal may take on disk."),
    (
        "sledge_budget_requests_per_minute",
        "Requests a minute that delivery allows itself now; +Inf without a limit.",
    ),
    ("sledge_clock_skew_seconds", "How far our clock is ahead of Polar's."),
    ("sledge_config_reloads_total", "Reloads of the configuration, by what became of them."),
    ("sledge_build_info", "1, with the version."),
];

/// What the metric of this name tells; its own name for one that is not in the catalogue.
#[must_use]
pub fn help(name: &'static str) -> &'static str {
    CATALOGUE.iter().find(|(known, _)| *known == name).map_or(name, |(_, help)| help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_on_metrics_tells_of_every_metric_and_of_no_other() {
        let page = include_str!("../../docs/metrics.md");
        let told: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `sledge_")).collect();
        let mut told: Vec<String> =
            told.into_iter().map(|row| format!("sledge_{}", row.split('`').next().unwrap())).collect();
        told.sort_unstable();
        told.dedup();
        let mut known: Vec<&str> = CATALOGUE.iter().map(|(name, _)| *name).collect();
        known.sort_unstable();
        assert_eq!(told, known);
    }
}
