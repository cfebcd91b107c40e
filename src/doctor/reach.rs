//! How Polar answers the daemon's token: asked with an empty list of events, which inserts nothing and counts nowhere.

use std::time::Duration;

use bytes::Bytes;

use super::finding::{Code, Finding};
use super::stand_in::nobody_there;
use crate::clock::Clock;
use crate::polar::{
    Answer, Api, ApiError, BaseUrl, Environment, Ingest, POLAR_VERSION, PolarClient, Reply, Settings,
    TokenSource, Unreachable,
};

const NO_EVENTS: &[u8] = br#"{"events":[]}"#;
/// A Polar that is slower than this counts as away.
const PATIENCE: Duration = Duration::from_secs(10);
/// `Date` tells whole seconds; clocks that are closer than this are taken to agree, as delivery takes them.
const TOLERANCE_MILLIS: i64 = 2_000;

/// What is seen of Polar.
#[derive(Clone, Debug)]
pub(super) struct PolarSeen {
    address: String,
    environment: Environment,
    version: String,
    /// What came of the question.
    pub(super) reply: Reply,
    /// How far our clock is ahead, in milliseconds: at least and at most.
    ahead_millis: Option<(i64, i64)>,
    /// Whether a 403 is one of Polar's.
    is_forbidden_by_polar: bool,
    /// What came of it with the version that sledge was written for, where the first answer was a 404.
    with_own_version: Option<Reply>,
    /// Where else the token is good, where it is not here.
    good_at: Option<String>,
    /// Variables of the environment that name a proxy.
    proxies: Vec<&'static str>,
    /// Whether there was a token to ask with.
    had_token: bool,
    /// Whether it is on this machine.
    is_here: bool,
}

impl PolarSeen {
    /// Asks Polar. `other` is another Polar at which to try a token that is not known here; without one it is the other
    /// environment of Polar's own two.
    ///
    /// # Errors
    /// Why nothing could be sent.
    pub(super) async fn look(settings: &Settings, other: Option<&BaseUrl>) -> Result<Self, String> {
        let settings = within_patience(settings);
        let (answer, ahead_millis) = ask(&settings).await?;
        let with_own_version = match answer.reply {
            Reply::NotFound if settings.polar_version != POLAR_VERSION => {
                let own = Settings { polar_version: POLAR_VERSION.to_owned(), ..settings.clone() };
                Some(ask(&own).await?.0.reply)
            }
            _ => None,
        };
        let is_forbidden_by_polar = answer.reply == Reply::Forbidden && forbids(&settings).await;
        let good_at = match answer.reply {
            Reply::Unauthorized { .. } => where_else(&settings, other).await,
            _ => None,
        };
        Ok(Self {
            address: settings.base_url.as_str().to_owned(),
            environment: settings.base_url.environment(),
            version: settings.polar_version.clone(),
            reply: answer.reply,
            ahead_millis,
            is_forbidden_by_polar,
            with_own_version,
            good_at,
            proxies: proxies(),
            had_token: settings.token != TokenSource::None,
            is_here: settings.base_url.is_loopback(),
        })
    }

    /// Whether what answers is Polar and knows the token, so that more can be asked.
    pub(super) fn is_reached(&self) -> bool {
        matches!(self.reply, Reply::Accepted(_)) || self.is_forbidden_by_polar
    }
}

/// The organizations that the daemon's token and the caller's are of; `None` where it can't be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Organizations {
    /// Of the daemon's token.
    pub(super) daemons: Option<String>,
    /// The one that is meant: named, or that of the caller's token.
    pub(super) meant: Option<String>,
}

impl Organizations {
    /// Asks with both tokens. `named` is the organization that the caller says events should go to.
    pub(super) async fn look(daemon: &Settings, caller: &TokenSource, named: Option<&str>) -> Self {
        let daemons = organization(daemon).await;
        let meant = match named {
            Some(named) => Some(named.to_owned()),
            None if *caller != TokenSource::None && *caller != daemon.token => {
                organization(&Settings { token: caller.clone(), ..daemon.clone() }).await
            }
            None => None,
        };
        Self { daemons, meant }
    }
}

