//! The other party: Polar's wire types, the client, and everything Polar can answer.
//!
//! Sending is one call, [`Ingest::ingest`], and it never fails: whatever happens between here and Polar comes back as
//! one case of the closed [`Reply`]. Nothing in this room decides what to do about it. [`Api`] is for commands: it asks Polar's
//! other endpoints, with the caller's token.

mod api;
mod api_error;
mod authorities;
mod base_url;
mod credentials;
mod customer;
mod error;
mod filter;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod grant_check;
mod http_client;
mod ingest;
mod meter;
mod polar_client;
mod proxy_login;
mod relay;
mod reply;
mod retry_after;
mod settings;
mod token;
mod unreachable;
mod verdict;
mod wire;

pub use api::{Api, Meters};
pub use api_error::ApiError;
pub use base_url::{BaseUrl, Environment};
pub use credentials::{Credentials, TokenChange, TokenSource, what_closes};
pub use customer::{Customer, CustomerKey, CustomerMeter, NewCustomer};
pub use error::{SetupError, TokenError};
pub use filter::{Clause, Conjunction, Filter, FilterValue, Operator};
pub use grant_check::GrantCheck;
pub use ingest::Ingest;
pub use meter::{Aggregation, Func, Meter, NewMeter};
pub use polar_client::PolarClient;
pub use relay::{Relay, RelayFault, Relayed, RelayedBody};
pub use reply::{Answer, Reply};
pub use settings::Settings;
pub use token::Token;
pub use unreachable::{TlsFault, Unreachable};
pub use verdict::{Measured, Verdict};
pub use wire::{
    EVENTS_PER_REQUEST_MAX, Fault, INGEST_PATH, IngestReply, LocPart, POLAR_VERSION, REQUEST_BYTES_MAX,
    ValidationReply,
};
