//! A proxy that connects, as companies put between their machines and the world. It keeps all it is told in clear text.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::wiretap::listen_in;

/// How the proxy treats whoever asks it to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It connects.
    Connect,
    /// It connects whoever brings this `Proxy-Authorization`, and answers 407 to everybody else.
    AskFor(String),
    /// It answers this and connects nobody.
    Answer(&'static str),
    /// It closes the connection without a word.
    HangUp,
}

/// A running proxy. Dropped, it ends, and so does what it connected.
pub(crate) struct ConnectProxy {
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    heard: Arc<Mutex<Vec<u8>>>,
    refusals: Arc<AtomicU64>,
    _serving: JoinSet<()>,
}

impl ConnectProxy {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let manner = Arc::new(Mutex::new(manner));
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let refusals = Arc::<AtomicU64>::default();
        let mut serving = JoinSet::new();
        let of_serving = (Arc::clone(&manner), Arc::clone(&heard), Arc::clone(&refusals));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (manner, heard, refusals) = of_serving.clone();
                let manner = manner.lock().unwrap().clone();
                connections.spawn(async move {
                    // A connection that breaks is its own affair.
                    drop(serve(client, manner, &heard, &refusals).await);
                });
            }
        });
        Self { address, manner, heard, refusals, _serving: serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Treats those who ask from now on so.
    pub(crate) fn change(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// How many it did not connect.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Everything clients sent, as it came: what they asked for, and what was passed on unread.
    pub(crate) fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

async fn serve(
    mut client: TcpStream,
    manner: Manner,
    heard: &Mutex<Vec<u8>>,
    refusals: &AtomicU64,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    heard.lock().unwrap().extend_from_slice(&head);
    let head = String::from_utf8_lossy(&head).into_owned();
    let answer = match &manner {
        Manner::Connect => None,
        Manner::AskFor(login) => {
            let brings = head.lines().any(|line| {
                line.split_once(": ").is_some_and(|(name, value)| {
                    name.eq_ignore_ascii_case("proxy-authorization") && value == login
                })
            });
            (!brings)
                .then_some("407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"proxy\"")
        }
        Manner::Answer(answer) => Some(*answer),
        Manner::HangUp => {
            refusals.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
    };
    if let Some(answer) = answer {
        refusals.fetch_add(1, Ordering::Relaxed);
        return client.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
    }
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let polar = TcpStream::connect(target).await?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    listen_in(client, polar, heard).await
}