async fn organization(settings: &Settings) -> Option<String> {
    let api = Api::new(&within_patience(settings)).ok()?;
    if let Ok(Some(organization)) = api.organization().await {
        return Some(organization);
    }
    // Without any event a meter tells as well, where the token may see them.
    api.meters().await.ok()?.meters.into_iter().next().map(|meter| meter.organization_id)
}

/// The settings for a person who waits.
pub(super) fn within_patience(settings: &Settings) -> Settings {
    Settings {
        request_timeout: settings.request_timeout.min(PATIENCE),
        connect_timeout: settings.connect_timeout.min(PATIENCE),
        ..settings.clone()
    }
}

/// Whether the 403s that come from there are Polar's: those tell of scopes, or the token may do something else.
async fn forbids(settings: &Settings) -> bool {
    let Ok(api) = Api::new(settings) else { return false };
    matches!(api.organization().await, Ok(_) | Err(ApiError::Forbidden { .. }))
}

async fn ask(settings: &Settings) -> Result<(Answer, Option<(i64, i64)>), String> {
    let client = PolarClient::new(settings).map_err(|error| error.to_string())?;
    let clock = Clock::system();
    let sent = clock.now();
    let answer = client.ingest(Bytes::from_static(NO_EVENTS)).await;
    let received = clock.now();
    let signed = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
    // The answer was written between sending and receiving, in the second that `Date` names.
    let ahead = answer.date.map(|date| {
        let (sent, received, date) = (signed(sent), signed(received), signed(date));
        (sent.saturating_sub(date.saturating_add(1_000)), received.saturating_sub(date))
    });
    Ok((answer, ahead))
}

/// The other Polar, if the token is good there. A token of Polar's goes to Polar's own addresses only, unless another one
/// was named for it.
async fn where_else(settings: &Settings, other: Option<&BaseUrl>) -> Option<String> {
    let base_url = match (other, settings.base_url.environment()) {
        (Some(other), _) => other.clone(),
        (None, Environment::Production) => BaseUrl::parse(BaseUrl::SANDBOX).ok()?,
        (None, Environment::Sandbox) => BaseUrl::parse(BaseUrl::PRODUCTION).ok()?,
        (None, Environment::Custom) => return None,
    };
    let elsewhere = Settings { base_url, ..settings.clone() };
    let (answer, _) = ask(&elsewhere).await.ok()?;
    let is_known = matches!(answer.reply, Reply::Accepted(_) | Reply::Forbidden);
    is_known.then(|| elsewhere.base_url.as_str().to_owned())
}

fn proxies() -> Vec<&'static str> {
    let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    names.into_iter().filter(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())).collect()
}

pub(super) fn judge(seen: &PolarSeen) -> Vec<Finding> {
    let PolarSeen { address, version, .. } = seen;
    let mut findings = Vec::new();
    let mut found = |code, seen: String, fix: String| findings.push(Finding::new(code, seen, fix));
    match &seen.reply {
        Reply::Accepted(_) | Reply::RateLimited { .. } => {}
        Reply::Unauthorized { in_polars_words: false } => {
            found(
                Code::ProxyInTheWay,
                format!("what answers at {address} is not Polar (status 401)"),
                direct(),
            );
        }
        Reply::Unauthorized { in_polars_words: true } => findings.push(unauthorized(seen)),
        Reply::Forbidden if !seen.is_forbidden_by_polar => found(
            Code::ProxyInTheWay,
            format!("what answers at {address} is not Polar (status 403)"),
            direct(),
        ),
        Reply::Forbidden => {
            found(Code::ScopeMissing, "the token lacks the scope events:write".to_owned(), token_fix())
        }
        Reply::NotFound if matches!(seen.with_own_version, Some(Reply::Accepted(_) | Reply::Forbidden)) => {
            found(
                Code::PolarVersionUnknown,
                format!("Polar answers 404 with the version {version}, and not with {POLAR_VERSION}"),
                "leave polar.version out, or write one that Polar has published".to_owned(),
            );
        }
        Reply::NotFound => found(
            Code::PolarAddressWrong,
            format!("{address} answers 404 where Polar takes events"),
            "check --polar-url: it ends before /v1".to_owned(),
        ),
        Reply::Unproven { status } | Reply::Redirect { status } | Reply::Refused { status } => found(
            Code::ProxyInTheWay,
            format!("what answers at {address} is not Polar (status {status})"),
            direct(),
        ),
        Reply::ProxyLogin => found(
            Code::ProxyInTheWay,
            format!("a proxy on the way to {address} wants a user and a password (407)"),
            "put them in a file of their own and name it in polar.proxy_credentials_file".to_owned(),
        ),
        Reply::Invalid(_) | Reply::TooLarge | Reply::LengthRequired => found(
            Code::ProxyInTheWay,
            format!("{address} refuses an empty list of events, which Polar does not"),
            "check --polar-url, and what lies between here and Polar".to_owned(),
        ),
        Reply::ServerError { status, .. } => found(
            Code::PolarUnreachable,
            format!("Polar at {address} answers {status}"),
            "wait, and look at Polar's status page; a sledge that runs tries again by itself".to_owned(),
        ),
        Reply::Unreachable(Unreachable::Proxy) => found(
            Code::ProxyInTheWay,
            format!("the proxy of polar.proxy does not connect to {address}"),
            "check polar.proxy, and that the proxy allows CONNECT to that address".to_owned(),
        ),
        Reply::Unreachable(reason) => found(
            Code::PolarUnreachable,
            format!("no answer from {address}: {}", reason.describe()),
            way_out(seen),
        ),
    }
    // Only Polar's own answers carry Polar's time.
    findings.extend(seen.ahead_millis.filter(|_| seen.is_reached()).and_then(skewed));
    findings
}

