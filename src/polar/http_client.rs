//! The HTTP client under the client of Polar: how it connects, whom it trusts, what it never does.
//!
//! It speaks HTTP/1.1 over kept-alive connections, uncompressed and with a `Content-Length` (Polar answers 400 and 411
//! otherwise), follows no redirect, and ignores the proxy variables of the environment: they are set for other programs,
//! and what they name would see to whom and how much this machine bills. A proxy that the settings name is asked to
//! CONNECT, so that it passes on what it can't read.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Proxy};

use super::authorities;
use super::error::SetupError;
use super::proxy_login::ProxyLogin;
use super::settings::Settings;

/// Shorter than load balancers' usual 60 s, so that a connection is rarely used just as the other end closes it.
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(30);

/// A client for these settings; nothing is sent.
pub(super) fn http_client(settings: &Settings) -> Result<Client, SetupError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let version = HeaderValue::try_from(settings.polar_version.as_str())
        .map_err(|_| SetupError::PolarVersion { version: settings.polar_version.clone() })?;
    headers.insert(HeaderName::from_static("polar-version"), version);
    built(
        bare_client(settings)?
            .user_agent(concat!("sledge/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .timeout(settings.request_timeout),
    )
}

/// A client that adds nothing of its own to a request, and whose whole answers may take this long.
pub(super) fn relaying_client(settings: &Settings, answer_timeout: Duration) -> Result<Client, SetupError> {
    built(bare_client(settings)?.read_timeout(settings.request_timeout).timeout(answer_timeout))
}

/// What holds for every request, whoever makes it.
fn bare_client(settings: &Settings) -> Result<ClientBuilder, SetupError> {
    // A second installation fails because there is a provider already, which is all that is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .http1_only()
        .connect_timeout(settings.connect_timeout)
        .pool_idle_timeout(IDLE_CONNECTION_MAX)
        .tcp_nodelay(true);
    if let Some(url) = &settings.proxy {
        client = client.proxy(proxy(url, settings)?);
    }
    if let Some(path) = &settings.ca_file {
        client = client.tls_certs_merge(authorities::read(path)?);
    }
    Ok(client)
}

fn built(client: ClientBuilder) -> Result<Client, SetupError> {
    client.build().map_err(|error| SetupError::Tls(Box::new(error.without_url())))
}

/// The proxy, for https alone: anything else would be handed to it in clear text.
fn proxy(url: &str, settings: &Settings) -> Result<Proxy, SetupError> {
    let proxy = Proxy::https(url).map_err(|_| SetupError::Proxy { fault: "it is not a URL" })?;
    match &settings.proxy_credentials_file {
        None => Ok(proxy),
        Some(path) => Ok(ProxyLogin::read(path)?.give_to(proxy)),
    }
}
