//! CONNACK: the server's answer to CONNECT (section 3.2).

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU16;

use crate::codec::{EncodeError, ReasonCode, UserProperties};
use crate::{Qos, Version};

/// CONNACK. Fields from `session_expiry_secs` on exist only in MQTT 5.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// The server goes on with an earlier session; never set on a refusal [MQTT-3.2.2-6]. MQTT 3.1 has no such
    /// flag: not sent, and false when received.
    pub session_present: bool,
    /// Success or why not. Before MQTT 5 it travels as a return code from 0 to 5.
    pub reason: ReasonCode,
    /// The session expiry that holds instead of the one asked for.
    pub session_expiry_secs: Option<u32>,
    /// How many QoS 1 and 2 messages the server takes at once; absent means 65 535.
    pub receive_max: Option<NonZeroU16>,
    /// Highest QoS the server supports; absent means 2, which is therefore never sent.
    pub qos_max: Option<Qos>,
    /// Whether retained messages are supported; absent means they are.
    pub retain_available: Option<bool>,
    /// Largest packet the server accepts, in bytes, not 0; absent means no limit.
    pub packet_bytes_max: Option<u32>,
    /// The client identifier that the server chose.
    pub assigned_client_id: Option<&'a str>,
    /// Highest topic alias the server accepts; absent means none.
    pub topic_alias_max: Option<u16>,
    /// For the reader of a log.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
    /// Whether wildcards in filters are supported; absent means they are.
    pub wildcard_available: Option<bool>,
    /// Whether subscription identifiers are supported; absent means they are.
    pub subscription_ids_available: Option<bool>,
    /// Whether shared subscriptions are supported; absent means they are.
    pub shared_available: Option<bool>,
    /// The keep alive that holds instead of the one asked for.
    pub server_keep_alive_secs: Option<u16>,
    /// A basis for response topics.
    pub response_information: Option<&'a str>,
    /// Another server to use.
    pub server_reference: Option<&'a str>,
    /// Name of the authentication method.
    pub auth_method: Option<&'a str>,
    /// Data of that method; only together with it.
    pub auth_data: Option<&'a [u8]>,
}

impl ConnAck<'_> {
    /// An answer with this reason and nothing else.
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

impl fmt::Debug for ConnAck<'_> {
    /// Says that authentication data is there, never what it is.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ConnAck")
            .field("session_present", &self.session_present)
            .field("reason", &self.reason)
            .field("session_expiry_secs", &self.session_expiry_secs)
            .field("receive_max", &self.receive_max)
            .field("qos_max", &self.qos_max)
            .field("retain_available", &self.retain_available)
            .field("packet_bytes_max", &self.packet_bytes_max)
            .field("assigned_client_id", &self.assigned_client_id)
            .field("topic_alias_max", &self.topic_alias_max)
            .field("reason_string", &self.reason_string)
            .field("user_properties", &self.user_properties)
            .field("wildcard_available", &self.wildcard_available)
            .field("subscription_ids_available", &self.subscription_ids_available)
            .field("shared_available", &self.shared_available)
            .field("server_keep_alive_secs", &self.server_keep_alive_secs)
            .field("response_information", &self.response_information)
            .field("server_reference", &self.server_reference)
            .field("auth_method", &self.auth_method)
            .field("auth_data", &self.auth_data.map(|_| format_args!("***")))
            .finish()
    }
}
