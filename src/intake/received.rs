//! What has come in on a connection, for those who do not read it themselves.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::protocol::TLS_HANDSHAKE;

/// Shared by a connection's stream, which tells, and by whoever asks.
#[derive(Debug, Default)]
pub(super) struct Received {
    bytes: AtomicU64,
    is_tls: AtomicBool,
}

impl Received {
    /// These came, after what came before.
    pub(super) fn add(&self, bytes: &[u8]) {
        let before = self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if before == 0 && bytes.first() == Some(&TLS_HANDSHAKE) {
            self.is_tls.store(true, Ordering::Relaxed);
        }
    }

    /// How many bytes came.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether they begin as TLS does, and no HTTP request.
    pub(super) fn is_tls(&self) -> bool {
        self.is_tls.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_byte_of_a_connection_tells_of_tls() {
        for (reads, is_tls) in [
            (&["\u{16}\u{3}\u{1}", "POST"][..], true),
            (&["", "\u{16}"], true),
            (&["POST /", "\u{16}\u{3}\u{1}"], false),
            (&[], false),
        ] {
            let received = Received::default();
            reads.iter().for_each(|read| received.add(read.as_bytes()));
            assert_eq!(received.is_tls(), is_tls, "{reads:?}");
            assert_eq!(received.bytes(), reads.concat().len() as u64);
        }
    }
}
