//! What the admin address can see.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::outlook::Outlook;
use super::status::ListenerStatus;
use crate::event::{Lane, UnixMillis};
use crate::health::Health;
use crate::journal::AccountsReader;
use crate::metrics::Metrics;

/// The time of day, handed in: milliseconds since 1970-01-01T00:00:00Z.
pub type Now = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// Why there is no room for events of a lane, if there is none.
pub type Full = Arc<dyn Fn(Lane) -> Option<String> + Send + Sync>;

/// Windows into the rooms; nothing can be changed through them.
#[derive(Clone)]
pub struct View {
    /// The ledger's figures.
    pub accounts: AccountsReader,
    /// What the rooms report as it happens.
    pub metrics: Metrics,
    /// Who is ready.
    pub health: Health,
    /// Where events are taken.
    pub listeners: Vec<ListenerStatus>,
    /// The data folder.
    pub data_dir: String,
    /// Whether this is `sledge dev`, in which nothing need stay.
    pub trial: bool,
    /// The address of Polar that events go to.
    pub polar: String,
    /// Whether the journal has room.
    pub full: Full,
    /// What the looks so far tell of the time to come.
    pub outlook: Outlook,
    /// When the daemon started.
    pub started: Instant,
    /// The clock that accept times were read from.
    pub now: Now,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("listeners", &self.listeners)
            .field("polar", &self.polar)
            .finish_non_exhaustive()
    }
}
