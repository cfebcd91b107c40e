//! Who may speak on the loopback address.
//!
//! A file's permissions say who may use the Unix socket; nothing of the kind guards a port. Any web page that a person
//! opens on this machine can make the browser send requests there, and usage is money. A browser gives itself away by
//! headers no page can forge, and cannot send JSON to another site without asking first; so whatever carries such a
//! header, or is not plainly JSON sent to a loopback name, is refused. The SDKs pass: Node's own fetch says
//! `sec-fetch-mode: cors`, but no `Origin` and no `Sec-Fetch-Site`.

use std::net::{IpAddr, Ipv6Addr};

use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, UPGRADE};
use tokio::time::Instant;

use super::alarm::Alarm;
use crate::protocol::{FaultCode, HttpReply};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Looks at every request before anything else is made of it.
#[derive(Debug, Default)]
pub(super) struct LoopbackGuard {
    alarm: Alarm,
}

/// Why a request is refused, whatever it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// It wants to speak something else than HTTP/1.1.
    Upgrade,
    /// It does not say whom it means.
    HostMissing,
    /// It was sent to a name that is not this machine's own: a page may have made that name point here.
    HostNotLoopback,
    /// A page sent it.
    Origin,
    /// A page, or a link on one, caused it.
    CrossSite,
    /// A browser was led here.
    Navigation,
    /// It may be a form.
    NotJson,
}

impl LoopbackGuard {
    /// Looks at the headers that every request has.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Suspicion> {
        suspicion(headers).map_or(Ok(()), Err)
    }

    /// Looks at what a request for Polar says of the body it brings, if it brings one.
    pub(super) fn check_onward(&self, headers: &HeaderMap, has_body: bool) -> Result<(), Suspicion> {
        let says_nothing = !headers.contains_key(CONTENT_TYPE);
        if says_nothing && !has_body { Ok(()) } else { self.check_body(headers) }
    }

    /// Looks at what a request that brings events says of its body.
    pub(super) fn check_body(&self, headers: &HeaderMap) -> Result<(), Suspicion> {
        if every(headers, &CONTENT_TYPE, is_plain_json) && headers.contains_key(CONTENT_TYPE) {
            Ok(())
        } else {
            Err(Suspicion::NotJson)
        }
    }

    /// Tells the log, now and then.
    pub(super) fn tell(&self, suspicion: Suspicion) {
        if let Some(requests) = self.alarm.ring(1, Instant::now()) {
            let code = suspicion.code().as_str();
            tracing::warn!(
                requests,
                code,
                "requests to the loopback address were refused: they look like a web page's; {}",
                suspicion.advice()
            );
        }
    }
}

impl Suspicion {
    /// The stable code.
    pub(super) fn code(self) -> FaultCode {
        match self {
            Self::Upgrade => FaultCode::UpgradeRefused,
            Self::HostMissing => FaultCode::HostMissing,
            Self::HostNotLoopback => FaultCode::HostNotLoopback,
            Self::Origin => FaultCode::OriginRefused,
            Self::CrossSite => FaultCode::CrossSiteRefused,
            Self::Navigation => FaultCode::NavigationRefused,
            Self::NotJson => FaultCode::ContentTypeNotJson,
        }
    }

    /// The answer.
    pub(super) fn reply(self) -> HttpReply {
        HttpReply::error(self.code(), self.advice())
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Upgrade => "this address speaks HTTP/1.1 only: send the request without an Upgrade header",
            Self::HostMissing => "send one Host header, such as Host: 127.0.0.1",
            Self::HostNotLoopback => {
                "call this address as 127.0.0.1, [::1] or localhost: a request sent to any other name is refused, \
                 because a web page can make its own name point here"
            }
            Self::Origin => {
                "this address takes nothing from web pages: send the request from a server program, without an Origin \
                 header"
            }
            Self::CrossSite => {
                "this address takes nothing from web pages: send the request from a server program, without a \
                 Sec-Fetch-Site header"
            }
            Self::Navigation => {
                "this address is not for browsers: events are sent by a program; to look in, open /status on the \
                 admin address"
            }
            Self::NotJson => "send JSON, with Content-Type: application/json",
        }
    }
}

fn suspicion(headers: &HeaderMap) -> Option<Suspicion> {
    if headers.contains_key(UPGRADE) {
        return Some(Suspicion::Upgrade);
    }
    if !headers.contains_key(HOST) {
        return Some(Suspicion::HostMissing);
    }
    if !every(headers, &HOST, is_loopback) {
        return Some(Suspicion::HostNotLoopback);
    }
    if headers.contains_key(ORIGIN) {
        return Some(Suspicion::Origin);
    }
    if !every(headers, &SEC_FETCH_SITE, |site| site.eq_ignore_ascii_case("none")) {
        return Some(Suspicion::CrossSite);
    }
    if !every(headers, &SEC_FETCH_MODE, |mode| !mode.eq_ignore_ascii_case("navigate")) {
        return Some(Suspicion::Navigation);
    }
    None
}

