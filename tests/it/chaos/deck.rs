//! What can become of a request, and in which order it does.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// A row of the table: one way an answer of Polar can be, or fail to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    /// Polar's own 200.
    Accepted,
    /// Polar's own 422 of the first layer.
    RefusedBySchema,
    /// Polar's own 422 of the second layer.
    RefusedByBusiness,
    /// Polar's own 422 to a timestamp ahead of its clock.
    TimestampAhead,
    /// Polar's own 500 to an event it chokes on.
    SilentPoison,
    /// A gateway's 404 to what one event says.
    WalledWithNotFound,
    /// A gateway's redirect for what one event says.
    WalledWithRedirect,
    /// A gateway's page, with a 200, for what one event says.
    WalledWithPage,
    /// Polar's own 401, after the token was replaced.
    TokenReplaced,
    /// A 422 that names no event.
    RefusedWithoutIndex,
    /// A 422 that names an event which was not sent.
    RefusedWithWrongIndex,
    /// A 422 in somebody else's words.
    RefusedByStranger,
    /// A 400.
    BadRequest,
    /// Committed, and counted wrong.
    Miscounted,
    /// Not committed, and counted wrong.
    MiscountedInVain,
    /// 200 with a page.
    Page,
    /// 200 with a page, committed.
    PageAfterCommit,
    /// 202 without a body.
    OtherSuccess,
    /// 429 that says how long to wait.
    Limited,
    /// 429 that says nothing.
    LimitedWithoutWait,
    /// 413.
    TooLarge,
    /// 411.
    LengthRequired,
    /// 500 in plain text.
    ServerError,
    /// 500, committed.
    ServerErrorAfterCommit,
    /// 502 with a page.
    BadGateway,
    /// 503 that says how long to wait.
    Unavailable,
    /// 504, committed.
    GatewayTimeout,
    /// 401 for a while.
    Unauthorized,
    /// 403 for a while.
    Forbidden,
    /// 404 for a while.
    NotFound,
    /// 407.
    ProxyLogin,
    /// 307 to another host.
    Redirect,
    /// 301 to another host.
    MovedAway,
    /// The connection is reset before the request is read.
    ResetBeforeRead,
    /// It is reset once the request is read.
    ResetAfterRead,
    /// It is reset after the commit.
    ResetAfterCommit,
    /// It ends in the middle of the answer's head, after the commit.
    CutInHead,
    /// It ends in the middle of the answer's body, after the commit.
    CutInBody,
    /// Nothing is answered.
    Hang,
    /// Nothing is answered, after the commit.
    HangAfterCommit,
    /// The answer comes a byte at a time, after the commit.
    Drip,
    /// Something answers that speaks no HTTP.
    Garbage,
    /// The answer's `Date` is an hour off.
    WildDate,
    /// A gateway's answer, whose `Date` is an hour off.
    WildDateOfGateway,
    /// The answer's `Date` is none.
    NoDate,
    /// Nothing listens.
    ConnectionRefused,
    /// A certificate that nobody vouches for.
    Untrusted,
    /// The proxy answers 407.
    LoginAtProxy,
    /// The proxy answers 502.
    ProxyBadGateway,
    /// The proxy answers 504.
    ProxyTimeout,
    /// The proxy hangs up.
    ProxyHangsUp,
    /// The name has no address.
    NoAddress,
    /// Nobody takes the connection.
    NoRoute,
}

