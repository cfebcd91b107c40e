//! The table of `docs/delivery.md`, walked row by row: each answer is given over a real socket, and what delivery makes of
//! it is compared with what the page says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use sledge::delivery::{Facts, HoldReason, Outcome, Patience, Retry, Sign};
use sledge::event::Lane;
use sledge::journal::DeadReason;
use sledge::polar::{BaseUrl, Ingest, PolarClient, Reply, Settings, Token, TokenSource};

use super::house::{House, names};
use super::odd_polar::{OddPolar, Oddity};

const PAGE: &str = include_str!("../../../docs/delivery.md");
/// Events in the request that gets the answer.
const SENT: usize = 3;

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    outcome: String,
    events: String,
    next: String,
    alone: String,
    seen: String,
}

fn rows() -> BTreeMap<String, Row> {
    let table = PAGE.split("| answer | `outcome` |").nth(1).expect("the page has the table");
    let lines = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let cells: Vec<String> =
                line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
            let [answer, outcome, events, next, alone, seen] = cells.try_into().expect("six cells in a row");
            (answer, Row { outcome: outcome.trim_matches('`').to_owned(), events, next, alone, seen })
        })
        .collect()
}

fn oddities() -> Vec<(&'static str, Oddity)> {
    let fault = |loc: &str, msg: &str| {
        Oddity::answer(
            "422 Unprocessable Content",
            &format!(
                r#"{{"error":"RequestValidationError","detail":[{{"type":"t","loc":{loc},"msg":"{msg}"}}]}}"#
            ),
        )
    };
    let early = "Value error, Timestamp must be in the past.";
    vec![
        ("200, the counts add up", Oddity::answer("200 OK", r#"{"inserted":1,"duplicates":2}"#)),
        ("200, the counts do not add up", Oddity::answer("200 OK", r#"{"inserted":1,"duplicates":1}"#)),
        ("200, a body that is not Polar's, such as HTML", Oddity::answer("200 OK", "<html>welcome</html>")),
        ("another 2xx", Oddity::answer("202 Accepted", r#"{"inserted":3,"duplicates":0}"#)),
        (
            "422 of the first layer, naming events",
            fault(r#"["body","events",0,"EventCreateExternalCustomer","name"]"#, "Field required"),
        ),
        (
            "422 of the second layer, naming events",
            fault(r#"["body","events",0,"customer_id"]"#, "Customer not found."),
        ),
        (
            "422, only for timestamps ahead of Polar's clock",
            fault(r#"["body","events",0,"EventCreateExternalCustomer","timestamp"]"#, early),
        ),
        ("422 naming no event", fault(r#"["body"]"#, "Field required")),
        (
            "422 naming an event that was not sent",
            fault(r#"["body","events",99,"EventCreateExternalCustomer","name"]"#, "Field required"),
        ),
        ("422 that is not Polar's", Oddity::answer("422 Unprocessable Entity", "<html>no</html>")),
        ("401 in Polar's words", Oddity::answer("401 Unauthorized", r#"{"error":"invalid_token"}"#)),
        ("401 in anybody else's", Oddity::answer("401 Unauthorized", "<html>who are you?</html>")),
        ("403 in Polar's words", Oddity::answer("403 Forbidden", r#"{"error":"insufficient_scope"}"#)),
        ("403 in anybody else's", Oddity::answer("403 Forbidden", "<html>blocked</html>")),
        ("404", Oddity::answer("404 Not Found", r#"{"detail":"Not Found"}"#)),
        ("a redirect", Oddity::answer("307 Temporary Redirect\r\nlocation: /elsewhere", "")),
        ("407, from a proxy", Oddity::answer("407 Proxy Authentication Required", "")),
        ("411", Oddity::answer("411 Length Required", r#"{"error":"LengthRequired"}"#)),
        ("413", Oddity::answer("413 Content Too Large", r#"{"error":"RequestBodyTooLarge"}"#)),
        ("429, with an empty body", Oddity::answer("429 Too Many Requests\r\nretry-after: 1", "")),
        ("any other 4xx", Oddity::answer("400 Bad Request", "")),
        ("500, as plain text", Oddity::answer("500 Internal Server Error", "Internal Server Error")),
        ("502 or 504, from a gateway", Oddity::answer("502 Bad Gateway", "<html>502</html>")),
        ("503 with a `Retry-After`", Oddity::answer("503 Service Unavailable\r\nretry-after: 1", "busy")),
        ("408", Oddity::answer("408 Request Timeout", "")),
        ("the connection is refused", Oddity::NobodyListens),
        ("no connection in time", Oddity::NoRoomToConnect),
        ("the name has no address", Oddity::NoSuchName),
        ("no trusted TLS", Oddity::ClearTextForTls),
        ("the proxy makes no connection", Oddity::ProxyWithoutConnection),
        ("no answer in time", Oddity::Hang),
        ("an answer that drips slower than the time limit", Oddity::Drip),
        ("a reset before the request was read", Oddity::ResetUnread),
        ("a reset after the request was read", Oddity::ResetRead),
        ("a body cut in the middle", Oddity::CutBody),
        ("something that is not HTTP", Oddity::NoHttp),
    ]
}

const FRESH: Facts = Facts {
    sent: SENT,
    failures: 0,
    trials: 0,
    blamed: 0,
    is_trial: true,
    patience: Patience::LEAST,
    others_confirmed: false,
    is_piece: false,
    mismatches: 0,
    may_split_blindly: false,
};

/// What the code makes of a reply, in the page's words.
fn row_of(reply: &Reply) -> Row {
    let outcome = Outcome::of(reply, &FRESH);
    let sign = Sign::of(reply);
    let mismatched = outcome == Outcome::Retry(Retry::AtOnce);
    let events = match &outcome {
        Outcome::Delivered { .. } => "delivered",
        Outcome::Retry(Retry::AtOnce) => "sent again at once, and kept if they still don't",
        Outcome::Retry(Retry::WithTheOthers) => "sent again",
        Outcome::Retry(Retry::Suspected { .. }) => "sent again, suspected",
        Outcome::Split if *reply == Reply::TooLarge => "halved, and later batches are smaller",
        Outcome::Split => "halved",
        Outcome::Isolate(findings) if findings.refused.is_empty() => {
            "the named wait for Polar's clock, the rest is sent at once"
        }
        Outcome::Isolate(_) => "the named become dead letters, the rest is sent at once",
        Outcome::Hold(_) => "kept",
        Outcome::DeadLetter(_) => "given up at once",
    };
    let next = match sign {
        Sign::Alive => "at once",
        Sign::Down { retry_after: None } => "after a back-off, alone",
        Sign::Down { retry_after: Some(_) } => "after `Retry-After` and a back-off, alone",
        Sign::Limited { .. } => "after `Retry-After`, alone, and fewer from then on",
        Sign::Barred(_) => "a slow probe",
        Sign::PerhapsBarred(_) => "after a back-off, alone, then a slow probe",
    };
    let seen = match (sign, &outcome) {
        (Sign::Barred(reason), _) => format!("held: `{}`", reason.as_str()),
        (Sign::PerhapsBarred(reason), _) => {
            format!("held: `{}` from the fourth in a row on", reason.as_str())
        }
        (Sign::Down { .. }, _) => "not taking events".to_owned(),
        (Sign::Limited { .. }, _) => "a warning in the log".to_owned(),
        (Sign::Alive, Outcome::Isolate(findings)) if !findings.refused.is_empty() => {
            "the dead letters".to_owned()
        }
        (Sign::Alive, _) if mismatched => {
            format!("held: `{}` from the second time on", HoldReason::AnswerMismatch.as_str())
        }
        (Sign::Alive, _) => "nothing".to_owned(),
    };
    Row {
        outcome: reply.label().to_owned(),
        events: events.to_owned(),
        next: next.to_owned(),
        alone: alone(reply),
        seen,
    }
}

/// What becomes of an event that gets this reply alone every time, with others delivered in between.
fn alone(reply: &Reply) -> String {
    if matches!(Outcome::of(reply, &FRESH), Outcome::Delivered { .. }) {
        return "delivered".to_owned();
    }
    for trials in 0..100 {
        // Where the reply blames the event each failure is a blame; where it does not, none is counted as one.
        let blames = |blamed| match Outcome::of(reply, &Facts { sent: 1, ..FRESH }) {
            Outcome::Retry(Retry::Suspected { blamed: true }) => blamed,
            _ => 0,
        };
        let facts = Facts {
            sent: 1,
            failures: trials,
            trials,
            blamed: blames(trials),
            others_confirmed: true,
            mismatches: trials,
            ..FRESH
        };
        match Outcome::of(reply, &facts) {
            Outcome::DeadLetter(cause) => {
                return format!("dead letter `{}` after {} trials", cause.reason.as_str(), trials + 1);
            }
            Outcome::Isolate(findings) if !findings.refused.is_empty() => {
                return format!("dead letter `{}` at once", DeadReason::RefusedByPolar.as_str());
            }
            Outcome::Delivered { .. }
            | Outcome::Isolate(_)
            | Outcome::Retry(_)
            | Outcome::Split
            | Outcome::Hold(_) => {}
        }
    }
    "kept".to_owned()
}

async fn ask(polar: &OddPolar) -> Reply {
    let mut settings = Settings::new(
        BaseUrl::parse(polar.url()).unwrap(),
        TokenSource::Fixed(Token::parse("polar_oat_test").unwrap()),
    );
    settings.request_timeout = Duration::from_millis(700);
    settings.connect_timeout = Duration::from_millis(400);
    polar.reach_through(&mut settings);
    let texts = names("asked", 0..SENT).join(",");
    let client = PolarClient::new(&settings).unwrap();
    client.ingest(Bytes::from(format!(r#"{{"events":[{texts}]}}"#))).await.reply
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_of_the_page_is_what_delivery_makes_of_that_answer() {
    let mut page = rows();
    for (answer, oddity) in oddities() {
        let written =
            page.remove(answer).unwrap_or_else(|| panic!("docs/delivery.md has no row for: {answer}"));
        let polar = OddPolar::start(oddity.clone()).await;
        let reply = ask(&polar).await;
        if matches!(oddity, Oddity::NoSuchName) && reply.label() != "dns" {
            // Without a resolver at hand the attempt runs into its time limit instead.
            assert!(matches!(reply.label(), "no_route" | "timeout"), "{reply:?}");
            continue;
        }
        assert_eq!(row_of(&reply), written, "{answer}: {reply:?}");
    }
    assert!(page.is_empty(), "docs/delivery.md has rows that no test walks: {:?}", page.keys());
    let labels: BTreeSet<String> = rows().into_values().map(|row| row.outcome).collect();
    assert_eq!(labels, Reply::LABELS.map(str::to_owned).into(), "every outcome has its row");
}

/// The same answers to real delivery with a real journal: whatever comes first, everything arrives afterwards, once.
#[tokio::test(flavor = "multi_thread")]
async fn after_any_answer_everything_arrives_that_polar_did_not_name() {
    for (answer, oddity) in oddities().into_iter().filter(|(_, oddity)| oddity.comes_from_polar()) {
        let mut house = House::new().await;
        let polar = OddPolar::start(oddity).await;
        house.send_to(polar.url(), Duration::from_millis(700));
        house.settings.retry_interval = Duration::from_millis(5);
        house.settings.retry_interval_max = Duration::from_millis(50);
        house.settings.slow_probe = Duration::from_millis(50);
        house.append(Lane::Usage, names("event", 0..SENT)).await;
        let (_, accounts) = house.deliver_until_settled(Duration::from_secs(60)).await;
        let named = u64::from(answer.contains("naming events"));
        assert!(accounts.add_up(), "{answer}: {accounts:?}");
        let fates = (accounts.delivered_total(), accounts.dead_lettered_total());
        // What was said to be delivered was: the one answer that nothing can be told from.
        assert_eq!(fates, (SENT as u64 - named, named), "{answer}");
        let arrived = if answer == "200, the counts add up" { 0 } else { SENT as u64 - named };
        assert_eq!(polar.inserted(), arrived, "{answer}");
    }
}