/// Whether every value of this header is as wanted, however often it was sent.
fn every(headers: &HeaderMap, name: &HeaderName, is_wanted: impl Fn(&str) -> bool) -> bool {
    let text = |value: &HeaderValue| value.to_str().is_ok_and(|text| is_wanted(text.trim()));
    headers.get_all(name).iter().all(text)
}

/// Whether a `Host` names this machine from within. A name that only resolves to it does not.
fn is_loopback(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => (host, port),
            Some(_) | None => return false,
        },
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.is_empty() || port.parse::<u16>().is_ok());
    let is_name = host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case("localhost");
    is_port && (is_name || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback()))
}

/// JSON by its one name. A page can send the types of forms to any site unasked, but not this one.
fn is_plain_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn with(name: &'static str, value: &'static str) -> Option<Suspicion> {
        let host = ("host", "127.0.0.1:8787");
        suspicion(&if name == "host" { headers(&[(name, value)]) } else { headers(&[host, (name, value)]) })
    }

    #[test]
    fn loopback_hosts_pass_with_any_port() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:8787",
            "127.8.9.10:80",
            "[::1]",
            "[::1]:8787",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert_eq!(with("host", host), None, "{host}");
        }
    }

    #[test]
    fn every_other_host_is_refused() {
        for host in [
            "evil.example",
            "evil.example:8787",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil.localhost",
            "10.0.0.1:8787",
            "0.0.0.0",
            "[::]",
            "[fe80::1]",
            "",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "::1",
            "[::1",
            "[::1]x",
            "a@127.0.0.1",
            "127.0.0.1:80:80",
            "127.0.0.1:http",
            "127.0.0.1,evil.example",
            "host.docker.internal",
        ] {
            assert_eq!(with("host", host), Some(Suspicion::HostNotLoopback), "{host}");
        }
        assert_eq!(suspicion(&HeaderMap::new()), Some(Suspicion::HostMissing));
    }

    #[test]
    fn a_second_value_does_not_hide_behind_the_first() {
        let mut two = headers(&[("host", "localhost"), ("sec-fetch-site", "none")]);
        two.append("sec-fetch-site", HeaderValue::from_static("cross-site"));
        assert_eq!(suspicion(&two), Some(Suspicion::CrossSite));
        two.append("host", HeaderValue::from_static("evil.example"));
        assert_eq!(suspicion(&two), Some(Suspicion::HostNotLoopback));
        let mut types = headers(&[("content-type", "application/json")]);
        types.append("content-type", HeaderValue::from_static("text/plain"));
        assert_eq!(LoopbackGuard::default().check_body(&types), Err(Suspicion::NotJson));
    }

    #[test]
    fn what_only_browsers_send_is_refused_and_what_node_sends_is_not() {
        for origin in ["https://evil.example", "null", "", "http://127.0.0.1:8787"] {
            assert_eq!(with("origin", origin), Some(Suspicion::Origin), "{origin}");
        }
        for site in ["cross-site", "same-site", "same-origin", "None of them", ""] {
            assert_eq!(with("sec-fetch-site", site), Some(Suspicion::CrossSite), "{site}");
        }
        assert_eq!(with("sec-fetch-site", "none"), None);
        assert_eq!(with("sec-fetch-mode", "navigate"), Some(Suspicion::Navigation));
        assert_eq!(with("sec-fetch-mode", "cors"), None);
        assert_eq!(with("upgrade", "websocket"), Some(Suspicion::Upgrade));
    }

    #[test]
    fn only_json_by_its_one_name_is_taken() {
        let guard = LoopbackGuard::default();
        for json in ["application/json", "Application/JSON; charset=utf-8"] {
            assert_eq!(guard.check_body(&headers(&[("content-type", json)])), Ok(()), "{json}");
        }
        for other in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/x+json",
            "text/plain;application/json",
            "",
        ] {
            assert_eq!(
                guard.check_body(&headers(&[("content-type", other)])),
                Err(Suspicion::NotJson),
                "{other}"
            );
        }
        assert_eq!(guard.check_body(&HeaderMap::new()), Err(Suspicion::NotJson));
    }

    #[test]
    fn every_suspicion_has_a_code_of_its_own_and_says_what_to_do() {
        use Suspicion::*;
        let all = [Upgrade, HostMissing, HostNotLoopback, Origin, CrossSite, Navigation, NotJson];
        let codes: std::collections::HashSet<_> = all.iter().map(|one| one.code()).collect();
        assert_eq!(codes.len(), all.len());
        assert!(all.iter().all(|one| (400..500).contains(&one.reply().status) && !one.advice().is_empty()));
    }
}
