//! The stable names of the refusals that are not about an event itself.

/// The closed set of them. Their spelling is an interface: it never changes. Those about events are
/// [`event::Code`](crate::event::Code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultCode {
    /// The disk, or another limit in memory, is behind: a matter of moments.
    Busy,
    /// The journal has reached a limit.
    JournalFull,
    /// sledge is stopping.
    JournalClosed,
    /// The journal failed: sledge ends and is to be started again.
    JournalFailed,
    /// A datagram had more bytes than are received of one.
    DatagramTooLarge,
    /// A hello asks for something unknown.
    UnknownOption,
    /// What came is no HTTP request.
    MalformedHttp,
    /// TLS was spoken, where everything is plain.
    TlsOnPlainSocket,
    /// A body over the limit.
    BodyTooLarge,
    /// A body that broke off.
    IncompleteBody,
    /// A body that took too long.
    RequestTimeout,
    /// A compressed body.
    UnsupportedContentEncoding,
    /// A method the path does not take.
    MethodNotAllowed,
    /// A path nobody answers at.
    NotFound,
    /// A path that might mean one thing here and another at Polar.
    AmbiguousPath,
    /// An absolute address where a path belongs.
    NotAProxy,
    /// Grants are not taken at the loopback address.
    GrantsOff,
    /// Pending units are not counted, or not told here.
    PendingOff,
    /// A question about pending units without a customer.
    CustomerMissing,
    /// Requests to Polar are not forwarded.
    ForwardingOff,
    /// As many requests as allowed are being forwarded.
    ForwardingBusy,
    /// There was no answer of Polar's.
    PolarUnreachable,
    /// Polar did not answer in time.
    PolarTimeout,
    /// A request to change to another protocol.
    UpgradeRefused,
    /// A request that does not say whom it means.
    HostMissing,
    /// A request that was sent to a name which is not this machine's own.
    HostNotLoopback,
    /// A request of a web page.
    OriginRefused,
    /// A request that a web page caused.
    CrossSiteRefused,
    /// A browser that was led here.
    NavigationRefused,
    /// A body that may be a form.
    ContentTypeNotJson,
}

