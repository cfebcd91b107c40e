//! Settings that are right one by one and make no sense together.

use std::path::Path;

use super::config::Config;
use super::fault::Fault;
use super::origin::Origin;
use super::setting::Value;
use super::surroundings::Surroundings;
use super::table::setting;

/// A number that must not be larger than another one, and why.
const NOT_OVER: &[(&str, &str, &str)] = &[
    ("event.bytes_max", "intake.frame_bytes_max", "an event of the largest size would not fit into a line"),
    (
        "event.bytes_max",
        "intake.body_bytes_max",
        "an event of the largest size would not fit into an HTTP body",
    ),
    (
        "intake.in_flight_bytes_max",
        "intake.bytes_max",
        "one connection could take the whole intake buffer from the others",
    ),
    (
        "intake.body_bytes_max",
        "intake.bodies_bytes_max",
        "a body of the largest size would always be answered 503",
    ),
    (
        "delivery.batch_bytes_max",
        "delivery.unsettled_bytes_max",
        "a batch of the largest size could never be read",
    ),
    (
        "delivery.retry_interval_ms",
        "delivery.retry_interval_ms_max",
        "the back-off would begin beyond its end",
    ),
    ("journal.retention_bytes_max", "journal.bytes_max", "delivered events alone would fill the journal"),
    ("journal.dead_bytes_max", "journal.bytes_max", "dead letters alone would fill the journal"),
    ("journal.volume_bytes", "journal.bytes_max", "the journal could not hold one volume"),
    ("journal.ballast_bytes", "journal.bytes_max", "the ballast would be larger than the journal"),
    (
        "polar.connect_timeout_seconds",
        "polar.request_timeout_seconds",
        "a request ends before its connection may have been made",
    ),
    (
        "polar.request_timeout_seconds",
        "forwarding.answer_seconds_max",
        "a forwarded answer would be cut before Polar has had its time",
    ),
    (
        "admin_server.header_timeout_seconds",
        "admin_server.connection_timeout_seconds",
        "a connection ends before its headers may have arrived",
    ),
];

/// Every contradiction. Keys in `faulty` have no value of their own; what involves them is left out.
pub(super) fn contradictions(config: &Config, surroundings: &Surroundings, faulty: &[String]) -> Vec<Fault> {
    let is_sound = |key: &&str| !faulty.iter().any(|wrong| wrong == key);
    let mut faults: Vec<Fault> = NOT_OVER
        .iter()
        .filter(|(small, large, _)| is_sound(small) && is_sound(large))
        .filter_map(|(small, large, why)| not_over(config, small, large, why))
        .collect();
    let sockets = [("socket", Some(&config.socket)), ("datagram_socket", config.datagram_socket.as_ref())];
    for (key, path) in sockets {
        if [&"data_dir", &key].into_iter().all(is_sound) {
            faults.extend(path.and_then(|path| socket_in_journal(config, key, path)));
        }
    }
    if [&"data_dir", &"journal.low_water_bytes"].into_iter().all(is_sound) {
        faults.extend(low_water_over_disk(config, surroundings));
    }
    faults
}

fn number(config: &Config, key: &str) -> Option<u64> {
    match setting(key)?.value(config)? {
        Value::Number(number) => Some(number),
        Value::Text(_) | Value::Texts(_) => None,
    }
}

/// Whoever gave one of the two is told; of two that were given, the smaller one's giver.
fn not_over(config: &Config, small: &str, large: &str, why: &str) -> Option<Fault> {
    let (low, high) = (number(config, small)?, number(config, large)?);
    if low <= high {
        return None;
    }
    let (low_origin, high_origin) = (config.origins.of(small), config.origins.of(large));
    if *low_origin == Origin::Default {
        let problem = format!("{high} is below {small}, which is {low} {low_origin}: {why}");
        return Some(Fault::new(
            large,
            high_origin,
            &problem,
            &format!("write {low} or more, or lower {small}"),
        ));
    }
    let problem = format!("{low} is over {large}, which is {high} {high_origin}: {why}");
    Some(Fault::new(small, low_origin, &problem, &format!("write {high} or less, or raise {large}")))
}

fn socket_in_journal(config: &Config, key: &str, path: &Path) -> Option<Fault> {
    path.starts_with(&config.journal.folder).then(|| {
        let problem = format!("the journal owns the folder {}", config.journal.folder.display());
        Fault::new(key, config.origins.of(key), &problem, "put the socket elsewhere")
    })
}

fn low_water_over_disk(config: &Config, surroundings: &Surroundings) -> Option<Fault> {
    const KEY: &str = "journal.low_water_bytes";
    let low_water = config.journal.low_water_bytes?;
    let disk = surroundings.disk_bytes(&config.data_dir)?;
    (low_water >= disk).then(|| {
        let problem = format!(
            "{low_water} is all of the disk under {} ({disk} bytes): every event would be refused",
            config.data_dir.display()
        );
        Fault::new(KEY, config.origins.of(KEY), &problem, "write far less, or leave it out")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawConfig;

    #[test]
    fn a_low_water_mark_above_the_disk_would_refuse_every_event() {
        const DISK: u64 = 10 << 30;
        let token = [("POLAR_ACCESS_TOKEN", "polar_oat_x")];
        let surroundings = Surroundings::made_up(&token, &[], true).with_disk(DISK);
        let with_mark = |bytes: u64| {
            Config::new(
                RawConfig::default().with_flag("journal.low_water_bytes", bytes.to_string()),
                &surroundings,
            )
        };
        assert!(with_mark(DISK - 1).is_ok());
        let faults = with_mark(DISK).unwrap_err().to_string();
        assert!(faults.contains("every event would be refused"), "{faults}");
    }

    #[test]
    fn every_rule_names_two_numbers_that_do_not_contradict_each_other_by_default() {
        let token = [("POLAR_ACCESS_TOKEN", "polar_oat_x")];
        let config = Config::new(RawConfig::default(), &Surroundings::made_up(&token, &[], true)).unwrap();
        for (small, large, _) in NOT_OVER {
            assert!(number(&config, small).unwrap() <= number(&config, large).unwrap(), "{small} {large}");
        }
    }

    #[test]
    fn of_two_settings_the_one_that_was_given_is_told() {
        let faults = |key: &str, value: &str| {
            let raw = RawConfig::default().with_flag(key, value);
            Config::new(raw, &Surroundings::blank()).unwrap_err().0
        };
        assert_eq!(faults("event.bytes_max", "2097152")[0].key, "event.bytes_max");
        assert_eq!(faults("intake.frame_bytes_max", "2048")[0].key, "intake.frame_bytes_max");
    }
}
