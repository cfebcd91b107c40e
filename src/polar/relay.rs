//! Carrying somebody else's request to Polar: their method, their path, their headers, their credentials.
//!
//! This client has no token and no header of its own to lend, follows no redirect, and knows no other host than the
//! configured one.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};

use super::base_url::BaseUrl;
use super::error::SetupError;
use super::http_client::relaying_client;
use super::settings::Settings;
use super::unreachable::{Obstacle, Unreachable};

/// An answer's body as it arrives; an error where it breaks off.
pub type RelayedBody = UnsyncBoxBody<Bytes, io::Error>;

/// The way to Polar for requests that are not ours.
#[derive(Debug)]
pub struct Relay {
    http: Client,
    base_url: BaseUrl,
}

/// Polar's answer, word for word.
#[derive(Debug)]
pub struct Relayed {
    /// The status.
    pub status: StatusCode,
    /// Every header, those of the connection included.
    pub headers: HeaderMap,
    /// What follows, still arriving.
    pub body: RelayedBody,
}

/// Why a request was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayFault {
    /// Written as a URL its path would be another one: nothing was sent.
    PathNotPlain,
    /// There was no answer. Polar may have done what was asked all the same.
    Unreachable(Unreachable),
}

impl Relay {
    /// Sets the way up; nothing is sent. Polar may take `request_timeout` for each step, and `answer_timeout` for a whole
    /// answer.
    ///
    /// # Errors
    /// When whatever credentials come along would travel in clear text, or the client can't be set up.
    pub fn new(settings: &Settings, answer_timeout: Duration) -> Result<Self, SetupError> {
        let base_url = settings.base_url.clone();
        if base_url.is_clear_text() {
            return Err(SetupError::ClearTextToken { host: base_url.host().to_owned() });
        }
        Ok(Self { http: relaying_client(settings, answer_timeout)?, base_url })
    }

    /// Carries one request to `path` (it begins with `/v1/`) below Polar's address, and hands back what comes.
    ///
    /// # Errors
    /// When nothing was sent, or nothing came back.
    pub async fn carry(
        &self,
        method: Method,
        path: &str,
        query: Option<&str>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Relayed, RelayFault> {
        let url = self.base_url.below(path, query).ok_or(RelayFault::PathNotPlain)?;
        let mut request = self.http.request(method, url).headers(headers);
        if !body.is_empty() {
            request = request.body(body);
        }
        let answer = request.send().await.map_err(|error| Obstacle::before_an_answer(&error))?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(RelayFault::Unreachable(Unreachable::Garbage));
        }
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = reqwest::Body::from(answer).map_err(|error| io::Error::other(error.without_url()));
        Ok(Relayed { status, headers, body: body.boxed_unsync() })
    }
}

impl From<Obstacle> for RelayFault {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            // Whose login is wanted is the daemon's affair, not the caller's.
            Obstacle::ProxyLogin => Self::Unreachable(Unreachable::Proxy),
            Obstacle::Unreachable(why) => Self::Unreachable(why),
        }
    }
}
