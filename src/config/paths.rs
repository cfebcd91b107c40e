//! Where the journal and the socket are when nobody says.

use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::origin::{Given, Origin};
use super::surroundings::Surroundings;

/// The journal's folder on a system.
pub const DATA_DIR: &str = "/var/lib/sledge";
/// The socket on a system.
pub const SOCKET: &str = "/run/sledge/sledge.sock";
/// The admin address.
pub const ADMIN: &str = "127.0.0.1:9464";
/// The admin socket, in the data folder.
pub const ADMIN_SOCKET: &str = "admin.sock";
/// The kernel's limit for the path of a Unix socket, without the closing zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

const SOCKET_FOLDER: &str = "/run/sledge";

/// The data folder that `sledge run` would use: what was given, or where it lies by default.
///
/// # Errors
/// When it can't be a folder, or none can be found.
pub fn data_dir(given: Option<Given<PathBuf>>, surroundings: &Surroundings) -> Result<PathBuf, Fault> {
    const KEY: &str = "data_dir";
    if let Some(Given { value, origin }) = given {
        if value.as_os_str().is_empty() {
            return Err(Fault::new(
                KEY,
                &origin,
                "the path is empty",
                "name a folder such as /var/lib/sledge",
            ));
        }
        if value.exists() && !value.is_dir() {
            let problem = format!("{} is not a folder", value.display());
            return Err(Fault::new(KEY, &origin, &problem, "name a folder; it is made when it is missing"));
        }
        return Ok(value);
    }
    if surroundings.may_use(Path::new(DATA_DIR)) {
        return Ok(PathBuf::from(DATA_DIR));
    }
    let home_state = || Some(surroundings.folder("HOME")?.join(".local/state"));
    let state = surroundings.folder("XDG_STATE_HOME").or_else(home_state).map(|state| state.join("sledge"));
    state.ok_or_else(|| {
        let problem =
            format!("{DATA_DIR} is not writable, and neither XDG_STATE_HOME nor HOME names a folder");
        Fault::new(KEY, &Origin::Default, &problem, "give --data-dir DIR")
    })
}

/// The socket's path. Without a runtime folder of the user's own it lies under the data folder, which nobody else may enter.
pub(super) fn socket(
    given: Option<Given<PathBuf>>,
    data_dir: Option<&Path>,
    surroundings: &Surroundings,
) -> Result<PathBuf, Fault> {
    let Given { value: path, origin } = match given {
        Some(given) => given,
        None => Given { value: default_socket(data_dir, surroundings), origin: Origin::Default },
    };
    a_socket_path("socket", "--socket", path, &origin)
}

/// The admin socket's path. Nobody but the owner may enter the data folder, which is why it lies there.
pub(super) fn admin_socket(given: Option<Given<PathBuf>>, data_dir: Option<&Path>) -> Result<PathBuf, Fault> {
    let Given { value: path, origin } = match given {
        Some(given) => given,
        None => {
            Given { value: data_dir.unwrap_or(Path::new("")).join(ADMIN_SOCKET), origin: Origin::Default }
        }
    };
    a_socket_path("admin_socket", "--admin-socket", path, &origin)
}

/// Whether a Unix socket can lie at this path.
pub(super) fn a_socket_path(
    key: &'static str,
    flag: &str,
    path: PathBuf,
    origin: &Origin,
) -> Result<PathBuf, Fault> {
    let fault = |problem: String, fix: &str| Err(Fault::new(key, origin, &problem, fix));
    let bytes = path.as_os_str().len();
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return fault(
            format!("{:?} does not name a file", path.display().to_string()),
            "name the socket itself, such as /run/sledge/sledge.sock",
        );
    }
    if bytes > SOCKET_PATH_BYTES_MAX {
        return fault(
            format!(
                "{} is {bytes} bytes long and a Unix socket's path may have {SOCKET_PATH_BYTES_MAX}",
                path.display()
            ),
            &format!("give a shorter {flag} PATH"),
        );
    }
    if path.is_dir() {
        return fault(
            format!("{} is a folder", path.display()),
            "name the socket itself, such as /run/sledge/sledge.sock",
        );
    }
    Ok(path)
}

fn default_socket(data_dir: Option<&Path>, surroundings: &Surroundings) -> PathBuf {
    if surroundings.may_use(Path::new(SOCKET_FOLDER)) {
        return PathBuf::from(SOCKET);
    }
    if let Some(path) = runtime_socket(surroundings) {
        return path;
    }
    data_dir.unwrap_or(Path::new("")).join("run/sledge.sock")
}

fn runtime_socket(surroundings: &Surroundings) -> Option<PathBuf> {
    Some(surroundings.folder("XDG_RUNTIME_DIR")?.join("sledge/sledge.sock"))
}

/// Where a sender looks for the daemon when nobody named a socket: the system's, the user's, the data folder's. Senders
/// need not be able to make a socket where they may use one, so nothing is tried here.
#[must_use]
pub fn sockets_to_try(surroundings: &Surroundings) -> Vec<PathBuf> {
    let in_data_dir = data_dir(None, surroundings).map(|folder| folder.join("run/sledge.sock")).ok();
    [Some(PathBuf::from(SOCKET)), runtime_socket(surroundings), in_data_dir].into_iter().flatten().collect()
}

