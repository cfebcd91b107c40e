//! Answers as they go over the wire.

use serde_json::Value;

use super::deck::Row;

/// An answer with this status line, these headers and this body.
pub(super) fn answer(status: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// The header of a redirect to this host.
pub(super) fn location(host: &str) -> String {
    format!("location: {host}/v1/events/ingest")
}

/// A gateway's page.
pub(super) fn page(status: &str, headers: &[&str]) -> Vec<u8> {
    let headers = [&["content-type: text/html", "server: nginx"], headers].concat();
    answer(status, &headers, &format!("<html>\r\n<head><title>{status}</title></head>\r\n</html>\r\n"))
}

/// A 422 that names this place and no other.
pub(super) fn invalid(place: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"error":"RequestValidationError","detail":[{{"type":"value_error","loc":{place},"msg":"Value error","input":null}}]}}"#
    );
    answer("422 Unprocessable Entity", &["content-type: application/json"], &body)
}

/// Polar's own answer, taken apart.
pub(super) struct Polars {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Polars {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {text:?}"));
        // The connection to the simulator ends with the answer; the one to sledge goes on.
        let kept = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        Self {
            status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap(),
            head: kept.collect::<Vec<_>>().join("\r\n"),
            body: body.to_owned(),
        }
    }

    /// Which of the rows that Polar plays by itself this is; `None` for one it has no reason to play.
    pub(super) fn row(&self) -> Option<Row> {
        let body: Value = serde_json::from_str(&self.body).unwrap_or(Value::Null);
        match (self.status, body["error"].as_str()) {
            (200, _) => Some(Row::Accepted),
            (401, _) => Some(Row::TokenReplaced),
            (422, Some("PolarRequestValidationError")) => Some(Row::RefusedByBusiness),
            (422, _) if self.body.contains("must be in the past") => Some(Row::TimestampAhead),
            (422, _) => Some(Row::RefusedBySchema),
            (500, _) => Some(Row::SilentPoison),
            _ => None,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        format!("{}\r\n\r\n{}", self.head, self.body).into_bytes()
    }

    /// The same with another `Date`, or none.
    pub(super) fn dated(&self, date: Option<&str>) -> Vec<u8> {
        let others = self.head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
        let mut head: Vec<String> = others.map(str::to_owned).collect();
        head.extend(date.map(|date| format!("date: {date}")));
        format!("{}\r\n\r\n{}", head.join("\r\n"), self.body).into_bytes()
    }
}
