//! DISCONNECT: the last packet of a connection (section 3.14).

use alloc::vec::Vec;

use crate::Version;
use crate::codec::{EncodeError, ReasonCode, UserProperties};

/// DISCONNECT. Before MQTT 5 it has no content, and only clients send it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why. The default is a normal disconnection.
    pub reason: ReasonCode,
    /// A new session expiry; only from a client [MQTT-3.14.2-2].
    pub session_expiry_secs: Option<u32>,
    /// For the reader of a log.
    pub reason_string: Option<&'a str>,
    /// Another server to use; only from a server.
    pub server_reference: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

impl Disconnect<'_> {
    /// A DISCONNECT with this reason and nothing else.
    #[must_use]
    pub fn new(reason: ReasonCode) -> Self {
        Self {
            reason,
            ..Self::default()
        }
    }

    /// Appends the packet to `out`. What `version` lacks is left out.
    ///
    /// # Errors
    /// Why it cannot be expressed; `out` is then as it was.
    pub fn encode(&self, _version: Version, _out: &mut Vec<u8>) -> Result<(), EncodeError> {
        todo!()
    }
}
