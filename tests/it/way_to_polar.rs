//! The way to Polar: over TLS that is trusted or not, and through a proxy that connects or does not.

use std::net::TcpListener;
use std::path::Path;

use bytes::Bytes;
use sledge::polar::{BaseUrl, Ingest, Reply, Settings, TlsFault, TokenSource, Unreachable};
use tokio::process::Command;

use crate::certificates::{Authority, Flaw};
use crate::connect_proxy::{ConnectProxy, Manner};
use crate::fake_polar::FakePolar;
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};
use crate::tls_front::TlsFront;

const TOKEN: &str = "polar_oat_test";
const EVENT: &str =
    r#"{"events":[{"name":"api_usage","external_customer_id":"user_1","external_id":"one"}]}"#;

/// Polar behind TLS, and the authority that signed its certificate.
struct House {
    polar: FakePolar,
    front: TlsFront,
    home: Home,
}

impl House {
    async fn new() -> Self {
        let polar = FakePolar::start().await;
        let authority = Authority::new("a private authority");
        let front = TlsFront::start(authority.acceptor(Flaw::None), polar.address()).await;
        let home = Home::new();
        authority.write_to(&home.path().join("ca.pem"));
        Self { polar, front, home }
    }

    fn command(&self) -> Command {
        let mut command = self.home.run_command(&self.front.url());
        command.env("SLEDGE_DELIVERY_RETRY_INTERVAL_MS", "10");
        command.env("SLEDGE_DELIVERY_RETRY_INTERVAL_MS_MAX", "100");
        command.env("SLEDGE_DELIVERY_SLOW_PROBE_SECONDS", "1");
        command
    }

    /// sledge that trusts the authority and goes through this proxy.
    async fn start_through(&self, proxy: &ConnectProxy, change: impl FnOnce(&mut Command)) -> SledgeProcess {
        let mut command = self.command();
        command.env("SLEDGE_POLAR_CA_FILE", self.home.path().join("ca.pem"));
        command.env("SLEDGE_POLAR_PROXY", proxy.url());
        change(&mut command);
        SledgeProcess::start(command, self.home.socket()).await
    }
}

/// Waits until so much of its requests came to this.
async fn until_outcome(sledge: &SledgeProcess, outcome: &str) {
    let sample = format!("sledge_polar_request_seconds_count{{outcome=\"{outcome}\"}}");
    sledge.scrape_until(|scrape| scrape.get(&sample).is_some_and(|requests| requests > 0.0)).await;
}

