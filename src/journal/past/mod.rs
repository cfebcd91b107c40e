//! Looking back: what became of an event, and sending again what was delivered.

mod deputy;
mod explain;
mod looker;
mod pace;
mod recall;
#[cfg(test)]
mod recall_tests;
mod replay;
mod volume_file;

pub(super) use deputy::{Deputy, work_apart};
pub use explain::{Answer, EventState, ExplainedEvent, ExplainedLetter, Explanation};
pub use looker::Searched;
pub(super) use pace::Pace;
pub use recall::Recall;
pub use replay::{ReplayProgress, Replayed, Span};
pub(super) use volume_file::VolumeFile;
