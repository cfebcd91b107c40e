//! Who may use the control surface: programs of this machine and the simulator's own page, and no other page that
//! happens to be open in the same browser.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};

/// Why a control request is turned away; `None` when it is let through.
pub(super) fn refusal(headers: &HeaderMap) -> Option<&'static str> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let host = text(HOST.as_str()).unwrap_or_default();
    if !is_loopback(host) {
        return Some("the Host is not this machine: use http://127.0.0.1 or http://localhost with the port");
    }
    let elsewhere = "a page of another origin may not control the simulator: \
                     use its own page, or a program that is no browser";
    if text("sec-fetch-site").is_some_and(|site| !matches!(site, "none" | "same-origin")) {
        return Some(elsewhere);
    }
    let own = format!("http://{host}");
    text(ORIGIN.as_str()).is_some_and(|origin| origin != own).then_some(elsewhere)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_host_has_any_of_its_names_and_any_port() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:8899", "127.9.9.9", "[::1]:8899", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["", "polar.test", "localhost.evil.com", "evil.com:80", "10.0.0.1", "127.0.0.1.nip.io", "[::2]"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
