//! `sledge run`: the daemon.

use clap::Args;
use tokio::sync::oneshot;

use super::core_dumps;
use super::signals::{HangUps, Signals};
use crate::cli::config_args::ConfigArgs;
use crate::cli::voice::{Exit, Failure, Voice, figures, log};
use crate::config::{Config, Origin, Sources, VARIABLES_OF_DEV};
use crate::daemon::{Daemon, Reloader, RunError, StartError, Stopped};
use crate::doctor::StandIn;
use crate::polar::TokenSource;
use crate::telemetry::FilterHandle;

/// Runs the daemon: takes events on its socket, keeps them on disk, and delivers them to Polar.
///
/// The token comes from --token-file, else from the systemd credential polar_access_token, else from the variable
/// POLAR_ACCESS_TOKEN. It is never an argument.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  POLAR_ACCESS_TOKEN=polar_oat_… sledge run
  sledge run --environment sandbox --token-file /etc/sledge/token
  sledge run --data-dir ./data --socket ./sledge.sock --admin 127.0.0.1:0

A flag outweighs its variable; that outweighs the file; that outweighs POLAR_MODE and POLAR_SERVER, which name an \
environment. Every limit has a key in the file and a variable: sledge config default shows them.
SIGHUP reads the file again. SIGTERM and SIGINT drain; a second one stops at once, and loses nothing.
Exit codes: 0 drained, 69 something it needs is not there, 74 the disk failed, \
75 another daemon has the data folder, 78 a setting can't be used.")]
pub(in crate::cli) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(in crate::cli) async fn run(args: RunArgs, no_color: bool, voice: &mut Voice) -> Result<Exit, Failure> {
    // From here on a SIGHUP asks for a reload; before, it would end the process.
    let hang_ups = HangUps::new()?;
    // And before the token is read.
    let without_core = core_dumps::turn_off();
    let sources = args.config.sources;
    let config = sources.read()?;
    let filter = log::start(&config.log, no_color)?;
    refuse_what_dev_told(&config).await?;
    if let Err(error) = without_core {
        tracing::warn!(%error, "core dumps could not be turned off: a crash may write the token to the disk");
    }
    Box::pin(serve(config, Reloads { sources, hang_ups, filter }, voice)).await
}

/// What `sledge dev` told other terminals to set outlives it, and leads events to where nobody is billed for them. A Polar
/// that somebody named on purpose, by a flag or in the file, is not asked who it is.
async fn refuse_what_dev_told(config: &Config) -> Result<(), Failure> {
    let refused = |what: &str| {
        let message = format!(
            "{what}, and nobody is billed for what it is sent; run this in another terminal, or unset {} here first; to try things out with other flags, give them to `sledge dev`",
            VARIABLES_OF_DEV.join(" ")
        );
        Err(Failure::new(Exit::Configuration, message))
    };
    if matches!(&config.polar.token, TokenSource::Fixed(token) if token.is_of_dev()) {
        return refused(
            "POLAR_ACCESS_TOKEN is what `sledge dev` told this terminal to set: it is for its Polar in memory",
        );
    }
    let url = &config.polar.base_url;
    if !matches!(config.origins.of("polar_url"), Origin::Variable(_)) {
        return Ok(());
    }
    match StandIn::at(url).await {
        Some(StandIn::OfDev) => refused(&format!(
            "SLEDGE_POLAR_URL is what `sledge dev` told this terminal to set: {} is its Polar in memory",
            url.as_str()
        )),
        Some(StandIn::Nobody) => {
            tracing::warn!(
                polar = url.as_str(),
                "SLEDGE_POLAR_URL names a Polar on this machine, and nobody is there: events are kept until somebody is. Where \
                 a `sledge dev` told to set it, stop this one, unset {} here and start it again",
                VARIABLES_OF_DEV.join(" ")
            );
            Ok(())
        }
        Some(StandIn::Another) | None => Ok(()),
    }
}

/// Runs the daemon until a signal, and says what it leaves behind.
async fn serve(config: Config, reloads: Reloads, voice: &mut Voice) -> Result<Exit, Failure> {
    let signals = Signals::new()?;
    let mut daemon = Daemon::build(config).await?;
    let reloader = daemon.take_reloader();
    let served = |stopped: oneshot::Receiver<()>| async {
        let reloading = async {
            match reloader {
                Some(reloader) => reloads.run(reloader).await,
                None => std::future::pending().await,
            }
        };
        let left = tokio::select! {
            left = Box::pin(daemon.run(async { drop(stopped.await) })) => left?,
            () = reloading => return Err(Failure::new(Exit::Unavailable, "reloading ended unexpectedly; please report this")),
        };
        voice.say(&what_is_left(&left))?;
        Ok(Exit::Ok)
    };
    Box::pin(signals.run(served)).await
}

/// Reads the configuration again whenever a SIGHUP asks for it. It has no task of its own: it runs beside the daemon on
/// the main thread, so that reading the file keeps no connection waiting.
struct Reloads {
    sources: Sources,
    hang_ups: HangUps,
    filter: FilterHandle,
}

impl Reloads {
    async fn run(mut self, mut reloader: Reloader) {
        loop {
            self.hang_ups.next().await;
            reloader.reload(self.sources.read());
            // It was checked with the rest of the configuration.
            drop(self.filter.change(&reloader.config().log.filter));
        }
    }
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
        let exit = match &error {
            _ if error.is_temporary() => Exit::Temporary,
            _ if error.is_configuration() => Exit::Configuration,
            StartError::Journal(_) | StartError::JournalPanicked => Exit::Io,
            _ => Exit::Unavailable,
        };
        Self::of(exit, &error)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::of(Exit::Io, &error)
    }
}
