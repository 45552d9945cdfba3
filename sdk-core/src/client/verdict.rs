//! What a refusal by the server means for the next attempt: the one table.

use crate::ReasonCode;

/// What to do about a reason that ended a connection, or kept it from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Try again, later.
    Later,
    /// The credential is at fault: another token may help, the same will not.
    Credential,
    /// The credential was good, and its time is over.
    Expired,
    /// The server does not speak MQTT 5.
    OldProtocol,
    /// The server does not know the authentication method.
    NoMethod,
    /// Another server is to be asked.
    Elsewhere,
    /// Another connection has the session now.
    TakenOver,
    /// The server will say the same again.
    Never,
}

impl Verdict {
    pub(super) const fn on(reason: ReasonCode) -> Self {
        match reason {
            ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized => Self::Credential,
            ReasonCode::MaximumConnectTime => Self::Expired,
            ReasonCode::UnsupportedProtocolVersion => Self::OldProtocol,
            ReasonCode::BadAuthenticationMethod => Self::NoMethod,
            ReasonCode::UseAnotherServer | ReasonCode::ServerMoved => Self::Elsewhere,
            ReasonCode::SessionTakenOver => Self::TakenOver,
            ReasonCode::ClientIdentifierNotValid
            | ReasonCode::Banned
            | ReasonCode::MalformedPacket
            | ReasonCode::ProtocolError
            | ReasonCode::TopicNameInvalid
            | ReasonCode::TopicFilterInvalid
            | ReasonCode::PacketTooLarge
            | ReasonCode::PayloadFormatInvalid
            | ReasonCode::RetainNotSupported
            | ReasonCode::QosNotSupported => Self::Never,
            // What may pass, and what does not belong here and says nothing about the next attempt.
            ReasonCode::Success
            | ReasonCode::GrantedQos1
            | ReasonCode::GrantedQos2
            | ReasonCode::DisconnectWithWill
            | ReasonCode::NoMatchingSubscribers
            | ReasonCode::NoSubscriptionExisted
            | ReasonCode::ContinueAuthentication
            | ReasonCode::Reauthenticate
            | ReasonCode::UnspecifiedError
            | ReasonCode::ImplementationSpecific
            | ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::ServerShuttingDown
            | ReasonCode::KeepAliveTimeout
            | ReasonCode::PacketIdentifierInUse
            | ReasonCode::PacketIdentifierNotFound
            | ReasonCode::ReceiveMaximumExceeded
            | ReasonCode::TopicAliasInvalid
            | ReasonCode::MessageRateTooHigh
            | ReasonCode::QuotaExceeded
            | ReasonCode::AdministrativeAction
            | ReasonCode::SharedSubscriptionsNotSupported
            | ReasonCode::ConnectionRateExceeded
            | ReasonCode::SubscriptionIdentifiersNotSupported
            | ReasonCode::WildcardSubscriptionsNotSupported => Self::Later,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_refusal_that_will_be_repeated_is_tried_again() {
        for (byte, verdict) in [
            (0x80, Verdict::Later),
            (0x81, Verdict::Never),
            (0x84, Verdict::OldProtocol),
            (0x85, Verdict::Never),
            (0x86, Verdict::Credential),
            (0x87, Verdict::Credential),
            (0x88, Verdict::Later),
            (0x89, Verdict::Later),
            (0x8A, Verdict::Never),
            (0x8B, Verdict::Later),
            (0x8C, Verdict::NoMethod),
            (0x8D, Verdict::Later),
            (0x8E, Verdict::TakenOver),
            (0x97, Verdict::Later),
            (0x98, Verdict::Later),
            (0x9C, Verdict::Elsewhere),
            (0x9D, Verdict::Elsewhere),
            (0x9F, Verdict::Later),
            (0xA0, Verdict::Expired),
        ] {
            assert_eq!(
                ReasonCode::from_byte(byte).map(Verdict::on),
                Some(verdict),
                "{byte:#x}"
            );
        }
    }
}
