//! The examination: every look in its turn, and what follows from it.

use std::fs::File;
use std::time::Duration;

use serde::Serialize;

use super::disk::DiskSeen;
use super::finding::{Code, Finding};
use super::journal::JournalSeen;
use super::meters::Sent;
use super::reach::{Organizations, PolarSeen, within_patience};
use super::running::{Owners, Running};
use super::socket::{Answers, SocketSeen};
use super::socket_rights::User;
use super::token::TokenSeen;
use super::{configuration, disk, journal, meters, reach, running, socket, token};
use crate::config::{CREDENTIAL_FILE, Config, Sources};
use crate::polar::{Api, BaseUrl, Meters, Settings, TokenSource};

/// Reading a journal of gigabytes takes seconds; one that takes longer has a command of its own.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(20);

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

/// Something that was looked at, or could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub check: &'static str,
    /// Why it could not be looked at; `None` where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_made: Option<String>,
}

/// What came of an examination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What should be mended, the gravest subject first.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub checks: Vec<Check>,
}

impl Report {
    fn made(&mut self, check: &'static str, findings: Vec<Finding>) {
        self.checks.push(Check { check, not_made: None });
        self.findings.extend(findings);
    }

    fn not_made(&mut self, check: &'static str, why: impl Into<String>) {
        self.checks.push(Check { check, not_made: Some(why.into()) });
    }

    fn either(&mut self, check: &'static str, findings: Result<Vec<Finding>, String>) {
        match findings {
            Ok(findings) => self.made(check, findings),
            Err(why) => self.not_made(check, why),
        }
    }

    fn has(&self, code: Code) -> bool {
        self.findings.iter().any(|finding| finding.code == code)
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
        let running = Running::look(&config).await;
        let at_admin_address = Running::at_admin_address(&config).await;
        let owners = Owners::look(&config, at_admin_address.as_ref());
        report.made("one daemon", running::judge_owners(&owners, &config));
        self.socket(&config, owners.socket.is_some(), &mut report);
        // One that can't be asked may run: its journal is not read as if nobody wrote to it.
        let may_run = !matches!(running, Ok(None)) || owners.journal.is_some();
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
        disks(&config, &mut report).await;
        let sent = kept(&config, may_run, &mut report).await;
        self.polar(&config, running.as_ref(), sent, &mut report).await;
        report
    }

    /// The configuration, and as much of it as there is without a token. Whether one is missing is judged later: a
    /// daemon may have been given one that this process does not see.
    fn configuration(&self, report: &mut Report) -> Option<Config> {
        let read = self.sources.read().or_else(|mut faults| {
            faults.0.retain(|fault| !fault.is_no_token());
            report.findings.extend(configuration::judge(&faults));
            Sources { without_token: true, ..self.sources.clone() }.read()
        });
        report.made("configuration", Vec::new());
        let mut config =
            read.map_err(|_| report.not_made("everything else", "the configuration can't be used")).ok()?;
        if config.polar.token == TokenSource::None && File::open(CREDENTIAL_FILE).is_ok() {
            config.polar.token = TokenSource::File(CREDENTIAL_FILE.into());
        }
        Some(config)
    }

    fn socket(&self, config: &Config, is_served: bool, report: &mut Report) {
        let user = self.wishes.uid.map(|uid| User::of(uid, &self.wishes.gids));
        let seen = SocketSeen::look(&config.socket, user);
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

    async fn polar(
        &self,
        config: &Config,
        running: Option<&Running>,
        mut sent: Vec<Sent>,
        report: &mut Report,
    ) {
        if report.has(Code::TokenMissing) {
            return report.not_made("Polar", "there is no token");
        }
        let token = TokenSeen::look(&config.polar, &config.data_dir);
        if token.is_for_others() || (!token.is_there() && running.is_some_and(|it| !it.lacks_token())) {
            let why = "the daemon's token is not to be seen from here: run it as root or as the user sledge runs as, or give it with --token-file";
            return report.not_made("token, and Polar", why);
        }
        report.made("token", token::judge(&token));
        if !token.is_usable() {
            return report.not_made("Polar", "there is no token");
        }
        let seen = match PolarSeen::look(&config.polar, self.wishes.other_polar.as_ref()).await {
            Ok(seen) => seen,
            Err(why) => return report.made("Polar", vec![reach::nothing_can_be_sent(&why)]),
        };
        report.made("Polar", reach::judge(&seen));
        let limit = config.delivery.requests_per_minute;
        report.made("budget", running::judge_budget(&seen.reply, running, limit));
        if !seen.is_reached() {
            return report.not_made("meters", "Polar does not answer to the token");
        }
        if self.wishes.organization.is_some() || !self.is_callers_the_daemons(&config.polar) {
            self.organizations(&config.polar, report).await;
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

async fn disks(config: &Config, report: &mut Report) {
    let (folder, settings) = (config.data_dir.clone(), config.journal.clone());
    let look = tokio::task::spawn_blocking(move || DiskSeen::look(&folder, &settings));
    let seen = tokio::time::timeout(JOURNAL_PATIENCE, look).await;
    let seen = match seen {
        Ok(Ok(Ok(seen))) => seen,
        Ok(Ok(Err(why))) => return report.not_made("disk", why),
        Ok(Err(_)) | Err(_) => return report.not_made("disk", "it did not answer in time"),
    };
    report.made("disk", disk::judge(&seen));
    if let Err(why) = seen.sync {
        report.not_made("sync", why);
    }
}

/// Looks into the journal; the events that lie in it.
async fn kept(config: &Config, may_run: bool, report: &mut Report) -> Vec<Sent> {
    let folder = config.journal.folder.clone();
    let look = tokio::task::spawn_blocking(move || JournalSeen::look(&folder, may_run));
    match tokio::time::timeout(JOURNAL_PATIENCE, look).await {
        Ok(Ok(Ok(seen))) => {
            report.made("journal", journal::judge(&seen));
            return seen.sent;
        }
        Ok(Ok(Err(why))) => report.not_made("journal", why),
        Ok(Err(_)) | Err(_) => report.not_made("journal", "reading it takes long: sledge journal check"),
    }
    Vec::new()
}
