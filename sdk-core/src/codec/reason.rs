//! Reason codes: number ⇄ name, which packet may carry which, and their 3.1.1 equivalents.

use core::fmt;

use super::PacketType;
use crate::Qos;

/// How something went, as MQTT 5 numbers it (section 2.4). Values from 0x80 on are failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ReasonCode {
    /// Success; also "normal disconnection" and "granted QoS 0".
    #[default]
    Success = 0x00,
    /// SUBACK: granted QoS 1.
    GrantedQos1 = 0x01,
    /// SUBACK: granted QoS 2.
    GrantedQos2 = 0x02,
    /// DISCONNECT: close, and publish the will.
    DisconnectWithWill = 0x04,
    /// PUBACK, PUBREC: accepted, nobody subscribes to it.
    NoMatchingSubscribers = 0x10,
    /// UNSUBACK: there was no such subscription.
    NoSubscriptionExisted = 0x11,
    /// AUTH: go on with the exchange.
    ContinueAuthentication = 0x18,
    /// AUTH: authenticate again on the open connection.
    Reauthenticate = 0x19,
    /// The sender does not want to say why.
    UnspecifiedError = 0x80,
    /// A packet could not be parsed.
    MalformedPacket = 0x81,
    /// A packet was unexpected or broke a rule.
    ProtocolError = 0x82,
    /// Valid, but this receiver does not accept it.
    ImplementationSpecific = 0x83,
    /// CONNACK: the protocol version is not supported.
    UnsupportedProtocolVersion = 0x84,
    /// CONNACK: the client identifier is not allowed.
    ClientIdentifierNotValid = 0x85,
    /// CONNACK: user name or password is wrong.
    BadUserNameOrPassword = 0x86,
    /// The client may not do this.
    NotAuthorized = 0x87,
    /// CONNACK: the server cannot be used now.
    ServerUnavailable = 0x88,
    /// The server is too busy; try again later.
    ServerBusy = 0x89,
    /// CONNACK: the client is banned.
    Banned = 0x8A,
    /// DISCONNECT: the server is going away.
    ServerShuttingDown = 0x8B,
    /// The authentication method is unknown or not the one in use.
    BadAuthenticationMethod = 0x8C,
    /// DISCONNECT: no packet came for 1.5 times the keep alive.
    KeepAliveTimeout = 0x8D,
    /// DISCONNECT: another connection uses the same client identifier.
    SessionTakenOver = 0x8E,
    /// The topic filter is not accepted here.
    TopicFilterInvalid = 0x8F,
    /// The topic name is not accepted here.
    TopicNameInvalid = 0x90,
    /// The packet identifier is already in use.
    PacketIdentifierInUse = 0x91,
    /// The packet identifier is not in use.
    PacketIdentifierNotFound = 0x92,
    /// DISCONNECT: more unacknowledged PUBLISH than Receive Maximum.
    ReceiveMaximumExceeded = 0x93,
    /// DISCONNECT: the topic alias is 0 or above the maximum.
    TopicAliasInvalid = 0x94,
    /// The packet is larger than this receiver accepts.
    PacketTooLarge = 0x95,
    /// DISCONNECT: data comes too fast.
    MessageRateTooHigh = 0x96,
    /// A limit of the implementation or the operator is reached.
    QuotaExceeded = 0x97,
    /// DISCONNECT: an operator closed the connection.
    AdministrativeAction = 0x98,
    /// The payload is not what its format indicator says.
    PayloadFormatInvalid = 0x99,
    /// The server does not support retained messages.
    RetainNotSupported = 0x9A,
    /// The QoS is above the server's maximum.
    QosNotSupported = 0x9B,
    /// Use another server for now.
    UseAnotherServer = 0x9C,
    /// Use another server from now on.
    ServerMoved = 0x9D,
    /// The server does not support shared subscriptions.
    SharedSubscriptionsNotSupported = 0x9E,
    /// Connections come too fast.
    ConnectionRateExceeded = 0x9F,
    /// DISCONNECT: the time granted to this connection is over.
    MaximumConnectTime = 0xA0,
    /// The server does not support subscription identifiers.
    SubscriptionIdentifiersNotSupported = 0xA1,
    /// The server does not support wildcards in filters.
    WildcardSubscriptionsNotSupported = 0xA2,
}

