//! Something at Polar's address that answers the first request oddly, and all others as Polar does.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use sledge::polar::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::connect_proxy::{ConnectProxy, Manner};

/// What becomes of the first request.
#[derive(Clone, Debug)]
pub(crate) enum Oddity {
    /// These bytes come back, and nothing was done.
    Answer(String),
    /// Nothing comes back, though the events were taken.
    Hang,
    /// The answer comes a byte at a time, too slowly.
    Drip,
    /// The connection is reset before anything is read.
    ResetUnread,
    /// The events are taken and the connection is reset.
    ResetRead,
    /// The events are taken and the answer breaks off.
    CutBody,
    /// What comes back is not HTTP.
    NoHttp,
    /// Nobody listens.
    NobodyListens,
    /// Somebody listens whose queue is full.
    NoRoomToConnect,
    /// The address is a name that nobody has.
    NoSuchName,
    /// TLS is asked for and clear text comes back.
    ClearTextForTls,
    /// The proxy that was asked to connect hangs up.
    ProxyWithoutConnection,
}

impl Oddity {
    pub(crate) fn answer(head: &str, body: &str) -> Self {
        Self::Answer(format!(
            "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Whether a connection to Polar's address comes about, so that the next request can be answered better.
    pub(crate) fn comes_from_polar(&self) -> bool {
        match self {
            Self::Answer(_)
            | Self::Hang
            | Self::Drip
            | Self::ResetUnread
            | Self::ResetRead
            | Self::CutBody
            | Self::NoHttp => true,
            Self::NobodyListens
            | Self::NoRoomToConnect
            | Self::NoSuchName
            | Self::ClearTextForTls
            | Self::ProxyWithoutConnection => false,
        }
    }
}

/// Running until it is dropped.
pub(crate) struct OddPolar {
    url: String,
    ids: Arc<Mutex<HashSet<String>>>,
    proxy: Option<ConnectProxy>,
    _serving: JoinSet<()>,
    _queue: Vec<TcpStream>,
}

impl OddPolar {
    pub(crate) async fn start(oddity: Oddity) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let mut odd = Self {
            url: format!("http://{address}"),
            ids: Arc::default(),
            proxy: None,
            _serving: JoinSet::new(),
            _queue: Vec::new(),
        };
        match oddity {
            // Bound and not listening: the port stays ours, and whoever comes is refused.
            Oddity::NobodyListens => {
                odd._serving.spawn(async move {
                    let _bound = socket;
                    std::future::pending().await
                });
            }
            Oddity::NoRoomToConnect => {
                let listener = socket.listen(1).unwrap();
                while let Ok(Ok(queued)) =
                    tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
                {
                    odd._queue.push(queued);
                }
                odd._serving.spawn(async move {
                    let _full = listener;
                    std::future::pending().await
                });
            }
            Oddity::NoSuchName => odd.url = "https://polar.invalid".to_owned(),
            Oddity::ProxyWithoutConnection => {
                odd.url = "https://polar.invalid".to_owned();
                odd.proxy = Some(ConnectProxy::start(Manner::HangUp).await);
            }
            Oddity::ClearTextForTls
            | Oddity::Answer(_)
            | Oddity::Hang
            | Oddity::Drip
            | Oddity::ResetUnread
            | Oddity::ResetRead
            | Oddity::CutBody
            | Oddity::NoHttp => {
                if matches!(oddity, Oddity::ClearTextForTls) {
                    odd.url = format!("https://{address}");
                }
                let listener = socket.listen(64).unwrap();
                odd._serving.spawn(serve(listener, oddity, Arc::clone(&odd.ids)));
            }
        }
        odd
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Makes a client go the way that this oddity stands in.
    pub(crate) fn reach_through(&self, settings: &mut Settings) {
        settings.proxy = self.proxy.as_ref().map(ConnectProxy::url);
    }

    /// How many different events it took.
    pub(crate) fn inserted(&self) -> u64 {
        self.ids.lock().unwrap().len() as u64
    }
}

async fn serve(listener: TcpListener, oddity: Oddity, ids: Arc<Mutex<HashSet<String>>>) {
    let mut connections = JoinSet::new();
    let mut first = Some(oddity);
    while let Ok((stream, _)) = listener.accept().await {
        let (oddity, ids) = (first.take(), Arc::clone(&ids));
        connections.spawn(async move {
            match oddity {
                Some(oddity) => be_odd(stream, oddity, &ids).await,
                None => be_polar(stream, &ids).await,
            }
        });
    }
}

async fn be_odd(mut stream: TcpStream, oddity: Oddity, ids: &Mutex<HashSet<String>>) {
    match oddity {
        Oddity::ResetUnread => {
            // Something has come, so the connection is there; nothing of it is read.
            drop(stream.peek(&mut [0; 1]).await);
            stream.set_zero_linger().unwrap();
        }
        Oddity::ClearTextForTls => {
            // The hello, or a part of it: what comes back is none in any case.
            drop(stream.read(&mut [0; 1_024]).await);
            say(&mut stream, "HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
        Oddity::Answer(answer) => {
            read_events(&mut stream).await;
            say(&mut stream, &answer).await;
        }
        Oddity::NoHttp => {
            read_events(&mut stream).await;
            say(&mut stream, "220 mail.example.org ESMTP\r\n").await;
        }
        Oddity::ResetRead => {
            take(&mut stream, ids).await;
            stream.set_zero_linger().unwrap();
        }
        Oddity::CutBody => {
            take(&mut stream, ids).await;
            say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n{\"inserted\":3,").await;
        }
        Oddity::Hang => {
            take(&mut stream, ids).await;
            // Until the other end hangs up.
            drop(stream.read(&mut [0; 1]).await);
        }
        Oddity::Drip => {
            take(&mut stream, ids).await;
            say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n").await;
            while stream.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Oddity::NobodyListens
        | Oddity::NoRoomToConnect
        | Oddity::NoSuchName
        | Oddity::ProxyWithoutConnection => unreachable!("nobody connects then"),
    }
}

async fn be_polar(mut stream: TcpStream, ids: &Mutex<HashSet<String>>) {
    let Some((inserted, duplicates)) = take(&mut stream, ids).await else { return };
    let body = format!(r#"{{"inserted":{inserted},"duplicates":{duplicates}}}"#);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    say(&mut stream, &format!("{head}{body}")).await;
}

/// Reads a request and takes its events: how many were new and how many were known.
async fn take(stream: &mut TcpStream, ids: &Mutex<HashSet<String>>) -> Option<(usize, usize)> {
    let events = read_events(stream).await?;
    let mut ids = ids.lock().unwrap();
    let id = |event: &Value| event["external_id"].as_str().unwrap().to_owned();
    let inserted = events.iter().filter(|event| ids.insert(id(event))).count();
    Some((inserted, events.len() - inserted))
}

/// Reads a request to the end of its body. `None` when the other end went away before.
async fn read_events(stream: &mut TcpStream) -> Option<Vec<Value>> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                let mut parsed: Value = serde_json::from_str(body).unwrap();
                return Some(std::mem::take(parsed["events"].as_array_mut().unwrap()));
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}

/// Says something to somebody who may have gone away.
async fn say(stream: &mut TcpStream, words: &str) {
    drop(stream.write_all(words.as_bytes()).await);
}
