//! What of a newly read configuration can take effect while the daemon runs.

use super::config::Config;
use super::contradictions::contradictions;
use super::setting::{Change, Setting};
use super::surroundings::Surroundings;
use super::table::settings;

/// What a reload does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadPlan {
    /// What holds from now on: sound as a whole.
    pub config: Config,
    /// Keys of settings that change now.
    pub changes: Vec<&'static str>,
    /// Keys of settings that would change with a restart.
    pub needs_restart: Vec<&'static str>,
}

impl ReloadPlan {
    /// From what holds to what was read. Where the part that can change now contradicts what must wait, all of it waits.
    #[must_use]
    pub fn new(current: &Config, read: &Config) -> Self {
        let differ = |setting: &&Setting| setting.value(current) != setting.value(read);
        let (now, later): (Vec<&Setting>, Vec<&Setting>) =
            settings().filter(differ).partition(|setting| setting.change == Change::Reload);
        let mut config = current.clone();
        for setting in &now {
            if let Some(value) = setting.value(read) {
                setting.set(&mut config, value);
                config.origins.set(setting.key, read.origins.of(setting.key).clone());
            }
        }
        let keys = |settings: &[&Setting]| settings.iter().map(|setting| setting.key).collect();
        if contradictions(&config, &Surroundings::blank(), &[]).is_empty() {
            return Self { config, changes: keys(&now), needs_restart: keys(&later) };
        }
        Self { config: current.clone(), changes: Vec::new(), needs_restart: keys(&[now, later].concat()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawConfig;

    fn config(settings: &[(&str, &str)]) -> Config {
        let raw = settings.iter().fold(RawConfig::default(), |raw, (key, value)| raw.with_flag(key, *value));
        Config::new(raw, &Surroundings::made_up(&[("POLAR_ACCESS_TOKEN", "polar_oat_x")], &[], true)).unwrap()
    }

    #[test]
    fn limits_change_at_once_and_paths_wait_for_a_restart() {
        let read =
            config(&[("delivery.linger_ms", "7"), ("socket", "/run/other.sock"), ("log_level", "debug")]);
        let plan = ReloadPlan::new(&config(&[]), &read);
        assert_eq!(
            (plan.changes, plan.needs_restart),
            (vec!["log_level", "delivery.linger_ms"], vec!["socket"])
        );
        assert_eq!(plan.config.delivery.linger, read.delivery.linger);
        assert_eq!(plan.config.socket, config(&[]).socket);
        let again = ReloadPlan::new(&plan.config, &read);
        assert_eq!((again.changes, again.needs_restart), (vec![], vec!["socket"]), "told until it is done");
    }

    #[test]
    fn what_is_sound_only_after_a_restart_waits_for_it_as_a_whole() {
        let read = config(&[
            ("intake.bytes_max", "67108864"),
            ("intake.in_flight_bytes_max", "33554432"),
            ("delivery.linger_ms", "7"),
        ]);
        let plan = ReloadPlan::new(&config(&[]), &read);
        assert_eq!(plan.config, config(&[]));
        assert_eq!(
            plan.needs_restart,
            ["intake.in_flight_bytes_max", "delivery.linger_ms", "intake.bytes_max"]
        );
    }
}