/// Every reason code with the name the specification gives it, in rising order.
const NAMES: [(ReasonCode, &str); 43] = {
    use ReasonCode as R;
    [
        (R::Success, "success"),
        (R::GrantedQos1, "granted QoS 1"),
        (R::GrantedQos2, "granted QoS 2"),
        (R::DisconnectWithWill, "disconnect with will message"),
        (R::NoMatchingSubscribers, "no matching subscribers"),
        (R::NoSubscriptionExisted, "no subscription existed"),
        (R::ContinueAuthentication, "continue authentication"),
        (R::Reauthenticate, "re-authenticate"),
        (R::UnspecifiedError, "unspecified error"),
        (R::MalformedPacket, "malformed packet"),
        (R::ProtocolError, "protocol error"),
        (R::ImplementationSpecific, "implementation specific error"),
        (R::UnsupportedProtocolVersion, "unsupported protocol version"),
        (R::ClientIdentifierNotValid, "client identifier not valid"),
        (R::BadUserNameOrPassword, "bad user name or password"),
        (R::NotAuthorized, "not authorized"),
        (R::ServerUnavailable, "server unavailable"),
        (R::ServerBusy, "server busy"),
        (R::Banned, "banned"),
        (R::ServerShuttingDown, "server shutting down"),
        (R::BadAuthenticationMethod, "bad authentication method"),
        (R::KeepAliveTimeout, "keep alive timeout"),
        (R::SessionTakenOver, "session taken over"),
        (R::TopicFilterInvalid, "topic filter invalid"),
        (R::TopicNameInvalid, "topic name invalid"),
        (R::PacketIdentifierInUse, "packet identifier in use"),
        (R::PacketIdentifierNotFound, "packet identifier not found"),
        (R::ReceiveMaximumExceeded, "receive maximum exceeded"),
        (R::TopicAliasInvalid, "topic alias invalid"),
        (R::PacketTooLarge, "packet too large"),
        (R::MessageRateTooHigh, "message rate too high"),
        (R::QuotaExceeded, "quota exceeded"),
        (R::AdministrativeAction, "administrative action"),
        (R::PayloadFormatInvalid, "payload format invalid"),
        (R::RetainNotSupported, "retain not supported"),
        (R::QosNotSupported, "QoS not supported"),
        (R::UseAnotherServer, "use another server"),
        (R::ServerMoved, "server moved"),
        (
            R::SharedSubscriptionsNotSupported,
            "shared subscriptions not supported",
        ),
        (R::ConnectionRateExceeded, "connection rate exceeded"),
        (R::MaximumConnectTime, "maximum connect time"),
        (
            R::SubscriptionIdentifiersNotSupported,
            "subscription identifiers not supported",
        ),
        (
            R::WildcardSubscriptionsNotSupported,
            "wildcard subscriptions not supported",
        ),
    ]
};

/// Where in [`NAMES`] each byte is, plus one; 0 for bytes that are no reason code.
const PLACES: [u8; 256] = {
    let mut places = [0; 256];
    let mut at = 0;
    while at < NAMES.len() {
        places[NAMES[at].0 as usize] = at as u8 + 1;
        at += 1;
    }
    places
};

/// The reason of each byte. Without their names, which a client need not download to read what it is sent.
const REASONS: [Option<ReasonCode>; 256] = {
    let mut reasons = [None; 256];
    let mut at = 0;
    while at < NAMES.len() {
        reasons[NAMES[at].0 as usize] = Some(NAMES[at].0);
        at += 1;
    }
    reasons
};

