//! Customers and their meters, as Polar's API writes them.

use serde::{Deserialize, Serialize};

use super::meter::Meter;

/// A customer that there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// Polar's id of it.
    pub id: String,
    /// The application's id of it.
    #[serde(default)]
    pub external_id: Option<String>,
    /// Its address; a team may have none.
    #[serde(default)]
    pub email: Option<String>,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// Whose it is.
    pub organization_id: String,
}

/// A customer to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewCustomer {
    /// Its address; Polar checks that mail can be sent there.
    pub email: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The application's id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// Which customer is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomerKey {
    /// By the application's id.
    External(String),
    /// By Polar's id.
    Id(String),
}

/// A customer's standing on a meter.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CustomerMeter {
    /// The customer.
    pub customer: Customer,
    /// The meter.
    pub meter: Meter,
    /// What was used, less what was granted as negative usage.
    pub consumed_units: f64,
    /// What benefits of products have credited.
    pub credited_units: f64,
    /// What is left: credited less consumed.
    pub balance: f64,
    /// When Polar computed it last.
    #[serde(default)]
    pub modified_at: Option<String>,
}

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) pagination: Pagination,
}

/// Where a page stands in its list.
#[derive(Debug, Deserialize)]
pub(super) struct Pagination {
    pub(super) max_page: u64,
}
