//! What `/status` says, as one JSON object. Fields are added, never renamed or removed.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::view::{Full, View};
use crate::event::{Lane, UnixMillis};
use crate::health::State;
use crate::journal::Accounts;

/// A delivery that is this late is worth a look; Polar answers within seconds, and a rate limit clears within a minute.
pub const LAG_NOTICED_SECONDS: f64 = 300.0;
/// A journal this full is worth a look: in percent of its limit.
pub const FULL_NOTICED_PERCENT: u64 = 80;

/// The daemon at one moment. Ages are in seconds; absent ages are `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of sledge that answers.
    pub version: String,
    /// How long it has been running.
    pub uptime_seconds: f64,
    /// The address of Polar that events go to.
    pub polar: String,
    /// The age of the oldest event still owed to Polar; `null` when nothing is owed.
    pub lag_seconds: Option<f64>,
    /// How long ago Polar last confirmed events; `null` before the first time in this life.
    pub last_delivery_age_seconds: Option<f64>,
    /// What is owed to Polar.
    pub pending: PendingStatus,
    /// Why delivery is held; empty when it is not.
    pub held: Vec<String>,
    /// What has become of every event of this process life.
    pub accounts: AccountsStatus,
    /// Dead letters kept now.
    pub dead_letters: DeadLettersStatus,
    /// The journal's size.
    pub journal: JournalStatus,
    /// Whether every part can serve.
    pub ready: bool,
    /// Every part and how it is doing, by name.
    pub parts: Vec<PartStatus>,
    /// Where events are taken.
    pub listeners: Vec<ListenerStatus>,
    /// The data folder.
    #[serde(default)]
    pub data_dir: String,
    /// Whether this is `sledge dev`, in which nothing need stay.
    #[serde(default)]
    pub trial: bool,
}

/// What is owed to Polar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PendingStatus {
    /// Events of both lanes.
    pub events: u64,
    /// Their texts, in bytes.
    pub bytes: u64,
    /// The lane of credit grants.
    pub grants: LaneStatus,
    /// The lane of everything else.
    pub usage: LaneStatus,
}

/// One lane of what is owed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// Events owed.
    pub events: u64,
    /// The age of the oldest one; `null` when there is none.
    pub oldest_age_seconds: Option<f64>,
}

/// The ledger of this process life:
/// `pending_at_start + accepted + restored = inserted + duplicates + dead_lettered + pending`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountsStatus {
    /// Events owed when the journal was opened.
    pub pending_at_start: u64,
    /// Events made durable.
    pub accepted: u64,
    /// Events put back into pending.
    pub restored: u64,
    /// Events Polar inserted.
    pub inserted: u64,
    /// Events Polar already had.
    pub duplicates: u64,
    /// Accepted events given up: by delivery, or lost on the disk.
    pub dead_lettered: u64,
    /// Events owed to Polar.
    pub pending: u64,
}

/// Dead letters kept now, by the side that gave them up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLettersStatus {
    /// Accepted here, refused by Polar.
    pub delivery: u64,
    /// Refused here, from senders who get no answers.
    pub intake: u64,
    /// Refused in this life and not even kept, because the dead letters had reached their limit.
    #[serde(default)]
    pub not_kept: u64,
    /// How many bytes they are.
    #[serde(default)]
    pub bytes: u64,
    /// The most they may be, before refused events are no longer kept.
    #[serde(default)]
    pub limit_bytes: u64,
}

/// The journal's size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalStatus {
    /// Its folder on disk.
    pub bytes: u64,
    /// The most it may take.
    pub limit_bytes: u64,
}

/// How one part is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartStatus {
    /// Its name.
    pub part: String,
    /// Its state.
    pub state: PartState,
    /// Why it is not simply ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A part's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// It serves.
    Ready,
    /// It serves, but a person should look.
    Degraded,
    /// It can't serve.
    NotReady,
}

/// A place where events are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// What it is, such as `unix`.
    pub name: String,
    /// A path or an address.
    pub address: String,
}

impl ListenerStatus {
    /// A Unix stream socket.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        Self { name: "unix".to_owned(), address: path.display().to_string() }
    }
}

impl Status {
    /// How full the journal is; `None` where it has no limit.
    #[must_use]
    pub fn journal_percent(&self) -> Option<u64> {
        self.journal.bytes.saturating_mul(100).checked_div(self.journal.limit_bytes)
    }

    /// The daemon as `view` shows it now.
    pub(super) fn of(view: &View) -> Self {
        let accounts = view.accounts.read();
        let now = (view.now)();
        let mut parts: Vec<PartStatus> =
            view.health.parts().into_iter().map(|(part, state)| PartStatus::of(part, state)).collect();
        parts.extend(full_journal(&view.full));
        parts.extend(full_dead_letters(&accounts));
        parts.extend(damaged_disk(&accounts));
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: view.started.elapsed().as_secs_f64(),
            polar: view.polar.clone(),
            lag_seconds: age(accounts.oldest_pending_over_all(), now),
            last_delivery_age_seconds: age(accounts.last_delivery, now),
            pending: PendingStatus {
                events: accounts.pending_total(),
                bytes: accounts.pending_bytes,
                grants: LaneStatus::of(&accounts, Lane::Grants, now),
                usage: LaneStatus::of(&accounts, Lane::Usage, now),
            },
            held: view.metrics.held_reasons(),
            accounts: AccountsStatus::of(&accounts),
            dead_letters: DeadLettersStatus::of(&accounts),
            journal: JournalStatus {
                bytes: accounts.journal_bytes,
                limit_bytes: accounts.journal_limit_bytes,
            },
            ready: !parts.iter().any(|part| part.state == PartState::NotReady),
            parts,
            listeners: view.listeners.clone(),
            data_dir: view.data_dir.clone(),
            trial: view.trial,
        }
    }
}