impl ReasonCode {
    /// The reason with this number, or `None` when the specification gives it no meaning.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        REASONS[byte as usize]
    }

    /// The number on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// Whether it says that something failed (0x80 and above).
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.byte() >= 0x80
    }

    /// The return code of a 3.1 or 3.1.1 CONNACK that says it best: 0 to 5 (3.1.1 table 3.1).
    ///
    /// Clients give up on 4 and 5 but try again after 3, so whatever may pass later is 3.
    #[must_use]
    pub const fn connack_v3(self) -> u8 {
        match self.byte() {
            0x00 => 0,
            0x84 => 1,
            0x85 => 2,
            0x86 => 4,
            // Not authorized, banned, bad authentication method: trying again does not help.
            0x87 | 0x8A | 0x8C => 5,
            _ => 3,
        }
    }

    /// What a 3.1 or 3.1.1 CONNACK return code means, or `None` for 6 and above.
    #[must_use]
    pub const fn from_connack_v3(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdentifierNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }

    /// Its name in the specification, in small letters: `"keep alive timeout"`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        NAMES[PLACES[self as usize] as usize - 1].1
    }

    /// Whether an MQTT 5 packet of this type may carry it (section 2.4, and the table of each packet).
    #[must_use]
    pub const fn allowed_in(self, packet: PacketType) -> bool {
        let byte = self.byte();
        match packet {
            // [MQTT-3.2.2-8]
            PacketType::ConnAck => {
                matches!(byte, 0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F)
            }
            // [MQTT-3.4.2-1, MQTT-3.5.2-1]
            PacketType::PubAck | PacketType::PubRec => {
                matches!(byte, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            // [MQTT-3.6.2-1, MQTT-3.7.2-1]
            PacketType::PubRel | PacketType::PubComp => matches!(byte, 0x00 | 0x92),
            // [MQTT-3.9.3-2]
            PacketType::SubAck => {
                matches!(
                    byte,
                    0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2
                )
            }
            // [MQTT-3.11.3-2]
            PacketType::UnsubAck => matches!(byte, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91),
            // [MQTT-3.14.2-1]
            PacketType::Disconnect => matches!(
                byte,
                0x00 | 0x04 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B..=0x90 | 0x93..=0xA2
            ),
            // [MQTT-3.15.2-1]
            PacketType::Auth => matches!(byte, 0x00 | 0x18 | 0x19),
            PacketType::Connect
            | PacketType::Publish
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::PingReq
            | PacketType::PingResp => false,
        }
    }
}

impl From<Qos> for ReasonCode {
    /// "Granted" at this QoS.
    fn from(qos: Qos) -> Self {
        match qos {
            Qos::AtMostOnce => Self::Success,
            Qos::AtLeastOnce => Self::GrantedQos1,
            Qos::ExactlyOnce => Self::GrantedQos2,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {

    use std::vec::Vec;

    use super::*;

    #[test]
    fn numbers_and_names_belong_together() {
        let known: Vec<_> = (0..=255).filter_map(ReasonCode::from_byte).collect();
        assert_eq!(known.len(), NAMES.len());
        assert!(known.is_sorted());
        for reason in known {
            assert_eq!(ReasonCode::from_byte(reason.byte()), Some(reason));
            assert_eq!(reason.is_error(), reason.byte() >= 0x80);
            assert_eq!(std::format!("{reason}"), reason.name());
        }
        assert_eq!(ReasonCode::from_byte(0x8D), Some(ReasonCode::KeepAliveTimeout));
        assert_eq!(ReasonCode::KeepAliveTimeout.name(), "keep alive timeout");
        for unknown in [3, 5, 0x0F, 0x12, 0x1A, 0x7F, 0xA3, 0xFF] {
            assert_eq!(ReasonCode::from_byte(unknown), None);
        }
    }

    /// How many reasons each packet may carry, as its table in the specification has rows.
    #[test]
    fn each_packet_has_its_reasons() {
        // [MQTT-3.2.2-8, MQTT-3.4.2-1, MQTT-3.6.2-1, MQTT-3.9.3-2, MQTT-3.11.3-2, MQTT-3.14.2-1, MQTT-3.15.2-1]
        let rows = [
            (PacketType::ConnAck, 22),
            (PacketType::PubAck, 9),
            (PacketType::PubRec, 9),
            (PacketType::PubRel, 2),
            (PacketType::PubComp, 2),
            (PacketType::SubAck, 12),
            (PacketType::UnsubAck, 7),
            // The table has 29 rows; section 2.4 adds "bad authentication method".
            (PacketType::Disconnect, 30),
            (PacketType::Auth, 3),
            (PacketType::Publish, 0),
        ];
        for (packet, count) in rows {
            let allowed = (0..=255)
                .filter_map(ReasonCode::from_byte)
                .filter(|it| it.allowed_in(packet));
            assert_eq!(allowed.count(), count, "{packet}");
        }
    }

    #[test]
    fn return_codes_before_mqtt_5() {
        for code in 0..=5 {
            assert_eq!(
                ReasonCode::from_connack_v3(code).map(ReasonCode::connack_v3),
                Some(code)
            );
        }
        assert_eq!(ReasonCode::from_connack_v3(6), None);
        // What may pass later must not look final.
        for passing in [
            ReasonCode::ServerBusy,
            ReasonCode::QuotaExceeded,
            ReasonCode::ConnectionRateExceeded,
        ] {
            assert_eq!(passing.connack_v3(), 3);
        }
        assert_eq!(ReasonCode::Banned.connack_v3(), 5);
    }

    #[test]
    fn granted_qos() {
        let granted = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce].map(ReasonCode::from);
        assert_eq!(granted.map(ReasonCode::byte), [0, 1, 2]);
    }
}
