//! Reading a 422: which events Polar refuses, and in which words.

use std::collections::BTreeMap;

use crate::polar::{Fault, LocPart, ValidationReply};

/// Polar's words are kept to this many characters: they are its own texts, never long.
const MESSAGE_CHARS_MAX: usize = 500;

/// What a 422 says about the events of its request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The events that Polar will never take, ascending by index.
    pub refused: Vec<Finding>,
    /// The indices of events whose only fault is a timestamp ahead of Polar's clock, ascending: time mends it.
    pub early: Vec<usize>,
}

/// Polar's word on one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its index in the request.
    pub index: usize,
    /// Polar's `type`.
    pub code: String,
    /// The path of the field, from the event's root.
    pub field: Option<String>,
    /// Polar's `msg`.
    pub message: String,
}

impl Findings {
    /// Reads the answer to a request of `sent` events. `None` when it names no event, or one that was not sent: then it
    /// does not tell which event is at fault.
    #[must_use]
    pub fn read(reply: &ValidationReply, sent: usize) -> Option<Self> {
        let mut by_event = BTreeMap::<usize, Vec<&Fault>>::new();
        for fault in &reply.detail {
            if let Some(index) = fault.event_index() {
                by_event.entry(index).or_default().push(fault);
            }
        }
        if by_event.is_empty() || by_event.keys().any(|index| *index >= sent) {
            return None;
        }
        let mut findings = Self::default();
        for (index, faults) in by_event {
            match gravest(&faults) {
                Some(fault) => findings.refused.push(Finding::new(index, fault)),
                None => findings.early.push(index),
            }
        }
        Some(findings)
    }
}

impl Finding {
    /// Polar's word on the event at `index`.
    #[must_use]
    pub fn new(index: usize, fault: &Fault) -> Self {
        let path: Vec<String> = field_path(fault).iter().map(LocPart::to_string).collect();
        Self {
            index,
            code: fault.kind.clone(),
            field: (!path.is_empty()).then(|| path.join(".")),
            message: fault.msg.chars().take(MESSAGE_CHARS_MAX).collect(),
        }
    }
}

/// The fault that keeps an event from being taken; `None` when only its timestamp's time has not come yet.
///
/// Polar tries an event as one of two kinds and lists the faults of both. The event was meant as the kind it came
/// nearest to, so the words of the kind with the fewest faults are the ones that help.
fn gravest<'a>(faults: &[&'a Fault]) -> Option<&'a Fault> {
    let mut kinds = Vec::<(Option<&str>, Vec<&Fault>)>::new();
    for fault in faults {
        let kind = kind_of_event(fault);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, of_kind)) => of_kind.push(fault),
            None => kinds.push((kind, vec![fault])),
        }
    }
    if kinds.iter().any(|(_, of_kind)| of_kind.iter().all(|fault| is_early(fault))) {
        return None;
    }
    let nearest = kinds.into_iter().map(|(_, of_kind)| of_kind).min_by_key(Vec::len)?;
    nearest.into_iter().find(|fault| !is_early(fault))
}

fn is_early(fault: &Fault) -> bool {
    let of_timestamp = matches!(fault.loc.last(), Some(LocPart::Key(field)) if field == "timestamp");
    of_timestamp && fault.msg.to_ascii_lowercase().contains("must be in the past")
}

fn kind_of_event(fault: &Fault) -> Option<&str> {
    match fault.loc.get(3) {
        Some(LocPart::Key(kind)) if kind.starts_with("EventCreate") => Some(kind),
        _ => None,
    }
}

/// The path after `body`, `events`, the index and the kind.
fn field_path(fault: &Fault) -> &[LocPart] {
    let before =
        if fault.event_index().is_none() { 0 } else { 3 + usize::from(kind_of_event(fault).is_some()) };
    fault.loc.get(before..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(faults: &str) -> ValidationReply {
        serde_json::from_str(&format!(r#"{{"error":"RequestValidationError","detail":[{faults}]}}"#)).unwrap()
    }

    fn fault(loc: &str, msg: &str) -> String {
        format!(r#"{{"type":"t","loc":{loc},"msg":"{msg}","input":"customer data"}}"#)
    }

    #[test]
    fn the_words_are_those_of_the_kind_the_event_came_nearest_to() {
        let answer = reply(
            &[
                fault(r#"["body","events",2,"EventCreateCustomer","customer_id"]"#, "Field required"),
                fault(r#"["body","events",2,"EventCreateCustomer","metadata","units"]"#, "too long"),
                fault(r#"["body","events",2,"EventCreateExternalCustomer","metadata","units"]"#, "too long"),
            ]
            .join(","),
        );
        let findings = Findings::read(&answer, 3).unwrap();
        assert!(findings.early.is_empty());
        let expected = Finding {
            index: 2,
            code: "t".to_owned(),
            field: Some("metadata.units".to_owned()),
            message: "too long".to_owned(),
        };
        assert_eq!(findings.refused, [expected]);
    }

    #[test]
    fn the_second_layer_names_its_field_without_a_kind() {
        let answer = reply(&fault(r#"["body","events",0,"customer_id"]"#, "Customer not found."));
        let findings = Findings::read(&answer, 1).unwrap();
        assert_eq!(findings.refused[0].field.as_deref(), Some("customer_id"));
        assert_eq!(findings.refused[0].message, "Customer not found.");
    }

    #[test]
    fn an_event_that_is_only_early_is_not_refused() {
        let early = "Value error, Timestamp must be in the past.";
        let answer = reply(
            &[
                fault(r#"["body","events",0,"EventCreateCustomer","timestamp"]"#, early),
                fault(r#"["body","events",0,"EventCreateCustomer","customer_id"]"#, "Field required"),
                fault(r#"["body","events",0,"EventCreateExternalCustomer","timestamp"]"#, early),
                fault(r#"["body","events",1,"EventCreateCustomer","timestamp"]"#, early),
                fault(r#"["body","events",1,"EventCreateCustomer","name"]"#, "Field required"),
                fault(r#"["body","events",1,"EventCreateExternalCustomer","timestamp"]"#, early),
                fault(r#"["body","events",1,"EventCreateExternalCustomer","name"]"#, "Field required"),
            ]
            .join(","),
        );
        let findings = Findings::read(&answer, 2).unwrap();
        assert_eq!(findings.early, [0]);
        assert_eq!((findings.refused[0].index, findings.refused[0].field.as_deref()), (1, Some("name")));
    }

    #[test]
    fn an_answer_that_names_no_event_or_a_wrong_one_tells_nothing() {
        for loc in [r#"["body"]"#, r#"["body","events"]"#, r#"["body",17]"#, r#"["query","events",0]"#] {
            assert_eq!(Findings::read(&reply(&fault(loc, "no")), 20), None, "{loc}");
        }
        let one_right = fault(r#"["body","events",0,"name"]"#, "no");
        let one_wrong = fault(r#"["body","events",20,"name"]"#, "no");
        assert_eq!(Findings::read(&reply(&format!("{one_right},{one_wrong}")), 20), None);
        assert_eq!(Findings::read(&reply(""), 20), None);
    }
}
