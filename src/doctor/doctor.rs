//! The examination: every look in its turn, and what follows from it.

use std::fs::File;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::configuration::AsDaemonHasIt;
use super::disk::DiskSeen;
use super::finding::{Code, Finding};
use super::journal::JournalSeen;
use super::meters::Sent;
use super::owners::Owners;
use super::patience::{in_time, within};
use super::reach::{Organizations, PolarSeen, within_patience};
use super::report::Report;
use super::running::Running;
use super::socket::{Answers, SocketSeen};
use super::socket_rights::User;
use super::stand_in::StandIn;
use super::token::TokenSeen;
use super::{configuration, disk, journal, meters, owners, reach, running, socket, token};
use crate::admin::TokenTold;
use crate::config::{CREDENTIAL_FILE, Config, Sources};
use crate::polar::{Api, BaseUrl, Meters, Reply, Settings, TokenSource};

/// Reading a journal of gigabytes takes seconds; one that takes longer has a command of its own.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(20);

const NOT_SEEN: &str = "the daemon's token is not to be seen from here: run it as root or as the user sledge runs as, or give it with --token-file";
const NOT_SHOWN: &str = "the daemon has one, and shows it to nobody: to have Polar asked with it, name its file with --token-file, or set it in POLAR_ACCESS_TOKEN";
const NOT_TOLD: &str =
    "which token the daemon has is not told here: run it as root or as the user sledge runs as";
const NO_ANSWER: &str = "it did not answer in time";

/// What the caller wants looked at beside the set-up itself.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Whether this user may use the socket.
    pub uid: Option<u32>,
    /// Groups of that user which this machine's files do not tell of.
    pub gids: Vec<u32>,
    /// Whether credits on this event and property would count.
    pub grant: Option<(String, String)>,
    /// The organization that events should go to.
    pub organization: Option<String>,
    /// Another Polar at which to try a token that is not known.
    pub other_polar: Option<BaseUrl>,
}

/// Whether a daemon runs, and what it tells.
#[derive(Clone, Copy, Debug)]
enum Asked<'a> {
    /// None does.
    RunsNot,
    /// One may; `None` where it can't be asked.
    Runs(Option<&'a Running>),
}

impl<'a> Asked<'a> {
    fn told(self) -> Option<&'a Running> {
        match self {
            Self::RunsNot => None,
            Self::Runs(told) => told,
        }
    }

    /// Whether it has, or may have, a token that its caller was not given.
    fn has_unseen_token(self) -> bool {
        match self {
            Self::RunsNot => false,
            Self::Runs(told) => told.is_none_or(Running::has_token),
        }
    }

    /// Whether it tells that it has a token.
    fn has_token(self) -> bool {
        self.told().is_some_and(Running::has_token)
    }

    /// Why this token is not taken for the daemon's: it has another one, or does not tell. `None` where it is, or where no
    /// daemon runs: then it is the one that would be used.
    fn has_another(self, source: &TokenSource, token: &TokenSeen) -> Option<String> {
        let Self::Runs(told) = self else { return None };
        let mark = token.mark()?;
        match (source, told.and_then(Running::token)) {
            (_, Some(of_daemon)) if of_daemon.mark == Some(mark) => None,
            (_, Some(TokenTold { mark: None })) => Some("the daemon has no token".to_owned()),
            (TokenSource::File(path), Some(_)) => Some(format!(
                "{} holds another token than the daemon uses: if it is to use that one, restart it under systemd; else name the daemon's with --token-file",
                path.display()
            )),
            (TokenSource::File(_), None) => Some(NOT_TOLD.to_owned()),
            (TokenSource::Fixed(_) | TokenSource::None, _) => Some(NOT_SEEN.to_owned()),
        }
    }
}

/// Examines one set-up.
#[derive(Clone, Debug)]
pub struct Doctor {
    sources: Sources,
    wishes: Wishes,
    /// The token of whoever asks, where it is another than the daemon's.
    caller: TokenSource,
}

impl Doctor {
    /// An examination of the sledge that these sources configure.
    #[must_use]
    pub fn new(sources: Sources, wishes: Wishes) -> Self {
        Self { sources, wishes, caller: Sources::own_token() }
    }

