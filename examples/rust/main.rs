//! A program in Rust, by the crate's own client: `cargo run --example rust`.

#![expect(clippy::print_stdout, reason = "an example shows what came of it")]

use std::error::Error;
use std::path::PathBuf;

use sledge::client::{Ack, Client};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let socket = std::env::var_os("SLEDGE_SOCKET").unwrap_or_else(|| "/run/sledge/sledge.sock".into());
    let mut client = Client::connect(&PathBuf::from(socket)).await?;
    for call in 0..3 {
        let event = format!(
            r#"{{"name":"api_usage","external_customer_id":"user_123","external_id":"rust-{call}","metadata":{{"units":1}}}}"#
        );
        // On its way; many events share one sync of the disk, so their acks are asked for afterwards.
        client.send(event.as_bytes()).await?;
    }
    while let Some(ack) = client.next_ack().await? {
        match ack {
            Ack::Accepted { external_id } => println!("{external_id}"),
            Ack::Refused(refusal) => println!("{}: {}", refusal.code, refusal.message),
        }
    }
    Ok(())
}
