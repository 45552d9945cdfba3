//! AUTH: a step of an authentication exchange, MQTT 5 only (section 3.15).

use alloc::vec::Vec;
use core::fmt;

use crate::Version;
use crate::codec::{EncodeError, ReasonCode, UserProperties};

/// AUTH.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue, or begin again.
    pub reason: ReasonCode,
    /// The method of the exchange. Absent only when nothing else is there either.
    pub method: Option<&'a str>,
    /// Data of that method.
    pub data: Option<&'a [u8]>,
    /// For the reader of a log.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Auth<'a> {
    /// A step of the exchange named `method`.
    #[must_use]
    pub fn new(reason: ReasonCode, method: &'a str) -> Self {
        Self {
            reason,
            method: Some(method),
            ..Self::default()
        }
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// Why it cannot be expressed (always before MQTT 5); `out` is then as it was.
    pub fn encode(&self, _version: Version, _out: &mut Vec<u8>) -> Result<(), EncodeError> {
        todo!()
    }
}

impl fmt::Debug for Auth<'_> {
    /// Says that authentication data is there, never what it is.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Auth")
            .field("reason", &self.reason)
            .field("method", &self.method)
            .field("data", &self.data.map(|_| format_args!("***")))
            .field("reason_string", &self.reason_string)
            .field("user_properties", &self.user_properties)
            .finish()
    }
}
