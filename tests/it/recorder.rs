//! Polar, word for word: it writes down what it is asked. And a place where nobody may be led to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request as Polar got it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, Vec<String>>,
    pub(crate) body: String,
}

/// Polar, word for word: writes down what it is asked, and answers.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Bytes that were no request.
    pub(crate) odd: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Recorder {
    /// Answers with a redirect to `elsewhere`, or with another protocol, where the path asks for one.
    pub(crate) async fn start(elsewhere: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, odd) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (to, strange) = (asked.clone(), odd.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(record(stream, elsewhere, to.clone(), strange.clone()));
            }
        });
        Self { address, asked, odd, _serving: serving }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn record(
    stream: TcpStream,
    elsewhere: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    odd: Arc<Mutex<Vec<String>>>,
) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            match line.trim_end_matches(['\r', '\n']) {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut headers = BTreeMap::<String, Vec<String>>::new();
        for header in lines.iter().skip(1) {
            match header.split_once(": ").or_else(|| header.split_once(':')) {
                Some((name, value)) => {
                    headers.entry(name.to_ascii_lowercase()).or_default().push(value.to_owned())
                }
                None => odd.lock().unwrap().push(header.clone()),
            }
        }
        let line = lines.first().cloned().unwrap_or_default();
        if line.split(' ').count() != 3 || !line.ends_with(" HTTP/1.1") {
            odd.lock().unwrap().push(line.clone());
            return;
        }
        let length = headers.get("content-length").map_or(0, |length| length[0].parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let body = String::from_utf8(body).unwrap();
        let answer = if line.contains("/redirect") {
            format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{elsewhere}/v1/\r\ncontent-length: 0\r\n\r\n"
            )
        } else if line.contains("/switch") {
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nstolen"
                .to_owned()
        } else if line.starts_with("POST /v1/events/ingest ") {
            let events =
                serde_json::from_str::<serde_json::Value>(&body).unwrap()["events"].as_array().unwrap().len();
            json(&format!("{{\"inserted\":{events},\"duplicates\":0}}"))
        } else {
            json("{\"items\":[]}")
        };
        asked.lock().unwrap().push(Asked { line, headers, body });
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn json(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A place nobody may ever be led to. It writes down whoever comes.
pub(crate) struct Trap {
    pub(crate) address: SocketAddr,
    caught: Arc<Mutex<usize>>,
    _serving: JoinSet<()>,
}

impl Trap {
    pub(crate) async fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let caught = Arc::new(Mutex::new(0));
        let count = caught.clone();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                drop(stream.write_all(json("{\"stolen\":true}").as_bytes()).await);
            }
        });
        Self { address, caught, _serving: serving }
    }

    pub(crate) fn caught(&self) -> usize {
        *self.caught.lock().unwrap()
    }
}
