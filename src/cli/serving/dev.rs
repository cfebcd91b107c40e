//! `sledge dev`: the daemon and Polar in memory, in one process, on nothing but this machine.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use tokio::sync::oneshot;

use super::run::what_is_left;
use super::signals::Signals;
use super::{dev_feed, simulate};
use crate::cli::voice::{Exit, Failure, LogArgs, Tone, Voice, command_line};
use crate::config::{Config, SOCKET_PATH_BYTES_MAX, VARIABLES_OF_DEV, loopback_address};
use crate::daemon::Daemon;
use crate::simulator::{NewCustomer, NewMeter, Simulator};
use crate::{admin, polar};

/// Where it listens when it is not told otherwise.
pub(in crate::cli) const SOCKET: &str = "/tmp/sledge-dev.sock";
const METER: &str = "API Calls";
const EVENT: &str = "api_usage";
const PROPERTY: &str = "units";
const CUSTOMER: &str = "user_123";
/// Folders that killed sessions of the same process id may have left behind; in a container every id is the same.
const LEFTOVERS_MAX: u32 = 1000;

/// Runs the daemon with Polar in memory: no account, no network, no token.
///
/// A meter (the sum of units over api_usage events) and a customer (user_123) are there already. What arrives at the
/// simulated Polar is shown as it arrives, with the balance it leaves.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge dev
  sledge dev --http 127.0.0.1:9465   for SDKs that can't use a Unix socket
  sledge dev --data-dir ./data       keeps what is pending from one run to the next

The line that begins with export makes every command in another terminal mean this sledge and its Polar.
Exit codes: 0 stopped, 64 usage, 69 an address can't be had, 74 the disk failed, 75 another daemon has the data folder.")]
pub(in crate::cli) struct DevArgs {
    /// The Unix socket events come in by
    #[arg(long, value_name = "PATH", env = "SLEDGE_SOCKET", hide_env_values = true, default_value = SOCKET)]
    socket: OsString,
    /// A loopback address for the HTTP side, for SDKs that cannot use a Unix socket; port 0 takes any free one
    #[arg(long, value_name = "HOST:PORT", value_parser = loopback_address)]
    http: Option<SocketAddr>,
    /// Where events are kept [default: a temporary folder, removed at the end]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where health, metrics and status are shown; port 0 takes any free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    admin: SocketAddr,
    #[command(flatten)]
    log: LogArgs,
}

pub(in crate::cli) async fn dev(args: DevArgs, no_color: bool, voice: &mut Voice) -> Result<Exit, Failure> {
    args.log.start(no_color, "warn")?;
    // An empty variable is none.
    let socket = if args.socket.is_empty() { SOCKET.into() } else { args.socket };
    let socket = absolute(Path::new(&socket))?;
    if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        let message =
            format!("a Unix socket's path may have {SOCKET_PATH_BYTES_MAX} bytes; give a shorter --socket");
        return Err(Failure::new(Exit::Usage, message));
    }
    let folder = DataFolder::new(args.data_dir)?;
    let simulator = furnished_simulator()?;
    let listener = simulate::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let polar_address = format!("http://{}", listener.local_addr()?);
    let mut config = Config::of(
        folder.path.clone(),
        socket.clone(),
        admin::Settings::at(args.admin.to_string()),
        polar_settings(&polar_address)?,
    );
    config.http = args.http;
    // Whatever token an app has been given, here it stands for none.
    config.notice_foreign_tokens = false;
    // What is tried out here need not stay.
    config.journal.warns_if_volatile = false;
    let signals = Signals::new()?;
    let daemon = Daemon::build(config).await?;
    let session = Session {
        socket: socket.display().to_string(),
        data_dir: folder.path.display().to_string(),
        admin: daemon.admin_address()?.to_string(),
        polar: polar_address,
        http: daemon.http_address(),
    };
    for line in session.welcome(voice) {
        voice.say(&line)?;
    }
    let work = |stopped: oneshot::Receiver<()>| async {
        let left = tokio::select! {
            left = daemon.run(async { drop(stopped.await) }) => left?,
            ended = simulator.serve(listener, std::future::pending()) => {
                ended?;
                return Err(Failure::new(Exit::Unavailable, "the simulated Polar ended; start again, and please report this"));
            }
            Err(failure) = dev_feed::tell(&simulator, voice) => return Err(failure),
        };
        Ok(left)
    };
    // A whole daemon and a whole Polar: too much to lie in this frame.
    let left = Box::pin(signals.run(work)).await?;
    voice.say(&what_is_left(&left))?;
    Ok(Exit::Ok)
}

/// Polar as the guide on granting credits leaves it after its first two steps.
fn furnished_simulator() -> Result<Simulator, Failure> {
    let simulator = simulate::simulator(true);
    simulator.create_meter(NewMeter::sum(METER, EVENT, PROPERTY));
    let customer = NewCustomer {
        email: "user@example.com".to_owned(),
        name: Some("John Doe".to_owned()),
        external_id: Some(CUSTOMER.to_owned()),
    };
    simulator.create_customer(customer).map_err(|error| Failure::of(Exit::Unavailable, &error))?;
    Ok(simulator)
}

fn polar_settings(address: &str) -> Result<polar::Settings, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::of(Exit::Configuration, error);
    let url = polar::BaseUrl::parse(address).map_err(|error| failed(&error))?;
    let token = polar::Token::parse(polar::Token::OF_DEV).map_err(|error| failed(&error))?;
    Ok(polar::Settings::new(url, polar::TokenSource::Fixed(token)))
}

