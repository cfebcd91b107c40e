//! The stable names of the refusals.

/// The closed set of refusals. Their spelling is an interface: it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// Not one JSON text, or not UTF-8.
    MalformedJson,
    /// Larger than `event_bytes_max`, stamps included.
    EventTooLarge,
    /// An ingest request's body (`{"events":[…]}`) where one event belongs.
    EventsWrapper,
    /// A required field is not there.
    MissingField,
    /// A field of another JSON type than Polar takes.
    WrongType,
    /// A text with more characters than Polar takes.
    StringTooLong,
    /// An id of more bytes than Polar's index takes.
    IdTooLong,
    /// An empty `external_id`: Polar would take all such events for one.
    ExternalIdEmpty,
    /// `parent_id` is the event's own `external_id`: Polar takes it for a circle and fails the whole batch.
    ParentIsItself,
    /// A text Polar's database can't store (NUL, half a surrogate pair).
    TextInvalid,
    /// Not a version 4 UUID.
    UuidInvalid,
    /// Not an instant Polar can read.
    TimestampInvalid,
    /// Further ahead than `future_hold_max`.
    TimestampInFuture,
    /// An organization is named; the token names it already.
    OrganizationIdForbidden,
    /// Neither a text, a number, nor a boolean.
    MetadataValueInvalid,
    /// `NaN`, an infinity, or a number that overflows to one.
    NumberNotFinite,
    /// An integer with more digits than Polar's parser reads.
    NumberTooLong,
    /// Lists or objects nested deeper than is safe to send.
    NestingTooDeep,
    /// `_cost.amount` outside of what Polar stores.
    CostAmountInvalid,
    /// `_cost.currency` other than `usd`.
    CostCurrencyInvalid,
    /// A key inside `grant` that means nothing.
    GrantKeyUnknown,
    /// A grant and another field say the same thing twice.
    GrantConflict,
    /// A grant's event or property that can't be one.
    GrantInvalid,
    /// Credits that are not a number above 0.
    GrantCreditsInvalid,
}

impl Code {
    /// Every code, in the order of their indices.
    pub const ALL: &'static [Self] = &[
        Self::MalformedJson,
        Self::EventTooLarge,
        Self::EventsWrapper,
        Self::MissingField,
        Self::WrongType,
        Self::StringTooLong,
        Self::IdTooLong,
        Self::ExternalIdEmpty,
        Self::ParentIsItself,
        Self::TextInvalid,
        Self::UuidInvalid,
        Self::TimestampInvalid,
        Self::TimestampInFuture,
        Self::OrganizationIdForbidden,
        Self::MetadataValueInvalid,
        Self::NumberNotFinite,
        Self::NumberTooLong,
        Self::NestingTooDeep,
        Self::CostAmountInvalid,
        Self::CostCurrencyInvalid,
        Self::GrantKeyUnknown,
        Self::GrantConflict,
        Self::GrantInvalid,
        Self::GrantCreditsInvalid,
    ];

    /// Its place in [`ALL`](Self::ALL).
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The code as answers, metrics and dead letters spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::EventTooLarge => "event_too_large",
            Self::EventsWrapper => "events_wrapper",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::StringTooLong => "string_too_long",
            Self::IdTooLong => "id_too_long",
            Self::ExternalIdEmpty => "external_id_empty",
            Self::ParentIsItself => "parent_is_itself",
            Self::TextInvalid => "text_invalid",
            Self::UuidInvalid => "uuid_invalid",
            Self::TimestampInvalid => "timestamp_invalid",
            Self::TimestampInFuture => "timestamp_in_future",
            Self::OrganizationIdForbidden => "organization_id_forbidden",
            Self::MetadataValueInvalid => "metadata_value_invalid",
            Self::NumberNotFinite => "number_not_finite",
            Self::NumberTooLong => "number_too_long",
            Self::NestingTooDeep => "nesting_too_deep",
            Self::CostAmountInvalid => "cost_amount_invalid",
            Self::CostCurrencyInvalid => "cost_currency_invalid",
            Self::GrantKeyUnknown => "grant_key_unknown",
            Self::GrantConflict => "grant_conflict",
            Self::GrantInvalid => "grant_invalid",
            Self::GrantCreditsInvalid => "grant_credits_invalid",
        }
    }

    /// The `type` a Polar-shaped 422 gives such a fault when nothing more exact is known.
    pub(super) fn polar_kind(self) -> &'static str {
        match self {
            Self::MalformedJson => "json_invalid",
            Self::MissingField | Self::EventsWrapper => "missing",
            Self::WrongType => "model_type",
            Self::StringTooLong | Self::IdTooLong => "string_too_long",
            Self::ExternalIdEmpty => "string_too_short",
            Self::TextInvalid => "string_unicode",
            Self::UuidInvalid => "uuid_parsing",
            Self::TimestampInvalid => "datetime_parsing",
            Self::NumberNotFinite => "finite_number",
            Self::NumberTooLong => "int_parsing_size",
            Self::NestingTooDeep => "recursion_loop",
            Self::CostAmountInvalid => "decimal_max_digits",
            Self::CostCurrencyInvalid => "string_pattern_mismatch",
            Self::GrantKeyUnknown => "extra_forbidden",
            Self::GrantCreditsInvalid => "greater_than",
            Self::MetadataValueInvalid => "string_type",
            Self::OrganizationIdForbidden => "organization_token",
            Self::EventTooLarge
            | Self::ParentIsItself
            | Self::TimestampInFuture
            | Self::GrantConflict
            | Self::GrantInvalid => "value_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_lies_at_its_index_under_a_name_of_its_own() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert_eq!(code.index(), index);
            assert!(code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        }
        let names: std::collections::HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert_eq!(Code::ALL.last(), Some(&Code::GrantCreditsInvalid));
    }
}
