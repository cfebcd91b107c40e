//! Looking at a sledge that runs, or at the journal of one that does not, and at what became of events.

mod admin_socket;
mod balance;
mod balance_pending;
mod dev_elsewhere;
mod doctor;
mod explain;
mod place;
mod recall_box;
mod replay;
mod status;

pub(super) use admin_socket::{PATIENCE, Unanswered, ask, not_done, post};
pub(super) use balance::{BalanceArgs, balance};
pub(super) use dev_elsewhere::or_dev;
pub(super) use doctor::{DoctorArgs, doctor};
pub(super) use explain::{ExplainArgs, explain};
pub(super) use place::{Place, PlaceArgs, named};
pub(super) use replay::{ReplayArgs, replay};
pub(super) use status::{StatusArgs, status};
