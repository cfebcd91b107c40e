//! What must hold of any bytes at all, for the fuzzers in `fuzz/` and the cases they left behind.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::admission::Admission;
use super::drain::Drain;
use super::http_service::HttpSide;
use super::settings::Settings;
use super::stream_listener::serve_sender;
use crate::clock::Clock;
use crate::event::{EventBuf, Rules};
use crate::journal::WriterByHand;
use crate::metrics::{Listener, Metrics};

/// 2026-08-22.
const NOW: u64 = 1_787_400_000_123;
/// More than any connection here sends.
const INTAKE_BYTES_MAX: usize = 16 << 20;

/// A connection that sends these bytes, HTTP or lines as the first one says, and then no more: it is served to its end, and
/// what reaches the journal is complete events.
///
/// # Panics
/// When that does not hold.
pub fn connection(bytes: &[u8]) {
    thread_local!(static HOUSE: RefCell<House> = RefCell::new(House::new()));
    HOUSE.with_borrow(|house| house.runtime.block_on(house.serve(bytes)));
}

/// What connections share.
struct House {
    runtime: Runtime,
    writer: WriterByHand,
    admission: Admission,
    drain: watch::Sender<bool>,
}

impl House {
    #[expect(clippy::expect_used, reason = "without a runtime there is nothing to try")]
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let writer = WriterByHand::new(INTAKE_BYTES_MAX);
        let clock = Clock::by_hand(Arc::new(AtomicU64::new(NOW)));
        let metrics = Metrics::new().expect("metrics");
        let admission =
            Admission::new(writer.appender(), metrics, clock, Rules::default(), &Settings::default());
        Self { runtime, writer, admission, drain: watch::Sender::new(false) }
    }

    #[expect(clippy::expect_used, reason = "without sockets there is nothing to try")]
    async fn serve(&self, bytes: &[u8]) {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        let side = Arc::new(HttpSide::new(Listener::Http, self.admission.clone()));
        let mut serving = Box::pin(serve_sender(ours, side, Drain::new(self.drain.subscribe())));
        let app = async {
            // Whoever was refused may be cut off before he has said all.
            drop(theirs.write_all(bytes).await);
            drop(theirs.shutdown().await);
            let mut answers = Vec::new();
            drop(theirs.read_to_end(&mut answers).await);
        };
        let mut app = Box::pin(app);
        let (mut is_served, mut is_answered) = (false, false);
        while !(is_served && is_answered) {
            tokio::select! {
                biased;
                () = &mut serving, if !is_served => is_served = true,
                () = &mut app, if !is_answered => is_answered = true,
                () = tokio::task::yield_now() => {}
            }
            while let Some(held) = self.writer.waiting_append() {
                assert_complete(&held.append.events.usage);
                assert_complete(&held.append.events.grants);
                held.commit();
            }
            for letter in self.writer.waiting_letters().into_iter().flatten() {
                assert!(!letter.code.is_empty() && !letter.message.is_empty(), "a refusal says why");
            }
        }
    }
}

fn assert_complete(events: &EventBuf) {
    for text in events.iter() {
        let event: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
        let has = |key: &str| event.get(key).is_some_and(|value| !value.is_null());
        assert!(has("name") && has("external_id") && has("timestamp"), "an event is complete");
    }
}
