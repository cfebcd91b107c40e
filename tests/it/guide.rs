//! The guide on credits, by commands alone: meter, customer, grant, balance, against the simulator.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use sledge::simulator::{Aggregation, Change, NewCustomer, NewMeter, Scripted};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::fake_polar::FakePolar;
use crate::one_command::{Ended, run, shell, sledge};
use crate::readme::{assert_as_shown, blocks};
use crate::sledge_process::{Home, PATIENCE, SledgeProcess, http};

const TOKEN: &str = "polar_oat_marker_of_the_callers";
const GRANT: [&str; 8] =
    ["grant", "10", "--customer", "user_123", "--event", "api_usage", "--property", "units"];

/// `sledge` with these words, to this Polar, with a token.
async fn at(polar: &FakePolar, words: &[&str]) -> Ended {
    let mut command = sledge(words);
    command.env("SLEDGE_POLAR_URL", polar.url()).env("POLAR_ACCESS_TOKEN", TOKEN);
    let ended = run(command, "").await;
    assert!(!format!("{ended:?}").contains(TOKEN), "a token is never shown: {ended:?}");
    ended
}

/// [`at`] with the socket of this home's sledge.
async fn at_home(polar: &FakePolar, home: &Home, words: &[&str]) -> Ended {
    let socket = home.socket();
    at(polar, &[words, &["--socket", socket.to_str().unwrap()]].concat()).await
}

fn meter(name: &str, event: &str, property: &str) -> NewMeter {
    NewMeter::sum(name, event, property)
}

fn count(name: &str, event: &str) -> NewMeter {
    NewMeter { aggregation: Aggregation::Count, ..NewMeter::sum(name, event, "units") }
}

fn john() -> NewCustomer {
    NewCustomer {
        email: "user@example.com".to_owned(),
        name: Some("John Doe".to_owned()),
        external_id: Some("user_123".to_owned()),
    }
}