/// The folder of one session: the one that was named, or one that is gone afterwards.
#[derive(Debug)]
struct DataFolder {
    path: PathBuf,
    is_temporary: bool,
}

impl DataFolder {
    fn new(named: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(path) = named {
            return Ok(Self { path: absolute(&path)?, is_temporary: false });
        }
        let own = format!("sledge-dev-{}", std::process::id());
        let mut names = (0..LEFTOVERS_MAX).map(|number| std::env::temp_dir().join(format!("{own}-{number}")));
        loop {
            let Some(path) = names.next() else {
                let message = format!(
                    "too many {own}-… in {}; remove them, or name a folder with --data-dir",
                    std::env::temp_dir().display()
                );
                return Err(Failure::new(Exit::Io, message));
            };
            // Making it anew keeps out whoever guessed the name and made it first.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, is_temporary: true }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let message =
                        format!("failed to make {}: {error}; name a folder with --data-dir", path.display());
                    return Err(Failure::new(Exit::Io, message));
                }
            }
        }
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        if self.is_temporary {
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

/// The same from whatever folder it is read.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|_| Failure::new(Exit::Usage, "a path is empty; name a file or a folder"))
}

/// Where everything of this session is.
struct Session {
    socket: String,
    data_dir: String,
    admin: String,
    polar: String,
    http: Option<SocketAddr>,
}

impl Session {
    /// What to copy into another terminal.
    fn welcome(&self, voice: &Voice) -> Vec<String> {
        let Self { socket, polar, .. } = self;
        let quiet = |text: &str| voice.toned(Tone::Quiet, text);
        let http = self.http.map(|address| format!(" and at http://{address}")).unwrap_or_default();
        let grant =
            ["sledge", "grant", "10", "--customer", CUSTOMER, "--event", EVENT, "--property", PROPERTY];
        let send = ["sledge", "send", EVENT, "--customer", CUSTOMER, "--meta", "units=3"];
        let to_socket = ["--socket", socket.as_str()];
        let curl = [
            "curl",
            "--unix-socket",
            socket.as_str(),
            "http://localhost/v1/events/ingest",
            "-H",
            "content-type: application/json",
            "-d",
            r#"{"events":[{"name":"api_usage","external_customer_id":"user_123","metadata":{"units":8}}]}"#,
        ];
        let event = r#"{"name":"api_usage","external_customer_id":"user_123","metadata":{"units":1}}"#;
        vec![
            format!("sledge listens at {socket}{http} and delivers to Polar in memory at {polar}"),
            String::new(),
            quiet("# in another terminal: every command then means this sledge and its Polar"),
            self.export(),
            String::new(),
            quiet("# grant 10 credits, then use some; each line works by itself, too"),
            command_line(grant.into_iter().chain(to_socket).chain(["--polar-url", polar])),
            command_line(send.into_iter().chain(to_socket)),
            command_line(curl),
            format!("{} | {}", command_line(["echo", event]), command_line(["nc", "-NU", socket.as_str()])),
            command_line(["sledge", "status", "--admin", &self.admin]),
            String::new(),
            quiet("# what arrives at Polar:"),
        ]
    }

    /// A token is among the variables so that the reader's own goes nowhere.
    fn export(&self) -> String {
        let Self { socket, data_dir, admin, polar, .. } = self;
        let values = [socket, data_dir, admin, polar, polar::Token::OF_DEV];
        let set: Vec<String> =
            VARIABLES_OF_DEV.iter().zip(values).map(|(name, value)| format!("{name}={value}")).collect();
        command_line(["export"].into_iter().chain(set.iter().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_is_gone_afterwards_and_a_named_one_stays() {
        let temporary = DataFolder::new(None).unwrap();
        let path = temporary.path.clone();
        assert!(path.is_dir());
        assert_ne!(DataFolder::new(None).unwrap().path, path, "a second one has its own");
        drop(temporary);
        assert!(!path.exists());
        let named = tempfile::tempdir().unwrap();
        drop(DataFolder::new(Some(named.path().to_owned())).unwrap());
        assert!(named.path().is_dir());
    }

    #[test]
    fn the_lines_to_copy_name_the_socket() {
        let session = Session {
            socket: SOCKET.to_owned(),
            data_dir: "/tmp/sledge dev".to_owned(),
            admin: "127.0.0.1:2".to_owned(),
            polar: "http://127.0.0.1:1".to_owned(),
            http: None,
        };
        let lines = session.welcome(&Voice::new(true));
        let commands: Vec<_> = lines.iter().filter(|line| line.contains("user_123")).collect();
        assert_eq!(commands.len(), 4);
        assert!(commands.iter().all(|line| line.contains(SOCKET)), "{commands:?}");
        assert_eq!(
            session.export(),
            "export SLEDGE_SOCKET=/tmp/sledge-dev.sock 'SLEDGE_DATA_DIR=/tmp/sledge dev' SLEDGE_ADMIN=127.0.0.1:2 \
             SLEDGE_POLAR_URL=http://127.0.0.1:1 POLAR_ACCESS_TOKEN=polar_oat_dev"
        );
    }

    #[test]
    fn the_guides_meter_and_customer_are_there() {
        let simulator = furnished_simulator().unwrap();
        assert_eq!(simulator.state().events_inserted, 0);
        assert!(
            simulator
                .create_customer(NewCustomer {
                    email: "other@example.com".to_owned(),
                    name: None,
                    external_id: Some(CUSTOMER.to_owned()),
                })
                .is_err()
        );
    }
}
