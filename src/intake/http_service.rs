//! What is answered to an HTTP request, whichever listener it came by.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::admission::{Admission, Turn};
use super::drain::Drain;
use super::foreign_tokens::ForeignTokens;
use super::http_road::{Road, is_something_else, refuse_proxying};
use super::loopback_guard::{LoopbackGuard, Suspicion};
use super::onward::{Onward, Streamed};
use super::pending_question;
use super::settings::Settings;
use crate::event::{Form, IdSource};
use crate::journal::PendingUnits;
use crate::metrics::Listener;
use crate::protocol::{BodyFault, Fault, FaultCode, HttpReply, Refusals, read_ingest_body};

/// A body up to this size is read and its events counted even when the journal takes nothing; a larger one is not
/// worth the work.
const SMALL_BODY_BYTES: u64 = 64 << 10;
/// After this much text, or this many events, other connections get their turn.
const TURN_BYTES: usize = 64 << 10;
const TURN_EVENTS_MAX: usize = 1_024;

/// What a listener's HTTP connections share.
#[derive(Debug)]
pub(super) struct HttpSide {
    pub(super) listener: Listener,
    pub(super) admission: Admission,
    /// Looks at every request first, where no file's permissions say who may send.
    pub(super) guard: Option<LoopbackGuard>,
    /// Notices foreign tokens.
    pub(super) tokens: Option<Arc<ForeignTokens>>,
    /// The way to Polar for everything that is not intake, where there is one.
    pub(super) onward: Option<Onward>,
    /// What customers have pending, where it is counted and told.
    pub(super) pending: Option<PendingUnits>,
    /// The bodies being received, over all connections: a permit is a byte.
    bodies: Semaphore,
}

impl HttpSide {
    /// That of a listener which only its own users can reach.
    pub(super) fn new(listener: Listener, admission: Admission) -> Self {
        let bodies = Semaphore::new(admission.settings().bodies_bytes_max.min(Semaphore::MAX_PERMITS));
        Self { listener, admission, guard: None, tokens: None, onward: None, pending: None, bodies }
    }
}

/// Answers the requests of one connection, one after the other.
#[derive(Debug)]
pub(super) struct HttpService {
    side: Arc<HttpSide>,
    settings: Arc<Settings>,
    drain: Drain,
    ids: Mutex<IdSource>,
}

/// A request's body, counted until it is answered.
#[derive(Debug)]
struct Received<'s> {
    body: Vec<u8>,
    _counted: Option<SemaphorePermit<'s>>,
}

impl HttpService {
    /// A service for one connection, under the limits of now.
    pub(super) fn new(side: Arc<HttpSide>, drain: Drain) -> Self {
        let settings = side.admission.settings();
        Self { side, settings, drain, ids: Mutex::default() }
    }

