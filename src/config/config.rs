//! The configuration every room can rely on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::contradictions::contradictions;
use super::fault::{Fault, Faults};
use super::origin::{Given, Origin, Origins};
use super::paths;
use super::raw_config::RawConfig;
use super::setting::{Access, Setting};
use super::socket_access::{self, SocketAccess};
use super::surroundings::Surroundings;
use super::table::settings;
use super::{listeners, target, token, written_value};
use crate::{admin, delivery, event, forward, intake, journal, polar, telemetry};

/// One `Settings` for each room, checked, and what lies between the rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The daemon's own folder; the journal lies in it.
    pub data_dir: PathBuf,
    /// The Unix socket events come in by.
    pub socket: PathBuf,
    /// The Unix datagram socket, if there is to be one.
    pub datagram_socket: Option<PathBuf>,
    /// Who may use these two.
    pub socket_access: SocketAccess,
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
    /// The Unix socket dead letters are looked after by, for the owner alone.
    pub admin_socket: PathBuf,
    /// How delivery goes about its work.
    pub delivery: delivery::Settings,
    /// What forwarded requests may take of this process.
    pub forward: forward::Settings,
    /// The admin address.
    pub admin: admin::Settings,
    /// Where events go, and the token for it.
    pub polar: polar::Settings,
    /// How long a stop may take to deliver what is pending.
    pub drain_deadline: Duration,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Where each value came from.
    pub origins: Origins,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How a line is written.
    pub format: telemetry::Format,
    /// A level, or filter directives.
    pub filter: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: telemetry::Format::Text, filter: "info".to_owned() }
    }
}

impl Config {
    /// Checks everything that was given and fills in the defaults.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn new(mut raw: RawConfig, surroundings: &Surroundings) -> Result<Self, Faults> {
        let mut faults = std::mem::take(&mut raw.faults);
        let Some((mut config, admin_host)) = choices(&raw, surroundings, &mut faults) else {
            return Err(Faults::in_order(faults));
        };
        config.give(&raw, |_| true, &mut faults);
        config.admin.hosts.extend(admin_host);
        faults.extend(config.check_with_the_rooms(surroundings.has_files() && !raw.without_token));
        if raw.is_torn {
            // What nobody seems to have given may stand where the file could not be read.
            faults.retain(|fault| fault.origin != Origin::Default || fault.key == "config");
        } else {
            let faulty: Vec<String> = faults.iter().map(|fault| fault.key.clone()).collect();
            faults.extend(contradictions(&config, surroundings, &faulty));
        }
        if faults.is_empty() { Ok(config) } else { Err(Faults::in_order(faults)) }
    }

    /// Checks only what says how Polar is reached; faults of anything else are not looked for.
    pub(super) fn polar(mut raw: RawConfig, surroundings: &Surroundings) -> Result<polar::Settings, Faults> {
        let mut faults = std::mem::take(&mut raw.faults);
        faults.retain(|fault| fault.key.is_empty() || is_about_polar(&fault.key));
        let mut keep = Keep(&mut faults);
        let (url, environment) = (keep.ok(raw.text("polar_url")), keep.ok(raw.text("environment")));
        let (Some(url), Some(environment)) = (url, environment) else { return Err(Faults::in_order(faults)) };
        let target =
            target::target(url, environment, surroundings).map_err(|found| keep.0.extend(found)).ok();
        let token = keep
            .given(raw.path("token_file"), |given| token::callers(given, surroundings))
            .unwrap_or_default();
        let Some((url, origin)) = target else { return Err(Faults::in_order(faults)) };
        let polar = polar::Settings::new(url, token);
        let mut config = Self::of(PathBuf::new(), PathBuf::new(), admin::Settings::at(String::new()), polar);
        config.origins.set("polar_url", origin);
        config.give(&raw, |setting| is_about_polar(setting.key), &mut faults);
        faults.extend(config.check_with_the_rooms(true));
        if faults.is_empty() { Ok(config.polar) } else { Err(Faults::in_order(faults)) }
    }

    /// Sets every field of these settings that was given a value.
    fn give(&mut self, raw: &RawConfig, is_wanted: impl Fn(&Setting) -> bool, faults: &mut Vec<Fault>) {
        for setting in settings().filter(|setting| is_wanted(setting)) {
            let Some(given) = raw.get(setting.key) else { continue };
            if let Access::Field(_) = setting.access {
                match written_value::read(setting, given) {
                    Ok(value) => setting.set(self, value),
                    Err(fault) => faults.push(fault),
                }
            }
            if !matches!(setting.key, "environment" | "polar_url") {
                self.origins.set(setting.key, given.origin.clone());
            }
        }
    }

    /// The defaults of every room around these choices.
    #[must_use]
    pub fn of(data_dir: PathBuf, socket: PathBuf, admin: admin::Settings, polar: polar::Settings) -> Self {
        let journal = journal::Settings::in_folder(data_dir.join("journal"));
        let delivery = delivery::Settings::for_environment(polar.base_url.environment());
        Self {
            admin_socket: data_dir.join(paths::ADMIN_SOCKET),
            data_dir,
            socket,
            datagram_socket: None,
            socket_access: SocketAccess::default(),
            http: None,
            notice_foreign_tokens: true,
            intake: intake::Settings::default(),
            rules: event::Rules::default(),
            journal,
            delivery,
            forward: forward::Settings::default(),
            admin,
            polar,
            drain_deadline: Duration::from_secs(20),
            log: LogSettings::default(),
            origins: Origins::default(),
        }
    }

    /// What only the room that uses a value can judge; `with_files`: by what lies in the files it names, too.
    fn check_with_the_rooms(&self, with_files: bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Err(error) = telemetry::check_filter(&self.log.filter) {
            faults.push(Fault::found("log_level", self.origins.of("log_level"), &error));
        }
        let of_files = if with_files { self.polar.faults_of_files() } else { Vec::new() };
        faults.extend(self.polar.faults().into_iter().chain(of_files).map(|error| {
            let key = key_of(&error);
            Fault::found(key, self.origins.of(key), &error)
        }));
        faults
    }
}

