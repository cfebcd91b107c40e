//! The client of Polar's ingest endpoint: one request, and whatever comes of it.

use std::hash::BuildHasher;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, DATE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use tokio::time::Instant;

use super::base_url::Environment;
use super::credentials::{Credentials, TokenChange, TokenSource};
use super::error::SetupError;
use super::http_client::http_client;
use super::ingest::Ingest;
use super::reply::{Answer, Reply};
use super::retry_after::{http_date, retry_after};
use super::settings::Settings;
use super::unreachable::{Obstacle, Unreachable};

/// A 422 lists every fault of every event with its input: some MB for 1,000 events. Beyond this it is not Polar's.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The longest body that is read where the status says nearly all, and for how long: whose words it is, and that the
/// connection can be used again, is not worth waiting for more.
const SHORT_BODY_BYTES_MAX: usize = 4_096;
const SHORT_BODY_MAX: Duration = Duration::from_secs(1);

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
    /// When the settings can't work, or a file they name or the system's certificates can't be loaded.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        if let Some(fault) = settings.faults().into_iter().next() {
            return Err(fault);
        }
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

    /// The mark of the token in use, to hold another against it; `None` where there is none.
    #[must_use]
    pub fn token_mark(&self) -> Option<u64> {
        self.credentials.token().map(|token| token.mark())
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
                Err(_) => return (Reply::Unauthorized { in_polars_words: true }, None),
            }
        }
        match request.send().await {
            Err(error) => (Reply::from(Obstacle::before_an_answer(&error)), None),
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

fn header<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

async fn read_reply(mut response: Response, date: Option<u64>) -> Reply {
    let status = response.status().as_u16();
    let wait = header(&response, &RETRY_AFTER).and_then(|value| retry_after(value, date));
    if !Reply::body_matters(status) {
        let read = read_body(&mut response, SHORT_BODY_BYTES_MAX);
        let body = tokio::time::timeout(SHORT_BODY_MAX, read).await;
        return Reply::read(status, wait, &body.ok().and_then(Result::ok).unwrap_or_default());
    }
    match read_body(&mut response, ANSWER_BYTES_MAX).await {
        Ok(body) => Reply::read(status, wait, &body),
        Err(why) => Reply::Unreachable(why),
    }
}

async fn read_body(response: &mut Response, bytes_max: usize) -> Result<BytesMut, Unreachable> {
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= bytes_max => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Unreachable::Garbage),
            Ok(None) => return Ok(body),
            Err(error) => return Err(Unreachable::within_an_answer(&error)),
        }
    }
}

impl From<Obstacle> for Reply {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::ProxyLogin => Self::ProxyLogin,
            Obstacle::Unreachable(why) => Self::Unreachable(why),
        }
    }
}

#[cfg(test)]
mod tests;
