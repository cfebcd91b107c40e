//! Passing bytes between two who talk, and remembering what one of them says.

use std::io;
use std::sync::Mutex;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connects a client with Polar until both are done, and keeps what the client sends.
pub(crate) async fn listen_in(
    client: impl AsyncRead + AsyncWrite,
    polar: TcpStream,
    heard: &Mutex<Vec<u8>>,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_polar, mut to_polar) = polar.into_split();
    let there = async {
        let mut bytes = vec![0; 16_384];
        loop {
            let read = from_client.read(&mut bytes).await?;
            if read == 0 {
                return to_polar.shutdown().await;
            }
            heard.lock().unwrap().extend_from_slice(&bytes[..read]);
            to_polar.write_all(&bytes[..read]).await?;
        }
    };
    let back = async {
        tokio::io::copy(&mut from_polar, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(there, back).map(drop)
}
