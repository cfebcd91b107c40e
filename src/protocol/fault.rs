//! What a refusal says on the wire: a stable code, the field, and what to do.

use std::borrow::Cow;

use super::fault_code::FaultCode;
use crate::event::Rejection;

/// A refusal of an event, or of a whole connection, ready to be spelled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault<'a> {
    /// The stable code; refusals are counted under it.
    pub code: &'static str,
    /// The field at fault as a dotted path; empty for the whole event.
    pub field: &'a str,
    /// What is wrong and what to do.
    pub message: Cow<'a, str>,
}

impl Fault<'static> {
    /// The disk is behind.
    #[must_use]
    pub fn busy(message: String) -> Self {
        Self { code: FaultCode::Busy.as_str(), field: "", message: message.into() }
    }

    /// As many connections as allowed are open.
    #[must_use]
    pub fn too_many_connections(connections_max: usize) -> Self {
        Self::busy(format!(
            "{connections_max} connections are open already; reuse connections, raise connections_max, or try again"
        ))
    }

    /// A datagram had more bytes than are received of one; what lay beyond them is gone.
    #[must_use]
    pub fn datagram_too_large(datagram_bytes_max: usize) -> Self {
        let message = format!(
            "the datagram is larger than {datagram_bytes_max} bytes, and what lay beyond them is lost; send smaller \
             datagrams, or use the stream socket"
        );
        Self { code: FaultCode::DatagramTooLarge.as_str(), field: "", message: message.into() }
    }
}

impl<'a> From<&'a Rejection> for Fault<'a> {
    fn from(rejection: &'a Rejection) -> Self {
        Self {
            code: rejection.code().as_str(),
            field: rejection.field(),
            message: Cow::Borrowed(rejection.message()),
        }
    }
}
