//! Why a request had no answer, read from the error it ended with.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// How the words of an error begin that happened while a proxy was asked to connect. Its type can't be named from here, so
/// its words are what there is; the test with a real proxy holds them.
const TUNNEL: &str = "tunnel error: ";
/// What it says of a 407.
const TUNNEL_LOGIN: &str = "proxy authorization required";

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// Nothing listens there.
    Refused,
    /// No connection came about: no route, or no answer to the attempt in time.
    NoRoute,
    /// The name has no address.
    Dns,
    /// No trusted TLS connection.
    Tls(TlsFault),
    /// The proxy did not connect us.
    Proxy,
    /// Connected, but no whole answer within the request timeout.
    Timeout,
    /// The connection broke after the request had begun and before an answer did.
    Reset,
    /// An answer began and did not come to its end.
    CutOff,
    /// What came back is not HTTP, or larger than any answer of Polar's.
    Garbage,
}

/// Why there is no trusted TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsFault {
    /// The certificate's authority is not one this machine trusts.
    Untrusted,
    /// The certificate is another host's.
    WrongName,
    /// The certificate's time is over or has not come.
    OutOfTime,
    /// The other end does not speak TLS, or none that we do.
    Handshake,
}

/// What an error says stood in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// No answer of Polar's came.
    Unreachable(Unreachable),
    /// The proxy wants a user and a password before it connects anybody.
    ProxyLogin,
}

impl Unreachable {
    /// What happened, for people, with what they can do where that is known.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Refused => "the connection was refused",
            Self::NoRoute => "no connection came about",
            Self::Dns => "its name could not be resolved",
            Self::Tls(TlsFault::Untrusted) => {
                "its certificate is signed by an authority that this machine does not trust (if it is your own, or a proxy's, name its certificate in polar.ca_file)"
            }
            Self::Tls(TlsFault::WrongName) => {
                "its certificate is for another host (check the address in --polar-url)"
            }
            Self::Tls(TlsFault::OutOfTime) => {
                "its certificate has expired or is not valid yet (check this machine's clock)"
            }
            Self::Tls(TlsFault::Handshake) => {
                "no TLS connection came about (check that --polar-url is the address of an https server)"
            }
            Self::Proxy => "the proxy did not connect to it (check polar.proxy, and what the proxy allows)",
            Self::Timeout => "it did not answer in time",
            Self::Reset => "the connection broke",
            Self::CutOff => "its answer broke off",
            Self::Garbage => "what came back was not an answer of HTTP",
        }
    }

    /// The label of the request's metric.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Refused => "connection_refused",
            Self::NoRoute => "no_route",
            Self::Dns => "dns",
            Self::Tls(_) => "tls",
            Self::Proxy => "proxy",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::CutOff => "cut_off",
            Self::Garbage => "garbage",
        }
    }

    /// What an answer's body met that did not come to its end.
    pub(super) fn within_an_answer(error: &reqwest::Error) -> Self {
        in_between(error, Self::CutOff)
    }
}

impl Obstacle {
    /// What a request met that ended without the head of an answer.
    pub(super) fn before_an_answer(error: &reqwest::Error) -> Self {
        let kind = chain(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        Self::Unreachable(if let Some(tls) = chain(error).find_map(tls_error) {
            Unreachable::Tls(TlsFault::of(tls))
        } else if let Some(said) = chain(error).find_map(of_tunnel) {
            if said.contains(TUNNEL_LOGIN) {
                return Self::ProxyLogin;
            }
            Unreachable::Proxy
        } else if error.is_dns() {
            Unreachable::Dns
        } else if error.is_connect() && kind == Some(io::ErrorKind::ConnectionRefused) {
            Unreachable::Refused
        } else if error.is_connect() {
            Unreachable::NoRoute
        } else {
            in_between(error, Unreachable::Reset)
        })
    }
}

/// What a connection met that had come about. `broken` is what a broken one is called.
fn in_between(error: &reqwest::Error, broken: Unreachable) -> Unreachable {
    if error.is_timeout() {
        Unreachable::Timeout
    } else if broke_off(error) {
        broken
    } else {
        Unreachable::Garbage
    }
}

impl TlsFault {
    fn of(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(fault) = error else { return Self::Handshake };
        match fault {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::OutOfTime,
            // Whatever else is wrong with a certificate, it is not one to be trusted.
            _ => Self::Untrusted,
        }
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// An `io::Error` hides the error inside it from the chain, and the TLS error lies in one `io::Error` within another.
fn tls_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut innermost = cause;
    while let Some(inside) = innermost.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        innermost = inside;
    }
    innermost.downcast_ref()
}

fn of_tunnel(cause: &(dyn Error + 'static)) -> Option<String> {
    Some(cause.to_string()).filter(|words| words.starts_with(TUNNEL))
}

fn broke_off(error: &reqwest::Error) -> bool {
    chain(error).any(|cause| {
        let by_system = cause.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::NotConnected
            )
        });
        let by_protocol = cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_closed() || error.is_canceled());
        by_system || by_protocol
    })
}
