//! Whether a request was meant for us, by the name it was sent to.
//!
//! A web page can make its own host name resolve to this machine and then read what we answer as if it were its own.
//! Its requests carry that name, which is neither an IP address nor one we were told of.

use std::net::{IpAddr, Ipv6Addr};

/// Whether the value of a `Host` header (or a target's authority) names us.
pub(super) fn is_ours(authority: &str, configured: &[String]) -> bool {
    let Some(host) = host_of(authority) else { return false };
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    is("localhost") || configured.iter().any(|known| is(known))
}

/// The host without its port and brackets; `None` when the text is no authority.
fn host_of(authority: &str) -> Option<&str> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return (port.is_empty() || is_port(port.strip_prefix(':')?)).then_some(host);
    }
    match authority.split_once(':') {
        None => Some(authority),
        Some((host, port)) => is_port(port).then_some(host),
    }
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_and_addresses_are_ours() {
        for host in [
            "localhost",
            "LOCALHOST:9464",
            "localhost.",
            "127.0.0.1:9464",
            "10.1.2.3",
            "[::1]:9464",
            "[fe80::1]",
        ] {
            assert!(is_ours(host, &[]), "{host}");
        }
    }

    #[test]
    fn a_rebound_name_is_not_ours() {
        for host in [
            "evil.example",
            "evil.example:9464",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "a@localhost",
            "localhost:9464:1",
            "[localhost]",
            "[::1",
            "[::1]x",
            "127.1",
        ] {
            assert!(!is_ours(host, &[]), "{host}");
        }
    }

    #[test]
    fn a_configured_name_is_ours_in_any_case() {
        let names = ["sledge.internal".to_owned()];
        assert!(is_ours("Sledge.Internal:9464", &names));
        assert!(!is_ours("other.internal:9464", &names));
    }
}