/// Polar's own 401.
fn unauthorized(seen: &PolarSeen) -> Finding {
    let (address, environment) = (&seen.address, seen.environment.as_str());
    match &seen.good_at {
        _ if !seen.had_token => {
            let found = format!("no token was given, and Polar at {address} ({environment}) wants one");
            Finding::new(Code::TokenMissing, found, token_fix())
        }
        Some(other) => Finding::new(
            Code::TokenOfOtherEnvironment,
            format!("the token is not known at {address} ({environment}), and is good at {other}"),
            format!("give the token of {environment}, or deliver to {other} (--environment, --polar-url)"),
        ),
        None => {
            let found = format!("Polar at {address} ({environment}) does not know the token");
            Finding::new(Code::TokenUnknown, found, token_fix())
        }
    }
}

fn token_fix() -> String {
    "make a token with the scope events:write in Polar's dashboard, in the settings of your organization, and put it where sledge looks for it".to_owned()
}

/// The client could not even be set up: its words end in what to do.
pub(super) fn nothing_can_be_sent(why: &str) -> Finding {
    let (seen, fix) = why.rsplit_once("; ").unwrap_or((why, "look at what it names"));
    Finding::new(Code::PolarUnreachable, seen, fix)
}

fn direct() -> String {
    "let this machine reach Polar directly, without a proxy or login page that answers in its place; check --polar-url".to_owned()
}

fn way_out(seen: &PolarSeen) -> String {
    match seen.proxies.first() {
        Some(name) => format!(
            "{name} is set, and sledge takes no proxy from the environment: name it in polar.proxy, or open the way to Polar"
        ),
        None if seen.is_here => nobody_there(),
        None => "open the way to Polar (DNS, firewall, certificates)".to_owned(),
    }
}

/// Only what lies outside the tolerance whenever in its second the answer was written.
fn skewed((least, most): (i64, i64)) -> Option<Finding> {
    let (by, where_to) = if least > TOLERANCE_MILLIS {
        (least, "ahead of")
    } else if most < -TOLERANCE_MILLIS {
        (most.saturating_neg(), "behind")
    } else {
        return None;
    };
    let seen = format!("this machine's clock is {} s or more {where_to} Polar's", by / 1_000);
    Some(Finding::new(Code::ClockSkewed, seen, "set the clock, and keep it set (chrony, systemd-timesyncd)"))
}