    /// Looks at everything.
    pub async fn examine(&self) -> Report {
        let mut report = Report::default();
        let Some(config) = self.configuration(&mut report) else { return report };
        let at_admin_address = Running::at_admin_address(&config).await;
        let (config, unnamed_polar) = self.as_daemon_has_it(config, at_admin_address.as_ref()).await;
        let asked = (config.clone(), at_admin_address.as_ref().map(|it| it.status.clone()));
        let Some(owners) = in_time(move || Owners::look(&asked.0, asked.1.as_ref())).await else {
            let folder = config.data_dir.display();
            report.not_made("everything else", format!("{folder} or the socket's folder: {NO_ANSWER}"));
            return report;
        };
        report.made("one daemon", owners::judge(&owners, &config));
        let at_admin_address = at_admin_address.filter(|_| owners.elsewhere.is_none());
        // Who may not open the admin socket can still ask at the address.
        let running = match (Running::look(&config).await, at_admin_address) {
            (Ok(Some(running)), _) | (Ok(None) | Err(_), Some(running)) => Ok(Some(running)),
            (Ok(None), None) => Ok(None),
            (Err(why), None) => Err(why),
        };
        // One that can't be asked may run: its journal is not read as if nobody wrote to it.
        let may_run = !matches!(running, Ok(None)) || owners.journal.is_some();
        if !may_run && configuration::is_of_dev(&config) {
            report.made("daemon", vec![configuration::dev_ended(&config)]);
            report.not_made("everything else", "what these variables name is gone");
            return report;
        }
        self.socket(&config, owners.socket.is_some(), &mut report).await;
        let running = match running {
            Ok(Some(running)) => {
                report.made("daemon", running::judge(&running));
                Some(running)
            }
            Ok(None) => {
                report.not_made("daemon", "no sledge runs here");
                None
            }
            Err(why) => {
                report.not_made("daemon", why);
                None
            }
        };
        disks(&config, running.as_ref().is_some_and(|it| it.status.trial), &mut report).await;
        let sent = kept(&config, may_run, &mut report).await;
        let asked = if may_run { Asked::Runs(running.as_ref()) } else { Asked::RunsNot };
        match unnamed_polar {
            None => self.polar(&config, asked, sent, &mut report).await,
            Some(url) => {
                let why = format!(
                    "the daemon delivers to {url}: name that with --polar-url to have it asked with your token"
                );
                report.not_made("token, and Polar", why);
                report.made("stand-in for Polar", stand_in(&url, asked).await);
            }
        }
        if !may_run {
            report.made("descriptors", descriptors(&config));
            report.none_runs();
        }
        report
    }

    fn configuration(&self, report: &mut Report) -> Option<Config> {
        let (config, faults) = configuration::read(&self.sources);
        report.made("configuration", configuration::judge(&faults));
        if config.is_none() {
            report.not_made("everything else", "the configuration can't be used");
        }
        config.map(with_credential)
    }

    /// The configuration with what nobody named as the daemon at the admin address has it, and the Polar that would have to
    /// be named to be asked.
    async fn as_daemon_has_it(
        &self,
        config: Config,
        at_admin_address: Option<&Running>,
    ) -> (Config, Option<String>) {
        let Some(status) = at_admin_address.map(|it| it.status.clone()) else { return (config, None) };
        let (sources, named) = (self.sources.clone(), config.clone());
        // Whatever answers at an admin address names these paths.
        let read = in_time(move || {
            let AsDaemonHasIt { sources, unnamed_polar } =
                configuration::as_daemon_has_it(&sources, &named, &status)?;
            Some((configuration::read(&sources).0.map_or(named, with_credential), unnamed_polar))
        });
        read.await.flatten().unwrap_or((config, None))
    }

    async fn socket(&self, config: &Config, is_served: bool, report: &mut Report) {
        let user = self.wishes.uid.map(|uid| User::of(uid, &self.wishes.gids));
        let path = config.socket.clone();
        let Some(seen) = in_time(move || SocketSeen::look(&path, user)).await else {
            return report.not_made("socket", NO_ANSWER);
        };
        match &seen.answers {
            Answers::NotKnown(why) if seen.way_not_seen().is_some() => report.not_made("socket", why.clone()),
            Answers::Somebody | Answers::Nobody | Answers::NotThere | Answers::NotKnown(_) => {
                report.made("socket", socket::judge(&seen, is_served));
            }
        }
        if let Some(why) = seen.way_not_seen() {
            report.not_made("socket for the user", why);
        }
    }

    async fn polar(&self, config: &Config, daemon: Asked<'_>, mut sent: Vec<Sent>, report: &mut Report) {
        if report.has(Code::TokenMissing) || report.has(Code::TokenMalformed) {
            return report.not_made("Polar", "there is no token");
        }
        let (settings, data_dir) = (config.polar.clone(), config.data_dir.clone());
        let Some(token) = in_time(move || TokenSeen::look(&settings, &data_dir)).await else {
            return report.not_made("token, and Polar", format!("the token's file: {NO_ANSWER}"));
        };
        if token.is_for_others() || (!token.is_there() && daemon.has_unseen_token()) {
            let is_asked = daemon.told().and_then(Running::token).is_some();
            return report.not_made("token, and Polar", if is_asked { NOT_SHOWN } else { NOT_SEEN });
        }
        let another = daemon.has_another(&config.polar.token, &token);
        match &another {
            None => report.made("token", token::judge(&token, daemon.has_token())),
            Some(why) => report.not_made("token", why.as_str()),
        }
        let is_daemons = another.is_none();
        if !token.is_usable() {
            return report
                .not_made("Polar", if daemon.has_token() { NOT_SHOWN } else { "there is no token" });
        }
        let seen = match PolarSeen::look(&config.polar, self.wishes.other_polar.as_ref()).await {
            Ok(seen) => seen,
            Err(why) => return report.made("Polar", vec![reach::nothing_can_be_sent(&why)]),
        };
        let mut findings = reach::judge(&seen);
        // What the caller's own token lacks is no fault of the set-up.
        findings.retain(|finding| is_daemons || !finding.code.is_about_the_token());
        // Whoever answers was asked; that nobody does has been seen.
        if !matches!(seen.reply, Reply::Unreachable(_)) {
            findings.extend(stand_in(config.polar.base_url.as_str(), daemon).await);
        }
        report.made("Polar", findings);
        let limit = config.delivery.requests_per_minute;
        report.made("budget", running::judge_budget(&seen.reply, daemon.told(), limit));
        if !seen.is_reached() {
            return report.not_made("meters", "Polar does not answer to the token");
        }
        match another {
            _ if self.wishes.organization.is_none() && self.is_callers_the_daemons(&config.polar) => {}
            None => self.organizations(&config.polar, report).await,
            Some(why) => report.not_made("organization", why),
        }
        sent.extend(self.wishes.grant.iter().map(|(event, property)| Sent::grant(event, property)));
        let meters = self.meters(&config.polar).await;
        report.either("meters", meters.map(|all| meters::judge(&all, &sent)));
    }

