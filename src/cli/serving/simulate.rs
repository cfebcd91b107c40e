//! `sledge simulate`: Polar in memory, alone.

use std::net::SocketAddr;

use clap::Args;
use tokio::net::TcpListener;

use super::arrival_lines;
use super::signals::Signals;
use crate::cli::voice::{Exit, Failure, LogArgs, Voice};
use crate::clock::Clock;
use crate::simulator::{Settings, Simulator};

/// Runs Polar in memory: for tests, and for trying an application without an account.
///
/// It answers as Polar does, to any token that starts with polar_oat_. What arrives is shown here as it arrives, and
/// on its page /simulator.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sledge simulate
  sledge simulate --json --listen 127.0.0.1:0      says first where it listens, then what arrives
  POLAR_ACCESS_TOKEN=polar_oat_any sledge run --polar-url http://127.0.0.1:8899

Exit codes: 0 stopped, 64 the address is no loopback address, 69 it can't be had.")]
pub(in crate::cli) struct SimulateArgs {
    /// The loopback address to listen on; port 0 takes any free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8899")]
    listen: SocketAddr,
    /// One JSON object a line: first where it listens, then each request that arrives, with its first events
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    log: LogArgs,
}

/// A simulator on the real clock.
pub(super) fn simulator(of_dev: bool) -> Simulator {
    let clock = Clock::system();
    let mut settings = Settings::new(move || clock.now_micros());
    settings.of_dev = of_dev;
    Simulator::new(settings)
}

/// Binds a loopback address: the simulator asks nobody who they are.
pub(super) async fn bind(listen: SocketAddr) -> Result<TcpListener, Failure> {
    if !listen.ip().is_loopback() {
        let message =
            format!("{listen} is not a loopback address, and the simulator lets everybody in; use 127.0.0.1");
        return Err(Failure::new(Exit::Usage, message));
    }
    TcpListener::bind(listen).await.map_err(|error| {
        Failure::new(
            Exit::Unavailable,
            format!("failed to listen on {listen}: {error}; give another --listen"),
        )
    })
}

pub(in crate::cli) async fn simulate(
    args: SimulateArgs,
    no_color: bool,
    voice: &mut Voice,
) -> Result<Exit, Failure> {
    args.log.start(no_color, "info")?;
    let listener = bind(args.listen).await?;
    let address = format!("http://{}", listener.local_addr()?);
    let simulator = simulator(false);
    let mut arrivals = simulator.arrivals();
    // Before anybody can know the address and stop it in the next moment.
    let signals = Signals::new()?;
    voice.say(&greeting(&address, args.json))?;
    let work = |stopped: tokio::sync::oneshot::Receiver<()>| async move {
        tokio::select! {
            served = simulator.serve(listener, async { drop(stopped.await) }) => served?,
            Err(failure) = arrival_lines::tell(&simulator, &mut arrivals, args.json, voice) => return Err(failure),
        }
        arrival_lines::tell_the_rest(&simulator, &mut arrivals, args.json, voice)?;
        Ok(Exit::Ok)
    };
    signals.run(work).await
}

fn greeting(address: &str, json: bool) -> String {
    if json {
        return serde_json::json!({"listening": address}).to_string();
    }
    format!("Polar in memory listens on {address}; what arrived: {address}/simulator")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_simulator_is_never_open_to_the_network() {
        let failure = bind("0.0.0.0:0".parse().unwrap()).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(bind("127.0.0.1:0".parse().unwrap()).await.is_ok());
    }
}
