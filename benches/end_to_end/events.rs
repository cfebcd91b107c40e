//! What is sent: events of about 220 bytes, as an app writes them that leaves the stamps to sledge.

use std::fmt::Write;
use std::ops::Range;

/// How many different lines there are.
const LINES: usize = 4_096;
/// The longest run of lines that is asked for.
pub(crate) const RUN_MAX: usize = 512;

/// Different events, line after line.
pub(crate) struct Lines {
    text: String,
    starts: Vec<usize>,
}

impl Lines {
    pub(crate) fn new() -> Self {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut lines = Vec::new();
        for _ in 0..LINES {
            lines.push(event(&mut rng));
        }
        let (mut text, mut starts) = (String::new(), Vec::new());
        for line in lines.iter().chain(&lines[..RUN_MAX]) {
            starts.push(text.len());
            text.push_str(line);
            text.push('\n');
        }
        starts.push(text.len());
        Self { text, starts }
    }

    /// This many lines in one piece; `number` is of the first, counted without end.
    pub(crate) fn run(&self, number: usize, lines: usize) -> &[u8] {
        &self.text.as_bytes()[self.span(number, lines)]
    }

    /// The customer of the first of them.
    pub(crate) fn customer(&self) -> String {
        let event: serde_json::Value = serde_json::from_slice(self.run(0, 1)).unwrap();
        event["external_customer_id"].as_str().unwrap().to_owned()
    }

    fn span(&self, number: usize, lines: usize) -> Range<usize> {
        let first = number % LINES;
        self.starts[first]..self.starts[first + lines.min(RUN_MAX)]
    }

    /// An ingest request of so many events.
    pub(crate) fn request(&self, number: usize, events: usize) -> Vec<u8> {
        let lines = self.text[self.span(number, events)].trim_end().replace('\n', ",");
        let body = format!("{{\"events\":[{lines}]}}");
        let head = format!(
            "POST /v1/events/ingest HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: */*\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        (head + &body).into_bytes()
    }

    /// The mean line, its end included, in bytes.
    pub(crate) fn line_bytes(&self) -> usize {
        self.starts[LINES] / LINES
    }
}

fn event(rng: &mut fastrand::Rng) -> String {
    let models = ["small-2", "large-2", "embed-1", "vision-3"];
    let regions = ["eu-west-1", "eu-north-1", "us-east-1"];
    let mut text = String::new();
    write!(
        text,
        r#"{{"name":"api_usage","external_customer_id":"user_{}","metadata":{{"units":{},"model":"{}","region":"{}","cached":{},"route":"/v1/answers","latency_ms":{}.{},"plan":"team","worker":"node-{:02}","attempt":1,"request":"{:016x}"}}}}"#,
        rng.u32(100..9_999),
        rng.u32(1..40),
        models[rng.usize(..models.len())],
        regions[rng.usize(..regions.len())],
        rng.bool(),
        rng.u32(10..900),
        rng.u32(10..99),
        rng.u32(..30),
        rng.u64(..),
    )
    .unwrap();
    text
}
