//! An event that passed Polar's schema, ready to be committed.

use std::borrow::Cow;

use uuid::Uuid;

/// An ingested event, borrowed from its request where that is possible.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading<'b> {
    pub(super) name: Cow<'b, str>,
    pub(super) customer: CustomerRef<'b>,
    pub(super) external_id: Option<Cow<'b, str>>,
    pub(super) parent_id: Option<Cow<'b, str>>,
    /// Microseconds since 1970; `None` is the time of arrival.
    pub(super) timestamp_us: Option<i64>,
    pub(super) organization_id: Option<Uuid>,
    pub(super) member_id: Option<Uuid>,
    /// The metadata object as JSON, if there was one.
    pub(super) metadata: Option<Cow<'b, str>>,
    /// The whole event as JSON.
    pub(super) text: Cow<'b, str>,
    /// It passes the schema but its insertion fails, and the whole request with it.
    pub(super) poison: bool,
}

/// Whom an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum CustomerRef<'b> {
    /// Polar's own id.
    Id(Uuid),
    /// The application's id, known to Polar or not.
    External(Cow<'b, str>),
}

impl CustomerRef<'_> {
    pub(super) fn into_owned(self) -> CustomerRef<'static> {
        match self {
            Self::Id(id) => CustomerRef::Id(id),
            Self::External(id) => CustomerRef::External(Cow::Owned(id.into_owned())),
        }
    }
}

/// A PostgreSQL index entry may not be longer, in bytes.
pub(super) const INDEXED_BYTES_MAX: usize = 2704;

/// Text that cannot be stored where Polar stores names and ids.
pub(super) fn unstorable(text: &str) -> bool {
    text.len() > INDEXED_BYTES_MAX || text.contains('\0')
}