async fn until_delivered(sledge: &SledgeProcess, polar: &FakePolar, events: u64) {
    polar.has_events(events, PATIENCE).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_polar_of_a_private_authority_is_reached_once_that_authority_is_named() {
    let house = House::new().await;
    let sledge = SledgeProcess::start(house.command(), house.home.socket()).await;
    assert_eq!(sledge.ingest(EVENT).await.0, 200);
    until_outcome(&sledge, "tls").await;
    let (status, ready) = sledge.get("/readyz").await;
    assert_eq!(status, 200, "apps must still be able to send: {ready}");
    assert!(ready.contains("polar.ca_file"), "{ready}");
    sledge.kill_nine().await;
    assert_eq!(house.front.heard(), "", "nothing is said before the certificate is trusted");

    let mut command = house.command();
    command.env("SLEDGE_POLAR_CA_FILE", house.home.path().join("ca.pem"));
    let sledge = SledgeProcess::start(command, house.home.socket()).await;
    until_delivered(&sledge, &house.polar, 1).await;
    assert!(house.front.heard().contains(TOKEN), "the check for the token sees it where it belongs");
}

async fn reply_over(front: &TlsFront, ca_file: &Path) -> Reply {
    let mut settings = Settings::new(BaseUrl::parse(&front.url()).unwrap(), TokenSource::None);
    settings.ca_file = Some(ca_file.to_owned());
    let client = sledge::polar::PolarClient::new(&settings).unwrap();
    client.ingest(Bytes::from_static(EVENT.as_bytes())).await.reply
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_certificate_is_told_apart() {
    let polar = FakePolar::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (trusted, other) = (Authority::new("trusted"), Authority::new("another"));
    let ca_file = folder.path().join("ca.pem");
    trusted.write_to(&ca_file);
    for (authority, flaw, fault) in [
        (&other, Flaw::None, TlsFault::Untrusted),
        (&trusted, Flaw::WrongName, TlsFault::WrongName),
        (&trusted, Flaw::Expired, TlsFault::OutOfTime),
    ] {
        let front = TlsFront::start(authority.acceptor(flaw), polar.address()).await;
        let reply = reply_over(&front, &ca_file).await;
        assert_eq!(reply, Reply::Unreachable(Unreachable::Tls(fault)), "{flaw:?}");
    }
    let front = TlsFront::start(trusted.acceptor(Flaw::None), polar.address()).await;
    assert_eq!(
        reply_over(&front, &ca_file).await,
        Reply::Unauthorized { in_polars_words: true },
        "no token was given"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_connects_and_never_sees_the_token() {
    let house = House::new().await;
    let proxy = ConnectProxy::start(Manner::Connect).await;
    let sledge = house.start_through(&proxy, |_| ()).await;
    assert_eq!(sledge.ingest(EVENT).await.0, 200);
    until_delivered(&sledge, &house.polar, 1).await;
    let (_, _, log) = sledge.stop().await;
    let heard = proxy.heard();
    let asked = String::from_utf8_lossy(&heard);
    let target = house.front.url().replace("https://", "");
    assert!(asked.starts_with(&format!("CONNECT {target} HTTP/1.1\r\n")), "{asked}");
    assert!(heard.len() > 500, "the request itself passed through it, too");
    assert!(!asked.contains(TOKEN) && !asked.contains("api_usage"), "in clear text at the proxy");
    assert!(house.front.heard().contains(TOKEN) && !log.contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxies_that_the_environment_names_are_not_used() {
    let house = House::new().await;
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let url = format!("http://{}", trap.local_addr().unwrap());
    let mut command = house.command();
    command.env("SLEDGE_POLAR_CA_FILE", house.home.path().join("ca.pem"));
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, &url);
    }
    let sledge = SledgeProcess::start(command, house.home.socket()).await;
    assert_eq!(sledge.ingest(EVENT).await.0, 200);
    until_delivered(&sledge, &house.polar, 1).await;
    let asked = trap.accept();
    assert_eq!(
        asked.unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock,
        "a proxy of the environment was asked"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_wants_a_login_holds_delivery_until_it_has_one() {
    let house = House::new().await;
    let login = "Basic c2xlZGdlOnBhc3M6IHdvcmQ=";
    let proxy = ConnectProxy::start(Manner::AskFor(login.to_owned())).await;
    let sledge = house.start_through(&proxy, |_| ()).await;
    assert_eq!(sledge.ingest(EVENT).await.0, 200);
    sledge.scrape_until(|scrape| scrape.get("sledge_held{reason=\"proxy_login\"}") == Some(1.0)).await;
    until_outcome(&sledge, "proxy_login").await;
    let (status, ready) = sledge.get("/readyz").await;
    assert_eq!(status, 200, "apps must still be able to send: {ready}");
    assert!(ready.contains("407") && ready.contains("polar.proxy_credentials_file"), "{ready}");
    sledge.kill_nine().await;

    let credentials = house.home.path().join("proxy_credentials");
    std::fs::write(&credentials, "sledge:pass: word\n").unwrap();
    let give = |command: &mut Command| {
        command.env("SLEDGE_POLAR_PROXY_CREDENTIALS_FILE", &credentials);
        command.args(["--log-level", "trace"]);
    };
    let sledge = house.start_through(&proxy, give).await;
    until_delivered(&sledge, &house.polar, 1).await;
    let (_, _, log) = sledge.stop().await;
    let at_polar = house.front.heard().to_ascii_lowercase();
    assert!(!at_polar.contains("proxy-authorization") && !at_polar.contains("c2xlzgdl"), "{at_polar}");
    for secret in ["pass: word", "c2xlZGdlOnBhc3M6IHdvcmQ=", TOKEN] {
        assert!(!log.contains(secret), "the log tells {secret:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_does_not_connect_is_asked_again_until_it_does() {
    let house = House::new().await;
    let proxy = ConnectProxy::start(Manner::HangUp).await;
    let sledge = house.start_through(&proxy, |_| ()).await;
    assert_eq!(sledge.ingest(EVENT).await.0, 200);
    let sample = "sledge_polar_request_seconds_count{outcome=\"proxy\"}";
    let mut tries = 0.0;
    for manner in [
        Manner::HangUp,
        Manner::Answer("502 Bad Gateway"),
        Manner::Answer("504 Gateway Timeout"),
        Manner::Answer("403 Forbidden"),
        Manner::Answer("nonsense"),
    ] {
        proxy.change(manner.clone());
        // One that was asked before the change may still be counted after it.
        let scrape = sledge
            .scrape_until(|scrape| scrape.get(sample).is_some_and(|requests| requests > tries + 1.0))
            .await;
        tries = scrape.get(sample).unwrap();
        assert!(sledge.get("/readyz").await.1.contains("the proxy did not connect"), "{manner:?}");
    }
    proxy.change(Manner::Connect);
    until_delivered(&sledge, &house.polar, 1).await;
}
