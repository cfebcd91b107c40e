//! Looking in: whether sledge lives, whether it is ready, its metrics and its status, over HTTP. It only ever reads,
//! and shows nothing of any customer.

#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod admin;
mod answer;
mod host;
mod outlook;
mod scrape;
mod settings;
mod status;
mod view;

pub use admin::Admin;
pub use outlook::Outlook;
pub use settings::Settings;
pub use status::{
    AccountsStatus, DeadLettersStatus, JournalStatus, LaneStatus, ListenerStatus, PartState, PartStatus,
    PendingStatus, Status,
};
pub use view::{Now, View};
