//! What delivery needs of Polar, so that its loop can be tested against a script.

use std::future::Future;

use bytes::Bytes;

use super::base_url::Environment;
use super::credentials::TokenChange;
use super::reply::Answer;

/// The one road events take to Polar.
pub trait Ingest: Send + Sync {
    /// Sends one body, `{"events":[…]}`. Never fails: every fault is a case of the answer's reply.
    fn ingest(&self, body: Bytes) -> impl Future<Output = Answer> + Send;

    /// Looks whether another token was put in place.
    fn reread_token(&self) -> TokenChange;

    /// Whether a request would go out without the token it needs.
    fn lacks_token(&self) -> bool;

    /// Which of Polar's worlds is spoken to.
    fn environment(&self) -> Environment;

    /// What a person does to give a better token, as a clause.
    fn token_fix(&self) -> String;
}
