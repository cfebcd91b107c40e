//! Whether a dead letter can be sent again, and what is sent then. Pure.

use serde::{Deserialize, Serialize};

use super::dead_letter::DeadLetter;
use super::dead_letters::LetterNumber;
use crate::event::{Event, EventBuf, EventId, Form, Lane, Rules, UnixMillis};

/// Why a dead letter was not retried. It stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryRefused {
    /// Its number.
    pub number: LetterNumber,
    /// The stable code of the refusal.
    pub code: String,
    /// The field at fault, where one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

/// A dead letter's event, complete, on its way back to its lane.
#[derive(Debug)]
pub(in crate::journal) struct Requeued {
    pub(super) number: LetterNumber,
    pub(super) lane: Lane,
    pub(super) events: EventBuf,
}

impl Requeued {
    /// The event of a letter, if it can be sent: every rule is looked at again. What is stamped is the time it came
    /// and the id that was fixed when it was kept.
    pub(super) fn of(
        number: LetterNumber,
        letter: &DeadLetter,
        rules: &Rules,
        now: UnixMillis,
    ) -> Result<Self, RetryRefused> {
        let refused = |code: &str, field: Option<String>, message: String| RetryRefused {
            number,
            code: code.to_owned(),
            field,
            message,
        };
        if letter.altered {
            let message = "the text is not all that came (it was too long to be kept whole, or not UTF-8), so it can't be sent; have its sender send it again, then drop this letter";
            return Err(refused("altered", None, message.to_owned()));
        }
        let event = Event::read(letter.event.as_bytes(), Form::EventOrGrant, rules, now);
        let event = event.map_err(|rejections| match rejections.first() {
            Some(first) => {
                let field = (!first.field().is_empty()).then(|| first.field().to_owned());
                let message =
                    format!("{}; export the letter, correct its event, and import it", first.message());
                refused(first.code().as_str(), field, message)
            }
            None => refused("refused", None, "sledge would refuse it again".to_owned()),
        })?;
        let lane = event.lane();
        let spare = letter.spare_id.as_deref().and_then(EventId::stamped_before);
        let mut events = EventBuf::new();
        match (event.external_id().is_some(), spare) {
            (true, _) => drop(event.write(letter.at, &mut crate::event::IdSource::new(), &mut events)),
            (false, Some(id)) => drop(event.write_as(letter.at, id, &mut events)),
            // A new id for each try would make a letter that is retried twice count twice.
            (false, None) => {
                let message = "it has no external_id and none was set aside for it; export the letter, give its event one, and import it";
                return Err(refused("no_external_id", Some("external_id".to_owned()), message.to_owned()));
            }
        }
        Ok(Self { number, lane, events })
    }
}

#[cfg(test)]
mod tests {
    use super::super::dead_letter::{DeadReason, Origin};
    use super::*;

    fn letter(event: &str) -> DeadLetter {
        DeadLetter {
            origin: Origin::Intake,
            reason: DeadReason::RefusedAtIntake,
            code: "missing".into(),
            field: None,
            message: "Field required".into(),
            at: 1_700_000_000_000,
            lane: None,
            seq: None,
            accepted: None,
            attempts: 0,
            altered: false,
            spare_id: Some("0190163d-8694-7a5b-ab01-2f5d3b5e8a00".into()),
            source: None,
            event: event.into(),
        }
    }

    fn text(letter: &DeadLetter) -> Result<String, String> {
        let requeued = Requeued::of(3, letter, &Rules::default(), 1_700_000_100_000);
        let text = |requeued: Requeued| {
            requeued.events.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
        };
        requeued.map(text).map_err(|refused| refused.code)
    }

    #[test]
    fn an_id_of_its_own_is_kept_to_the_letter() {
        let event = r#"{"name":"a","external_customer_id":"c","external_id":"call-7","timestamp":"2023-01-01T00:00:00Z"}"#;
        assert_eq!(text(&letter(event)).unwrap(), event);
    }

    #[test]
    fn without_an_id_it_goes_by_the_one_set_aside_and_by_the_time_it_came_however_often() {
        for event in [
            r#"{"name":"a","external_customer_id":"c"}"#,
            r#"{"name":"a","external_id":null,"external_customer_id":"c"}"#,
        ] {
            let once = text(&letter(event)).unwrap();
            assert!(once.contains(r#""external_id":"0190163d-8694-7a5b-ab01-2f5d3b5e8a00""#), "{once}");
            assert!(once.contains(r#""timestamp":"2023-11-14T22:13:20"#), "{once}");
            assert_eq!(text(&letter(event)).unwrap(), once);
        }
    }

    #[test]
    fn what_can_not_be_sent_as_it_came_is_refused_with_a_reason() {
        let good = r#"{"name":"a","external_customer_id":"c"}"#;
        assert_eq!(text(&letter("{")).unwrap_err(), "malformed_json");
        assert_eq!(text(&DeadLetter { altered: true, ..letter(good) }).unwrap_err(), "altered");
        for spare_id in [None, Some("\",\"name\":\"b".to_owned())] {
            assert_eq!(text(&DeadLetter { spare_id, ..letter(good) }).unwrap_err(), "no_external_id");
        }
    }

    #[test]
    fn a_grant_goes_back_to_the_lane_of_grants() {
        let grant = r#"{"grant":{"event":"a","property":"units","credits":5},"external_customer_id":"c"}"#;
        let requeued = Requeued::of(3, &letter(grant), &Rules::default(), 1_700_000_100_000).unwrap();
        assert_eq!(requeued.lane, Lane::Grants);
    }
}
