//! One ended connection, and why it ended.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use cloudsignal_broker::{CloseCause, Traffic};
use cloudsignal_core::Version;
use cloudsignal_core::codec::ReasonCode;

use crate::clock::WallTime;
use crate::net::origin::Carrier;

/// One ended connection, as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct EndedConnection {
    /// The client's id.
    pub client_id: String,
    /// Its user name, without `@organization`.
    pub username: String,
    /// When it was let in.
    pub connected_at: WallTime,
    /// When it ended.
    pub disconnected_at: WallTime,
    /// Why it ended.
    pub reason: EndReason,
    /// The MQTT reason code of the DISCONNECT that we sent; absent when the client ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<u8>,
    /// `3.1`, `3.1.1` or `5.0`.
    pub protocol: String,
    /// What carried it.
    pub transport: Carrier,
    /// Where it came from.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// PUBLISH packets from the client.
    pub messages_in: u64,
    /// PUBLISH packets to the client; a retransmission counts again.
    pub messages_out: u64,
    /// Payload bytes from the client.
    pub bytes_in: u64,
    /// Payload bytes to the client.
    pub bytes_out: u64,
}

impl EndedConnection {
    /// How long it was open.
    pub(crate) fn duration(&self) -> Duration {
        self.disconnected_at.since(self.connected_at)
    }

    pub(crate) const fn count(&mut self, traffic: Traffic) {
        self.messages_in = traffic.messages_in;
        self.messages_out = traffic.messages_out;
        self.bytes_in = traffic.bytes_in;
        self.bytes_out = traffic.bytes_out;
    }
}

/// A protocol version as people write it.
pub(crate) const fn protocol_name(version: Version) -> &'static str {
    match version {
        Version::V31 => "3.1",
        Version::V311 => "3.1.1",
        Version::V5 => "5.0",
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndReason {
    /// The client said DISCONNECT.
    Normal,
    /// The client said DISCONNECT with a code other than 0, so that its will is published.
    ClientDisconnect,
    /// The transport ended without DISCONNECT.
    ConnectionLost,
    /// The client was silent for one and a half keep alive intervals.
    KeepAliveTimeout,
    /// An operator, the API or the server's end.
    ServerDisconnect,
    /// Another connection came with the same client id.
    Takeover,
    /// The credential ended: expired, revoked, changed or deleted.
    AuthFailure,
    /// The client broke the protocol.
    ProtocolError,
    /// A quota was used up.
    QuotaExceeded,
}

/// Reasons in three classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReasonClass {
    /// As somebody wanted: client, server or another connection.
    Normal,
    /// Something went wrong.
    Errors,
    /// The client fell silent.
    Timeouts,
}

impl EndReason {
    pub(crate) const fn class(self) -> ReasonClass {
        match self {
            Self::Normal | Self::ClientDisconnect | Self::ServerDisconnect | Self::Takeover => {
                ReasonClass::Normal
            }
            Self::ConnectionLost | Self::AuthFailure | Self::ProtocolError | Self::QuotaExceeded => {
                ReasonClass::Errors
            }
            Self::KeepAliveTimeout => ReasonClass::Timeouts,
        }
    }

    pub(crate) const fn of(cause: CloseCause) -> Self {
        match cause {
            CloseCause::Client => Self::Normal,
            CloseCause::ClientWithWill => Self::ClientDisconnect,
            CloseCause::Transport => Self::ConnectionLost,
            CloseCause::Refused(reason) | CloseCause::Server(reason) => Self::of_code(reason),
        }
    }

    const fn of_code(reason: ReasonCode) -> Self {
        match reason {
            ReasonCode::KeepAliveTimeout => Self::KeepAliveTimeout,
            ReasonCode::SessionTakenOver => Self::Takeover,
            ReasonCode::NotAuthorized
            | ReasonCode::MaximumConnectTime
            | ReasonCode::BadUserNameOrPassword
            | ReasonCode::BadAuthenticationMethod
            | ReasonCode::Banned => Self::AuthFailure,
            ReasonCode::QuotaExceeded
            | ReasonCode::MessageRateTooHigh
            | ReasonCode::ConnectionRateExceeded => Self::QuotaExceeded,
            ReasonCode::MalformedPacket
            | ReasonCode::ProtocolError
            | ReasonCode::TopicAliasInvalid
            | ReasonCode::TopicNameInvalid
            | ReasonCode::TopicFilterInvalid
            | ReasonCode::ReceiveMaximumExceeded
            | ReasonCode::PacketTooLarge
            | ReasonCode::PayloadFormatInvalid
            | ReasonCode::UnsupportedProtocolVersion
            | ReasonCode::PacketIdentifierInUse
            | ReasonCode::PacketIdentifierNotFound
            | ReasonCode::ClientIdentifierNotValid
            | ReasonCode::UnspecifiedError => Self::ProtocolError,
            ReasonCode::Success
            | ReasonCode::GrantedQos1
            | ReasonCode::GrantedQos2
            | ReasonCode::DisconnectWithWill
            | ReasonCode::NoMatchingSubscribers
            | ReasonCode::NoSubscriptionExisted
            | ReasonCode::ContinueAuthentication
            | ReasonCode::Reauthenticate
            | ReasonCode::ImplementationSpecific
            | ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::ServerShuttingDown
            | ReasonCode::AdministrativeAction
            | ReasonCode::RetainNotSupported
            | ReasonCode::QosNotSupported
            | ReasonCode::UseAnotherServer
            | ReasonCode::ServerMoved
            | ReasonCode::SharedSubscriptionsNotSupported
            | ReasonCode::SubscriptionIdentifiersNotSupported
            | ReasonCode::WildcardSubscriptionsNotSupported => Self::ServerDisconnect,
        }
    }
}

/// The code that the client was told, if it was told one.
pub(crate) const fn code_of(cause: CloseCause) -> Option<u8> {
    match cause {
        CloseCause::Client | CloseCause::ClientWithWill | CloseCause::Transport => None,
        CloseCause::Refused(reason) | CloseCause::Server(reason) => Some(reason.byte()),
    }
}
