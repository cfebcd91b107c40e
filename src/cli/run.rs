//! `sledge run`: the daemon.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use tokio::sync::oneshot;

use super::exit::Exit;
use super::failure::Failure;
use super::figures;
use super::log::LogArgs;
use super::signals::Signals;
use super::voice::Voice;
use crate::config::{Config, Given, Origin, RawConfig, Surroundings};
use crate::daemon::{Daemon, RunError, StartError, Stopped};

/// Runs the daemon: takes events on its socket, keeps them on disk, and delivers them to Polar.
///
/// The token comes from --token-file, else from the systemd credential polar_access_token, else from the variable
/// POLAR_ACCESS_TOKEN. It is never an argument.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  POLAR_ACCESS_TOKEN=polar_oat_… sledge run
  sledge run --environment sandbox --token-file /etc/sledge/token
  sledge run --data-dir ./data --socket ./sledge.sock --admin 127.0.0.1:0

A flag outweighs its variable; that outweighs POLAR_MODE and POLAR_SERVER, which name an environment.
SIGTERM and SIGINT drain; a second one stops at once, and loses nothing.
Exit codes: 0 drained, 69 something it needs is not there, 74 the disk failed,
75 another daemon has the data folder, 78 a setting can't be used.")]
pub(super) struct RunArgs {
    /// Where events are kept [default: /var/lib/sledge, or $XDG_STATE_HOME/sledge without privilege]
    #[arg(long, value_name = "DIR", env = "SLEDGE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<OsString>,
    /// The Unix socket events come in by [default: /run/sledge/sledge.sock, or $XDG_RUNTIME_DIR/sledge/sledge.sock without privilege]
    #[arg(long, value_name = "PATH", env = "SLEDGE_SOCKET", hide_env_values = true)]
    socket: Option<OsString>,
    /// A Unix datagram socket for events nobody waits for [default: none]
    #[arg(long, value_name = "PATH", env = "SLEDGE_DATAGRAM_SOCKET", hide_env_values = true)]
    datagram_socket: Option<OsString>,
    /// A loopback address for SDKs that cannot use a Unix socket [default: none]
    #[arg(long, value_name = "HOST:PORT", env = "SLEDGE_HTTP", hide_env_values = true)]
    http: Option<String>,
    /// Whether grants may come in by that address, too [default: false]
    #[arg(long, value_name = "BOOL", env = "SLEDGE_HTTP_GRANTS", hide_env_values = true,
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    http_grants: Option<String>,
    /// Where health, metrics and status are shown [default: 127.0.0.1:9464]
    #[arg(long, value_name = "HOST:PORT", env = "SLEDGE_ADMIN", hide_env_values = true)]
    admin: Option<String>,
    /// The address of Polar, instead of an environment
    #[arg(long, value_name = "URL", env = "SLEDGE_POLAR_URL", hide_env_values = true)]
    polar_url: Option<String>,
    /// Which Polar: production or sandbox [default: $POLAR_MODE or $POLAR_SERVER, else production]
    #[arg(long, value_name = "NAME", env = "SLEDGE_ENVIRONMENT", hide_env_values = true)]
    environment: Option<String>,
    /// A file that holds the access token alone; read again when it changes
    #[arg(long, value_name = "FILE", env = "SLEDGE_TOKEN_FILE", hide_env_values = true)]
    token_file: Option<OsString>,
    #[command(flatten)]
    log: LogArgs,
}

impl RunArgs {
    /// What was given and by whom. An empty variable was not given.
    fn into_raw(self, matches: &ArgMatches) -> (RawConfig, LogArgs) {
        let by = Givers(matches);
        let raw = RawConfig {
            data_dir: by.given("data_dir", "SLEDGE_DATA_DIR", self.data_dir).map(path),
            socket: by.given("socket", "SLEDGE_SOCKET", self.socket).map(path),
            datagram_socket: by
                .given("datagram_socket", "SLEDGE_DATAGRAM_SOCKET", self.datagram_socket)
                .map(path),
            http: by.given("http", "SLEDGE_HTTP", self.http),
            http_grants: by.given("http_grants", "SLEDGE_HTTP_GRANTS", self.http_grants),
            admin: by.given("admin", "SLEDGE_ADMIN", self.admin),
            polar_url: by.given("polar_url", "SLEDGE_POLAR_URL", self.polar_url),
            environment: by.given("environment", "SLEDGE_ENVIRONMENT", self.environment),
            token_file: by.given("token_file", "SLEDGE_TOKEN_FILE", self.token_file).map(path),
        };
        (raw, self.log)
    }
}

struct Givers<'a>(&'a ArgMatches);

impl Givers<'_> {
    fn given<T: Into<OsString> + Clone>(
        &self,
        id: &str,
        variable: &'static str,
        value: Option<T>,
    ) -> Option<Given<T>> {
        let value = value?;
        if self.0.value_source(id) != Some(ValueSource::EnvVariable) {
            return Some(Given::by_flag(value));
        }
        let is_empty = value.clone().into().is_empty();
        (!is_empty).then_some(Given { value, origin: Origin::Variable(variable) })
    }
}

fn path(given: Given<OsString>) -> Given<PathBuf> {
    Given { value: PathBuf::from(given.value), origin: given.origin }
}

pub(super) async fn run(
    args: RunArgs,
    matches: &ArgMatches,
    no_color: bool,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    let (raw, log) = args.into_raw(matches);
    let config = Config::new(raw, &Surroundings::of_process());
    log.start(no_color, "info")?;
    serve(config?, voice).await
}

/// Runs the daemon until a signal, and says what it leaves behind.
async fn serve(config: Config, voice: &mut Voice) -> Result<Exit, Failure> {
    let signals = Signals::new()?;
    let daemon = Daemon::build(config).await?;
    let served = |stopped: oneshot::Receiver<()>| async {
        let left = daemon.run(async { drop(stopped.await) }).await?;
        voice.say(&what_is_left(&left))?;
        Ok(Exit::Ok)
    };
    signals.run(served).await
}

/// The last words of a daemon.
pub(super) fn what_is_left(stopped: &Stopped) -> String {
    format!(
        "delivered {}, left {} in the journal",
        figures::count(stopped.delivered),
        figures::count(stopped.left)
    )
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::of(if error.is_temporary() { Exit::Temporary } else { Exit::Unavailable }, &error)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::of(Exit::Io, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, FromArgMatches};

    fn raw(words: &[&str]) -> RawConfig {
        let command = RunArgs::augment_args(Command::new("run"));
        let matches = command.get_matches_from([&["run"], words].concat());
        RunArgs::from_arg_matches(&matches).unwrap().into_raw(&matches).0
    }

    #[test]
    fn flags_are_told_as_flags() {
        let raw = raw(&["--data-dir", "/d", "--admin", "127.0.0.1:0", "--environment", ""]);
        assert_eq!(raw.data_dir, Some(Given::by_flag("/d".into())));
        assert_eq!(raw.admin, Some(Given::by_flag("127.0.0.1:0".to_owned())));
        assert_eq!(raw.environment, Some(Given::by_flag(String::new())));
        assert_eq!(raw.socket, None);
    }
}