/// `HOST:PORT`, and the host when it is a name.
pub(super) fn admin(given: Option<Given<String>>) -> Result<(String, Option<String>), Fault> {
    let Some(Given { value, origin }) = given else { return Ok((ADMIN.to_owned(), None)) };
    let fault = |problem: &str| {
        Fault::new(
            "admin",
            &origin,
            &format!("{value:?} {problem}"),
            "write HOST:PORT, such as 127.0.0.1:9464",
        )
    };
    let (host, port) = value.rsplit_once(':').ok_or_else(|| fault("has no port"))?;
    if port.parse::<u16>().is_err() {
        return Err(fault("has no port between 0 and 65535"));
    }
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_literal = match address {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.parse::<std::net::Ipv4Addr>().is_ok(),
    };
    let is_name = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    match (is_literal, is_name) {
        (true, _) => Ok((value, None)),
        (false, true) => Ok((value.clone(), Some(host.to_owned()))),
        (false, false) => Err(fault("has no host (an IPv6 address stands in brackets)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &[(&str, &str)] =
        &[("HOME", "/home/ada"), ("XDG_STATE_HOME", "/home/ada/state"), ("XDG_RUNTIME_DIR", "/run/user/7")];

    fn default_paths(surroundings: &Surroundings) -> (PathBuf, PathBuf) {
        let data = data_dir(None, surroundings).unwrap();
        let socket = socket(None, Some(&data), surroundings).unwrap();
        (data, socket)
    }

    #[test]
    fn root_gets_the_system_paths() {
        let (data, socket) = default_paths(&Surroundings::made_up(USER, &[], true));
        assert_eq!((data, socket), (PathBuf::from(DATA_DIR), PathBuf::from(SOCKET)));
    }

    #[test]
    fn a_user_who_may_write_the_system_folders_gets_them() {
        let (data, socket) = default_paths(&Surroundings::made_up(USER, &[DATA_DIR, SOCKET_FOLDER], false));
        assert_eq!((data, socket), (PathBuf::from(DATA_DIR), PathBuf::from(SOCKET)));
    }

    #[test]
    fn an_ordinary_user_gets_folders_of_their_own() {
        let (data, socket) = default_paths(&Surroundings::made_up(USER, &[], false));
        assert_eq!(data, PathBuf::from("/home/ada/state/sledge"));
        assert_eq!(socket, PathBuf::from("/run/user/7/sledge/sledge.sock"));
    }

    #[test]
    fn without_xdg_variables_everything_is_under_home() {
        let (data, socket) = default_paths(&Surroundings::made_up(&[("HOME", "/home/ada")], &[], false));
        assert_eq!(data, PathBuf::from("/home/ada/.local/state/sledge"));
        assert_eq!(socket, PathBuf::from("/home/ada/.local/state/sledge/run/sledge.sock"));
    }

    #[test]
    fn without_any_home_the_fault_asks_for_a_folder() {
        let fault = data_dir(None, &Surroundings::made_up(&[], &[], false)).unwrap_err();
        assert!(fault.to_string().contains("--data-dir"), "{fault}");
    }

    #[test]
    fn a_socket_path_of_108_bytes_is_refused_and_107_are_taken() {
        let surroundings = Surroundings::made_up(&[], &[], true);
        let path = |bytes: usize| Some(Given::by_flag(PathBuf::from(format!("/{}", "s".repeat(bytes - 1)))));
        assert!(socket(path(107), None, &surroundings).is_ok());
        let fault = socket(path(108), None, &surroundings).unwrap_err();
        assert!(fault.message.contains("108 bytes") && fault.message.contains("107"), "{fault}");
    }

    #[test]
    fn a_socket_path_must_name_a_file() {
        let surroundings = Surroundings::made_up(&[], &[], true);
        for path in ["", "/", "/run/sledge/", "/tmp"] {
            assert!(socket(Some(Given::by_flag(path.into())), None, &surroundings).is_err(), "{path}");
        }
    }

    #[test]
    fn a_data_folder_that_is_a_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let given = Some(Given::by_flag(file.path().to_owned()));
        assert!(data_dir(given, &Surroundings::made_up(&[], &[], true)).is_err());
    }

    #[test]
    fn admin_addresses_are_checked_and_names_are_kept_for_the_host_check() {
        let read = |text: &str| admin(Some(Given::by_flag(text.to_owned())));
        assert_eq!(read("0.0.0.0:9464").unwrap(), ("0.0.0.0:9464".to_owned(), None));
        assert_eq!(read("[::1]:0").unwrap(), ("[::1]:0".to_owned(), None));
        assert_eq!(read("box.internal:9464").unwrap().1.as_deref(), Some("box.internal"));
        for wrong in
            ["localhost", "9464", ":9464", "::1:9464", "host:99999", "host:", "http://host:1", "[x]:1", ""]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