/// Whether a setting says how Polar is reached.
fn is_about_polar(key: &str) -> bool {
    matches!(key, "config" | "environment" | "polar_url" | "token_file" | "token")
        || key.starts_with("polar.")
}

/// The setting that a fault of the way to Polar is one of.
fn key_of(error: &polar::SetupError) -> &'static str {
    use polar::SetupError as Error;
    match error {
        Error::PolarVersion { .. } => "polar.version",
        Error::Proxy { .. } | Error::ProxyForClearText { .. } => "polar.proxy",
        Error::ProxyCredentialsAlone
        | Error::ProxyCredentialsUnreadable { .. }
        | Error::ProxyCredentials { .. } => "polar.proxy_credentials_file",
        Error::CaFileUnreadable { .. } | Error::CaFile { .. } => "polar.ca_file",
        Error::BaseUrl { .. } | Error::ClearTextToken { .. } | Error::Token(_) | Error::Tls(_) => "polar_url",
    }
}

/// Paths, addresses and the token: what is found out together, before there is anything to set fields in. Where one of
/// them has a fault its default stands in, so that everything else can be checked too. With the configuration comes the
/// host's name in the admin address.
fn choices(
    raw: &RawConfig,
    surroundings: &Surroundings,
    faults: &mut Vec<Fault>,
) -> Option<(Config, Option<String>)> {
    let mut keep = Keep(faults);
    let (url, environment) = (keep.ok(raw.text("polar_url")), keep.ok(raw.text("environment")));
    let target = match (url, environment) {
        (Some(url), Some(environment)) => {
            target::target(url, environment, surroundings).map_err(|found| keep.0.extend(found)).ok()
        }
        _ => None,
    };
    let data_dir = keep.given(raw.path("data_dir"), |given| paths::data_dir(given, surroundings));
    let socket =
        keep.given(raw.path("socket"), |given| paths::socket(given, data_dir.as_deref(), surroundings));
    let datagram_socket =
        keep.given(raw.path("datagram_socket"), |given| listeners::datagram_socket(given, socket.as_deref()));
    let socket_mode = keep.given(raw.text("socket_mode"), socket_access::mode);
    let [socket_owner, socket_group] = ["socket_owner", "socket_group"]
        .map(|key| keep.given(raw.text(key), |given| socket_access::account(key, given)));
    let http = keep.given(raw.text("http"), listeners::http);
    let admin = keep.given(raw.text("admin"), paths::admin);
    let admin_socket =
        keep.given(raw.path("admin_socket"), |given| paths::admin_socket(given, data_dir.as_deref()));
    let environment = target.as_ref().map(|(url, _)| url.environment());
    let token = if raw.without_token {
        None
    } else {
        keep.given(raw.path("token_file"), |given| token::source(given, environment, surroundings))
    };

    let production = || Some((polar::BaseUrl::parse(polar::BaseUrl::PRODUCTION).ok()?, Origin::Default));
    let (url, target_origin) = target.or_else(production)?;
    // A token with a fault stands for none: then nothing else is said about it.
    let polar = polar::Settings::new(url, token.unwrap_or_default());
    let (address, admin_host) = admin.unwrap_or((paths::ADMIN.to_owned(), None));
    let data_dir = data_dir.unwrap_or(paths::DATA_DIR.into());
    let socket = socket.unwrap_or(paths::SOCKET.into());
    let mut config = Config::of(data_dir, socket, admin::Settings::at(address), polar);
    config.datagram_socket = datagram_socket.flatten();
    config.http = http.flatten();
    config.socket_access.owner = socket_owner.flatten();
    config.socket_access.group = socket_group.flatten();
    if let Some(mode) = socket_mode {
        config.socket_access.mode = mode;
    }
    if let Some(admin_socket) = admin_socket {
        config.admin_socket = admin_socket;
    }
    for key in ["environment", "polar_url"] {
        config.origins.set(key, target_origin.clone());
    }
    Some((config, admin_host))
}

