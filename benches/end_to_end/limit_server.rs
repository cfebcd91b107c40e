//! The limit: a server of lines that only appends, syncs and acknowledges. No parsing, no ids, no delivery.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

/// The argument that makes this program the server.
pub(crate) const WORD: &str = "--limit-server";
/// The argument that makes it acknowledge each line.
pub(crate) const ACKS: &str = "acks";

const READ_BYTES: usize = 64 << 10;
/// What may wait for the disk; beyond it nothing is read.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// Whole lines of one connection.
struct Lines {
    text: Vec<u8>,
    count: usize,
    from: Arc<UnixStream>,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<Lines>,
    bytes: usize,
}

#[derive(Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    taken: Condvar,
}

/// Serves until it is killed.
pub(crate) fn serve(socket: &Path, file: &Path, acknowledges: bool) {
    let listener = UnixListener::bind(socket).unwrap();
    println!("ready");
    let file = File::options().create(true).append(true).open(file).unwrap();
    let inbox = Arc::new(Inbox::default());
    let writers = Arc::clone(&inbox);
    std::thread::spawn(move || write(&writers, file, acknowledges));
    for stream in listener.incoming() {
        let (inbox, stream) = (Arc::clone(&inbox), Arc::new(stream.unwrap()));
        std::thread::spawn(move || read(&inbox, &stream));
    }
}

fn read(inbox: &Inbox, stream: &Arc<UnixStream>) {
    let mut rest = Vec::new();
    loop {
        let mut text = Vec::with_capacity(READ_BYTES + rest.len());
        text.append(&mut rest);
        let known = text.len();
        text.resize(known + READ_BYTES, 0);
        let read = (&**stream).read(&mut text[known..]).unwrap_or(0);
        if read == 0 {
            return;
        }
        text.truncate(known + read);
        let end = memchr::memrchr(b'\n', &text).map_or(0, |last| last + 1);
        rest = text.split_off(end);
        let count = memchr::memchr_iter(b'\n', &text).count();
        let mut waiting = inbox.waiting.lock().unwrap();
        while waiting.bytes > WAITING_BYTES_MAX {
            waiting = inbox.taken.wait(waiting).unwrap();
        }
        waiting.bytes += text.len();
        waiting.lines.push(Lines { text, count, from: Arc::clone(stream) });
        drop(waiting);
        inbox.arrived.notify_one();
    }
}

fn write(inbox: &Inbox, mut file: File, acknowledges: bool) {
    let acks = b"ok\n".repeat(READ_BYTES);
    let mut text = Vec::new();
    loop {
        let mut waiting = inbox.waiting.lock().unwrap();
        while waiting.lines.is_empty() {
            waiting = inbox.arrived.wait(waiting).unwrap();
        }
        let group = std::mem::take(&mut *waiting).lines;
        drop(waiting);
        inbox.taken.notify_all();
        text.clear();
        group.iter().for_each(|lines| text.extend_from_slice(&lines.text));
        file.write_all(&text).unwrap();
        file.sync_data().unwrap();
        // A connection whose last lines are durable is closed by the drop: the answer to those who asked for no acks.
        for lines in group.iter().filter(|_| acknowledges) {
            drop((&*lines.from).write_all(&acks[..lines.count * 3]));
        }
    }
}
