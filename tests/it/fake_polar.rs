//! Polar, as its simulator, on a port that stays the same while it goes away and comes back.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sledge::simulator::{Settings, Simulator};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::sledge_process::PATIENCE;

/// A simulated Polar that is reachable, or not.
pub(crate) struct FakePolar {
    pub(crate) simulator: Simulator,
    address: SocketAddr,
    serving: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// Never listens. As long as it is bound, the system gives the port to nobody else while Polar is away.
    _place: TcpSocket,
}

impl FakePolar {
    pub(crate) async fn start() -> Self {
        let place = bound("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = place.local_addr().unwrap();
        let listener = listening(address);
        let mut settings = Settings::new(now);
        // Every text is looked at for doubles, however many there are.
        settings.kept_events_max = usize::MAX;
        let mut polar = Self { simulator: Simulator::new(settings), address, serving: None, _place: place };
        polar.serve(listener);
        polar
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops answering: connections are refused until [`come_back`](Self::come_back).
    pub(crate) async fn go_away(&mut self) {
        if let Some((stop, serving)) = self.serving.take() {
            stop.send(()).unwrap();
            serving.await.unwrap();
        }
    }

    /// Answers again, on the same port, with everything it had.
    pub(crate) fn come_back(&mut self) {
        self.serve(listening(self.address));
    }

    #[expect(clippy::disallowed_methods, reason = "a test owns its Polar")]
    fn serve(&mut self, listener: TcpListener) {
        let (stop, stopped) = oneshot::channel();
        let simulator = self.simulator.clone();
        let serving = tokio::spawn(async move {
            simulator.serve(listener, async { drop(stopped.await) }).await.unwrap();
        });
        self.serving = Some((stop, serving));
    }

    /// Waits until so many events were inserted; panics with what there is when they do not come.
    pub(crate) async fn has_events(&self, events: u64, patience: Duration) {
        let there = self.simulator.wait_for_events(events, patience).await;
        assert!(there, "{events} events were expected, but this is what came: {:?}", self.simulator.state());
    }
}

/// A child that another test is starting just then has a copy of the listener that was closed, until it is another
/// program: so long the port is taken.
fn listening(address: SocketAddr) -> TcpListener {
    let begun = Instant::now();
    loop {
        match bound(address).and_then(|socket| socket.listen(1_024)) {
            Ok(listener) => return listener,
            Err(error) if error.kind() == ErrorKind::AddrInUse && begun.elapsed() < PATIENCE => {
                std::thread::yield_now();
            }
            Err(error) => panic!("{address}: {error}"),
        }
    }
}

fn bound(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

#[expect(clippy::disallowed_methods, reason = "the simulator's clock is not the daemon's")]
fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}
