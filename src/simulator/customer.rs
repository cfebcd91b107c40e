//! Customers.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A customer to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCustomer {
    /// An address; Polar insists on one.
    pub email: String,
    /// A name.
    #[serde(default)]
    pub name: Option<String>,
    /// The application's own id.
    #[serde(default)]
    pub external_id: Option<String>,
}

/// The customer's `email` or `external_id` is taken: choose another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a customer with this {field} already exists, choose another")]
pub struct CustomerExists {
    /// `email` or `external_id`.
    pub field: &'static str,
}

/// A customer.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    pub(super) id: Uuid,
    pub(super) created_us: u64,
    pub(super) new: NewCustomer,
}
