//! Who answers where Polar was said to be, when that is on this machine: to try sledge out, another Polar stands there, and
//! what it was told stays in variables longer than it stands.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::finding::{Code, Finding};
use crate::client::exchange;
use crate::config::VARIABLES_OF_DEV;
use crate::polar::BaseUrl;

/// Whoever does not answer on the same machine within this is no simulator.
const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Who answers at an address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandIn {
    /// Nobody.
    Nobody,
    /// Polar in memory, of a `sledge dev`.
    OfDev,
    /// Anybody else.
    Another,
}

/// What of the simulator's state tells whose it is.
#[derive(Deserialize)]
struct State {
    of_dev: bool,
}

impl StandIn {
    /// Asks there; `None` for an address of another machine, and for one that speaks TLS.
    pub async fn at(url: &BaseUrl) -> Option<Self> {
        let place = url.on_this_machine()?;
        match timeout(PATIENCE, TcpStream::connect(&place)).await {
            Ok(Ok(stream)) => {
                let asked = timeout(PATIENCE, is_of_dev(stream, &place)).await;
                Some(if asked.ok().flatten() == Some(true) { Self::OfDev } else { Self::Another })
            }
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Some(Self::Nobody),
            Ok(Err(_)) | Err(_) => Some(Self::Another),
        }
    }

    /// Why no events should go to this one at `url`; `None` where nothing speaks against it.
    #[must_use]
    pub fn objection(self, url: &BaseUrl) -> Option<Finding> {
        let url = url.as_str();
        match self {
            Self::Nobody => {
                let seen = format!("events go to {url}, on this machine, and nobody is there");
                Some(Finding::new(Code::PolarUnreachable, seen, nobody_there()))
            }
            Self::OfDev => {
                let seen = format!("events go to {url}, which is the Polar in memory of a `sledge dev`");
                Some(Finding::new(Code::PolarOfDev, seen, unset()))
            }
            Self::Another => None,
        }
    }
}

/// What to do about it.
pub(super) fn nobody_there() -> String {
    format!("start what is to answer there; where a `sledge dev` was, {}", unset())
}

fn unset() -> String {
    format!(
        "unset what it told the terminal of sledge to set ({}), and start sledge again",
        VARIABLES_OF_DEV.join(" ")
    )
}

async fn is_of_dev(stream: TcpStream, place: &str) -> Option<bool> {
    let request = Request::get("/simulator/state").header(HOST, place).body(Full::<Bytes>::default()).ok()?;
    let (status, body) = exchange(stream, request, ANSWER_BYTES_MAX).await.ok()?;
    let state: State = serde_json::from_slice(&body).ok().filter(|_| status == StatusCode::OK)?;
    Some(state.of_dev)
}
