//! The configuration every room can rely on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::fault::{Fault, Faults};
use super::raw_config::{Origin, RawConfig};
use super::surroundings::Surroundings;
use super::{listeners, paths};
use super::{target, token};
use crate::{admin, delivery, event, intake, journal, polar};

/// One `Settings` for each room, checked, and what lies between the rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The daemon's own folder; the journal lies in it.
    pub data_dir: PathBuf,
    /// The Unix socket events come in by.
    pub socket: PathBuf,
    /// The Unix datagram socket, if there is to be one.
    pub datagram_socket: Option<PathBuf>,
    /// The loopback address of the HTTP side, if there is to be one.
    pub http: Option<SocketAddr>,
    /// Whether apps that bring another token of Polar than this daemon's are noticed.
    pub notice_foreign_tokens: bool,
    /// What senders may take of this process.
    pub intake: intake::Settings,
    /// What an event may be, beside Polar's own rules.
    pub rules: event::Rules,
    /// The journal's limits.
    pub journal: journal::Settings,
    /// How delivery goes about its work.
    pub delivery: delivery::Settings,
    /// The admin address.
    pub admin: admin::Settings,
    /// Where events go, and the token for it.
    pub polar: polar::Settings,
    /// How long a stop may take to deliver what is pending. Less than the 30 s that Kubernetes gives a container.
    pub drain_deadline: Duration,
}

impl Config {
    /// Checks everything that was given and fills in the defaults.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn new(mut raw: RawConfig, surroundings: &Surroundings) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let target = target::target(&mut raw, surroundings).map_err(|found| faults.extend(found));
        let mut keep = Keep(&mut faults);
        let data_dir = keep.ok(paths::data_dir(raw.data_dir, surroundings));
        let socket = keep.ok(paths::socket(raw.socket, data_dir.as_deref(), surroundings));
        let datagram_socket = keep.ok(listeners::datagram_socket(raw.datagram_socket, socket.as_deref()));
        let http = keep.ok(listeners::http(raw.http));
        let http_grants = keep.ok(listeners::http_grants(raw.http_grants));
        let admin = keep.ok(paths::admin(raw.admin));
        let environment = target.as_ref().ok().map(|(url, _)| url.environment());
        let token = keep.ok(token::source(raw.token_file, environment, surroundings));
        let polar = match (target, token) {
            (Ok((url, origin)), Some(token)) => keep.ok(polar_settings(url, &origin, token)),
            _ => None,
        };
        let (Some(data_dir), Some(socket), Some((address, name)), Some(polar)) =
            (data_dir, socket, admin, polar)
        else {
            return Err(Faults(faults));
        };
        let (Some(datagram_socket), Some(http), Some(http_grants)) = (datagram_socket, http, http_grants)
        else {
            return Err(Faults(faults));
        };
        let mut admin = admin::Settings::at(address);
        admin.hosts.extend(name);
        let mut config = Self::of(data_dir, socket, admin, polar);
        config.datagram_socket = datagram_socket;
        config.http = http;
        config.intake.http_grants = http_grants;
        Ok(config)
    }

    /// The defaults of every room around these choices.
    #[must_use]
    pub fn of(data_dir: PathBuf, socket: PathBuf, admin: admin::Settings, polar: polar::Settings) -> Self {
        let journal = journal::Settings::in_folder(data_dir.join("journal"));
        let delivery = delivery::Settings::for_environment(polar.base_url.environment());
        Self {
            data_dir,
            socket,
            datagram_socket: None,
            http: None,
            notice_foreign_tokens: true,
            intake: intake::Settings::default(),
            rules: event::Rules::default(),
            journal,
            delivery,
            admin,
            polar,
            drain_deadline: Duration::from_secs(20),
        }
    }
}

/// The polar room refuses to send a token in clear text; better here than at the first delivery.
fn polar_settings(
    url: polar::BaseUrl,
    origin: &Origin,
    token: polar::TokenSource,
) -> Result<polar::Settings, Fault> {
    let settings = polar::Settings::new(url, token);
    settings.check().map_err(|error| Fault::found("polar_url", origin, &error))?;
    Ok(settings)
}

/// Sorts results into values and faults.
struct Keep<'a>(&'a mut Vec<Fault>);

impl Keep<'_> {
    fn ok<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.0.push(fault)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Given;
    use crate::polar::BaseUrl;

    #[test]
    fn a_token_alone_is_enough() {
        let surroundings = Surroundings::made_up(&[("POLAR_ACCESS_TOKEN", "polar_oat_x")], &[], true);
        let config = Config::new(RawConfig::default(), &surroundings).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("/var/lib/sledge"));
        assert_eq!(config.journal.folder, PathBuf::from("/var/lib/sledge/journal"));
        assert_eq!(config.socket, PathBuf::from("/run/sledge/sledge.sock"));
        assert_eq!(config.admin.address, "127.0.0.1:9464");
        assert_eq!(config.polar.base_url.as_str(), BaseUrl::PRODUCTION);
        assert!(!format!("{config:?}").contains("polar_oat_x"));
    }

    #[test]
    fn every_fault_is_reported_at_once_with_key_origin_and_fix() {
        let raw = RawConfig {
            admin: Some(Given::by_variable("SLEDGE_ADMIN", "localhost".to_owned())),
            socket: Some(Given::by_flag("/run/sledge/".into())),
            environment: Some(Given::by_flag("staging".to_owned())),
            polar_url: Some(Given::by_flag("api.polar.sh".to_owned())),
            ..RawConfig::default()
        };
        let faults = Config::new(raw, &Surroundings::made_up(&[], &[], false)).unwrap_err();
        let keys: Vec<_> = faults.0.iter().map(|fault| fault.key).collect();
        assert_eq!(keys, ["polar_url", "environment", "data_dir", "socket", "admin", "token"]);
        let admin = &faults.0[4];
        assert_eq!(admin.origin, Origin::Variable("SLEDGE_ADMIN"));
        let text = faults.to_string();
        assert!(text.starts_with("6 settings can't be used:\n"), "{text}");
        assert!(
            text.contains("admin (from SLEDGE_ADMIN): \"localhost\" has no port; write HOST:PORT"),
            "{text}"
        );
    }

    #[test]
    fn a_token_is_not_taken_over_plain_http_to_another_machine() {
        let surroundings = Surroundings::made_up(&[("POLAR_ACCESS_TOKEN", "polar_oat_x")], &[], true);
        let raw = RawConfig {
            polar_url: Some(Given::by_flag("http://polar.internal".to_owned())),
            ..RawConfig::default()
        };
        let faults = Config::new(raw, &surroundings).unwrap_err();
        assert_eq!(faults.0[0].key, "polar_url");
    }

    #[test]
    fn the_name_in_the_admin_address_passes_its_host_check() {
        let surroundings = Surroundings::made_up(&[("POLAR_ACCESS_TOKEN", "polar_oat_x")], &[], true);
        let raw = RawConfig {
            admin: Some(Given::by_flag("metrics.internal:9464".to_owned())),
            ..RawConfig::default()
        };
        assert_eq!(Config::new(raw, &surroundings).unwrap().admin.hosts, ["metrics.internal"]);
    }
}