    /// Whether whoever asks has no token of their own.
    fn is_callers_the_daemons(&self, polar: &Settings) -> bool {
        self.caller == TokenSource::None || self.caller == polar.token
    }

    async fn organizations(&self, polar: &Settings, report: &mut Report) {
        let organizations =
            Organizations::look(polar, &self.caller, self.wishes.organization.as_deref()).await;
        report.either(
            "organization",
            match &organizations {
                Organizations { daemons: None, .. } => {
                    Err("the token's organization shows nothing that would tell which it is".to_owned())
                }
                Organizations { meant: None, .. } => {
                    Err("the organization of your own token shows nothing that would tell which it is"
                        .to_owned())
                }
                known => Ok(reach::judge_organizations(known)),
            },
        );
    }

    /// The meters, by whichever token may see them.
    async fn meters(&self, polar: &Settings) -> Result<Meters, String> {
        let mut why = String::new();
        let own = Some(&self.caller).filter(|_| !self.is_callers_the_daemons(polar));
        for token in own.into_iter().chain([&polar.token]) {
            let settings = Settings { token: token.clone(), ..within_patience(polar) };
            let api = Api::new(&settings).map_err(|error| error.to_string())?;
            match api.meters().await {
                Ok(meters) => return Ok(meters),
                Err(error) => why = format!("{error} (or set POLAR_ACCESS_TOKEN to one for this)"),
            }
        }
        Err(why)
    }
}

/// The credential of the unit that comes with sledge, where no other token is to be seen.
fn with_credential(mut config: Config) -> Config {
    if config.polar.token == TokenSource::None && File::open(CREDENTIAL_FILE).is_ok() {
        config.polar.token = TokenSource::File(CREDENTIAL_FILE.into());
    }
    config
}

/// Whether a sledge that is started from here would have enough of them. One that runs tells itself.
fn descriptors(config: &Config) -> Vec<Finding> {
    let too_few = getrlimit(Resource::Nofile).maximum.and_then(|most| config.too_few_descriptors(most));
    let finding = |told: String| {
        let (seen, fix) = told.rsplit_once("; ").unwrap_or((&told, "raise the limit of open files"));
        Finding::new(Code::TooFewDescriptors, seen, fix)
    };
    too_few.map(finding).into_iter().collect()
}

/// What speaks against the Polar at this address of this machine, which anybody may ask who it is. In a trial it is known.
async fn stand_in(url: &str, daemon: Asked<'_>) -> Vec<Finding> {
    let is_trial = daemon.told().is_some_and(|told| told.status.trial);
    let Ok(url) = BaseUrl::parse(url) else { return Vec::new() };
    let seen = if is_trial { None } else { StandIn::at(&url).await };
    seen.and_then(|seen| seen.objection(&url)).into_iter().collect()
}

/// In a trial nothing need stay.
async fn disks(config: &Config, is_trial: bool, report: &mut Report) {
    let (folder, settings) = (config.data_dir.clone(), config.journal.clone());
    let seen = match within(JOURNAL_PATIENCE, move || DiskSeen::look(&folder, &settings)).await {
        Some(Ok(seen)) => seen,
        Some(Err(why)) => return report.not_made("disk", why),
        None => return report.not_made("disk", NO_ANSWER),
    };
    let mut findings = disk::judge(&seen);
    findings.retain(|finding| !(is_trial && finding.code.is_about_what_stays()));
    report.made("disk", findings);
    if let Err(why) = seen.sync {
        report.not_made("sync", why);
    }
}

/// Looks into the journal; the events that lie in it.
async fn kept(config: &Config, may_run: bool, report: &mut Report) -> Vec<Sent> {
    let folder = config.journal.folder.clone();
    match within(JOURNAL_PATIENCE, move || JournalSeen::look(&folder, may_run)).await {
        Some(Ok(seen)) => {
            report.made("journal", journal::judge(&seen));
            return seen.sent;
        }
        Some(Err(why)) => report.not_made("journal", why),
        None => report.not_made("journal", "reading it takes long: sledge journal check"),
    }
    Vec::new()
}
