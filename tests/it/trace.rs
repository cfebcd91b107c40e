//! What a process asked of the kernel, as `strace -f -y -ttt` tells it, and what that says about an ack.

use std::collections::HashMap;

/// One system call. Its begin and end are lines of the trace: strace writes a line when a call begins or ends, so what
/// ended on an earlier line than another began on was over before that one.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    /// What its first argument, a descriptor, stands for.
    file: String,
    /// The arguments as strace prints them.
    text: String,
    begun: usize,
    /// The line of its end and its result, such as `0` or `-1 EIO (Input/output error)`.
    ended: Option<(usize, String)>,
}

impl Call {
    /// Data that went to a journal's file.
    fn is_journal_write(&self) -> bool {
        matches!(self.name.as_str(), "pwrite64" | "write" | "pwritev" | "writev")
            && self.file.ends_with("/db")
    }

    /// Data on its way to whoever is at the other end of a socket.
    fn is_socket_write(&self) -> bool {
        matches!(self.name.as_str(), "write" | "writev" | "sendto" | "sendmsg")
            && self.file.starts_with("socket:")
    }

    /// A sync that the kernel itself reported as done. `sync_file_range` is none: it leaves the disk's cache as it is.
    fn is_real_sync(&self) -> bool {
        matches!(self.name.as_str(), "fdatasync" | "fsync")
            && self.ended.as_ref().is_some_and(|(_, result)| result == "0")
    }

    fn is_injected(&self) -> bool {
        self.ended.as_ref().is_some_and(|(_, result)| result.ends_with("(INJECTED)"))
    }

    fn succeeded_at(&self) -> Option<usize> {
        self.ended
            .as_ref()
            .filter(|(_, result)| !result.starts_with('-') && !result.starts_with('?'))
            .map(|(line, _)| *line)
    }
}

/// A trace.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    calls: Vec<Call>,
}

impl Trace {
    /// Reads the text of a trace. Lines that are no calls (signals, exits) are passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let mut calls: Vec<Call> = Vec::new();
        let mut unfinished = HashMap::new();
        for (line, text) in text.lines().enumerate() {
            let Some((thread, rest)) = text.split_once(' ') else { continue };
            let Some((_time, rest)) = rest.trim_start().split_once(' ') else { continue };
            if let Some(resumed) = rest.strip_prefix("<... ") {
                let begun: Option<usize> = unfinished.remove(thread);
                let result = resumed.rsplit_once(" = ").map(|(_, result)| result.to_owned());
                if let (Some(begun), Some(result)) = (begun, result) {
                    calls[begun].ended = Some((line, result));
                }
                continue;
            }
            let Some((name, arguments)) = rest.split_once('(') else { continue };
            let is_name = name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
            if !is_name || name.is_empty() {
                continue;
            }
            let file = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
            let file = file.map_or("", |(file, _)| file).to_owned();
            let ended = if arguments.ends_with("<unfinished ...>") {
                unfinished.insert(thread.to_owned(), calls.len());
                None
            } else {
                arguments.rsplit_once(" = ").map(|(_, result)| (line, result.to_owned()))
            };
            calls.push(Call { name: name.to_owned(), file, text: arguments.to_owned(), begun: line, ended });
        }
        Self { calls }
    }

    /// Checks that the text `event` was written to a journal's file, that a real sync of that very file began after
    /// the write had ended, and that it had ended before the first ack `ack` was written to a socket.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn acked_after_sync(&self, event: &str, ack: &str) -> Result<(), String> {
        let ack_text = escaped(ack);
        let ack_begun =
            self.calls.iter().filter(|call| call.is_socket_write() && call.text.contains(&ack_text));
        let Some(ack_begun) = ack_begun.map(|call| call.begun).min() else {
            return Err(format!("no socket was written the ack {ack}"));
        };
        let event = escaped(event);
        let writes = self.calls.iter().filter(|call| call.is_journal_write() && call.text.contains(&event));
        let writes: Vec<(&str, usize)> =
            writes.filter_map(|write| Some((write.file.as_str(), write.succeeded_at()?))).collect();
        if !writes.iter().any(|(_, written)| *written < ack_begun) {
            return Err(format!("{event} was in no file of the journal when {ack} was sent"));
        }
        let is_covered = |sync: &&Call| {
            sync.is_real_sync()
                && writes.iter().any(|(file, written)| *file == sync.file && *written < sync.begun)
                && sync.ended.as_ref().is_some_and(|(ended, _)| *ended < ack_begun)
        };
        match self.calls.iter().find(is_covered) {
            Some(_) => Ok(()),
            None => Err(format!("{ack} was sent before {event} was synced")),
        }
    }

    /// Real syncs of files of the journal.
    pub(crate) fn real_journal_syncs(&self) -> usize {
        self.calls.iter().filter(|call| call.is_real_sync() && call.file.ends_with("/db")).count()
    }

    /// Answers that begin with `ack` and were sent after the first sync that strace made fail; `None` when none failed.
    pub(crate) fn sent_after_failure(&self, ack: &str) -> Option<Vec<String>> {
        let ack = escaped(ack);
        let is_failed_sync = |call: &&Call| call.is_injected() && call.succeeded_at().is_none();
        let failed = self.calls.iter().find(is_failed_sync)?.ended.as_ref()?.0;
        let after = self.calls.iter().filter(|call| call.begun > failed && call.is_socket_write());
        Some(after.filter(|call| call.text.contains(&ack)).map(|call| call.text.clone()).collect())
    }
}

