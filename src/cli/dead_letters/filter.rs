//! Which dead letters are meant.

use clap::Args;
use serde::Deserialize;

use crate::cli::voice::read_moment;
use crate::event::{Lane, UnixMillis};
use crate::journal::{DeadLetter, DeadReason, Origin};

/// Letters must match everything that is given.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct FilterArgs {
    /// Why they are dead: refused_by_polar, too_large, poison or refused_at_intake
    #[arg(long, value_name = "REASON", value_parser = read_reason)]
    reason: Option<DeadReason>,
    /// Which side gave them up: delivery or intake
    #[arg(long, value_name = "ORIGIN", value_parser = read_origin)]
    origin: Option<Origin>,
    /// The code of the refusal, such as missing_field
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Their lane, where it is known: grants or usage
    #[arg(long, value_name = "LANE", value_parser = read_lane)]
    lane: Option<Lane>,
    /// The event's name
    #[arg(long, value_name = "NAME")]
    event_name: Option<String>,
    /// Given up at this time or later: RFC 3339, or an age such as 90s, 30m, 12h, 7d
    #[arg(long, value_name = "TIME", value_parser = read_moment)]
    since: Option<UnixMillis>,
    /// Given up before this time: RFC 3339, or an age (7d: older than seven days)
    #[arg(long, value_name = "TIME", value_parser = read_moment)]
    until: Option<UnixMillis>,
}

impl FilterArgs {
    /// Whether the letter is meant.
    pub(super) fn matches(&self, letter: &DeadLetter) -> bool {
        self.reason.is_none_or(|reason| letter.reason == reason)
            && self.origin.is_none_or(|origin| letter.origin == origin)
            && self.code.as_ref().is_none_or(|code| letter.code == *code)
            && self.lane.is_none_or(|lane| letter.lane == Some(lane))
            && self.since.is_none_or(|since| letter.at >= since)
            && self.until.is_none_or(|until| letter.at < until)
            && self.event_name.as_ref().is_none_or(|name| event_name(letter).as_ref() == Some(name))
    }

    /// Whether every letter is meant.
    pub(super) fn is_empty(&self) -> bool {
        let Self { reason, origin, code, lane, event_name, since, until } = self;
        reason.is_none()
            && origin.is_none()
            && code.is_none()
            && lane.is_none()
            && event_name.is_none()
            && since.is_none()
            && until.is_none()
    }
}

/// The name of a letter's event, or of the one its grant stands for, as far as its text can be read.
pub(super) fn event_name(letter: &DeadLetter) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        name: Option<String>,
        grant: Option<GrantNamed>,
    }
    #[derive(Deserialize)]
    struct GrantNamed {
        event: Option<String>,
    }
    let named: Named = serde_json::from_str(&letter.event).ok()?;
    named.name.or_else(|| named.grant?.event)
}

fn read_reason(text: &str) -> Result<DeadReason, String> {
    let all =
        [DeadReason::RefusedByPolar, DeadReason::TooLarge, DeadReason::Poison, DeadReason::RefusedAtIntake];
    one_of(text, all, DeadReason::as_str)
}

fn read_origin(text: &str) -> Result<Origin, String> {
    one_of(text, Origin::ALL, Origin::as_str)
}

fn read_lane(text: &str) -> Result<Lane, String> {
    one_of(text, Lane::ALL, Lane::as_str)
}

fn one_of<T: Copy, const N: usize>(
    text: &str,
    all: [T; N],
    name: fn(T) -> &'static str,
) -> Result<T, String> {
    let known = all.into_iter().find(|one| name(*one) == text);
    known.ok_or_else(|| format!("write {}", all.map(name).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(event: &str) -> DeadLetter {
        DeadLetter {
            origin: Origin::Delivery,
            reason: DeadReason::Poison,
            code: "server_error".to_owned(),
            field: None,
            message: String::new(),
            at: 1_000,
            lane: Some(Lane::Usage),
            seq: Some(1),
            accepted: Some(1),
            attempts: 3,
            altered: false,
            spare_id: None,
            source: None,
            event: event.to_owned(),
        }
    }

    #[test]
    fn everything_that_is_given_must_match() {
        let letter = letter(r#"{"name":"api_usage"}"#);
        let yes = FilterArgs {
            reason: Some(DeadReason::Poison),
            origin: Some(Origin::Delivery),
            code: Some("server_error".to_owned()),
            lane: Some(Lane::Usage),
            event_name: Some("api_usage".to_owned()),
            since: Some(1_000),
            until: Some(1_001),
        };
        assert!(yes.matches(&letter) && FilterArgs::default().matches(&letter));
        for no in [
            FilterArgs { reason: Some(DeadReason::TooLarge), ..yes.clone() },
            FilterArgs { origin: Some(Origin::Intake), ..yes.clone() },
            FilterArgs { code: Some("missing".to_owned()), ..yes.clone() },
            FilterArgs { lane: Some(Lane::Grants), ..yes.clone() },
            FilterArgs { event_name: Some("other".to_owned()), ..yes.clone() },
            FilterArgs { since: Some(1_001), ..yes.clone() },
            FilterArgs { until: Some(1_000), ..yes.clone() },
        ] {
            assert!(!no.matches(&letter) && !no.is_empty(), "{no:?}");
        }
    }

    #[test]
    fn a_name_is_found_in_events_and_grants_and_in_nothing_else() {
        assert_eq!(event_name(&letter(r#"{"name":"a","x":1}"#)).as_deref(), Some("a"));
        assert_eq!(event_name(&letter(r#"{"grant":{"event":"b"}}"#)).as_deref(), Some("b"));
        assert_eq!(event_name(&letter("{\"name\":\"a")), None);
    }
}
