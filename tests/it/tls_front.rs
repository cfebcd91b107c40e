//! TLS in front of a Polar that speaks plain HTTP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::wiretap::listen_in;

/// Takes TLS off and passes on what was in it. Dropped, it ends.
pub(crate) struct TlsFront {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
    _serving: JoinSet<()>,
}

impl TlsFront {
    /// Listens with this certificate, in front of `polar` (`HOST:PORT`).
    pub(crate) async fn start(acceptor: TlsAcceptor, polar: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let mut serving = JoinSet::new();
        let of_serving = Arc::clone(&heard);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, heard) = (acceptor.clone(), Arc::clone(&of_serving));
                connections.spawn(async move {
                    // A client that does not like the certificate hangs up: that is what some tests are about.
                    drop(serve(client, &acceptor, polar, &heard).await);
                });
            }
        });
        Self { address, heard, _serving: serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// What clients sent, out of its TLS.
    pub(crate) fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}

async fn serve(
    client: TcpStream,
    acceptor: &TlsAcceptor,
    polar: SocketAddr,
    heard: &Mutex<Vec<u8>>,
) -> std::io::Result<()> {
    let client = acceptor.accept(client).await?;
    let polar = TcpStream::connect(polar).await?;
    listen_in(client, polar, heard).await
}