/// A text as strace prints it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: &str = r#"7 1.0 pwrite64(14</d/usage/db>, "x marker \n", 11, 164) = 11"#;
    const SYNC: &str = "7 1.1 fdatasync(14</d/usage/db>)     = 0";
    const ACK: &str =
        r#"8 1.2 sendto(15<socket:[1]>, "{\"ok\":true,\"external_id\":\"marker\"}\n", 37, 0, NULL, 0) = 37"#;

    fn check(lines: &[&str]) -> Result<(), String> {
        Trace::parse(&lines.join("\n")).acked_after_sync("marker", r#"{"ok":true,"external_id":"marker"}"#)
    }

    #[test]
    fn a_sync_between_the_write_and_the_ack_is_what_is_wanted() {
        check(&[WRITE, SYNC, ACK]).unwrap();
        check(&[
            r#"7 1.0 pwrite64(14</d/usage/db>, "x marker", 8, 164 <unfinished ...>"#,
            "9 1.0 epoll_wait(3<anon_inode:[eventpoll]>, [], 1024, 0) = 0",
            "7 1.0 <... pwrite64 resumed>) = 8",
            "6 1.1 fdatasync(14</d/usage/db> <unfinished ...>",
            "9 1.1 --- SIGTERM {si_signo=SIGTERM} ---",
            "6 1.1 <... fdatasync resumed>)       = 0",
            ACK,
        ])
        .unwrap();
    }

    #[test]
    fn nothing_less_will_do() {
        for (lines, why) in [
            (&[WRITE, ACK][..], "no sync"),
            (&[WRITE, ACK, SYNC], "a sync after the ack"),
            (&[SYNC, WRITE, ACK], "a sync before the write"),
            (&[SYNC, ACK], "no write"),
            (&[WRITE, SYNC], "no ack"),
            (&[WRITE, "7 1.1 fdatasync(14</d/usage/db>) = 0 (INJECTED)", ACK], "a sync that strace left out"),
            (
                &[WRITE, "7 1.1 fdatasync(14</d/usage/db>) = -1 EIO (Input/output error)", ACK],
                "a sync that failed",
            ),
            (&[WRITE, "7 1.1 fdatasync(9</d/grants/db>) = 0", ACK], "another file's sync"),
            (&[WRITE, "7 1.1 sync_file_range(14</d/usage/db>, 0, 0, 7) = 0", ACK], "no barrier for the disk"),
            (
                &[
                    WRITE,
                    "7 1.1 fdatasync(14</d/usage/db> <unfinished ...>",
                    ACK,
                    "7 1.3 <... fdatasync resumed>) = 0",
                ],
                "a sync that was not over",
            ),
            (
                &["7 1.0 pwrite64(14</d/usage/db>, \"marker\", 6, 0 <unfinished ...>", SYNC, ACK],
                "a write that was not over",
            ),
            (
                &[
                    r#"7 1.0 pwrite64(14</d/usage/db>, "marker", 6, 0) = -1 ENOSPC (No space left on device)"#,
                    SYNC,
                    ACK,
                ],
                "a write that failed",
            ),
        ] {
            assert!(check(lines).is_err(), "{why}");
        }
    }

    #[test]
    fn acks_after_a_failed_sync_are_seen() {
        let failed = "7 1.1 fdatasync(14</d/usage/db>) = -1 EIO (Input/output error) (INJECTED)";
        let sent = |lines: &[&str]| Trace::parse(&lines.join("\n")).sent_after_failure(r#"{"ok":true"#);
        assert_eq!(sent(&[WRITE, SYNC, ACK]), None, "nothing failed");
        assert_eq!(sent(&[WRITE, ACK, failed]), Some(Vec::new()));
        assert_eq!(sent(&[WRITE, failed, ACK]).map(|sent| sent.len()), Some(1));
    }
}
