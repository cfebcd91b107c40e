//! How a row is played on a connection.

use std::io;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::answer::{Polars, answer, invalid, location, page};
use super::deck::Row;
use super::front::{Lie, Shared};
use super::wall::Wall;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A connection that can be reset.
pub(super) trait Line: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes its end a reset.
    fn reset_at_end(&self) -> io::Result<()>;
}

impl Line for TcpStream {
    fn reset_at_end(&self) -> io::Result<()> {
        self.set_zero_linger()
    }
}

impl Line for TlsStream<TcpStream> {
    fn reset_at_end(&self) -> io::Result<()> {
        self.get_ref().0.set_zero_linger()
    }
}

/// Whether a connection goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    End,
}

/// Answers requests on one connection until it ends.
pub(super) async fn converse(mut line: impl Line, shared: &Shared) -> io::Result<()> {
    let mut read = Vec::new();
    while line.read_buf(&mut read).await? > 0 {
        let row = shared.next_row();
        if row == Row::ResetBeforeRead {
            shared.tally.count(row);
            return line.reset_at_end();
        }
        let Some(request) = whole_request(&mut line, &mut read).await? else { return Ok(()) };
        shared.note_request();
        if play(&mut line, row, &request, shared).await? == Then::End || shared.is_restless() {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads on until the request is whole, and takes it from what was read. `None` when the other end went away.
async fn whole_request(line: &mut impl Line, read: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    loop {
        let head = String::from_utf8_lossy(read);
        if let Some((head, _)) = head.split_once("\r\n\r\n") {
            let lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
            let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length: usize = lengths.next().expect("a length").1.parse().unwrap();
            let whole = head.len() + 4 + length;
            if read.len() >= whole {
                return Ok(Some(read.drain(..whole).collect()));
            }
        }
        if line.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

/// Plays a row, and counts it once it was played to its end.
async fn play(line: &mut impl Line, row: Row, request: &[u8], shared: &Shared) -> io::Result<Then> {
    if let Some(wall) = Wall::before(request) {
        say(line, &wall.answer(&shared.elsewhere)).await?;
        shared.tally.count(wall.row());
        return Ok(Then::GoOn);
    }
    let then = match row {
        Row::ResetAfterRead => line.reset_at_end().map(|()| Then::End),
        Row::ResetAfterCommit => {
            shared.forward(request).await?;
            line.reset_at_end().map(|()| Then::End)
        }
        Row::CutInHead | Row::CutInBody => {
            let whole = shared.forward(request).await?.bytes();
            // The end of every body is the sum of the counts, or of a list: without it nothing is proven.
            let cut = if row == Row::CutInHead { 12 } else { whole.len() - 1 };
            say(line, &whole[..cut]).await.map(|()| Then::End)
        }
        Row::Hang => until_given_up(line).await,
        Row::HangAfterCommit => {
            shared.forward(request).await?;
            until_given_up(line).await
        }
        Row::Drip => {
            let whole = shared.forward(request).await?.bytes();
            drip(line, &whole).await
        }
        Row::Garbage => say(line, b"220 mail.example.org ESMTP\r\n").await.map(|()| Then::End),
        _ => {
            let (answer, row) = whole_answer(row, request, shared).await?;
            say(line, &answer).await?;
            shared.tally.count(row);
            return Ok(Then::GoOn);
        }
    }?;
    shared.tally.count(row);
    Ok(then)
}

/// The answer of a row that has one, and the row it turned out to be.
async fn whole_answer(row: Row, request: &[u8], shared: &Shared) -> io::Result<(Vec<u8>, Row)> {
    let committed = matches!(
        row,
        Row::Miscounted | Row::PageAfterCommit | Row::ServerErrorAfterCommit | Row::GatewayTimeout
    );
    if committed {
        shared.forward(request).await?;
    }
    let counts = |text| answer("200 OK", &["content-type: application/json"], text);
    let elsewhere = location(&shared.elsewhere);
    let answer = match row {
        Row::RefusedWithoutIndex => invalid(r#"["body"]"#),
        Row::RefusedWithWrongIndex => invalid(r#"["body","events",99999,"EventCreateCustomer","name"]"#),
        Row::RefusedByStranger => page("422 Unprocessable Entity", &[]),
        Row::BadRequest => page("400 Bad Request", &[]),
        Row::Miscounted | Row::MiscountedInVain => counts(r#"{"inserted":0,"duplicates":0}"#),
        Row::Page | Row::PageAfterCommit => page("200 OK", &[]),
        Row::OtherSuccess => answer("202 Accepted", &[], ""),
        Row::Limited => answer("429 Too Many Requests", &["retry-after: 1"], ""),
        Row::LimitedWithoutWait => answer("429 Too Many Requests", &[], ""),
        Row::TooLarge => answer(
            "413 Content Too Large",
            &["content-type: application/json"],
            r#"{"error":"RequestBodyTooLarge"}"#,
        ),
        Row::LengthRequired => answer(
            "411 Length Required",
            &["content-type: application/json"],
            r#"{"error":"LengthRequired"}"#,
        ),
        Row::ServerError | Row::ServerErrorAfterCommit => {
            answer("500 Internal Server Error", &["content-type: text/plain"], "Internal Server Error")
        }
        Row::BadGateway => page("502 Bad Gateway", &[]),
        Row::Unavailable => page("503 Service Unavailable", &["retry-after: 1"]),
        Row::GatewayTimeout => page("504 Gateway Timeout", &[]),
        Row::Unauthorized => {
            answer("401 Unauthorized", &["content-type: application/json"], r#"{"error":"invalid_token"}"#)
        }
        Row::Forbidden => {
            answer("403 Forbidden", &["content-type: application/json"], r#"{"error":"insufficient_scope"}"#)
        }
        Row::NotFound => {
            answer("404 Not Found", &["content-type: application/json"], r#"{"detail":"Not Found"}"#)
        }
        Row::ProxyLogin => page("407 Proxy Authentication Required", &[]),
        Row::Redirect => answer("307 Temporary Redirect", &[&elsewhere], ""),
        Row::MovedAway => answer("301 Moved Permanently", &[&elsewhere], ""),
        Row::WildDate => shared.forward(request).await?.dated(Some(&an_hour_off(shared.toss()))),
        Row::WildDateOfGateway => {
            page("502 Bad Gateway", &[&format!("date: {}", an_hour_off(shared.toss()))])
        }
        Row::NoDate => {
            let date = shared.toss().then_some("the day before yesterday");
            shared.forward(request).await?.dated(date)
        }
        _ => {
            let polars = match shared.take_lie(request) {
                Some(lie) => shared.lie(lie, request).await?,
                None => shared.forward(request).await?,
            };
            let row = polars.row().unwrap_or_else(|| shared.wonder(&polars));
            return Ok((polars.bytes(), row));
        }
    };
    Ok((answer, row))
}

fn an_hour_off(ahead: bool) -> String {
    #[expect(clippy::disallowed_methods, reason = "Polar's clock is not the daemon's")]
    let now = SystemTime::now();
    httpdate::fmt_http_date(if ahead { now + HOUR } else { now - HOUR })
}

async fn say(line: &mut impl Line, bytes: &[u8]) -> io::Result<()> {
    line.write_all(bytes).await?;
    line.flush().await
}

/// Says nothing until the other end has enough of it.
async fn until_given_up(line: &mut impl Line) -> io::Result<Then> {
    let mut ignored = [0; 64];
    while line.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
    Ok(Then::End)
}

/// Says all but the last byte, slowly, until the other end has enough of it.
async fn drip(line: &mut impl Line, whole: &[u8]) -> io::Result<Then> {
    let (most, _) = whole.split_at(whole.len() - 1);
    let (quick, slow) = most.split_at(most.len().saturating_sub(20));
    say(line, quick).await?;
    for byte in slow {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if say(line, &[*byte]).await.is_err() {
            return Ok(Then::End);
        }
    }
    until_given_up(line).await
}

impl Shared {
    /// Answers as if all were well, though it is not.
    async fn lie(&self, lie: Lie, request: &[u8]) -> io::Result<Polars> {
        let text = String::from_utf8_lossy(request);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        match lie {
            Lie::Forgets => {
                let events = serde_json::from_str::<serde_json::Value>(body).unwrap();
                let inserted = events["events"].as_array().unwrap().len();
                Ok(Polars::read(&answer(
                    "200 OK",
                    &[],
                    &format!("{{\"inserted\":{inserted},\"duplicates\":0}}"),
                )))
            }
            Lie::CountsTwice => {
                let again = body.replace("\"external_id\":\"", "\"external_id\":\"again ");
                let (before, after) = head.split_once("content-length: ").unwrap();
                let rest = after.split_once("\r\n").map_or("", |(_, rest)| rest);
                let head = format!("{before}content-length: {}\r\n{rest}", again.len());
                self.forward(format!("{}\r\n\r\n{again}", head.trim_end()).as_bytes()).await?;
                self.forward(request).await
            }
        }
    }

    /// Hands a request to the real simulator, and takes its answer.
    pub(super) async fn forward(&self, request: &[u8]) -> io::Result<Polars> {
        let mut polar = TcpStream::connect(self.polar).await?;
        let line = request.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
        let request = [&request[..line], b"connection: close\r\n", &request[line..]].concat();
        polar.write_all(&request).await?;
        let mut bytes = Vec::new();
        polar.read_to_end(&mut bytes).await?;
        Ok(Polars::read(&bytes))
    }
}
