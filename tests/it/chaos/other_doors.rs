//! Applications at the doors that few use: datagrams, and HTTP on the loopback address.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixDatagram};
use tokio::task::JoinSet;

use crate::senders::Promises;

/// Events in one datagram, or one request.
const EVENTS: u64 = 5;

/// Where the loopback address is, which changes with every life of sledge.
pub(super) type LoopbackAddress = Arc<Mutex<String>>;

/// Where the loopback address is while nobody has been told: nowhere.
pub(super) fn no_address() -> LoopbackAddress {
    Arc::new(Mutex::new("127.0.0.1:9".to_owned()))
}

/// Two applications at work until they are told to stop.
pub(super) struct OtherDoors {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl OtherDoors {
    pub(super) fn start(
        promises: &Arc<Promises>,
        datagrams: PathBuf,
        loopback: LoopbackAddress,
        pace: Duration,
    ) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let mut tasks = JoinSet::new();
        let (of_datagrams, of_loopback) = (Arc::clone(promises), Arc::clone(promises));
        let (stops_datagrams, stops_loopback) = (Arc::clone(&stop), Arc::clone(&stop));
        tasks.spawn(async move {
            let mut number = 0;
            while !stops_datagrams.load(Ordering::Relaxed) {
                let socket = UnixDatagram::unbound().unwrap();
                let (_, lines) = events("datagram", number, "\n");
                // Nobody may be there to take it, and nothing was promised.
                if socket.send_to(lines.as_bytes(), &datagrams).await.is_ok() {
                    of_datagrams.unacked_sent.fetch_add(EVENTS, Ordering::Relaxed);
                }
                number += EVENTS;
                tokio::time::sleep(pace).await;
            }
        });
        tasks.spawn(async move {
            let mut number = 0;
            while !stops_loopback.load(Ordering::Relaxed) {
                let (ids, list) = events("loopback", number, ",");
                let address = loopback.lock().unwrap().clone();
                // An answer that does not come promises nothing.
                match post(&address, &format!("{{\"events\":[{list}]}}")).await {
                    Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => {
                        of_loopback.acked.lock().unwrap().extend(ids);
                    }
                    Ok(answer) if answer.is_empty() => {}
                    Ok(answer) => of_loopback.refused.lock().unwrap().push(answer),
                    Err(_) => {}
                }
                number += EVENTS;
                tokio::time::sleep(pace).await;
            }
        });
        Self { stop, tasks }
    }

    /// Stops both once their last answers are in.
    pub(super) async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

/// Some events of an application, from this number on: their ids, and their texts in a row.
fn events(name: &str, number: u64, between: &str) -> (Vec<String>, String) {
    let ids: Vec<String> = (number..number + EVENTS).map(|number| format!("{name}-{number}")).collect();
    let texts: Vec<String> = ids
        .iter()
        .map(|id| {
            format!(
                r#"{{"name":"api_usage","external_customer_id":"user_7","external_id":"{id}","metadata":{{"units":1,"what":"{id}"}}}}"#
            )
        })
        .collect();
    (ids, texts.join(between))
}

/// One request on a connection of its own: all that was answered.
async fn post(address: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "POST /v1/events/ingest HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
