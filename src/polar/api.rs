//! Polar's other endpoints: meters, customers, balances. Asked by commands, with the caller's token; the daemon itself
//! only ingests.

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::api_error::{ApiError, scopes_of};
use super::base_url::{BaseUrl, Environment};
use super::credentials::{Credentials, TokenSource};
use super::customer::{Customer, CustomerKey, CustomerMeter, NewCustomer, Page};
use super::error::SetupError;
use super::http_client::http_client;
use super::meter::{Meter, NewMeter};
use super::retry_after::retry_after;
use super::settings::Settings;
use super::token::Token;
use super::unreachable::{Obstacle, Unreachable};
use super::wire::ValidationReply;

/// An answer is a page of a hundred objects at most.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// The longest page Polar gives out.
const PAGE_LENGTH: &str = "100";
/// More meters than this are not looked at: each page is a request of the organization's budget.
const PAGES_MAX: u64 = 10;
/// What goes to a stand-in for Polar on this machine where no token was given: the simulator lets in whoever has a token of
/// this form, and nobody's secret is shown to anything else.
const STAND_IN_TOKEN: &str = "polar_oat_none";

/// A client of Polar's other endpoints.
#[derive(Debug)]
pub struct Api {
    http: Client,
    base_url: BaseUrl,
    version: String,
    token: Option<Token>,
}

/// Meters, as far as they were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meters {
    /// They.
    pub meters: Vec<Meter>,
    /// Whether there are no others.
    pub are_all: bool,
}

impl Api {
    /// Sets the client up; nothing is sent.
    ///
    /// # Errors
    /// When the settings can't work, the token's file holds none, or the system's certificates can't be loaded.
    pub fn new(settings: &Settings) -> Result<Self, ApiError> {
        if let Some(fault) = settings.faults().into_iter().next() {
            return Err(fault.into());
        }
        let token = Credentials::read(&settings.token).map_err(SetupError::from)?;
        let stands_in = settings.token == TokenSource::None
            && settings.base_url.environment() == Environment::Custom
            && settings.base_url.is_loopback();
        let token = match token {
            None if stands_in => Some(Token::parse(STAND_IN_TOKEN).map_err(SetupError::from)?),
            token => token,
        };
        Ok(Self {
            http: http_client(settings)?,
            base_url: settings.base_url.clone(),
            version: settings.polar_version.clone(),
            token,
        })
    }

    /// Whether there is a token to send.
    #[must_use]
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Every meter that is not archived, up to a thousand.
    ///
    /// # Errors
    /// Why there is no answer that could be used.
    pub async fn meters(&self) -> Result<Meters, ApiError> {
        let url = self.base_url.endpoint(&["v1", "meters", ""]);
        let (meters, are_all) = self.list(&url, &[("is_archived", "false")]).await?;
        Ok(Meters { meters, are_all })
    }

    /// Makes a meter.
    ///
    /// # Errors
    /// Why it was not made, or may not have been.
    pub async fn create_meter(&self, meter: &NewMeter) -> Result<Meter, ApiError> {
        self.create(&["v1", "meters", ""], meter).await
    }

    /// Makes a customer.
    ///
    /// # Errors
    /// Why it was not made, or may not have been.
    pub async fn create_customer(&self, customer: &NewCustomer) -> Result<Customer, ApiError> {
        self.create(&["v1", "customers", ""], customer).await
    }

    /// One customer.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] when Polar knows no such customer.
    pub async fn customer(&self, key: &CustomerKey) -> Result<Customer, ApiError> {
        let (CustomerKey::External(id) | CustomerKey::Id(id)) = key;
        if matches!(id.as_str(), "" | "." | "..") {
            // No path can name it.
            return Err(ApiError::NotFound);
        }
        let url = match key {
            CustomerKey::External(id) => self.base_url.endpoint(&["v1", "customers", "external", id]),
            CustomerKey::Id(id) => self.base_url.endpoint(&["v1", "customers", id]),
        };
        self.ask(Method::GET, url, None).await
    }

    /// A customer's standing on every meter that has counted something of theirs.
    ///
    /// # Errors
    /// Why there is no answer that could be used.
    pub async fn customer_meters(&self, key: &CustomerKey) -> Result<Vec<CustomerMeter>, ApiError> {
        let url = self.base_url.endpoint(&["v1", "customer-meters", ""]);
        let wanted = match key {
            CustomerKey::External(id) => ("external_customer_id", id.as_str()),
            CustomerKey::Id(id) => ("customer_id", id.as_str()),
        };
        Ok(self.list(&url, &[wanted]).await?.0)
    }