impl LaneStatus {
    fn of(accounts: &Accounts, lane: Lane, now: UnixMillis) -> Self {
        Self { events: accounts.pending[lane], oldest_age_seconds: age(accounts.oldest_pending[lane], now) }
    }
}

impl AccountsStatus {
    fn of(accounts: &Accounts) -> Self {
        Self {
            pending_at_start: accounts.pending_at_start,
            accepted: accounts.accepted_total(),
            restored: accounts.restored.iter().sum(),
            inserted: accounts.inserted,
            duplicates: accounts.duplicates,
            dead_lettered: accounts.dead_lettered_total(),
            pending: accounts.pending_total(),
        }
    }
}

impl DeadLettersStatus {
    fn of(accounts: &Accounts) -> Self {
        let [delivery, intake] = accounts.dead_letters;
        Self {
            delivery,
            intake,
            not_kept: accounts.dead_letters_not_kept,
            bytes: accounts.dead_letter_bytes,
            limit_bytes: accounts.dead_letter_limit_bytes,
        }
    }
}

impl PartStatus {
    fn of(part: &str, state: State) -> Self {
        let (state, reason) = match state {
            State::Ready => (PartState::Ready, None),
            State::Degraded(reason) => (PartState::Degraded, Some(reason)),
            State::NotReady(reason) => (PartState::NotReady, Some(reason)),
        };
        Self { part: part.to_owned(), state, reason }
    }
}

/// A journal without room is a part to look at. It is ready all the same: an app that were kept from sending, or a pod that
/// were restarted for it, would be no better off, and what is pending goes out.
fn full_journal(full: &Full) -> Option<PartStatus> {
    let detail = full(Lane::Usage)?;
    let refused = if full(Lane::Grants).is_some() { "new events are" } else { "new usage is" };
    let reason = format!(
        "{detail}: {refused} refused with journal_full; see what keeps Polar from taking what is pending, raise journal.bytes_max, or free the disk"
    );
    Some(PartStatus::of("space", State::Degraded(reason)))
}

/// A full `dead` row is a part to look at; one with room is nothing to speak of.
fn full_dead_letters(accounts: &Accounts) -> Option<PartStatus> {
    if accounts.dead_letter_limit_bytes == 0 || !accounts.dead_letters_full() {
        return None;
    }
    let (bytes, limit) = (accounts.dead_letter_bytes, accounts.dead_letter_limit_bytes);
    let reason = format!(
        "they hold {bytes} of {limit} bytes: refused events are only counted, not kept; retry, or export and drop, with `sledge dead-letters`"
    );
    Some(PartStatus::of("dead letters", State::Degraded(reason)))
}

/// A disk that damaged volumes, or lost events, is a part to look at, until that has been done.
fn damaged_disk(accounts: &Accounts) -> Option<PartStatus> {
    let (volumes, on_record) = (accounts.quarantined_volumes, accounts.losses_on_record);
    if volumes == 0 && on_record.lines == 0 {
        return None;
    }
    let mut reason = String::new();
    if on_record.lines > 0 {
        let what = match on_record.events.grants + on_record.events.usage {
            0 => "something was lost, how much of what was owed can't be told".to_owned(),
            lost => format!("accepted events were lost: {lost}"),
        };
        reason.push_str(&format!("{what}, see journal/losses in the data folder; "));
    }
    if volumes > 0 {
        reason.push_str(&format!("damaged volumes in journal/quarantine in the data folder: {volumes}, and what was intact in them was salvaged; "));
    }
    reason.push_str("check the disk, and remove what is named here once it has been looked at");
    Some(PartStatus::of("disk", State::Degraded(reason)))
}

/// Seconds since `then`; zero for a time that lies ahead, as after a step of the clock.
fn age(then: Option<UnixMillis>, now: UnixMillis) -> Option<f64> {
    then.map(|then| Duration::from_millis(now.saturating_sub(then)).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PerLane;
    use crate::journal::OnRecord;

    #[test]
    fn a_journal_without_room_is_told_of_with_what_it_still_takes() {
        let full = |closed: &'static [Lane]| {
            let full: Full =
                std::sync::Arc::new(move |lane| closed.contains(&lane).then(|| "1 of 1 bytes".to_owned()));
            full_journal(&full)
        };
        assert_eq!(full(&[]), None);
        for (closed, words) in [
            (&[Lane::Usage][..], "1 of 1 bytes: new usage is refused with journal_full; see"),
            (&[Lane::Grants, Lane::Usage], "1 of 1 bytes: new events are refused with journal_full; see"),
        ] {
            let part = full(closed).unwrap();
            assert_eq!((part.part.as_str(), part.state), ("space", PartState::Degraded));
            assert!(part.reason.as_ref().unwrap().starts_with(words), "{part:?}");
        }
    }

    #[test]
    fn a_loss_of_which_no_event_is_counted_degrades_the_disk_until_its_line_is_gone() {
        let with = |lines, usage| Accounts {
            // What this life has lost counts no more once somebody has seen it.
            dead_lettered: [5; _],
            losses_on_record: OnRecord { lines, events: PerLane { grants: 0, usage } },
            ..Accounts::default()
        };
        assert_eq!(damaged_disk(&with(0, 0)), None);
        for (usage, words) in [(0, "something was lost"), (7, "accepted events were lost: 7, see")] {
            let part = damaged_disk(&with(1, usage)).unwrap();
            assert_eq!(part.state, PartState::Degraded);
            assert!(part.reason.as_ref().unwrap().contains(words), "{part:?}");
        }
    }
}
