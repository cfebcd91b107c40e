//! `sledge simulate` as a child process.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use super::wire::{SDK, batch, request};
use crate::sledge_process::PATIENCE;

struct Simulate {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Simulate {
    fn start(flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sledge"));
        command.args(["simulate", "--listen", "127.0.0.1:0"]).args(flags).env_clear();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, lines }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time");
        line.unwrap().expect("the simulator goes on")
    }
}

async fn ingest(address: &str, body: &str) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&request("POST", "/v1/events/ingest", &SDK, body.as_bytes())).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
}

#[tokio::test]
async fn with_json_every_line_is_an_object_first_the_address_then_what_arrives() {
    let mut simulate = Simulate::start(&["--json"]);
    let first: Value = serde_json::from_str(&simulate.line().await).unwrap();
    let address = first["listening"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    ingest(&address, &batch("a", 2)).await;
    let line: Value = serde_json::from_str(&simulate.line().await).unwrap();
    assert_eq!(
        (&line["path"], &line["status"], &line["events"], &line["inserted"], &line["refusal"]),
        (&json!("/v1/events/ingest"), &json!(200), &json!(2), &json!(2), &Value::Null)
    );
    assert_eq!(line["first_events"][1]["external_id"], "a-1");
    ingest(&address, r#"{"events":[{}]}"#).await;
    let line: Value = serde_json::from_str(&simulate.line().await).unwrap();
    assert_eq!(line["status"], 422);
    assert!(line["refusal"].as_str().unwrap().ends_with("Field required"), "{line}");
}

#[tokio::test]
async fn people_read_a_headline_and_the_events_below_it() {
    let mut simulate = Simulate::start(&[]);
    let first = simulate.line().await;
    let address = first.rsplit_once("http://").unwrap().1.strip_suffix("/simulator").unwrap().to_owned();
    ingest(&address, &batch("a", 1)).await;
    assert_eq!(simulate.line().await, "POST /v1/events/ingest 200  1 event: 1 new");
    assert_eq!(simulate.line().await, "  api_usage user_123 units=1 id=a-0");
}
