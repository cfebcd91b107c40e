//! Looking in: whether sledge lives, whether it is ready, its metrics and its status, over HTTP. The address only ever
//! reads, and shows nothing of any customer. A Unix socket of the owner's own beside it looks after dead letters too, and takes exported events back.

#[expect(clippy::module_inception, reason = "a room's main type lives in the file of the same name")]
mod admin;
mod answer;
mod door;
mod host;
mod import_desk;
mod json_answer;
mod letter_desk;
mod letter_verbs;
mod outlook;
mod recall_desk;
mod recall_verbs;
mod scrape;
mod settings;
mod status;
mod token_desk;
mod view;

pub use admin::{Admin, Desks};
pub use door::Door;
pub use import_desk::{EventRefused, EventsImported, ExportedEvents, ImportDesk};
pub use json_answer::{Problem, ProblemDetail};
pub use letter_desk::{Dropped, Imported, LetterDesk, Letters, Numbers};
pub use outlook::Outlook;
pub use recall_desk::{AskAttempts, RecallDesk};
pub use recall_verbs::{ExplainAsked, ReplayAsked};
pub use settings::Settings;
pub use status::{
    AccountsStatus, DeadLettersStatus, FULL_NOTICED_PERCENT, JournalStatus, LAG_NOTICED_SECONDS, LaneStatus,
    ListenerStatus, PartState, PartStatus, PendingStatus, Status,
};
pub use token_desk::{TokenDesk, TokenTold};
pub use view::{Full, Now, View};
