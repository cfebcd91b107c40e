//! The network in front of Polar's simulator: it takes every request, and plays what the deck says.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::answer::Polars;
use super::deck::{Deck, Row, Tally};
use super::play::converse;
use crate::certificates::{Authority, Flaw};

/// What all connections share.
pub(super) struct Shared {
    /// The simulator.
    pub(super) polar: SocketAddr,
    /// The host that redirects name. Nobody must ever come there.
    pub(super) elsewhere: String,
    pub(super) tally: Tally,
    deck: Mutex<Deck>,
    chance: Mutex<fastrand::Rng>,
    requests: AtomicU64,
    trusted: TlsAcceptor,
    untrusted: TlsAcceptor,
    shows_untrusted: AtomicBool,
    is_restless: AtomicBool,
    lie: Mutex<Option<Lie>>,
    surprises: Mutex<Vec<String>>,
}

/// A promise that Polar itself breaks: what no sender can make good, and the checks must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// A 200 for events that it never inserted.
    Forgets,
    /// It inserts events a second time, under other ids.
    CountsTwice,
}

/// A Polar that misbehaves, in clear text and over TLS.
pub(super) struct Front {
    pub(super) shared: Arc<Shared>,
    clear: SocketAddr,
    tls: SocketAddr,
    serving: JoinSet<()>,
    trap: std::net::TcpListener,
}

impl Front {
    /// Stands in front of the simulator at `polar`, with a certificate that `authority` signed.
    pub(super) async fn start(polar: SocketAddr, authority: &Authority, rng: &mut fastrand::Rng) -> Self {
        let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        trap.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared {
            polar,
            elsewhere: format!("http://{}", trap.local_addr().unwrap()),
            tally: Tally::default(),
            deck: Mutex::new(Deck::new(rng.fork())),
            chance: Mutex::new(rng.fork()),
            requests: AtomicU64::new(0),
            trusted: authority.acceptor(Flaw::None),
            untrusted: Authority::new("nobody you know").acceptor(Flaw::None),
            shows_untrusted: AtomicBool::new(false),
            is_restless: AtomicBool::new(false),
            lie: Mutex::default(),
            surprises: Mutex::default(),
        });
        let (clear, tls) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let mut front = Self {
            shared,
            clear: clear.local_addr().unwrap(),
            tls: tls.local_addr().unwrap(),
            serving: JoinSet::new(),
            trap,
        };
        front.serve(clear, tls);
        front
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.clear)
    }

    pub(super) fn tls_url(&self) -> String {
        format!("https://{}", self.tls)
    }

    /// Closes its ports, and every connection: what comes is refused.
    pub(super) async fn go_away(&mut self) {
        self.serving.shutdown().await;
    }

    /// Opens its ports again.
    pub(super) fn come_back(&mut self) {
        let [clear, tls] = [self.clear, self.tls].map(|address| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            socket.listen(1_024).unwrap()
        });
        self.serve(clear, tls);
    }

    /// Whether it shows a certificate of an authority that nobody trusts.
    pub(super) fn show_untrusted(&self, shows: bool) {
        self.shared.shows_untrusted.store(shows, Ordering::Relaxed);
        self.be_restless(shows);
    }

    /// Whether connections end with their next answer, so that the next request needs another one.
    pub(super) fn be_restless(&self, is_restless: bool) {
        self.shared.is_restless.store(is_restless, Ordering::Relaxed);
    }

    /// Tells this lie once, in answer to one of the next requests.
    pub(super) fn tell(&self, lie: Lie) {
        *self.shared.lie.lock().unwrap() = Some(lie);
    }

    /// From now on everything is as it should be.
    pub(super) fn clear_up(&self) {
        self.shared.deck.lock().unwrap().put_away();
    }

    /// What the simulator answered of its own accord and for no reason that anybody gave it.
    pub(super) fn surprises(&self) -> Vec<String> {
        self.shared.surprises.lock().unwrap().clone()
    }

    /// Whether nobody followed a redirect.
    pub(super) fn nobody_went_elsewhere(&self) -> bool {
        self.trap.accept().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    fn serve(&mut self, clear: TcpListener, tls: TcpListener) {
        let (of_clear, of_tls) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
        self.serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((line, _)) = clear.accept().await {
                let shared = Arc::clone(&of_clear);
                // A connection that breaks is what this is all about.
                connections.spawn(async move { drop(converse(line, &shared).await) });
            }
        });
        self.serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((line, _)) = tls.accept().await {
                let shared = Arc::clone(&of_tls);
                connections.spawn(async move { drop(shared.converse_over_tls(line).await) });
            }
        });
    }
}

impl Shared {
    pub(super) fn next_row(&self) -> Row {
        self.deck.lock().unwrap().draw()
    }

    pub(super) fn toss(&self) -> bool {
        self.chance.lock().unwrap().bool()
    }

    pub(super) fn note_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests with events that were read whole, whatever became of them.
    pub(super) fn batches(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn is_restless(&self) -> bool {
        self.is_restless.load(Ordering::Relaxed)
    }

    /// The lie to tell now: one about events that were acknowledged under ids of their own.
    pub(super) fn take_lie(&self, request: &[u8]) -> Option<Lie> {
        let is_about_lines = String::from_utf8_lossy(request).contains("\"external_id\":\"line-");
        self.lie.lock().unwrap().take_if(|_| is_about_lines)
    }

    /// Notes an answer that nobody expected.
    pub(super) fn wonder(&self, answer: &Polars) -> Row {
        self.surprises.lock().unwrap().push(format!("{} {}", answer.status, answer.body));
        Row::Accepted
    }

    async fn converse_over_tls(&self, line: TcpStream) -> std::io::Result<()> {
        if !self.shows_untrusted.load(Ordering::Relaxed) {
            return converse(self.trusted.accept(line).await?, self).await;
        }
        if self.untrusted.accept(line).await.is_err() {
            self.tally.count(Row::Untrusted);
        }
        Ok(())
    }
}
