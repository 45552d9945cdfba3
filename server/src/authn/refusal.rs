//! Why a login is refused, and which code the client gets.
//!
//! Clients stop at 0x86 and 0x87 (3.1.1: 4 and 5) and try again after anything else, so only what stays
//! refused gets those.

use cloudsignal_core::codec::ReasonCode;

use crate::accounts::command::CredentialFault;
use crate::identity::IdentityFault;

/// Why a login is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Unknown user or organization, wrong password, forged or foreign credential: nobody is told which.
    #[error("bad user name or password")]
    BadCredentials,
    /// The credential's time is over.
    #[error("the credential has expired")]
    Expired,
    /// The credential was revoked or replaced.
    #[error("the credential was revoked")]
    Revoked,
    /// The organization is suspended.
    #[error("the organization is suspended")]
    Suspended,
    /// The identity provider that would have to vouch cannot be asked.
    #[error("the identity provider cannot be reached")]
    ProviderUnreachable,
    /// Too many passwords wait to be checked.
    #[error("too many logins at once")]
    Busy,
    /// This source failed too often within a minute.
    #[error("too many failed logins")]
    TooMany,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 7] = [
        Self::BadCredentials,
        Self::Expired,
        Self::Revoked,
        Self::Suspended,
        Self::ProviderUnreachable,
        Self::Busy,
        Self::TooMany,
    ];

    /// The CONNACK code; [`ReasonCode::connack_v3`] translates it for 3.1.1.
    #[must_use]
    pub const fn reason(self) -> ReasonCode {
        match self {
            Self::BadCredentials => ReasonCode::BadUserNameOrPassword,
            Self::Expired | Self::Revoked | Self::Suspended => ReasonCode::NotAuthorized,
            Self::ProviderUnreachable => ReasonCode::ServerUnavailable,
            Self::Busy => ReasonCode::ServerBusy,
            Self::TooMany => ReasonCode::ConnectionRateExceeded,
        }
    }

    /// The word for metrics and logs: `bad_credentials`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadCredentials => "bad_credentials",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Suspended => "suspended",
            Self::ProviderUnreachable => "provider_unreachable",
            Self::Busy => "busy",
            Self::TooMany => "too_many",
        }
    }
}

impl From<CredentialFault> for Refusal {
    fn from(fault: CredentialFault) -> Self {
        match fault {
            CredentialFault::Unknown => Self::BadCredentials,
            CredentialFault::Expired => Self::Expired,
            CredentialFault::Revoked => Self::Revoked,
            CredentialFault::Suspended => Self::Suspended,
        }
    }
}

impl From<IdentityFault> for Refusal {
    fn from(fault: IdentityFault) -> Self {
        match fault {
            IdentityFault::Unreachable(_) => Self::ProviderUnreachable,
            IdentityFault::Expired => Self::Expired,
            IdentityFault::Malformed
            | IdentityFault::NoProvider
            | IdentityFault::Algorithm
            | IdentityFault::UnknownKey
            | IdentityFault::Signature
            | IdentityFault::Issuer
            | IdentityFault::Audience
            | IdentityFault::NotYet
            | IdentityFault::Claim(_)
            | IdentityFault::EmailNotVerified
            | IdentityFault::TooManyClaims => Self::BadCredentials,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes at which clients stop, and those after which they try again.
    #[test]
    fn only_what_stays_refused_makes_clients_stop() {
        for refusal in Refusal::ALL {
            let stays = match refusal {
                Refusal::BadCredentials | Refusal::Expired | Refusal::Revoked | Refusal::Suspended => true,
                Refusal::ProviderUnreachable | Refusal::Busy | Refusal::TooMany => false,
            };
            let code = refusal.reason();
            assert_eq!(matches!(code.byte(), 0x86 | 0x87), stays, "{refusal}");
            assert_eq!(matches!(code.connack_v3(), 4 | 5), stays, "{refusal}");
            assert_ne!(code.connack_v3(), 0);
        }
        assert_eq!(Refusal::BadCredentials.reason().connack_v3(), 4);
        assert_eq!(Refusal::Expired.reason().connack_v3(), 5);
        assert_eq!(Refusal::ProviderUnreachable.reason().byte(), 0x88);
        assert_eq!(Refusal::Busy.reason().connack_v3(), 3);
        assert_eq!(Refusal::TooMany.reason().connack_v3(), 3);
    }
}
