//! Replies written beforehand for the next ingest requests.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::reply::Reply;

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Before anything is committed.
    BeforeCommit,
    /// After the commit, without an answer.
    AfterCommit,
    /// After the commit, in the middle of the answer's body.
    MidAnswer,
}

/// What happens to one of the next ingest requests. The default is the ordinary answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scripted {
    /// How many requests in a row it is for; 0 counts as 1.
    pub times: u32,
    /// The status to answer with instead of Polar's own.
    pub status: Option<u16>,
    /// Headers of that answer; without a `content-type` a JSON body is assumed when there is a body.
    pub headers: BTreeMap<String, String>,
    /// The body of that answer.
    pub body: Option<String>,
    /// Whether the events are committed although another answer is given; a cut after the commit implies it.
    pub commit: bool,
    /// Where the connection breaks.
    pub cut: Option<Cut>,
    /// How long this answer is held back, in milliseconds, beside the standing latency.
    pub latency_ms: u64,
}

impl Scripted {
    /// Answers `status` with an empty body; nothing is committed.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// Answers `status` with `body`; nothing is committed.
    #[must_use]
    pub fn answer(status: u16, body: &str) -> Self {
        Self { body: Some(body.to_owned()), ..Self::status(status) }
    }

    /// Breaks the connection.
    #[must_use]
    pub fn cut(cut: Cut) -> Self {
        Self { cut: Some(cut), ..Self::default() }
    }

    /// The HTML page of a proxy whose server is away.
    #[must_use]
    pub fn bad_gateway() -> Self {
        let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
        Self::answer(502, page).with_header("content-type", "text/html")
    }

    /// Commits, and answers 200 with sums that do not add up to what was sent.
    #[must_use]
    pub fn wrong_sums() -> Self {
        Self { commit: true, ..Self::answer(200, r#"{"inserted":0,"duplicates":0}"#) }
    }

    /// Commits, and answers 200 with a body that is not Polar's.
    #[must_use]
    pub fn wrong_json() -> Self {
        Self { commit: true, ..Self::answer(200, r#"{"inserted":"all","#) }
    }

    /// The ordinary answer, late.
    #[must_use]
    pub fn late(latency_ms: u64) -> Self {
        Self { latency_ms, ..Self::default() }
    }

    /// The same with one header more.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same with the events committed.
    #[must_use]
    pub fn committed(mut self) -> Self {
        self.commit = true;
        self
    }

    /// The same for several requests in a row.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Whether Polar's own handling takes place.
    pub(super) fn commits(&self) -> bool {
        match self.cut {
            Some(Cut::BeforeCommit) => false,
            Some(Cut::AfterCommit | Cut::MidAnswer) => true,
            None => self.commit || self.status.is_none(),
        }
    }

    /// The answer that replaces Polar's.
    pub(super) fn reply(&self) -> Option<Reply> {
        let mut reply = Reply::empty(self.status?);
        reply.body = Bytes::from(self.body.clone().unwrap_or_default());
        let typed = self.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
        if !typed && !reply.body.is_empty() {
            reply = reply.with_header("content-type", "application/json");
        }
        Some(self.headers.iter().fold(reply, |reply, (name, value)| reply.with_header(name, value)))
    }
}
