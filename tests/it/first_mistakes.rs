//! What goes wrong for somebody who is new to sledge: each mistake is told with what to do about it.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::fake_polar::FakePolar;
use crate::one_command::{run, run_sledge, sledge};
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";
/// How a connection begins that a client takes for TLS.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\x00\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_named_instead_of_read_is_not_charged_as_an_event() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let file = home.path().join("usage.ndjson");
    std::fs::write(&file, "").unwrap();
    let (file, socket) = (file.to_str().unwrap(), home.socket());
    let named =
        run_sledge(&["send", file, "--customer", "user_123", "--socket", socket.to_str().unwrap()]).await;
    assert_eq!(named.code, Some(64), "{named:?}");
    assert!(named.err.contains(&format!("sledge send < {file}")), "{named:?}");
    assert_eq!(sledge.scrape().await.sum("sledge_events_accepted_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_line_has_one_number_and_it_is_the_one_of_the_file() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let _sledge = home.start(&polar.url()).await;
    let mut command = sledge(&["send", "--socket"]);
    command.arg(home.socket());
    let line = r#"{"name":"api_usage","external_customer_id":"user_123"}"#;
    let told = run(command, &format!("{line}\n{{\"name\" api_usage}}\n")).await;
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_eq!(
        told.err,
        "line 2: malformed_json: is not valid JSON (column 9); send one JSON object per event\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_on_a_plain_socket_is_told_to_the_log_and_is_no_event() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let mut command = home.run_command(&polar.url());
    command.args(["--http", "127.0.0.1:0"]);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let tcp = TcpStream::connect(sledge.listener("http").await).await.unwrap();
    for (listener, answer) in [
        ("tcp", answer_to_tls(tcp).await),
        ("http", answer_to_tls(UnixStream::connect(home.socket()).await.unwrap()).await),
    ] {
        assert!(answer.starts_with("HTTP/1.1 400 "), "{listener}: {answer:?}");
        let refused =
            format!("sledge_events_refused_total{{listener=\"{listener}\",reason=\"tls_on_plain_socket\"}}");
        assert_eq!(sledge.scrape().await.get(&refused), Some(1.0), "{listener}");
    }
    let scrape = sledge.scrape().await;
    assert_eq!((scrape.sum("sledge_dead_letters"), scrape.sum("sledge_events_refused_total")), (0.0, 2.0));
    let (_, _, log) = sledge.stop().await;
    assert!(log.contains("TLS was spoken to a plain socket") && log.contains("http://"), "{log}");
}

/// What comes back to a client that begins to speak TLS.
async fn answer_to_tls(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> String {
    stream.write_all(CLIENT_HELLO).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("no answer in time").unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_without_events_names_no_file_that_it_did_not_make() {
    let home = Home::new();
    assert!(home.start(NOWHERE).await.stop().await.0.success());
    let file = home.path().join("pending.ndjson");
    let (data, journal) = (home.path().join("data"), home.journal());
    let word = |path: &Path| path.to_str().unwrap().to_owned();
    for words in [
        ["journal", "export", "--data-dir", &word(&data)],
        ["journal", "salvage", &word(&journal), "--lane=usage"],
    ] {
        let mut command = sledge(&words);
        command.arg("-o").arg(&file);
        let told = run(command, "").await;
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.err.contains(&format!("0 events: {} was not made", file.display())), "{told:?}");
        assert!(!file.exists());
    }
}
