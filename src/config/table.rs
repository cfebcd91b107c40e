//! The one table of settings, in the order of the file.

mod admin_server;
mod delivery;
mod event;
mod forwarding;
mod intake;
mod journal;
mod polar;
mod top;

use super::setting::Setting;

/// Every setting, in the order of the file.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    let rooms = [
        top::SETTINGS,
        event::SETTINGS,
        intake::SETTINGS,
        journal::SETTINGS,
        delivery::SETTINGS,
        forwarding::SETTINGS,
        polar::SETTINGS,
        admin_server::SETTINGS,
    ];
    rooms.into_iter().flatten()
}

/// The setting of this key.
pub(super) fn setting(key: &str) -> Option<&'static Setting> {
    settings().find(|setting| setting.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Surroundings, Takes};

    #[test]
    fn keys_variables_and_flags_are_one_name() {
        for setting in settings() {
            let name = setting.key.replace('.', "_");
            let variable = if name == "log_level" {
                "SLEDGE_LOG".to_owned()
            } else {
                format!("SLEDGE_{}", name.to_uppercase())
            };
            assert_eq!(setting.variable, variable);
            if let Some(flag) = setting.flag {
                assert_eq!(flag.name, name.replace('_', "-"));
            }
            assert_eq!(settings().filter(|other| other.key == setting.key).count(), 1, "{name}");
        }
    }

    #[test]
    fn a_numbers_name_says_its_unit_and_its_default_is_in_its_range() {
        let token = [("POLAR_ACCESS_TOKEN", "polar_oat_x")];
        let config =
            Config::new(crate::config::RawConfig::default(), &Surroundings::made_up(&token, &[], true))
                .unwrap();
        for setting in settings() {
            let Takes::Number { unit, least, most } = setting.takes else { continue };
            let suffixes: &[&str] = match unit {
                crate::config::Unit::Bytes => &["bytes", "bytes_max"],
                crate::config::Unit::Milliseconds => &["ms", "ms_max"],
                crate::config::Unit::Seconds => &["seconds", "seconds_max"],
                crate::config::Unit::Count => &["_max", "per_minute"],
            };
            assert!(suffixes.iter().any(|suffix| setting.key.ends_with(suffix)), "{}", setting.key);
            if let Some(crate::config::Value::Number(default)) = setting.value(&config) {
                assert!((least..=most).contains(&default), "{} is {default} by default", setting.key);
            }
        }
    }

    #[test]
    fn setting_a_value_changes_that_value_alone() {
        let token = [("POLAR_ACCESS_TOKEN", "polar_oat_x")];
        let config =
            Config::new(crate::config::RawConfig::default(), &Surroundings::made_up(&token, &[], true))
                .unwrap();
        for setting in settings() {
            let Takes::Number { least, most, .. } = setting.takes else { continue };
            for number in [least, most] {
                let value = crate::config::Value::Number(number);
                let mut changed = config.clone();
                setting.set(&mut changed, value.clone());
                assert_eq!(setting.value(&changed), Some(value), "{}", setting.key);
                for other in settings().filter(|other| other.key != setting.key) {
                    assert_eq!(
                        other.value(&changed),
                        other.value(&config),
                        "{} moved {}",
                        setting.key,
                        other.key
                    );
                }
            }
        }
    }
}
