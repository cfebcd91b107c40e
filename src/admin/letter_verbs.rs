//! The dead letters over HTTP, on the admin socket only: whoever may open that file may read and change them.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::{Method, Request, Response, StatusCode};

use super::json_answer::{done, not_found, problem_of, read};
use super::letter_desk::{LetterDesk, Letters, Numbers};
use crate::journal::{AppendError, LetterNumber};

/// Where the dead letters are.
pub(super) const PATH: &str = "/dead-letters";
/// Answers a request below [`PATH`].
pub(super) async fn answer<B>(request: Request<B>, desk: &LetterDesk) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let below = head.uri.path().strip_prefix(PATH).unwrap_or_default();
    match (&head.method, below) {
        (&Method::GET, "") => match page_asked_for(head.uri.query().unwrap_or_default()) {
            Ok((from, max)) => done(desk.page(from, max).await.map_err(AppendError::from)),
            Err(problem) => problem_of(StatusCode::BAD_REQUEST, "bad_query", &problem),
        },
        (&Method::POST, "/retry") => match read::<Numbers, B>(body).await {
            Ok(asked) => done(desk.retry(&asked.numbers).await),
            Err(refusal) => refusal,
        },
        (&Method::POST, "/drop") => match read::<Numbers, B>(body).await {
            Ok(asked) => done(desk.discard(&asked.numbers).await.map_err(AppendError::from)),
            Err(refusal) => refusal,
        },
        (&Method::POST, "/import") => match read::<Letters, B>(body).await {
            Ok(asked) => done(desk.import(asked.letters).await),
            Err(refusal) => refusal,
        },
        (&Method::GET, below) => match below.strip_prefix('/').and_then(|number| number.parse().ok()) {
            Some(number) => one(number, desk).await,
            None => not_found(&"there is nothing here; see GET /dead-letters"),
        },
        _ => problem_of(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            &"GET /dead-letters and /dead-letters/N; POST /dead-letters/retry, /drop and /import",
        ),
    }
}

async fn one(number: LetterNumber, desk: &LetterDesk) -> Response<Full<Bytes>> {
    match desk.get(number).await {
        Ok(Some(letter)) => done(Ok(letter)),
        Ok(None) => not_found(&format_args!("there is no dead letter {number}")),
        Err(error) => done::<()>(Err(error.into())),
    }
}

/// `from=N` and `limit=N`, both optional.
fn page_asked_for(query: &str) -> Result<(LetterNumber, usize), String> {
    let (mut from, mut max) = (0, 100);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let wrong = || format!("{pair:?} is not understood; write from=NUMBER and limit=NUMBER");
        match pair.split_once('=') {
            Some(("from", value)) => from = value.parse().map_err(|_| wrong())?,
            Some(("limit", value)) => max = value.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        }
    }
    Ok((from, max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_asked_for_by_where_it_begins_and_how_long_it_is() {
        assert_eq!(page_asked_for(""), Ok((0, 100)));
        assert_eq!(page_asked_for("limit=5&from=7"), Ok((7, 5)));
        for wrong in ["from=x", "limit=-1", "reason=poison", "from"] {
            assert!(page_asked_for(wrong).is_err(), "{wrong}");
        }
    }
}