    /// The organization that the token is of, as an object of it tells; `None` where there is none to tell. Whoever may
    /// write events may list them.
    ///
    /// # Errors
    /// Why there is no answer that could be used.
    pub async fn organization(&self) -> Result<Option<String>, ApiError> {
        #[derive(Deserialize)]
        struct Owned {
            organization_id: String,
        }
        let mut url = self.base_url.endpoint(&["v1", "events", ""]);
        url.query_pairs_mut().append_pair("limit", "1");
        // Events are paged in one of two ways, and one event is enough.
        #[derive(Deserialize)]
        struct Listed {
            items: Vec<Owned>,
        }
        let listed: Listed = self.ask(Method::GET, url, None).await?;
        Ok(listed.items.into_iter().next().map(|event| event.organization_id))
    }

    async fn create<T: DeserializeOwned>(&self, path: &[&str], new: &impl Serialize) -> Result<T, ApiError> {
        let body = serde_json::to_vec(new).unwrap_or_default();
        self.ask(Method::POST, self.base_url.endpoint(path), Some(body.into())).await
    }

    /// Every page of a list, and whether there are no others.
    async fn list<T: DeserializeOwned>(
        &self,
        url: &Url,
        wanted: &[(&str, &str)],
    ) -> Result<(Vec<T>, bool), ApiError> {
        let mut items = Vec::new();
        for number in 1..=PAGES_MAX {
            let mut url = url.clone();
            url.query_pairs_mut()
                .extend_pairs(wanted)
                .append_pair("limit", PAGE_LENGTH)
                .append_pair("page", &number.to_string());
            let page: Page<T> = self.ask(Method::GET, url, None).await?;
            items.extend(page.items);
            if page.pagination.max_page <= number {
                return Ok((items, true));
            }
        }
        Ok((items, false))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<Bytes>,
    ) -> Result<T, ApiError> {
        let environment = self.base_url.environment();
        let token = self.token.as_ref().ok_or(ApiError::NoToken(environment))?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|_| ApiError::Unauthorized(environment))?;
        bearer.set_sensitive(true);
        let mut request = self.http.request(method, url).header(AUTHORIZATION, bearer);
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.map_err(|error| match Obstacle::before_an_answer(&error) {
            Obstacle::ProxyLogin => ApiError::ProxyLogin,
            Obstacle::Unreachable(reason) => self.unreachable(reason),
        })?;
        let head = Head::of(&response);
        let body = whole_body(response).await.map_err(|reason| self.unreachable(reason))?;
        self.read(&head, &body)
    }

    fn read<T: DeserializeOwned>(&self, head: &Head, body: &[u8]) -> Result<T, ApiError> {
        let environment = self.base_url.environment();
        let not_polar = || ApiError::NotPolar { address: self.address(), status: head.status };
        match head.status {
            200 | 201 => serde_json::from_slice(body).map_err(|_| not_polar()),
            401 => Err(ApiError::Unauthorized(environment)),
            403 if head.is_json => Err(ApiError::Forbidden { scopes: head.scopes.clone() }),
            404 if body.starts_with(br#"{"error":"ResourceNotFound""#) => Err(ApiError::NotFound),
            404 => Err(ApiError::WrongAddress { address: self.address(), version: self.version.clone() }),
            407 => Err(ApiError::ProxyLogin),
            422 => match serde_json::from_slice::<ValidationReply>(body) {
                Ok(reply) => Err(ApiError::Refused(first_fault(&reply))),
                Err(_) => Err(not_polar()),
            },
            429 => Err(ApiError::RateLimited { retry_after_seconds: head.retry_after_seconds }),
            status @ 500..=599 => Err(ApiError::Server { status }),
            _ => Err(not_polar()),
        }
    }

    fn address(&self) -> String {
        self.base_url.as_str().to_owned()
    }

    fn unreachable(&self, reason: Unreachable) -> ApiError {
        ApiError::Unreachable { address: self.address(), reason }
    }
}

/// What matters of an answer beside its body.
struct Head {
    status: u16,
    is_json: bool,
    scopes: Vec<String>,
    retry_after_seconds: Option<u64>,
}

impl Head {
    fn of(response: &Response) -> Self {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        Self {
            status: response.status().as_u16(),
            is_json: header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json")),
            scopes: header(WWW_AUTHENTICATE).map(scopes_of).unwrap_or_default(),
            retry_after_seconds: header(RETRY_AFTER)
                .and_then(|value| retry_after(value, None))
                .map(|wait| wait.as_secs()),
        }
    }
}

async fn whole_body(mut response: Response) -> Result<BytesMut, Unreachable> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Unreachable::within_an_answer(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Unreachable::Garbage);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The place and the words of the first fault; never what was sent.
fn first_fault(reply: &ValidationReply) -> String {
    let Some(fault) = reply.detail.first() else { return "it does not say why".to_owned() };
    let place: Vec<String> = fault.loc.iter().skip(1).map(ToString::to_string).collect();
    if place.is_empty() { fault.msg.clone() } else { format!("{}: {}", place.join("."), fault.msg) }
}
