//! The HTTP client.
//!
//! It speaks HTTP/1.1 over kept-alive connections, uncompressed and with a `Content-Length` (Polar answers 400 and 411
//! otherwise), follows no redirect, and ignores the proxy variables of the environment: they are set for other programs,
//! and what they name would see to whom and how much this machine bills.

use std::error::Error;
use std::hash::BuildHasher;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use tokio::time::Instant;

use super::base_url::Environment;
use super::credentials::{Credentials, TokenChange, TokenSource};
use super::error::SetupError;
use super::ingest::Ingest;
use super::reply::{Answer, Reply, Unreachable};
use super::retry_after::{http_date, retry_after};
use super::settings::Settings;

/// A 422 lists every fault of every event with its input: some MB for 1,000 events. Beyond this it is not Polar's.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Shorter than load balancers' usual 60 s, so that a connection is rarely used just as the other end closes it.
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(30);

/// The client of Polar's ingest endpoint.
#[derive(Debug)]
pub struct PolarClient {
    http: Client,
    ingest_url: Url,
    environment: Environment,
    credentials: Credentials,
}

impl PolarClient {
    /// Sets the client up; nothing is sent. A token file that is missing is no error here: it may appear later.
    ///
    /// # Errors
    /// When the settings can't work or the system's certificates can't be loaded.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        settings.check()?;
        Ok(Self {
            http: http_client(settings)?,
            ingest_url: settings.base_url.ingest(),
            environment: settings.base_url.environment(),
            credentials: Credentials::new(settings.token.clone()),
        })
    }

    /// The fingerprint of the token in use, by this hasher.
    #[must_use]
    pub fn token_fingerprint(&self, hasher: &impl BuildHasher) -> Option<u64> {
        self.credentials.token().map(|token| token.fingerprint(hasher))
    }

    async fn exchange(&self, body: Bytes) -> (Reply, Option<u64>) {
        let mut request = self.http.post(self.ingest_url.clone()).body(body);
        if let Some(token) = self.credentials.token() {
            match HeaderValue::try_from(format!("Bearer {}", token.expose())) {
                Ok(mut bearer) => {
                    bearer.set_sensitive(true);
                    request = request.header(AUTHORIZATION, bearer);
                }
                // A token is checked to be printable where it is read, so this is only the fuller match.
                Err(_) => return (Reply::Unauthorized, None),
            }
        }
        match request.send().await {
            Err(error) => (Reply::Unreachable(classify(&error)), None),
            Ok(response) => {
                let date = header(&response, &DATE).and_then(http_date);
                (read_reply(response, date).await, date)
            }
        }
    }
}

impl Ingest for PolarClient {
    async fn ingest(&self, body: Bytes) -> Answer {
        let begun = Instant::now();
        let (reply, date) = self.exchange(body).await;
        Answer { reply, date, took: begun.elapsed() }
    }

    fn reread_token(&self) -> TokenChange {
        self.credentials.reread()
    }

    /// A stand-in for Polar may do without a token; Polar itself never does.
    fn lacks_token(&self) -> bool {
        let may_do_without =
            self.environment == Environment::Custom && *self.credentials.source() == TokenSource::None;
        !may_do_without && self.credentials.token().is_none()
    }

    fn environment(&self) -> Environment {
        self.environment
    }

    fn token_fix(&self) -> String {
        match self.credentials.source() {
            TokenSource::File(path) => {
                format!("put a valid one in {}, it is picked up by itself", path.display())
            }
            TokenSource::Fixed(_) => "replace it where sledge is started, then restart sledge".to_owned(),
            TokenSource::None => {
                "give one with --token-file or POLAR_ACCESS_TOKEN, then restart sledge".to_owned()
            }
        }
    }
}

pub(super) fn http_client(settings: &Settings) -> Result<Client, SetupError> {
    // A second installation fails because there is a provider already, which is all that is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let version = HeaderValue::try_from(settings.polar_version.as_str())
        .map_err(|_| SetupError::PolarVersion { version: settings.polar_version.clone() })?;
    headers.insert(HeaderName::from_static("polar-version"), version);
    Client::builder()
        .user_agent(concat!("sledge/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .http1_only()
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.request_timeout)
        .pool_idle_timeout(IDLE_CONNECTION_MAX)
        .tcp_nodelay(true)
        .build()
        .map_err(|error| SetupError::Tls(Box::new(error.without_url())))
}

fn header<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

async fn read_reply(mut response: Response, date: Option<u64>) -> Reply {
    let status = response.status().as_u16();
    let wait = header(&response, &RETRY_AFTER).and_then(|value| retry_after(value, date));
    if !Reply::body_matters(status) {
        // Reading a short body to its end lets the connection be used again; its content does not matter.
        if response.content_length().is_some_and(|bytes| bytes <= 4_096) {
            drop(response.bytes().await);
        }
        return Reply::read(status, wait, b"");
    }
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Reply::Unreachable(Unreachable::Garbage),
            Ok(None) => return Reply::read(status, wait, &body),
            Err(error) => return Reply::Unreachable(classify(&error)),
        }
    }
}

/// What a failed exchange means for the next one. Only the kinds of the chain's errors are looked at.
pub(super) fn classify(error: &reqwest::Error) -> Unreachable {
    let (timed_out, connecting) = (error.is_timeout(), error.is_connect());
    let kind = chain(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    if chain(error).any(is_tls) {
        Unreachable::Tls
    } else if error.is_dns() {
        Unreachable::Dns
    } else if connecting && kind == Some(io::ErrorKind::ConnectionRefused) {
        Unreachable::Refused
    } else if connecting {
        Unreachable::NoRoute
    } else if timed_out {
        Unreachable::Timeout
    } else if broke_off(error) {
        Unreachable::Reset
    } else {
        Unreachable::Garbage
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// An `io::Error` hides the error inside it from the chain, and the TLS error lies in one `io::Error` within another.
fn is_tls(cause: &(dyn Error + 'static)) -> bool {
    let mut innermost = cause;
    while let Some(inside) = innermost.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        innermost = inside;
    }
    innermost.is::<rustls::Error>()
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

#[cfg(test)]
mod tests;