impl FaultCode {
    /// Every code, in the order of the documentation.
    pub const ALL: &'static [Self] = &[
        Self::Busy,
        Self::JournalFull,
        Self::JournalClosed,
        Self::JournalFailed,
        Self::DatagramTooLarge,
        Self::UnknownOption,
        Self::MalformedHttp,
        Self::TlsOnPlainSocket,
        Self::BodyTooLarge,
        Self::IncompleteBody,
        Self::RequestTimeout,
        Self::UnsupportedContentEncoding,
        Self::MethodNotAllowed,
        Self::NotFound,
        Self::AmbiguousPath,
        Self::NotAProxy,
        Self::GrantsOff,
        Self::PendingOff,
        Self::CustomerMissing,
        Self::ForwardingOff,
        Self::ForwardingBusy,
        Self::PolarUnreachable,
        Self::PolarTimeout,
        Self::UpgradeRefused,
        Self::HostMissing,
        Self::HostNotLoopback,
        Self::OriginRefused,
        Self::CrossSiteRefused,
        Self::NavigationRefused,
        Self::ContentTypeNotJson,
    ];

    /// The code as answers and metrics spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::JournalFull => "journal_full",
            Self::JournalClosed => "journal_closed",
            Self::JournalFailed => "journal_failed",
            Self::DatagramTooLarge => "datagram_too_large",
            Self::UnknownOption => "unknown_option",
            Self::MalformedHttp => "malformed_http",
            Self::TlsOnPlainSocket => "tls_on_plain_socket",
            // Polar's own word.
            Self::BodyTooLarge => "RequestBodyTooLarge",
            Self::IncompleteBody => "incomplete_body",
            Self::RequestTimeout => "request_timeout",
            Self::UnsupportedContentEncoding => "unsupported_content_encoding",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotFound => "not_found",
            Self::AmbiguousPath => "ambiguous_path",
            Self::NotAProxy => "not_a_proxy",
            Self::GrantsOff => "grants_off",
            Self::PendingOff => "pending_off",
            Self::CustomerMissing => "customer_missing",
            Self::ForwardingOff => "forwarding_off",
            Self::ForwardingBusy => "forwarding_busy",
            Self::PolarUnreachable => "polar_unreachable",
            Self::PolarTimeout => "polar_timeout",
            Self::UpgradeRefused => "upgrade_refused",
            Self::HostMissing => "host_missing",
            Self::HostNotLoopback => "host_not_loopback",
            Self::OriginRefused => "origin_refused",
            Self::CrossSiteRefused => "cross_site_refused",
            Self::NavigationRefused => "navigation_refused",
            Self::ContentTypeNotJson => "content_type_not_json",
        }
    }

    /// The status of an HTTP answer that carries it; `None` for those that only lines and datagrams meet, and for what
    /// is no HTTP at all.
    #[must_use]
    pub fn status(self) -> Option<u16> {
        match self {
            Self::DatagramTooLarge | Self::UnknownOption | Self::MalformedHttp => None,
            Self::TlsOnPlainSocket
            | Self::IncompleteBody
            | Self::NotAProxy
            | Self::CustomerMissing
            | Self::UpgradeRefused
            | Self::HostMissing => Some(400),
            Self::OriginRefused | Self::CrossSiteRefused | Self::NavigationRefused => Some(403),
            Self::NotFound | Self::AmbiguousPath | Self::GrantsOff | Self::PendingOff => Some(404),
            Self::MethodNotAllowed => Some(405),
            Self::RequestTimeout => Some(408),
            Self::BodyTooLarge => Some(413),
            Self::UnsupportedContentEncoding | Self::ContentTypeNotJson => Some(415),
            Self::HostNotLoopback => Some(421),
            Self::ForwardingOff => Some(501),
            Self::PolarUnreachable => Some(502),
            Self::Busy
            | Self::JournalFull
            | Self::JournalClosed
            | Self::JournalFailed
            | Self::ForwardingBusy => Some(503),
            Self::PolarTimeout => Some(504),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Code;

    #[test]
    fn the_page_on_the_protocol_tells_of_every_code_with_its_status_and_of_no_other() {
        let page = include_str!("../../docs/protocol.md");
        let (_, codes) = page.split_once("\n## Codes\n").unwrap();
        let (codes, _) = codes.split_once("\n## ").unwrap();
        let rows: Vec<&str> = codes.lines().filter(|line| line.starts_with("| `")).collect();
        let told = |row: &&str| {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            assert!(cells.iter().all(|cell| !cell.is_empty()), "{row}");
            (cells[0].trim_matches('`').to_owned(), cells[1].to_owned(), cells.len())
        };
        let mut told: Vec<_> = rows.iter().map(told).collect();
        let status = |code: &FaultCode| code.status().map_or("–".to_owned(), |status| status.to_string());
        for code in FaultCode::ALL {
            let row = told.iter().position(|(name, ..)| name == code.as_str());
            let (name, told_status, cells) =
                told.remove(row.unwrap_or_else(|| panic!("{code:?} is not told of")));
            assert_eq!((told_status, cells), (status(code), 4), "{name}");
        }
        for code in Code::ALL {
            let row = told.iter().position(|(name, ..)| name == code.as_str());
            let (name, _, cells) = told.remove(row.unwrap_or_else(|| panic!("{code:?} is not told of")));
            assert_eq!(cells, 3, "{name}");
        }
        assert!(told.is_empty(), "there are no such codes: {told:?}");
    }

    #[test]
    fn no_two_refusals_go_by_one_name() {
        let faults = FaultCode::ALL.iter().map(|code| code.as_str());
        let mut names: Vec<_> = faults.chain(Code::ALL.iter().map(|code| code.as_str())).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert_eq!(FaultCode::ALL.len(), FaultCode::ContentTypeNotJson as usize + 1, "every code is listed");
    }
}
