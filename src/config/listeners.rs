//! The ways in that are off unless they are asked for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::origin::{Given, Origin};
use super::paths;

/// The datagram socket's path: one of its own, under the same rules as the stream socket's.
pub(super) fn datagram_socket(
    given: Option<Given<PathBuf>>,
    socket: Option<&Path>,
) -> Result<Option<PathBuf>, Fault> {
    const KEY: &str = "datagram_socket";
    let Some(Given { value: path, origin }) = given else { return Ok(None) };
    if socket == Some(path.as_path()) {
        let problem = format!("{} is the stream socket already", path.display());
        return Err(Fault::new(KEY, &origin, &problem, "name another, such as /run/sledge/sledge.dgram"));
    }
    paths::a_socket_path(KEY, "--datagram-socket", path, &origin).map(Some)
}

/// The loopback address of the HTTP side, for a command that has no configuration.
///
/// # Errors
/// Why it can't be one, and what to write.
pub fn loopback_address(text: &str) -> Result<SocketAddr, String> {
    let given = Given { value: text.to_owned(), origin: Origin::Flag };
    let address = http(Some(given)).map_err(|fault| fault.message)?;
    address.ok_or_else(|| "write HOST:PORT, such as 127.0.0.1:8787".to_owned())
}

/// The loopback address of the HTTP side. `localhost` stands for 127.0.0.1: what a resolver says of it may change.
pub(super) fn http(given: Option<Given<String>>) -> Result<Option<SocketAddr>, Fault> {
    let Some(Given { value, origin }) = given else { return Ok(None) };
    let fault =
        |problem: &str, fix: &str| Err(Fault::new("http", &origin, &format!("{value:?} {problem}"), fix));
    let by_name = value.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let address = match by_name {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        None => value.parse::<SocketAddr>().ok(),
    };
    match address {
        None => fault("is no loopback address with a port", "write HOST:PORT, such as 127.0.0.1:8787"),
        Some(address) if is_loopback(address.ip()) => Ok(Some(address)),
        Some(_) => fault(
            "is not loopback, and whoever reaches this address can write to your bills",
            "write 127.0.0.1:PORT; for another container, share the Unix socket's folder with it",
        ),
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_http(text: &str) -> Result<Option<SocketAddr>, Fault> {
        http(Some(Given::by_flag(text.to_owned())))
    }

    #[test]
    fn loopback_addresses_are_taken() {
        for (text, address) in [
            ("127.0.0.1:8787", "127.0.0.1:8787"),
            ("127.9.9.9:0", "127.9.9.9:0"),
            ("[::1]:8787", "[::1]:8787"),
            ("localhost:8787", "127.0.0.1:8787"),
        ] {
            assert_eq!(read_http(text).unwrap(), Some(address.parse().unwrap()), "{text}");
        }
        assert_eq!(http(None).unwrap(), None);
    }

    #[test]
    fn every_other_address_is_a_fault_that_says_what_to_write() {
        for text in ["0.0.0.0:8787", "[::]:8787", "10.0.0.1:8787", "[fe80::1]:80", "192.168.1.1:0"] {
            let fault = read_http(text).unwrap_err().to_string();
            assert!(fault.contains("not loopback") && fault.contains("write 127.0.0.1:PORT"), "{fault}");
        }
        for text in ["", "8787", ":8787", "localhost", "localhost:x", "example.com:80", "127.0.0.1", "::1:80"]
        {
            let fault = read_http(text).unwrap_err().to_string();
            assert!(fault.contains("write HOST:PORT"), "{fault}");
        }
    }

    #[test]
    fn the_datagram_socket_is_a_path_of_its_own() {
        let read = |path: &str| {
            datagram_socket(Some(Given::by_flag(path.into())), Some(Path::new("/run/sledge/sledge.sock")))
        };
        assert_eq!(read("/run/sledge/sledge.dgram").unwrap(), Some("/run/sledge/sledge.dgram".into()));
        assert!(read("/run/sledge/sledge.sock").unwrap_err().to_string().contains("stream socket already"));
        assert!(read(&"s".repeat(108)).unwrap_err().to_string().contains("--datagram-socket"));
        assert!(read("/tmp").is_err());
        assert_eq!(datagram_socket(None, None).unwrap(), None);
    }
}
