use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram as Sender;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::desk::{BAD, NOW, event, ids, refused, settle_down};
use crate::clock::Clock;
use crate::event::Rules;
use crate::intake::{Admission, DatagramListener, Settings};
use crate::journal::{AppendError, WriterByHand};
use crate::metrics::{Listener, Metrics};

/// A datagram listener at work, and the end that sends to it.
struct Mailbox {
    writer: WriterByHand,
    metrics: Metrics,
    sender: Sender,
    drain: watch::Sender<bool>,
    listener: JoinSet<()>,
    folder: TempDir,
}

impl Mailbox {
    fn open() -> Self {
        Self::with(Settings::default(), 16 << 20)
    }

    fn with(settings: Settings, intake_bytes_max: usize) -> Self {
        let opened = Self::not_yet_listening(settings, intake_bytes_max);
        let (mut opened, listener, drained) = opened;
        opened.listener.spawn(listener.run(drained));
        opened
    }

    fn not_yet_listening(
        settings: Settings,
        intake_bytes_max: usize,
    ) -> (Self, DatagramListener, watch::Receiver<bool>) {
        let writer = WriterByHand::new(intake_bytes_max);
        let metrics = Metrics::new().unwrap();
        let clock = Clock::by_hand(Arc::new(AtomicU64::new(NOW)));
        let admission =
            Admission::new(writer.appender(), metrics.clone(), clock, Rules::default(), &settings);
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("sledge.dgram");
        let socket = UnixDatagram::bind(&path).unwrap();
        let sender = Sender::unbound().unwrap();
        sender.connect(&path).unwrap();
        sender.set_nonblocking(true).unwrap();
        let (drain, drained) = watch::channel(false);
        let listener = DatagramListener::new(socket, admission);
        (Self { writer, metrics, sender, drain, listener: JoinSet::new(), folder }, listener, drained)
    }

    /// Sends one datagram; waits while the kernel's queue is full.
    async fn send(&self, datagram: impl AsRef<[u8]>) {
        while let Err(error) = self.sender.send(datagram.as_ref()) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            tokio::task::yield_now().await;
        }
    }

    /// The ids of the next appends, until there are so many.
    async fn committed(&self, events: usize) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.len() < events {
            let held = self.writer.append().await;
            assert_eq!(held.append.listener, Listener::Datagram);
            seen.extend(ids(&held.append));
            held.commit();
        }
        seen
    }

    fn refused(&self, reason: &str) -> u64 {
        refused(&self.metrics, "datagram", reason)
    }

    async fn ended(mut self) {
        tokio::time::timeout(Duration::from_secs(20), self.listener.join_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn lines_of_many_datagrams_are_appended_as_one() {
    let (mut desk, listener, drained) = Mailbox::not_yet_listening(Settings::default(), 16 << 20);
    desk.send(format!("{}\n\n \r\n{}", event("a"), event("b"))).await;
    desk.send("").await;
    desk.send("\n").await;
    desk.send(format!("{}\r\n", event("c"))).await;
    desk.listener.spawn(listener.run(drained));
    let held = desk.writer.append().await;
    assert_eq!(ids(&held.append), ["a", "b", "c"]);
    held.commit();
    assert!(desk.writer.waiting_append().is_none());
}

#[tokio::test]
async fn a_grant_and_the_largest_datagram_of_a_plain_socket_are_taken() {
    let desk = Mailbox::open();
    desk.send(
        r#"{"grant":{"event":"api_usage","property":"units","credits":10},"external_customer_id":"c","external_id":"g"}"#,
    )
    .await;
    assert_eq!(desk.committed(1).await, ["g"]);
    let lines: Vec<String> = (0..2_000).map(|number| event(&format!("e{number}"))).collect();
    let datagram = lines.join("\n");
    assert!(datagram.len() > 180_000, "{}", datagram.len());
    desk.send(&datagram).await;
    assert_eq!(desk.committed(2_000).await.last().unwrap(), "e1999");
}

#[tokio::test]
async fn a_flood_of_refused_lines_is_handed_over_in_small_pieces() {
    let desk = Mailbox::open();
    let line = format!("{{\"name\":\"{}\"}}", "x".repeat(20 << 10));
    for _ in 0..4 {
        desk.send([line.as_str(); 9].join("\n")).await;
    }
    let mut kept = 0;
    while kept < 36 {
        for turn in desk.writer.letters_by_turn().await {
            let bytes: usize = turn.iter().map(|letter| letter.event.len()).sum();
            assert!(bytes <= (64 << 10) + line.len(), "{bytes} bytes of refused text in one turn");
            kept += turn.len();
        }
    }
}

#[tokio::test]
async fn bad_lines_are_kept_as_dead_letters_and_the_good_ones_beside_them_are_taken() {
    let desk = Mailbox::open();
    desk.send(format!("{BAD}\n{}\nnonsense", event("a"))).await;
    assert_eq!(desk.committed(1).await, ["a"]);
    let letters = desk.writer.letters().await;
    let kept: Vec<_> = letters.iter().map(|letter| letter.event.as_str()).collect();
    assert_eq!(kept, [BAD, "nonsense"]);
    assert_eq!(desk.refused("malformed_json"), 1);
}

#[tokio::test]
async fn of_a_datagram_that_was_cut_the_whole_lines_are_taken_and_the_rest_is_kept() {
    let settings = Settings { datagram_bytes_max: 200, ..Settings::default() };
    let desk = Mailbox::with(settings, 16 << 20);
    let long = format!("{}\n{}{}\n{}", event("a"), event("b"), " ".repeat(200), event("lost"));
    desk.send(&long).await;
    desk.send(event("next")).await;
    assert_eq!(desk.committed(2).await, ["a", "next"]);
    let letters = desk.writer.letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].code, "datagram_too_large");
    assert!(letters[0].event.starts_with(&event("b")), "{}", letters[0].event);
    assert_eq!(desk.refused("datagram_too_large"), 1);
}

