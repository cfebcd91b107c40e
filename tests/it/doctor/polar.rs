//! The token, Polar, and what of all that is sent there counts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sledge::doctor::Code;
use sledge::simulator::{Aggregation, Change, NewMeter, RateLimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::examination::{
    GRANT, TOKEN, USE, api_calls, assert_finds, doctor, doctor_after_mounting, is_drained, token_file,
    with_sent, without_json,
};
use crate::fake_polar::FakePolar;
use crate::one_command::{run, sledge};
use crate::sledge_process::{Home, http};
use crate::tool;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_other_environment_is_found_and_where_it_is_good() {
    let (production, sandbox) = (FakePolar::start().await, FakePolar::start().await);
    let only = |token: &str| Change { accepted_tokens: Some(vec![token.to_owned()]), ..Change::default() };
    production.simulator.change(only("polar_oat_production"));
    sandbox.simulator.change(only(TOKEN));
    let home = Home::new();
    let mut command = doctor(&home, &production.url());
    command.args(["--other-polar-url", &sandbox.url()]);
    assert_finds(command, &[Code::TokenOfOtherEnvironment]).await;
    assert_finds(doctor(&home, &production.url()), &[Code::TokenUnknown]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_scope_is_found() {
    let polar = FakePolar::start().await;
    let scopes = [(TOKEN.to_owned(), vec!["meters:read".to_owned()])].into();
    polar.simulator.change(Change { token_scopes: Some(scopes), ..Change::default() });
    assert_finds(doctor(&Home::new(), &polar.url()), &[Code::ScopeMissing]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_organization_is_found() {
    let polar = FakePolar::start().await;
    polar.simulator.create_meter(api_calls());
    let theirs = polar.simulator.another_organization(vec!["polar_oat_theirs".to_owned()]);
    theirs.create_meter(api_calls());
    let home = Home::new();
    let file = token_file(&home, "polar_oat_theirs");
    let mut command = doctor(&home, &polar.url());
    command.arg("--token-file").arg(&file);
    assert_finds(command, &[Code::TokenOfAnotherOrganization]).await;
    let mut named = doctor(&home, &polar.url());
    named.args(["--organization", "7d9c36b1-5f3e-4c1a-9c55-0123456789ab"]);
    assert_finds(named, &[Code::TokenOfAnotherOrganization]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_with_a_token_of_their_own_are_found() {
    let (polar, home, sledge) = with_sent(api_calls(), &USE).await;
    let body =
        r#"{"events":[{"name":"api_usage","external_customer_id":"user_123","metadata":{"units":1}}]}"#;
    let head =
        "POST /v1/events/ingest HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer polar_oat_theirs\r\n";
    let length = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let (status, answer) =
        http(sledge.connect().await, &format!("{head}{length}connection: close\r\n\r\n{body}")).await;
    assert_eq!(status, 200, "{answer}");
    is_drained(&sledge).await;
    assert_finds(doctor(&home, &polar.url()), &[Code::ForeignTokenInUse]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_token_a_placeholder_and_a_file_that_others_may_read_are_found() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let with_file = |file: &Path| {
        let mut command = doctor(&home, &polar.url());
        command.env_remove("POLAR_ACCESS_TOKEN").arg("--token-file").arg(file);
        command
    };
    assert_finds(with_file(&home.path().join("missing")), &[Code::TokenMissing]).await;
    assert_finds(with_file(&token_file(&home, "undefined")), &[Code::TokenMalformed]).await;
    let file = token_file(&home, TOKEN);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_finds(with_file(&file), &[Code::TokenReadableByOthers]).await;

    polar.simulator.change(Change { accepted_tokens: Some(vec![TOKEN.to_owned()]), ..Change::default() });
    let mut tokenless = doctor(&home, &polar.url());
    tokenless.env_remove("POLAR_ACCESS_TOKEN");
    assert_finds(tokenless, &[Code::TokenMissing]).await;
    let mut none = sledge(&["doctor", "--json", "--environment", "sandbox", "--admin", "127.0.0.1:0"]);
    none.arg("--data-dir").arg(home.path().join("data")).arg("--socket").arg(home.socket());
    assert_finds(none, &[Code::TokenMissing]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_off_is_found_in_either_direction() {
    let polar = FakePolar::start().await;
    for offset in [-90_000, 90_000] {
        polar.simulator.change(Change { clock_offset_ms: Some(offset), ..Change::default() });
        assert_finds(doctor(&Home::new(), &polar.url()), &[Code::ClockSkewed]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_polar_does_not_know_is_told_from_a_wrong_address() {
    let polar = FakePolar::start().await;
    let mut command = doctor(&Home::new(), &polar.url());
    command.env("SLEDGE_POLAR_VERSION", "2019-01");
    assert_finds(command, &[Code::PolarVersionUnknown]).await;
    let elsewhere = format!("{}/api", polar.url());
    assert_finds(doctor(&Home::new(), &elsewhere), &[Code::PolarAddressWrong]).await;
}

/// Something that answers every request with a page of its own, as a login page or a proxy does.
async fn page(status: u16) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = "<html>Please log in</html>";
    let answer = format!(
        "HTTP/1.1 {status} Page\r\ncontent-type: text/html\r\nlocation: http://login.example/\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            // Whoever hangs up early gets no page.
            if stream.read(&mut head).await.is_ok() {
                drop(stream.write_all(answer.as_bytes()).await);
            }
        }
    });
    (url, serving)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_answers_in_polars_place_is_found() {
    for status in [200, 302, 401, 403, 405, 407, 511] {
        let (url, _serving) = page(status).await;
        let expected = if status == 511 { Code::PolarUnreachable } else { Code::ProxyInTheWay };
        assert_finds(doctor(&Home::new(), &url), &[expected]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_polar_that_is_away_is_found_and_a_proxy_that_sledge_does_not_use_is_named() {
    let mut polar = FakePolar::start().await;
    polar.go_away().await;
    let mut command = doctor(&Home::new(), &polar.url());
    command.env("HTTPS_PROXY", "http://127.0.0.1:1");
    let told = run(without_json(&command), "").await;
    assert!(told.out.contains("HTTPS_PROXY is set, and sledge takes no proxy"), "{told:?}");
    assert_finds(command, &[Code::PolarUnreachable]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_without_certificates_can_not_reach_polar_and_that_is_found() {
    if !tool::is_there("unshare", &["--mount", "true"]) {
        return;
    }
    let polar = FakePolar::start().await;
    let home = Home::new();
    fs::create_dir(home.path().join("etc")).unwrap();
    let bind = format!("mount --bind '{}' /etc", home.path().join("etc").display());
    assert_finds(doctor_after_mounting(&home, &polar, &bind), &[Code::PolarUnreachable]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_others_use_up_is_found() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let _sledge = home.start(&polar.url()).await;
    polar.simulator.change(Change { rate_limit: Some(RateLimit::PerMinute(20)), ..Change::default() });
    let host = polar.url().strip_prefix("http://").unwrap().to_owned();
    let get = format!(
        "GET /v1/customers/ HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer polar_oat_others\r\nconnection: close\r\n\r\n"
    );
    for _ in 0..25 {
        http(TcpStream::connect(&host).await.unwrap(), &get).await;
    }
    assert_finds(doctor(&home, &polar.url()), &[Code::BudgetUsedByOthers]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_on_a_meter_that_is_no_sum_are_found() {
    let count = NewMeter { aggregation: Aggregation::Count, ..api_calls() };
    let (polar, home, _sledge) = with_sent(count, &GRANT).await;
    assert_finds(doctor(&home, &polar.url()), &[Code::MeterNotSum]).await;
    let mut before_any = doctor(&Home::new(), &polar.url());
    before_any.args(["--event", "api_usage", "--property", "units"]);
    assert_finds(before_any, &[Code::MeterNotSum]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_on_no_meter_credits_on_another_property_and_numbers_in_quotes_are_found() {
    for (meter, words, code) in [
        (NewMeter::sum("Calls", "api-usage", "units"), &USE[..], Code::EventOnNoMeter),
        (NewMeter::sum("Calls", "api_usage", "tokens"), &GRANT[..], Code::CreditsOnOtherProperty),
        (
            api_calls(),
            &["send", "api_usage", "--customer", "user_123", "--meta-text", "units=3"],
            Code::ValueSentAsText,
        ),
    ] {
        let (polar, home, _sledge) = with_sent(meter, words).await;
        assert_finds(doctor(&home, &polar.url()), &[code]).await;
    }
}
