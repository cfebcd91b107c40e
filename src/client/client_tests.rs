use super::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

fn socket() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    (folder, path)
}

/// Takes one connection and answers each event by its own text, refusing those that say so; after `limit` events it
/// hangs up.
async fn daemon(listener: UnixListener, limit: usize) {
    let (stream, _) = listener.accept().await.unwrap();
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), r#"{"sledge":{"ack":"each"}}"#);
    for _ in 0..limit {
        let Some(line) = lines.next_line().await.unwrap() else { return };
        let reply = if line.contains("bad") {
            r#"{"ok":false,"error":{"code":"missing","field":"name","message":"give a name"}}"#.to_owned()
        } else {
            format!(r#"{{"ok":true,"external_id":"{line}"}}"#)
        };
        write.write_all(format!("{reply}\n").as_bytes()).await.unwrap();
    }
}

fn start(path: &Path, limit: usize) -> JoinSet<()> {
    let mut daemons = JoinSet::new();
    daemons.spawn(daemon(UnixListener::bind(path).unwrap(), limit));
    daemons
}

fn accepted(id: &str) -> Ack {
    Ack::Accepted { external_id: id.to_owned() }
}

#[tokio::test]
async fn acks_come_in_the_order_of_the_events() {
    let (_folder, path) = socket();
    let _daemon = start(&path, usize::MAX);
    let mut client = Client::connect(&path).await.unwrap();
    for event in ["1", "bad", "3"] {
        client.send(event.as_bytes()).await.unwrap();
    }
    assert_eq!(client.next_ack().await.unwrap(), Some(accepted("1")));
    let Some(Ack::Refused(refusal)) = client.next_ack().await.unwrap() else { panic!("it was accepted") };
    assert_eq!((refusal.code.as_str(), refusal.field.as_str()), ("missing", "name"));
    assert_eq!(client.next_ack().await.unwrap(), Some(accepted("3")));
    assert_eq!(client.next_ack().await.unwrap(), None);
}

#[tokio::test]
async fn a_sender_that_never_reads_its_acks_is_not_stalled_by_them() {
    let (_folder, path) = socket();
    let _daemon = start(&path, usize::MAX);
    let settings = Settings { window_events: 64, window_bytes: 4096, ..Settings::default() };
    let mut client = Client::connect_with(&path, settings).await.unwrap();
    let event = "e".repeat(300);
    for _ in 0..20_000 {
        client.send(event.as_bytes()).await.unwrap();
        assert!(client.unanswered() <= 64);
    }
    let mut acks = 0;
    while client.next_ack().await.unwrap().is_some() {
        acks += 1;
    }
    assert_eq!(acks, 20_000);
}

#[tokio::test]
async fn a_lost_connection_says_how_many_are_in_doubt_after_giving_the_acks_it_got() {
    let (_folder, path) = socket();
    let _daemon = start(&path, 2);
    let mut client = Client::connect(&path).await.unwrap();
    for event in ["1", "2", "3", "4", "5"] {
        client.send(event.as_bytes()).await.unwrap();
    }
    assert_eq!(client.next_ack().await.unwrap(), Some(accepted("1")));
    assert_eq!(client.next_ack().await.unwrap(), Some(accepted("2")));
    let error = client.next_ack().await.unwrap_err();
    assert!(matches!(error, ClientError::Lost { unanswered: 3 }), "{error:?}");
}

#[tokio::test]
async fn a_blank_or_broken_line_is_never_sent() {
    let (_folder, path) = socket();
    let _daemon = start(&path, usize::MAX);
    let mut client = Client::connect(&path).await.unwrap();
    for event in ["", "  ", "{\n}"] {
        assert!(matches!(client.send(event.as_bytes()).await, Err(ClientError::NotALine)));
    }
    assert_eq!(client.next_ack().await.unwrap(), None);
}

#[tokio::test]
async fn the_reason_nobody_could_be_reached_is_told() {
    let (_folder, path) = socket();
    let missing = Client::connect(&path).await.unwrap_err();
    assert!(
        missing.to_string().contains("sledge run") && missing.to_string().contains("s.sock"),
        "{missing}"
    );
    drop(UnixListener::bind(&path).unwrap());
    let stale = Client::connect(&path).await.unwrap_err();
    assert!(matches!(stale, ClientError::NobodyListens { .. }), "{stale:?}");
    let folder = Client::connect(path.parent().unwrap()).await.unwrap_err();
    assert!(folder.to_string().contains("is a folder, and no socket; name the daemon's socket"), "{folder}");
}

#[tokio::test]
async fn something_else_at_the_socket_is_not_taken_for_sledge() {
    let (_folder, path) = socket();
    let listener = UnixListener::bind(&path).unwrap();
    let mut other = JoinSet::new();
    other.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        drop(stream.read_to_end(&mut Vec::new()).await);
    });
    let mut client = Client::connect(&path).await.unwrap();
    client.send(b"{}").await.unwrap();
    assert!(matches!(client.next_ack().await, Err(ClientError::NotSledge { .. })));
}

#[tokio::test(start_paused = true)]
async fn silence_is_doubt() {
    let (_folder, path) = socket();
    let listener = UnixListener::bind(&path).unwrap();
    let mut client = Client::connect(&path).await.unwrap();
    client.send(b"{}").await.unwrap();
    let error = client.next_ack().await.unwrap_err();
    assert!(matches!(error, ClientError::Silent { unanswered: 1, seconds: 30 }), "{error:?}");
    drop(listener);
}
