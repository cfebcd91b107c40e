//! Who may use the sockets events come in by: their owner, their group, their mode.

use super::fault::Fault;
use super::origin::Given;

/// Reading and writing, for owner and group.
const MODE: u32 = 0o660;
/// Only writing to a socket's file counts; the kernel looks at nothing else when somebody connects.
const WRITE_BITS: u32 = 0o222;
const OWNER_BITS: u32 = 0o600;
const MEANINGFUL_BITS: u32 = 0o666;
const KEY: &str = "socket_mode";

/// Who may use the sockets events come in by. Names are looked up when the sockets are bound, on the machine they are
/// bound on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketAccess {
    /// The permission bits of their files.
    pub mode: u32,
    /// The name or number of the user they belong to; `None` for the user sledge runs as.
    pub owner: Option<String>,
    /// The name or number of the group they belong to; `None` for the group sledge runs as.
    pub group: Option<String>,
}

impl Default for SocketAccess {
    fn default() -> Self {
        Self { mode: MODE, owner: None, group: None }
    }
}

impl SocketAccess {
    /// The mode as `chmod` takes it.
    pub(super) fn mode_in_octal(&self) -> String {
        format!("{:04o}", self.mode)
    }
}

/// The name or number of a user or a group.
pub(super) fn account(key: &'static str, given: Option<Given<String>>) -> Result<Option<String>, Fault> {
    let Some(Given { value, origin }) = given else { return Ok(None) };
    if value.is_empty() {
        return Err(Fault::new(
            key,
            &origin,
            "the name is empty",
            "write a name or a number, or leave it out",
        ));
    }
    Ok(Some(value))
}

/// Reads a mode as `chmod` takes it in numbers.
pub(super) fn mode(given: Option<Given<String>>) -> Result<u32, Fault> {
    let Some(Given { value, origin }) = given else { return Ok(MODE) };
    let fault =
        |problem: &str, fix: &str| Err(Fault::new(KEY, &origin, &format!("{value:?} {problem}"), fix));
    let is_octal = (3..=4).contains(&value.len()) && value.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let Some(mode) = u32::from_str_radix(&value, 8).ok().filter(|_| is_octal) else {
        return fault("is no mode in octal digits", "write it as chmod takes it, such as \"0660\"");
    };
    if mode & !MEANINGFUL_BITS != 0 {
        return fault(
            "has bits that mean nothing on a socket",
            "use reading (4) and writing (2) only, such as \"0660\"",
        );
    }
    if mode & OWNER_BITS != OWNER_BITS {
        return fault("shuts out the socket's own owner", "begin it with 06, such as \"0600\" or \"0660\"");
    }
    if (mode & WRITE_BITS) << 1 != mode & (WRITE_BITS << 1) {
        return fault(
            "lets somebody read who may not write, or write who may not read",
            "whoever sends needs both: 6 for who may, 0 for who may not, such as \"0660\"",
        );
    }
    Ok(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<u32, Fault> {
        mode(Some(Given::by_flag(text.to_owned())))
    }

    #[test]
    fn a_mode_is_read_as_chmod_takes_it() {
        assert_eq!(mode(None).unwrap(), 0o660);
        for (text, bits) in
            [("0660", 0o660), ("660", 0o660), ("0600", 0o600), ("0666", 0o666), ("606", 0o606)]
        {
            assert_eq!(read(text).unwrap(), bits, "{text}");
        }
        let access = SocketAccess { mode: 0o600, ..SocketAccess::default() };
        assert_eq!(access.mode_in_octal(), "0600");
    }

    #[test]
    fn an_account_has_a_name() {
        let read = |text: &str| account("socket_group", Some(Given::by_flag(text.to_owned())));
        assert_eq!(read("app").unwrap().as_deref(), Some("app"));
        assert!(read("").unwrap_err().to_string().contains("empty"));
        assert_eq!(account("socket_group", None).unwrap(), None);
    }

    #[test]
    fn a_mode_that_would_let_nobody_send_or_mean_nothing_is_a_fault() {
        for (text, word) in [
            ("", "octal"),
            ("rw-rw----", "octal"),
            ("0x1b0", "octal"),
            ("0680", "octal"),
            ("+660", "octal"),
            ("00660", "octal"),
            ("1660", "mean nothing"),
            ("0770", "mean nothing"),
            ("0060", "own owner"),
            ("0460", "own owner"),
            ("0640", "may not write"),
            ("0620", "may not read"),
        ] {
            let fault = read(text).unwrap_err().to_string();
            assert!(fault.contains(word), "{text}: {fault}");
        }
    }
}
