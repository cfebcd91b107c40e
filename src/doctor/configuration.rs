//! The configuration: what `sledge run` would say of it.

use std::path::Path;

use super::finding::{Code, Finding};
use super::owners::{is_same_file, listens_at};
use crate::admin::Status;
use crate::config::{Config, Faults, Origin, Sources, VARIABLES_OF_DEV};
use crate::polar::{BaseUrl, Environment, TokenSource};

/// What `sledge dev` tells other terminals to set, beside a token.
const TOLD_BY_DEV: [&str; 4] = ["socket", "data_dir", "admin", "polar_url"];

/// The configuration, and as much of it as there is without a token, beside every other fault. Whether a token is missing
/// is judged later: a daemon may have been given one that this process does not see.
pub(super) fn read(sources: &Sources) -> (Option<Config>, Faults) {
    let faults = match sources.read() {
        Ok(config) => return (Some(config), Faults(Vec::new())),
        Err(faults) => Faults(faults.0.into_iter().filter(|fault| !fault.is_no_token()).collect()),
    };
    (Sources { without_token: true, ..sources.clone() }.read().ok(), faults)
}

/// A set-up of which not everything was named, as the daemon that runs has it.
pub(super) struct AsDaemonHasIt {
    /// Where to read it from.
    pub(super) sources: Sources,
    /// The Polar that the daemon delivers to, where that is another than the sources lead to. Anybody may answer at an
    /// admin address, so no token goes where it says: Polar's own two environments are told apart, and nothing else.
    pub(super) unnamed_polar: Option<String>,
}

/// The same sources with what nobody named as the daemon with this status has it: whoever only asks need not repeat its
/// flags. `None` where something was named that is not that daemon's.
pub(super) fn as_daemon_has_it(sources: &Sources, config: &Config, status: &Status) -> Option<AsDaemonHasIt> {
    let is_named = |key| *config.origins.of(key) != Origin::Default;
    let socket =
        status.listeners.iter().map(|it| it.address.as_str()).find(|address| address.starts_with('/'))?;
    let is_another = (is_named("socket") && !listens_at(status, &config.socket))
        || (is_named("data_dir") && !is_same_file(Path::new(&status.data_dir), &config.data_dir));
    if is_another || status.data_dir.is_empty() {
        return None;
    }
    let mut sources = sources.clone();
    let mut take = |key: &'static str, value: &str| sources.flags.push((key, value.into()));
    for (key, value) in [("socket", socket), ("data_dir", &status.data_dir)] {
        if !is_named(key) {
            take(key, value);
        }
    }
    let named = config.polar.base_url.as_str();
    let mut unnamed_polar = None;
    if !is_named("polar_url") && !is_named("environment") && status.polar != named {
        match status.polar.as_str() {
            BaseUrl::PRODUCTION => take("environment", Environment::Production.as_str()),
            BaseUrl::SANDBOX => take("environment", Environment::Sandbox.as_str()),
            other => unnamed_polar = Some(other.to_owned()),
        }
    }
    Some(AsDaemonHasIt { sources, unnamed_polar })
}

/// Whether everything that is set is what `sledge dev` told other terminals to set.
pub(super) fn is_of_dev(config: &Config) -> bool {
    let is_told = |key| matches!(config.origins.of(key), Origin::Variable(_));
    let is_of_dev = matches!(&config.polar.token, TokenSource::Fixed(token) if token.is_of_dev());
    is_of_dev && TOLD_BY_DEV.into_iter().all(is_told)
}

/// That it has ended.
pub(super) fn dev_ended(config: &Config) -> Finding {
    let seen = format!(
        "the variables set here are of a `sledge dev` that has ended: nobody is in {}",
        config.data_dir.display()
    );
    let fix = format!(
        "paste the line that `sledge dev` prints, once one runs; for any other sledge, unset {}",
        VARIABLES_OF_DEV.join(" ")
    );
    Finding::new(Code::DevEnded, seen, fix)
}

/// A finding for each setting that can't be used.
pub(super) fn judge(faults: &Faults) -> Vec<Finding> {
    let finding = |fault: &crate::config::Fault| {
        let code = match fault.key.as_str() {
            "token" if !fault.is_no_token() => Code::TokenMalformed,
            "token" | "token_file" => Code::TokenMissing,
            _ => Code::ConfigInvalid,
        };
        // Each fault says what to do behind its last semicolon.
        let (seen, fix) = fault.message.rsplit_once("; ").unwrap_or((&fault.message, "give another value"));
        let place = match &fault.origin {
            Origin::File(place) => format!("{place}: {}", fault.key),
            Origin::Flag | Origin::Variable(_) | Origin::Default => {
                format!("{} ({})", fault.key, fault.origin)
            }
        };
        Finding::new(code, format!("{place}: {seen}"), fix)
    };
    faults.0.iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RawConfig, Surroundings};

    #[test]
    fn every_fault_is_a_finding_with_its_place_and_its_fix() {
        let surroundings = Surroundings::made_up(&[], &[], true);
        let raw =
            RawConfig::default().with_flag("admin", "localhost").with_flag("event.bytes_max", "2097152");
        let findings = judge(&Config::new(raw, &surroundings).unwrap_err());
        let codes: Vec<Code> = findings.iter().map(|finding| finding.code).collect();
        assert!(codes.contains(&Code::TokenMissing) && codes.contains(&Code::ConfigInvalid), "{findings:?}");
        let admin = findings.iter().find(|finding| finding.seen.starts_with("admin")).unwrap();
        assert_eq!(admin.fix, "write HOST:PORT, such as 127.0.0.1:9464");
    }
}