#[tokio::test]
async fn a_datagram_of_exactly_the_limit_is_whole() {
    let limit = 2 * event("a").len() + 1;
    let settings = Settings { datagram_bytes_max: limit, ..Settings::default() };
    let desk = Mailbox::with(settings, 16 << 20);
    desk.send(format!("{}\n{}", event("a"), event("b"))).await;
    assert_eq!(desk.committed(2).await, ["a", "b"]);
    desk.send(format!("{}\n{} ", event("c"), event("d"))).await;
    assert_eq!(desk.committed(1).await, ["c"]);
    assert_eq!(desk.refused("datagram_too_large"), 1);
}

#[tokio::test]
async fn while_the_disk_stalls_the_kernel_holds_and_the_sender_is_told() {
    let desk = Mailbox::with(Settings::default(), 1_000);
    let mut sent = 0;
    let mut patience = 0;
    while patience < 3 {
        settle_down().await;
        match desk.sender.send(event(&format!("e{sent}")).as_bytes()) {
            Ok(_) => (sent, patience) = (sent + 1, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                patience += 1;
            }
        }
        assert!(sent < 10_000, "the sender was never held up");
    }
    let seen = desk.committed(sent).await;
    let expected: Vec<String> = (0..sent).map(|number| format!("e{number}")).collect();
    assert_eq!(seen, expected);
    assert_eq!(desk.refused("busy"), 0);
}

#[tokio::test]
async fn one_flooding_socket_leaves_room_for_the_others() {
    let settings = Settings { in_flight_bytes_max: 1_000, ..Settings::default() };
    let desk = Mailbox::with(settings, 16 << 20);
    let mut held = Vec::new();
    for number in 0..200 {
        drop(desk.sender.send(event(&format!("e{number}")).as_bytes()));
        settle_down().await;
        held.extend(std::iter::from_fn(|| desk.writer.waiting_append()));
    }
    let bytes: usize = held.iter().map(|held| held.append.text_bytes()).sum();
    assert!((500..=1_000).contains(&bytes), "{bytes} bytes are in flight");
}

#[tokio::test]
async fn a_full_journal_goes_on_reading_refuses_and_takes_again_once_there_is_room() {
    let desk = Mailbox::open();
    desk.writer.set_full(Some("1 GiB of 1 GiB"));
    for number in 0..50 {
        desk.send(event(&format!("refused{number}"))).await;
    }
    settle_down().await;
    assert_eq!(desk.refused("journal_full"), 50);
    desk.writer.set_full(None);
    desk.send(event("a")).await;
    assert_eq!(desk.committed(1).await, ["a"]);
    desk.send(event("b")).await;
    desk.writer.append().await.refuse(AppendError::Full { detail: "1 GiB of 1 GiB".to_owned() });
    settle_down().await;
    assert_eq!(desk.refused("journal_full"), 51);
}

#[tokio::test]
async fn a_drain_takes_what_the_kernel_holds_and_refuses_the_next_datagram() {
    let (mut desk, listener, drained) = Mailbox::not_yet_listening(Settings::default(), 16 << 20);
    let mut sent = 0;
    // An empty datagram is not the end of what is held.
    desk.send("").await;
    while desk.sender.send(event(&format!("e{sent}")).as_bytes()).is_ok() {
        sent += 1;
    }
    assert!(sent > 3);
    desk.drain.send(true).unwrap();
    desk.listener.spawn(listener.run(drained));
    assert_eq!(desk.committed(sent).await.len(), sent);
    let refused = desk.sender.send(b"late").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::BrokenPipe);
    desk.ended().await;
}

#[tokio::test]
async fn a_drain_comes_through_while_senders_never_rest() {
    let desk = Mailbox::open();
    let path = desk.folder.path().join("sledge.dgram");
    let flood = std::thread::spawn(move || {
        let sender = Sender::unbound().unwrap();
        let mut sent = 0;
        while sender.send_to(event("flood").as_bytes(), &path).is_ok() {
            sent += 1;
        }
        sent
    });
    let first = desk.writer.append().await;
    desk.drain.send(true).unwrap();
    let mut seen = first.append.len();
    first.commit();
    let begun = std::time::Instant::now();
    while !flood.is_finished() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the sender was never told");
        if let Some(held) = desk.writer.waiting_append() {
            seen += held.append.len();
            held.commit();
        }
        tokio::task::yield_now().await;
    }
    let sent = flood.join().unwrap();
    while seen < sent {
        let held = desk.writer.append().await;
        seen += held.append.len();
        held.commit();
    }
    assert_eq!(seen, sent);
    desk.ended().await;
}