    /// Answers one request. A 200 to events means that every one of them is on disk.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Streamed>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.answered(request).await.unwrap_or_else(respond)
    }

    async fn answered<B>(&self, request: Request<B>) -> Result<Response<Streamed>, HttpReply>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let road = self.admittance(&parts, !body.is_end_stream())?;
        let reply = match road {
            Road::Events => self.ingest(&self.receive(body).await?.body).await?,
            Road::Grant => self.grant(&self.receive(body).await?.body).await?,
            Road::Pending => pending_question::answer(parts.uri.query(), self.side.pending.as_ref())?,
            Road::Polar => {
                let body = body.map_err(io::Error::other).boxed_unsync();
                return self.hand_on(Request::from_parts(parts, body)).await;
            }
        };
        Ok(respond(reply))
    }

    /// Counts what came here and was no request.
    pub(super) fn count_no_request(&self, is_tls: bool) {
        let HttpSide { listener, admission, .. } = &*self.side;
        if is_tls {
            admission.tell_of_tls(*listener);
        }
        let code = if is_tls { FaultCode::TlsOnPlainSocket } else { FaultCode::MalformedHttp };
        admission.count_refused(*listener, code.as_str(), 1);
    }

    /// What a request is for, going by its head; or why its body is not looked at.
    fn admittance(&self, parts: &Parts, has_body: bool) -> Result<Road, HttpReply> {
        refuse_proxying(&parts.uri)?;
        if self.side.guard.is_some() && parts.method == Method::OPTIONS {
            // What asks whether another site's page may send here must find no yes.
            return Err(HttpReply::method_not_allowed("POST"));
        }
        self.guarded(|guard| guard.check(&parts.headers))?;
        let road = Road::of(&parts.method, &parts.uri)?;
        if road == Road::Polar {
            self.guarded(|guard| guard.check_onward(&parts.headers, has_body))?;
            return Ok(road);
        }
        if road == Road::Pending {
            return Ok(road);
        }
        if road == Road::Grant && self.side.guard.is_some() && !self.settings.http_grants {
            let detail = "grants are not taken here, where every user of this machine may send: use the Unix socket, \
                          or allow them with --http-grants on (http_grants)";
            return Err(HttpReply::error(FaultCode::GrantsOff, detail));
        }
        self.guarded(|guard| guard.check_body(&parts.headers))?;
        self.check_headers(parts)?;
        if let Some(tokens) = &self.side.tokens {
            self.side.admission.notice(tokens.look(&parts.headers));
        }
        Ok(road)
    }

    /// Hands a request on that is Polar's affair, with everything that came along.
    async fn hand_on(&self, request: Request<Streamed>) -> Result<Response<Streamed>, HttpReply> {
        let Some(onward) = self.side.onward.as_ref().filter(|_| self.settings.forward) else {
            let detail = "this sledge takes events only and hands nothing else on to Polar: call Polar's own address \
                          for this path, or set --forward on (forward)";
            return Err(HttpReply::error(FaultCode::ForwardingOff, detail));
        };
        match onward.answer(request, &self.drain).await {
            Some(answered) => Ok(answered?),
            None => {
                let message = "sledge is stopping; send this again once it has started";
                let fault =
                    Fault { code: FaultCode::JournalClosed.as_str(), field: "", message: message.into() };
                Err(HttpReply::unavailable(&fault, 1))
            }
        }
    }

    fn guarded(&self, check: impl Fn(&LoopbackGuard) -> Result<(), Suspicion>) -> Result<(), HttpReply> {
        let Some(guard) = &self.side.guard else { return Ok(()) };
        check(guard).map_err(|suspicion| {
            self.side.admission.count_refused(self.side.listener, suspicion.code().as_str(), 1);
            guard.tell(suspicion);
            suspicion.reply()
        })
    }

    fn check_headers(&self, parts: &Parts) -> Result<(), HttpReply> {
        if parts.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            let detail = "send the body uncompressed, without Content-Encoding";
            return Err(HttpReply::error(FaultCode::UnsupportedContentEncoding, detail));
        }
        if is_something_else(parts) {
            self.side.admission.count_refused(self.side.listener, "body", 1);
            return Err(HttpReply::body_fault(&BodyFault::NotAnObject));
        }
        Ok(())
    }

    /// Receives the body within the limits of size, memory and time.
    async fn receive<B>(&self, body: B) -> Result<Received<'_>, HttpReply>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let announced = body.size_hint().lower();
        if usize::try_from(announced).map_or(true, |bytes| bytes > self.settings.body_bytes_max) {
            return Err(self.too_large());
        }
        if announced > SMALL_BODY_BYTES
            && let Some(refusal) = self.side.admission.refusal()
        {
            self.side.admission.count_refused(self.side.listener, refusal.fault.code, 1);
            return Err(HttpReply::unavailable(&refusal.fault, refusal.retry_after_seconds));
        }
        match tokio::time::timeout(self.settings.body_timeout, self.collect(body)).await {
            Ok(received) => received,
            Err(_) => {
                let detail = "the body did not arrive in time; send it without pauses";
                Err(HttpReply::error(FaultCode::RequestTimeout, detail))
            }
        }
    }

    async fn collect<B>(&self, mut stream: B) -> Result<Received<'_>, HttpReply>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut body = Vec::new();
        let mut counted: Option<SemaphorePermit<'_>> = None;
        while let Some(frame) = stream.frame().await {
            let Ok(frame) = frame else {
                let detail = "the body broke off; send it again";
                return Err(HttpReply::error(FaultCode::IncompleteBody, detail));
            };
            let Ok(chunk) = frame.into_data() else {
                continue;
            };
            if body.len() + chunk.len() > self.settings.body_bytes_max {
                return Err(self.too_large());
            }
            let Ok(more) = self.side.bodies.try_acquire_many(u32::try_from(chunk.len()).unwrap_or(u32::MAX))
            else {
                self.side.admission.count_refused(self.side.listener, "busy", 1);
                let message = "too many bodies are being received; send this one again in a moment";
                return Err(HttpReply::unavailable(&Fault::busy(message.to_owned()), 1));
            };
            match &mut counted {
                Some(counted) => counted.merge(more),
                None => counted = Some(more),
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Received { body, _counted: counted })
    }

    fn too_large(&self) -> HttpReply {
        self.side.admission.count_refused(self.side.listener, "body_too_large", 1);
        HttpReply::body_too_large(self.settings.body_bytes_max)
    }

    /// All events of the request, or none: as at Polar.
    async fn ingest(&self, body: &[u8]) -> Result<HttpReply, HttpReply> {
        let texts = read_ingest_body(body).map_err(|fault| {
            self.side.admission.count_refused(self.side.listener, "body", 1);
            HttpReply::body_fault(&fault)
        })?;
        let mut turn = self.side.admission.turn(self.side.listener);
        let mut refusals = Refusals::new();
        let (mut taken, mut passed) = (0, 0);
        while let Some(rest) = texts.get(taken..)
            && !rest.is_empty()
        {
            let slice = rest.get(..slice_len(rest)).unwrap_or(rest);
            passed += self.admit(&mut turn, slice, taken, &mut refusals);
            taken += slice.len();
            if taken < texts.len() {
                tokio::task::yield_now().await;
            }
        }
        if !refusals.is_empty() {
            self.side.admission.count_refused(self.side.listener, "batch", passed);
            return Err(refusals.into_reply());
        }
        self.commit(turn).await?;
        Ok(HttpReply::accepted(texts.len()))
    }

    /// Admits a slice of a request's events, the first of which has the index `first`. Says how many passed.
    fn admit(&self, turn: &mut Turn, slice: &[&[u8]], first: usize, refusals: &mut Refusals) -> u64 {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let mut passed = 0;
        for (index, text) in slice.iter().enumerate() {
            match self.side.admission.admit(turn, text, Form::Event, &mut ids) {
                Ok(_) => passed += 1,
                Err(rejections) => refusals.event(first + index, &rejections),
            }
        }
        passed
    }

    async fn grant(&self, body: &[u8]) -> Result<HttpReply, HttpReply> {
        let mut turn = self.side.admission.turn(self.side.listener);
        let granted = {
            let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            self.side.admission.admit(&mut turn, body, Form::Grant, &mut ids)
        };
        let granted = granted.map_err(|rejections| {
            let mut refusals = Refusals::new();
            refusals.grant(&rejections);
            refusals.into_reply()
        })?;
        self.commit(turn).await?;
        Ok(HttpReply::granted(granted.as_str()))
    }

    async fn commit(&self, turn: Turn) -> Result<(), HttpReply> {
        let pledge = self.side.admission.try_append(turn);
        self.side
            .admission
            .committed(pledge)
            .await
            .map_err(|refusal| HttpReply::unavailable(&refusal.fault, refusal.retry_after_seconds))
    }
}

/// How many of these events make a turn.
fn slice_len(texts: &[&[u8]]) -> usize {
    let mut bytes = 0;
    let fitting = texts.iter().take(TURN_EVENTS_MAX).take_while(|text| {
        let fits = bytes < TURN_BYTES;
        bytes += text.len();
        fits
    });
    fitting.count()
}

fn respond(reply: HttpReply) -> Response<Streamed> {
    let mut response =
        Response::new(Full::new(Bytes::from(reply.body)).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = reply.retry_after_seconds {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(methods) = reply.allow {
        headers.insert(ALLOW, HeaderValue::from_static(methods));
    }
    response
}