pub(super) fn judge_organizations(seen: &Organizations) -> Vec<Finding> {
    match (&seen.daemons, &seen.meant) {
        (Some(daemons), Some(meant)) if daemons != meant => {
            let found = format!("the daemon's token is of organization {daemons}, and {meant} is meant");
            let fix = "give the daemon a token of the organization that is meant; what has gone to the other one has to be sent again";
            vec![Finding::new(Code::TokenOfAnotherOrganization, found, fix)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polar::IngestReply;

    fn seen(reply: Reply) -> PolarSeen {
        PolarSeen {
            address: "https://api.polar.sh".to_owned(),
            environment: Environment::Production,
            version: "2026-04".to_owned(),
            reply,
            ahead_millis: Some((-900, 300)),
            is_forbidden_by_polar: true,
            with_own_version: None,
            good_at: None,
            proxies: Vec::new(),
            had_token: true,
            is_here: false,
        }
    }

    fn well() -> PolarSeen {
        seen(Reply::Accepted(IngestReply { inserted: 0, duplicates: 0 }))
    }

    fn codes(seen: &PolarSeen) -> Vec<Code> {
        judge(seen).iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn each_answer_leads_to_its_finding_and_polars_own_to_none() {
        assert!(codes(&well()).is_empty());
        for (reply, code) in [
            (Reply::Unauthorized { in_polars_words: true }, Code::TokenUnknown),
            (Reply::Unauthorized { in_polars_words: false }, Code::ProxyInTheWay),
            (Reply::Forbidden, Code::ScopeMissing),
            (Reply::NotFound, Code::PolarAddressWrong),
            (Reply::Redirect { status: 302 }, Code::ProxyInTheWay),
            (Reply::Unproven { status: 200 }, Code::ProxyInTheWay),
            (Reply::Refused { status: 405 }, Code::ProxyInTheWay),
            (Reply::ProxyLogin, Code::ProxyInTheWay),
            (Reply::Unreachable(Unreachable::Proxy), Code::ProxyInTheWay),
            (Reply::Unreachable(Unreachable::Dns), Code::PolarUnreachable),
            (Reply::ServerError { status: 502, retry_after: None }, Code::PolarUnreachable),
        ] {
            assert_eq!(codes(&seen(reply.clone())), [code], "{reply:?}");
        }
        let unknown = Reply::Unauthorized { in_polars_words: true };
        assert_eq!(codes(&PolarSeen { had_token: false, ..seen(unknown) }), [Code::TokenMissing]);
        let foreign = PolarSeen { is_forbidden_by_polar: false, ..seen(Reply::Forbidden) };
        assert_eq!(codes(&foreign), [Code::ProxyInTheWay]);
        let elsewhere = PolarSeen {
            good_at: Some(BaseUrl::SANDBOX.to_owned()),
            ..seen(Reply::Unauthorized { in_polars_words: true })
        };
        assert_eq!(codes(&elsewhere), [Code::TokenOfOtherEnvironment]);
        let accepted = Some(Reply::Accepted(IngestReply { inserted: 0, duplicates: 0 }));
        let versioned = PolarSeen { with_own_version: accepted, ..seen(Reply::NotFound) };
        assert_eq!(codes(&versioned), [Code::PolarVersionUnknown]);
    }

    #[test]
    fn a_clock_is_only_off_when_no_moment_of_polars_second_would_put_it_right() {
        for (ahead, is_off) in [
            ((-2_900, 1_500), false),
            ((1_999, 2_999), false),
            ((2_001, 3_001), true),
            ((-3_001, -2_001), true),
            ((-2_999, -1_999), false),
            // A slow answer widens what can be said.
            ((-8_000, 2_500), false),
        ] {
            let seen = PolarSeen { ahead_millis: Some(ahead), ..well() };
            assert_eq!(!codes(&seen).is_empty(), is_off, "{ahead:?}");
        }
    }

    #[test]
    fn organizations_that_can_not_be_told_are_not_called_different() {
        let of = |daemons: Option<&str>, meant: Option<&str>| Organizations {
            daemons: daemons.map(str::to_owned),
            meant: meant.map(str::to_owned),
        };
        for same in [of(None, None), of(Some("a"), None), of(None, Some("a")), of(Some("a"), Some("a"))] {
            assert!(judge_organizations(&same).is_empty());
        }
        assert_eq!(judge_organizations(&of(Some("a"), Some("b")))[0].code, Code::TokenOfAnotherOrganization);
    }
}