/// Sorts results into values and faults.
struct Keep<'a>(&'a mut Vec<Fault>);

impl Keep<'_> {
    fn ok<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.0.push(fault)).ok()
    }

    /// What `choose` makes of what was given, when that can be read.
    fn given<G, T>(
        &mut self,
        given: Result<Option<Given<G>>, Fault>,
        choose: impl FnOnce(Option<Given<G>>) -> Result<T, Fault>,
    ) -> Option<T> {
        self.ok(given.and_then(choose))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polar::BaseUrl;

    #[test]
    fn a_token_alone_is_enough() {
        let surroundings = Surroundings::made_up(&[("POLAR_ACCESS_TOKEN", "polar_oat_x")], &[], true);
        let config = Config::new(RawConfig::default(), &surroundings).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("/var/lib/sledge"));
        assert_eq!(config.journal.folder, PathBuf::from("/var/lib/sledge/journal"));
        assert_eq!(config.socket, PathBuf::from("/run/sledge/sledge.sock"));
        assert_eq!(config.admin.address, "127.0.0.1:9464");
        assert_eq!(config.admin_socket, PathBuf::from("/var/lib/sledge/admin.sock"));
        assert_eq!(config.polar.base_url.as_str(), BaseUrl::PRODUCTION);
        assert!(!format!("{config:?}").contains("polar_oat_x"));
    }

    #[test]
    fn every_fault_is_reported_at_once_with_key_origin_and_fix() {
        let surroundings = Surroundings::made_up(&[("SLEDGE_ADMIN", "localhost")], &[], false);
        let mut raw = RawConfig::default()
            .with_flag("socket", "/run/sledge/")
            .with_flag("environment", "staging")
            .with_flag("polar_url", "api.polar.sh");
        raw.add_variables(&surroundings);
        let faults = Config::new(raw, &surroundings).unwrap_err();
        let keys: Vec<_> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
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
        let raw = RawConfig::default().with_flag("polar_url", "http://polar.internal");
        let faults = Config::new(raw, &surroundings).unwrap_err();
        assert_eq!(faults.0[0].key, "polar_url");
    }

    #[test]
    fn for_polar_alone_no_other_setting_is_looked_at_and_no_token_is_missed() {
        let surroundings = Surroundings::made_up(&[("SLEDGE_ADMIN", "localhost")], &[], false);
        let mut raw =
            RawConfig::default().with_flag("environment", "sandbox").with_flag("polar.version", "2027-01");
        raw.add_variables(&surroundings);
        assert!(Config::new(raw.clone(), &surroundings).is_err());
        let polar = Config::polar(raw.clone(), &surroundings).unwrap();
        assert_eq!((polar.base_url.as_str(), polar.token), (BaseUrl::SANDBOX, polar::TokenSource::None));
        assert_eq!(polar.polar_version, "2027-01");
        let faults = Config::polar(raw.with_flag("polar.version", "2027 01"), &surroundings).unwrap_err();
        assert_eq!(faults.0.len(), 1, "{faults}");
    }

    #[test]
    fn the_name_in_the_admin_address_passes_its_host_check() {
        let surroundings = Surroundings::made_up(&[("POLAR_ACCESS_TOKEN", "polar_oat_x")], &[], true);
        let raw = RawConfig::default().with_flag("admin", "metrics.internal:9464");
        assert_eq!(Config::new(raw, &surroundings).unwrap().admin.hosts, ["metrics.internal"]);
    }
}
