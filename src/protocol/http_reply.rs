//! The answers of the HTTP side, in Polar's shapes wherever Polar has one: its SDKs must be able to read them.

use super::fault::Fault;
use super::fault_code::FaultCode;
use super::ingest_body::BodyFault;
use super::json_text::{push_number, push_string};
use crate::event::Rejection;

/// A 422 names at most this many faults, so that a body of a million wrong events is not answered with a hundred
/// megabytes.
const FAULTS_NAMED_MAX: usize = 1_000;

/// Status, headers of meaning, and the JSON body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReply {
    /// The status code.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after_seconds: Option<u32>,
    /// `Allow`, for a 405.
    pub allow: Option<&'static str>,
    /// The body: always JSON.
    pub body: Vec<u8>,
}

impl HttpReply {
    /// Everything of an ingest request is on disk.
    #[must_use]
    pub fn accepted(events: usize) -> Self {
        let mut body = br#"{"inserted":"#.to_vec();
        push_number(&mut body, events);
        body.extend_from_slice(br#","duplicates":0}"#);
        Self::json(200, body)
    }

    /// A grant is on disk, under this id.
    #[must_use]
    pub fn granted(external_id: &str) -> Self {
        let mut body = br#"{"inserted":1,"duplicates":0,"external_id":"#.to_vec();
        push_string(&mut body, external_id);
        body.push(b'}');
        Self::json(200, body)
    }

    /// The body is not an ingest request.
    #[must_use]
    pub fn body_fault(fault: &BodyFault) -> Self {
        let mut refusals = Refusals::new();
        match fault {
            BodyFault::NotAnObject => refusals.push(
                "model_attributes_type",
                &[],
                "send a JSON object such as {\"events\":[…]}, with Content-Type: application/json",
            ),
            BodyFault::EventsMissing => {
                refusals.push("missing", &[Step::Key("events")], "Field required: send {\"events\":[…]}")
            }
            BodyFault::EventsNotAList => refusals.push(
                "list_type",
                &[Step::Key("events")],
                "Input should be a valid list: send {\"events\":[…]}",
            ),
            BodyFault::Malformed { offset } => refusals.push(
                "json_invalid",
                &[Step::Index(*offset)],
                "JSON decode error: the body stops being JSON at this byte",
            ),
        }
        refusals.into_reply()
    }

    /// The journal can't take the events now, but will.
    #[must_use]
    pub fn unavailable(fault: &Fault<'_>, retry_after_seconds: u32) -> Self {
        let reply = Self::with_status(503, fault.code, &fault.message);
        Self { retry_after_seconds: Some(retry_after_seconds), ..reply }
    }

    /// The body is larger than Polar would take.
    #[must_use]
    pub fn body_too_large(body_bytes_max: usize) -> Self {
        let detail =
            format!("the body is larger than {body_bytes_max} bytes; send fewer events in one request");
        Self::error(FaultCode::BodyTooLarge, &detail)
    }

    /// The path is known, the method is not; `allow` is the one it takes.
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let reply = Self::error(FaultCode::MethodNotAllowed, &format!("this path takes {allow} only"));
        Self { allow: Some(allow), ..reply }
    }

    /// Any refusal that is not about events: Polar's `error` and `detail`, where the detail says what to do.
    #[must_use]
    pub fn error(code: FaultCode, detail: &str) -> Self {
        Self::with_status(code.status().unwrap_or(400), code.as_str(), detail)
    }

    /// A JSON body with a 200.
    #[must_use]
    pub fn ok(body: Vec<u8>) -> Self {
        Self::json(200, body)
    }

    fn with_status(status: u16, code: &str, detail: &str) -> Self {
        let mut body = br#"{"error":"#.to_vec();
        push_string(&mut body, code);
        body.extend_from_slice(br#","detail":"#);
        push_string(&mut body, detail);
        body.push(b'}');
        Self::json(status, body)
    }

    fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, retry_after_seconds: None, allow: None, body }
    }
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// The faults of a request on their way to being a 422.
#[derive(Clone, Debug)]
pub struct Refusals {
    detail: Vec<u8>,
    named: usize,
    unnamed: usize,
}

impl Refusals {
    /// No faults.
    #[must_use]
    pub fn new() -> Self {
        Self { detail: Vec::new(), named: 0, unnamed: 0 }
    }

    /// The event at `index` of the list has these faults.
    pub fn event(&mut self, index: usize, rejections: &[Rejection]) {
        for rejection in rejections {
            self.rejection(&[Step::Key("events"), Step::Index(index)], rejection);
        }
    }

