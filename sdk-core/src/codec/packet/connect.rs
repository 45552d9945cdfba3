//! CONNECT: a client asks for a connection (section 3.1).

use alloc::vec::Vec;
use core::fmt;
use core::num::{NonZeroU16, NonZeroU32};

use super::PublishProperties;
use crate::codec::{EncodeError, UserProperties};
use crate::topic::TopicName;
use crate::{Qos, Version};

/// CONNECT. Fields from `session_expiry_secs` on exist only in MQTT 5.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The protocol version asked for; decides the encoding of everything else.
    pub version: Version,
    /// Forget an earlier session ("clean session" before MQTT 5).
    pub clean_start: bool,
    /// The client sends something at least this often; 0 means no limit.
    pub keep_alive_secs: u16,
    /// Client identifier; empty asks the server to choose one.
    pub client_id: &'a str,
    /// User name.
    pub username: Option<&'a str>,
    /// Password: any bytes. Before MQTT 5 only together with a user name [MQTT-3.1.2-22].
    pub password: Option<&'a [u8]>,
    /// What the server publishes when the client is gone without saying goodbye.
    pub will: Option<Will<'a>>,
    /// How long the session outlives the connection; absent means 0, `u32::MAX` for ever.
    pub session_expiry_secs: Option<u32>,
    /// How many QoS 1 and 2 messages the client takes at once; absent means 65 535.
    pub receive_max: Option<NonZeroU16>,
    /// Largest packet the client accepts, in bytes; absent means no limit.
    pub packet_bytes_max: Option<NonZeroU32>,
    /// Highest topic alias the client accepts; 0 (the default) means none.
    pub topic_alias_max: u16,
    /// The client asks for response information in CONNACK. Default: false.
    pub request_response_info: bool,
    /// Reason strings and user properties may come in any packet. Default: true.
    pub request_problem_info: bool,
    /// Name of the authentication method.
    pub auth_method: Option<&'a str>,
    /// Data of that method; only together with it.
    pub auth_data: Option<&'a [u8]>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

/// The will message of a [`Connect`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Where it is published.
    pub topic: TopicName<'a>,
    /// The message.
    pub payload: &'a [u8],
    /// Its QoS.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// How long the server waits before publishing it. MQTT 5 only; 0 is the default.
    pub delay_secs: u32,
    /// Properties of the message. MQTT 5 only; never a topic alias or subscription identifiers.
    pub properties: PublishProperties<'a>,
}

impl<'a> Connect<'a> {
    /// A CONNECT with defaults: clean start, no keep alive, no credentials, no will.
    #[must_use]
    pub const fn new(version: Version, client_id: &'a str) -> Self {
        Self {
            version,
            clean_start: true,
            keep_alive_secs: 0,
            client_id,
            username: None,
            password: None,
            will: None,
            session_expiry_secs: None,
            receive_max: None,
            packet_bytes_max: None,
            topic_alias_max: 0,
            request_response_info: false,
            request_problem_info: true,
            auth_method: None,
            auth_data: None,
            user_properties: UserProperties::EMPTY,
        }
    }

    /// Appends the packet to `out`, in the version it asks for.
    ///
    /// # Errors
    /// Why it cannot be expressed; `out` is then as it was.
    pub fn encode(&self, _out: &mut Vec<u8>) -> Result<(), EncodeError> {
        todo!()
    }
}

impl fmt::Debug for Connect<'_> {
    /// Says that a password or authentication data is there, never what it is.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |present: bool| present.then_some(format_args!("***"));
        out.debug_struct("Connect")
            .field("version", &self.version)
            .field("clean_start", &self.clean_start)
            .field("keep_alive_secs", &self.keep_alive_secs)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("password", &hidden(self.password.is_some()))
            .field("will", &self.will)
            .field("session_expiry_secs", &self.session_expiry_secs)
            .field("receive_max", &self.receive_max)
            .field("packet_bytes_max", &self.packet_bytes_max)
            .field("topic_alias_max", &self.topic_alias_max)
            .field("request_response_info", &self.request_response_info)
            .field("request_problem_info", &self.request_problem_info)
            .field("auth_method", &self.auth_method)
            .field("auth_data", &hidden(self.auth_data.is_some()))
            .field("user_properties", &self.user_properties)
            .finish()
    }
}