/// `sledge simulate`, and its address.
async fn simulate() -> (Child, String) {
    let mut command = sledge(&["simulate", "--json", "--listen", "127.0.0.1:0"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    (child, said["listening"].as_str().unwrap().to_owned())
}

/// Waits until the simulator at `url` has so many events.
async fn has_events(url: &str, events: u64) {
    let host = url.strip_prefix("http://").unwrap();
    let path = format!("/simulator/wait?events={events}&timeout_ms={}", PATIENCE.as_millis());
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let (status, state) = http(TcpStream::connect(host).await.unwrap(), &request).await;
    assert_eq!(status, 200, "{state}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guide_as_it_stands_leaves_10_then_7_then_minus_1() {
    let (_simulator, url) = simulate().await;
    let home = Home::new();
    let sledge = home.start(&url).await;
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide.md")).unwrap();
    for balance in ["API Calls: 10 at Polar", "\"balance\":7.0,", "API Calls: -1 at Polar"] {
        assert!(text.contains(balance), "the guide leads to {balance}");
    }
    let (mut exports, mut ran, mut ids) = (String::new(), 0, BTreeSet::new());
    let mut blocks = blocks(&text).into_iter().peekable();
    while let Some((kind, block)) = blocks.next() {
        if kind != "sh" {
            continue;
        }
        let block =
            block.replace("http://127.0.0.1:8899", &url).replace("$PWD", home.path().to_str().unwrap());
        if block.starts_with("export ") {
            // Its own sledge listens where the system put it, not at the usual address.
            exports = format!("{block} SLEDGE_ADMIN={}\n", sledge.admin());
            continue;
        }
        let ended = run(shell(&format!("exec 2>&1\n{exports}{block}")), "").await;
        assert_eq!(ended.code, Some(0), "{block}\n{ended:?}");
        match blocks.peek() {
            Some((kind, shown)) if kind == "text" => {
                assert_as_shown(&ended.out.lines().collect::<Vec<_>>(), shown, &block);
            }
            _ => panic!("the guide does not show what this says: {block}"),
        }
        // What was accepted is at Polar before the next step: a balance is Polar's.
        let accepted = ended.out.lines().filter(|line| line.starts_with("accepted"));
        ids.extend(accepted.map(|line| line.split(' ').next_back().unwrap().to_owned()));
        has_events(&url, ids.len() as u64).await;
        ran += 1;
    }
    assert!(ran >= 9, "only {ran} steps were run");
    assert_eq!(ids.len(), 3, "one grant, though it was given twice, and two uses");
    let scrape = sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") < 0.5).await;
    assert!((scrape.sum("sledge_events_delivered_total") - 4.0).abs() < 0.5, "{scrape:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meter_is_made_once_and_listed_with_what_it_counts() {
    let polar = FakePolar::start().await;
    let create = ["polar", "meter", "create", "API Calls", "--event", "api_usage", "--property", "units"];
    let made = at(&polar, &create).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.out.starts_with("made: API Calls: sum of units where name = \"api_usage\" ("), "{made:?}");
    let again = at(&polar, &create).await;
    assert!(again.out.starts_with("is there already: API Calls: "), "{again:?}");
    polar.simulator.create_meter(count("Logins", "login"));
    let listed = at(&polar, &["polar", "meter", "list", "--json"]).await;
    let meters: Vec<Value> = listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(meters.len(), 2, "{listed:?}");
    assert_eq!((&meters[0]["name"], &meters[0]["aggregation"]["func"]), (&"API Calls".into(), &"sum".into()));
    assert_eq!(meters[1]["counts"], "count where name = \"login\"");
    let short = at(&polar, &["polar", "meter", "create", "ab", "--event", "e", "--property", "p"]).await;
    assert_eq!(short.code, Some(1), "{short:?}");
    assert!(short.err.contains("name: String should have at least 3 characters"), "{short:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_meters_than_a_page_holds_are_all_looked_at() {
    let polar = FakePolar::start().await;
    for number in 0..230 {
        polar.simulator.create_meter(meter(&format!("Meter {number}"), &format!("event_{number}"), "units"));
    }
    let listed = at(&polar, &["polar", "meter", "list"]).await;
    assert_eq!(listed.out.lines().count(), 230, "{listed:?}");
    assert!(listed.out.contains("event_229"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_is_made_and_shown_by_either_id_and_an_unknown_one_is_a_finding() {
    let polar = FakePolar::start().await;
    let create = ["polar", "customer", "create", "--email", "user@example.com", "--external-id", "user/1 ü"];
    let made = at(&polar, &[&create[..], &["--json"]].concat()).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let made: Value = serde_json::from_str(&made.out).unwrap();
    let id = made["id"].as_str().unwrap();
    for key in [["--customer", "user/1 ü"], ["--customer-id", id]] {
        let shown = at(&polar, &[&["polar", "customer", "show"], &key[..]].concat()).await;
        assert_eq!(shown.code, Some(0), "{shown:?}");
        assert!(shown.out.contains("user@example.com") && shown.out.contains("user/1 ü"), "{shown:?}");
    }
    let twice = at(&polar, &create).await;
    assert_eq!(twice.code, Some(0), "{twice:?}");
    assert!(twice.err.contains("there already") && twice.out.contains(id), "{twice:?}");
    let [.., external] = create;
    let other = ["polar", "customer", "create", "--email", "other@example.com", "--external-id", external];
    let taken = at(&polar, &other).await;
    assert_eq!(taken.code, Some(1), "{taken:?}");
    assert!(taken.err.contains("already exists") && taken.err.contains("with another address"), "{taken:?}");
    let nameless = at(&polar, &["polar", "customer", "create", "--email", "user@example.com"]).await;
    assert_eq!(nameless.code, Some(1), "{nameless:?}");
    assert!(
        nameless.err.contains("email: A customer with this email address already exists"),
        "{nameless:?}"
    );
    for unknown in ["nobody", ".."] {
        let shown = at(&polar, &["polar", "customer", "show", "--customer", unknown]).await;
        assert_eq!(shown.code, Some(1), "{shown:?}");
        assert!(shown.err.contains("sledge polar customer create"), "{shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_may_not_do_it_is_told_which_scope_is_missing() {
    let polar = FakePolar::start().await;
    let scopes = [(TOKEN.to_owned(), vec!["events:write".to_owned()])].into();
    polar.simulator.change(Change { token_scopes: Some(scopes), ..Change::default() });
    for (words, scope) in [
        (&["polar", "meter", "list"][..], "meters:read (or meters:write)"),
        (
            &["polar", "meter", "create", "Calls", "--event", "e", "--property", "p"],
            "meters:read (or meters:write)",
        ),
        (&["polar", "customer", "create", "--email", "a@example.com"], "customers:write"),
        (&["polar", "customer", "show", "--customer", "user_123"], "customers:read (or customers:write)"),
        (&["balance", "--customer", "user_123"], "customer_meters:read"),
    ] {
        let ended = at(&polar, words).await;
        assert_eq!(ended.code, Some(78), "{words:?}: {ended:?}");
        assert!(ended.err.contains(&format!("lacks the scope {scope}")), "{words:?}: {ended:?}");
    }
    polar.simulator.change(Change {
        accepted_tokens: Some(vec!["polar_oat_other".to_owned()]),
        token_scopes: Some([].into()),
        ..Change::default()
    });
    let unknown = at(&polar, &["polar", "meter", "list"]).await;
    assert_eq!(unknown.code, Some(78), "{unknown:?}");
    assert!(unknown.err.contains("does not know the token"), "{unknown:?}");
    let mut without = sledge(&["polar", "meter", "list", "--environment", "sandbox"]);
    without.env("HOME", "/nonexistent");
    let without = run(without, "").await;
    assert_eq!(without.code, Some(78), "nothing is sent to Polar without a token: {without:?}");
    assert!(
        without.err.contains("POLAR_ACCESS_TOKEN") && without.err.contains("--token-file"),
        "{without:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_keeps_polar_from_answering_has_words_and_an_exit_code_of_its_own() {
    let mut polar = FakePolar::start().await;
    let list = ["polar", "meter", "list"];
    let blocked = Change { block_organization_ms: Some(30_000), ..Change::default() };
    polar.simulator.change(blocked);
    let limited = at(&polar, &list).await;
    assert_eq!(limited.code, Some(75), "{limited:?}");
    assert!(limited.err.contains("rate limit is used up"), "{limited:?}");
    polar.simulator.change(Change { block_organization_ms: Some(0), ..Change::default() });
    let mut wrong = sledge(&list);
    wrong.env("SLEDGE_POLAR_URL", polar.url()).env("SLEDGE_POLAR_VERSION", "2019-01");
    let wrong = run(wrong, "").await;
    assert_eq!(wrong.code, Some(78), "{wrong:?}");
    assert!(wrong.err.contains("the version 2019-01"), "{wrong:?}");
    polar.go_away().await;
    let away = at(&polar, &list).await;
    assert_eq!(away.code, Some(69), "{away:?}");
    assert!(away.err.contains("can't be reached"), "{away:?}");
}

/// A home with a sledge that delivers to this Polar.
async fn at_work(polar: &FakePolar) -> (Home, SledgeProcess) {
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    (home, sledge)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_would_change_no_balance_is_not_sent_and_says_why() {
    let polar = FakePolar::start().await;
    let (home, sledge) = at_work(&polar).await;
    let none = at_home(&polar, &home, &GRANT).await;
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(
        none.err.contains("there are none") && none.err.contains("sledge polar meter create"),
        "{none:?}"
    );
    polar.simulator.create_meter(count("Calls", "api_usage"));
    let not_sum = at_home(&polar, &home, &GRANT).await;
    assert_eq!(not_sum.code, Some(1), "{not_sum:?}");
    assert!(not_sum.err.contains("as a count: only a Sum"), "{not_sum:?}");
    polar.simulator.create_meter(meter("Tokens", "api_usage", "tokens"));
    let other = at_home(&polar, &home, &GRANT).await;
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(other.err.contains("sums tokens, not units"), "{other:?}");
    let as_text =
        at_home(&polar, &home, &["grant", "\"10\"", "--customer", "u", "--event", "e", "--property", "p"])
            .await;
    assert_eq!(as_text.code, Some(64), "{as_text:?}");
    assert!(as_text.err.contains("Polar takes it as text and never counts it"), "{as_text:?}");
    assert!((sledge.scrape().await.sum("sledge_events_accepted_total")).abs() < 0.5);

    let unchecked = at_home(&polar, &home, &[&GRANT[..], &["--no-check"]].concat()).await;
    assert_eq!(unchecked.code, Some(0), "{unchecked:?}");
    polar.simulator.create_meter(meter("API Calls", "api_usage", "units"));
    let counts = at_home(&polar, &home, &GRANT).await;
    assert_eq!(counts.code, Some(0), "{counts:?}");
    assert_eq!(counts.err.lines().count(), 1, "nothing but the id: {counts:?}");
    polar.has_events(2, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_can_not_be_checked_says_so_and_is_taken_all_the_same() {
    let mut polar = FakePolar::start().await;
    let (home, sledge) = at_work(&polar).await;
    let scopes = [(TOKEN.to_owned(), vec!["events:write".to_owned()])].into();
    polar.simulator.change(Change { token_scopes: Some(scopes), ..Change::default() });
    let unscoped = at_home(&polar, &home, &GRANT).await;
    assert_eq!(unscoped.code, Some(0), "{unscoped:?}");
    assert!(unscoped.err.contains("not checked") && unscoped.err.contains("meters:read"), "{unscoped:?}");

    let mut tokenless = sledge_words(&home, &GRANT);
    tokenless.env("SLEDGE_ENVIRONMENT", "sandbox");
    let tokenless = run(tokenless, "").await;
    assert_eq!(tokenless.code, Some(0), "{tokenless:?}");
    assert!(
        tokenless.err.contains("not checked") && tokenless.err.contains("no access token"),
        "{tokenless:?}"
    );

    polar.has_events(2, PATIENCE).await;
    polar.go_away().await;
    let away = at_home(&polar, &home, &GRANT).await;
    assert_eq!(away.code, Some(0), "{away:?}");
    assert!(away.err.contains("not checked") && away.err.contains("can't be reached"), "{away:?}");
    assert!(away.out.starts_with("accepted: 10 credits"), "{away:?}");
    polar.come_back();
    polar.has_events(3, PATIENCE).await;
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") < 0.5).await;
}

/// `sledge` with these words and the socket of this home's sledge.
fn sledge_words(home: &Home, words: &[&str]) -> Command {
    let mut command = sledge(words);
    command.arg("--socket").arg(home.socket());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_run_twice_grants_each_customer_once() {
    let polar = FakePolar::start().await;
    polar.simulator.create_meter(meter("API Calls", "api_usage", "units"));
    let (home, sledge) = at_work(&polar).await;
    for credits in ["10", "10", "25"] {
        for customer in ["user_1", "user_2"] {
            let words = [
                "grant",
                credits,
                "--customer",
                customer,
                "--event",
                "api_usage",
                "--property",
                "units",
                "--once",
                "spring",
            ];
            let granted = at_home(&polar, &home, &words).await;
            assert_eq!(granted.code, Some(0), "{granted:?}");
            assert!(granted.out.contains(&format!("id once:spring:external:{customer}")), "{granted:?}");
            assert!(granted.err.contains("before, Polar keeps the first amount"), "{granted:?}");
        }
    }
    sledge.scrape_until(|scrape| scrape.sum("sledge_events_delivered_total") >= 6.0).await;
    let scrape = sledge.scrape().await;
    assert_eq!(scrape.get("sledge_events_delivered_total{result=\"duplicate\"}"), Some(4.0));
    for customer in ["user_1", "user_2"] {
        assert_eq!(polar.simulator.balance(customer, "API Calls"), Some(10.0));
    }
    // What is meant to be repeated is no alarm. An id that another application has used is one.
    const ALARM: &str = "two applications use the same external_id";
    let (_, _, log) = sledge.stop().await;
    assert!(!log.contains(ALARM), "{log}");
    assert!(log.contains("Polar already had grants that are made once"), "the duplicates are told: {log}");
    let elsewhere = Home::new();
    let (other, sledge) = (elsewhere.start(&polar.url()).await, home.start(&polar.url()).await);
    let used = ["send", "api_usage", "--customer", "user_1", "--meta", "units=1", "--id", "order-7"];
    for (at, sledge) in [(&elsewhere, &other), (&home, &sledge)] {
        assert_eq!(at_home(&polar, at, &used).await.code, Some(0));
        sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") < 0.5).await;
    }
    let (_, _, log) = sledge.stop().await;
    assert!(log.contains(ALARM), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balance_is_polars_and_what_is_not_known_beside_it_is_said() {
    let polar = FakePolar::start().await;
    polar.simulator.create_meter(meter("API Calls", "api_usage", "units"));
    let balance = ["balance", "--customer", "user_123"];
    let (home, _sledge) = at_work(&polar).await;
    let unknown = at_home(&polar, &home, &balance).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.err.contains("Polar knows no customer user_123"), "{unknown:?}");
    assert_eq!(unknown.out, "", "there is nothing else to tell of somebody who is not known");

    let id = polar.simulator.create_customer(john()).unwrap().to_string();
    let nothing = at_home(&polar, &home, &balance).await;
    assert_eq!(nothing.code, Some(0), "{nothing:?}");
    assert!(nothing.out.contains("no meter at Polar has counted anything"), "{nothing:?}");
    assert_eq!(at_home(&polar, &home, &GRANT).await.code, Some(0));
    polar.has_events(1, PATIENCE).await;
    for key in [["--customer", "user_123"], ["--customer-id", &id]] {
        let shown = at_home(&polar, &home, &[&["balance"], &key[..]].concat()).await;
        assert!(shown.out.starts_with("API Calls: 10 at Polar (credited 0, consumed -10)\n"), "{shown:?}");
        assert!(shown.out.contains("180 min"), "{shown:?}");
    }
    let json = at_home(&polar, &home, &["balance", "--customer", "user_123", "--json"]).await;
    let read: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&read["customer"], &read["meters"][0]["balance"]), (&"user_123".into(), &10.0.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_polar_has_not_got_yet_stands_beside_its_balance_and_is_not_added_to_it() {
    let polar = FakePolar::start().await;
    polar.simulator.create_meter(meter("API Calls", "api_usage", "units"));
    polar.simulator.create_customer(john()).unwrap();
    let home = Home::new();
    let mut command = home.run_command(&polar.url());
    command.env("SLEDGE_PENDING_CUSTOMERS_MAX", "100");
    let sledge = SledgeProcess::start(command, home.socket()).await;
    assert_eq!(at_home(&polar, &home, &GRANT).await.code, Some(0));
    sledge.scrape_until(|scrape| scrape.sum("sledge_events_delivered_total") > 0.5).await;
    // Polar still answers about balances, and takes no events.
    polar.simulator.script([Scripted { times: u32::MAX, ..Scripted::status(503) }]);
    let used = ["send", "api_usage", "--customer", "user_123", "--meta", "units=3", "--meta", "ms=40"];
    assert_eq!(at_home(&polar, &home, &used).await.code, Some(0));
    let shown = at_home(&polar, &home, &["balance", "--customer", "user_123"]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for line in [
        "API Calls: 10 at Polar (credited 0, consumed -10)",
        "  pending here, not in it: 3 units in 1 event of api_usage",
        "pending here, on no meter above: 40 ms in 1 event of api_usage",
    ] {
        assert!(shown.out.lines().any(|said| said == line), "{line}: {shown:?}");
    }
    assert!(shown.out.contains("last delivered to Polar 20"), "{shown:?}");
    let json = at_home(&polar, &home, &["balance", "--customer", "user_123", "--json"]).await;
    let read: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(read["pending"]["pending"][0]["sums"]["units"], 3);
    polar.simulator.clear_script();
    sledge.scrape_until(|scrape| scrape.sum("sledge_pending_events") < 0.5).await;
    let settled = at_home(&polar, &home, &["balance", "--customer", "user_123"]).await;
    assert!(
        settled.out.contains("API Calls: 7 at Polar")
            && settled.out.contains("nothing of this customer is pending"),
        "{settled:?}"
    );
}