/// How often each row that is played on purpose comes in a deck.
const PLAYED: &[(Row, usize)] = &[
    (Row::RefusedWithoutIndex, 5),
    (Row::RefusedWithWrongIndex, 5),
    (Row::RefusedByStranger, 5),
    (Row::BadRequest, 4),
    (Row::Miscounted, 5),
    (Row::MiscountedInVain, 5),
    (Row::Page, 1),
    (Row::PageAfterCommit, 1),
    (Row::OtherSuccess, 1),
    (Row::Limited, 1),
    (Row::LimitedWithoutWait, 2),
    (Row::TooLarge, 5),
    (Row::LengthRequired, 5),
    (Row::ServerError, 6),
    (Row::ServerErrorAfterCommit, 5),
    (Row::BadGateway, 6),
    (Row::Unavailable, 1),
    (Row::GatewayTimeout, 6),
    (Row::Unauthorized, 1),
    (Row::Forbidden, 1),
    (Row::NotFound, 1),
    (Row::ProxyLogin, 1),
    (Row::Redirect, 1),
    (Row::MovedAway, 1),
    (Row::ResetBeforeRead, 6),
    (Row::ResetAfterRead, 6),
    (Row::ResetAfterCommit, 8),
    (Row::CutInHead, 6),
    (Row::CutInBody, 8),
    (Row::Hang, 1),
    (Row::HangAfterCommit, 1),
    (Row::Drip, 1),
    (Row::Garbage, 5),
    (Row::WildDate, 3),
    (Row::WildDateOfGateway, 3),
    (Row::NoDate, 4),
];
/// Rows that come of events, of lives and of the network: nothing in the deck plays them.
const BROUGHT_ABOUT: &[Row] = &[
    Row::Accepted,
    Row::RefusedBySchema,
    Row::RefusedByBusiness,
    Row::TimestampAhead,
    Row::SilentPoison,
    Row::WalledWithNotFound,
    Row::WalledWithRedirect,
    Row::WalledWithPage,
    Row::TokenReplaced,
    Row::ConnectionRefused,
    Row::Untrusted,
    Row::LoginAtProxy,
    Row::ProxyBadGateway,
    Row::ProxyTimeout,
    Row::ProxyHangsUp,
    Row::NoAddress,
    Row::NoRoute,
];
/// Cards of a deck. All the others are Polar's own answers.
const CARDS: usize = 800;

impl Row {
    /// Every row there is.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        PLAYED.iter().map(|(row, _)| *row).chain(BROUGHT_ABOUT.iter().copied())
    }

    /// How many requests in a row it is for.
    fn requests(self) -> usize {
        if matches!(self, Self::Unauthorized | Self::Forbidden | Self::NotFound) { 2 } else { 1 }
    }
}

/// Cards in an order of their own; shuffled anew when the last one is drawn, so that every row comes in every deck.
pub(super) struct Deck {
    rng: fastrand::Rng,
    cards: Vec<Row>,
    /// Nothing but Polar's own answers from now on.
    is_put_away: bool,
}

impl Deck {
    pub(super) fn new(rng: fastrand::Rng) -> Self {
        Self { rng, cards: Vec::new(), is_put_away: false }
    }

    /// What becomes of the next request.
    pub(super) fn draw(&mut self) -> Row {
        if self.is_put_away {
            return Row::Accepted;
        }
        if self.cards.is_empty() {
            let mut dealt: Vec<Row> =
                PLAYED.iter().flat_map(|(row, times)| std::iter::repeat_n(*row, *times)).collect();
            dealt.resize(CARDS, Row::Accepted);
            self.rng.shuffle(&mut dealt);
            self.cards = dealt.into_iter().flat_map(|row| std::iter::repeat_n(row, row.requests())).collect();
        }
        self.cards.pop().unwrap()
    }

    pub(super) fn put_away(&mut self) {
        self.is_put_away = true;
    }
}

/// How often each row was played to its end.
#[derive(Default)]
pub(super) struct Tally(Mutex<BTreeMap<Row, u64>>);

impl Tally {
    pub(super) fn count(&self, row: Row) {
        *self.0.lock().unwrap().entry(row).or_default() += 1;
    }

    pub(super) fn of(&self, row: Row) -> u64 {
        self.0.lock().unwrap().get(&row).copied().unwrap_or(0)
    }

    /// Rows that never came.
    pub(super) fn missing(&self) -> Vec<Row> {
        Row::all().filter(|row| self.of(*row) == 0).collect()
    }

    /// One line for each row.
    pub(super) fn table(&self) -> String {
        let rows = Row::all().map(|row| format!("{:>8}  {row:?}\n", self.of(row)));
        rows.collect()
    }
}