    /// The body itself, being one grant, has these faults.
    pub fn grant(&mut self, rejections: &[Rejection]) {
        for rejection in rejections {
            self.rejection(&[], rejection);
        }
    }

    fn rejection(&mut self, root: &[Step<'_>], rejection: &Rejection) {
        let path = rejection.path().iter().map(|key| Step::Key(key));
        let steps: Vec<_> = root.iter().copied().chain(path).collect();
        self.push_coded(rejection.polar_kind(), rejection.code().as_str(), &steps, rejection.message());
    }

    /// Whether no fault was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named == 0
    }

    /// The 422 that names them.
    #[must_use]
    pub fn into_reply(mut self) -> HttpReply {
        if self.unnamed > 0 {
            let more = format!("{} more faults are not named here; mend these first", self.unnamed);
            self.write("too_many_faults", "too_many_faults", &[Step::Key("events")], &more);
        }
        let mut body = br#"{"error":"RequestValidationError","detail":["#.to_vec();
        body.append(&mut self.detail);
        body.extend_from_slice(b"]}");
        HttpReply::json(422, body)
    }

    /// A fault for which Polar's kind is code enough.
    fn push(&mut self, kind: &str, steps: &[Step<'_>], message: &str) {
        self.push_coded(kind, kind, steps, message);
    }

    fn push_coded(&mut self, kind: &str, code: &str, steps: &[Step<'_>], message: &str) {
        if self.named == FAULTS_NAMED_MAX {
            self.unnamed += 1;
        } else {
            self.named += 1;
            self.write(kind, code, steps, message);
        }
    }

    fn write(&mut self, kind: &str, code: &str, steps: &[Step<'_>], message: &str) {
        let out = &mut self.detail;
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"type":"#);
        push_string(out, kind);
        out.extend_from_slice(br#","loc":["body""#);
        for step in steps {
            out.push(b',');
            match step {
                Step::Key(key) => push_string(out, key),
                Step::Index(index) => push_number(out, *index),
            }
        }
        out.extend_from_slice(br#"],"msg":"#);
        push_string(out, message);
        out.extend_from_slice(br#","code":"#);
        push_string(out, code);
        out.push(b'}');
    }
}

impl Default for Refusals {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply: &HttpReply) -> &str {
        std::str::from_utf8(&reply.body).unwrap()
    }

    #[test]
    fn success_is_spelled_exactly_as_polar_spells_it() {
        assert_eq!(text(&HttpReply::accepted(12)), r#"{"inserted":12,"duplicates":0}"#);
        assert_eq!(
            text(&HttpReply::granted("g\"1")),
            r#"{"inserted":1,"duplicates":0,"external_id":"g\"1"}"#
        );
    }

    #[test]
    fn faults_of_the_body_lie_where_polar_puts_them() {
        let loc = |fault: BodyFault| {
            let reply = HttpReply::body_fault(&fault);
            assert_eq!(reply.status, 422);
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(body["error"], "RequestValidationError");
            body["detail"][0]["loc"].to_string()
        };
        assert_eq!(loc(BodyFault::NotAnObject), r#"["body"]"#);
        assert_eq!(loc(BodyFault::EventsMissing), r#"["body","events"]"#);
        assert_eq!(loc(BodyFault::EventsNotAList), r#"["body","events"]"#);
        assert_eq!(loc(BodyFault::Malformed { offset: 17 }), r#"["body",17]"#);
    }

    #[test]
    fn a_refused_event_is_named_by_index_and_field_path() {
        let mut refusals = Refusals::new();
        refusals.push("number", &[Step::Key("events"), Step::Index(3), Step::Key("metadata")], "m");
        refusals.push("missing", &[Step::Key("events"), Step::Index(4)], "n");
        assert_eq!(
            text(&refusals.into_reply()),
            r#"{"error":"RequestValidationError","detail":[{"type":"number","loc":["body","events",3,"metadata"],"msg":"m","code":"number"},{"type":"missing","loc":["body","events",4],"msg":"n","code":"missing"}]}"#
        );
    }

    #[test]
    fn a_flood_of_faults_gets_a_bounded_answer() {
        let mut refusals = Refusals::new();
        for index in 0..FAULTS_NAMED_MAX + 7 {
            refusals.push("missing", &[Step::Key("events"), Step::Index(index)], "m");
        }
        let reply = refusals.into_reply();
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let detail = body["detail"].as_array().unwrap();
        assert_eq!(detail.len(), FAULTS_NAMED_MAX + 1);
        assert!(detail[FAULTS_NAMED_MAX]["msg"].as_str().unwrap().starts_with("7 more"));
    }
}
