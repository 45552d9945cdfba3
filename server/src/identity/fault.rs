//! Why a provider's word is not taken.

use serde::{Deserialize, Serialize};

/// Why an external token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    /// It is no JWT, is too long, or its header asks for what we do not do.
    #[error("the token is not a JWT that can be read")]
    Malformed,
    /// No enabled provider of the organization has this issuer, or this name.
    #[error("no identity provider of the organization vouches for this token")]
    NoProvider,
    /// It is signed in a way that the provider does not use.
    #[error("the token is signed with an algorithm that its provider does not use")]
    Algorithm,
    /// The provider has no such key.
    #[error("the token is signed with a key that its provider does not have")]
    UnknownKey,
    /// The signature is not the provider's.
    #[error("the token's signature is not its provider's")]
    Signature,
    /// Another issuer.
    #[error("the token was issued by somebody else")]
    Issuer,
    /// Meant for somebody else.
    #[error("the token is meant for another audience")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not begun, or it says that it was made in the future.
    #[error("the token is not valid yet; the clocks disagree")]
    NotYet,
    /// A claim that must be there is missing or is of the wrong kind.
    #[error("the token lacks {0}, or it is not what it should be")]
    Claim(Requirement),
    /// The provider says that the address is not the user's.
    #[error("the e-mail address of the token is not verified")]
    EmailNotVerified,
    /// More claims are to be kept than there is room for.
    #[error("the claims that the organization keeps are too large in this token")]
    TooManyClaims,
    /// The provider's keys are not here and cannot be fetched. Try again.
    #[error("the identity provider's keys cannot be fetched at the moment; try again")]
    Unreachable(#[from] FetchFault),
}

/// A claim that every token must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Requirement {
    /// `exp`
    #[error("its end (exp)")]
    Expiry,
    /// `iat`
    #[error("the time it was made (iat)")]
    IssuedAt,
    /// `nbf`
    #[error("the time from which it counts (nbf)")]
    NotBefore,
    /// An e-mail address.
    #[error("an e-mail address; let the provider put one into the token")]
    Email,
    /// Another one that cannot be used, or is missing although every token has it.
    #[error("an issuer (iss)")]
    Issuer,
}

/// Why a provider's keys could not be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchFault {
    /// The address is not one that we ask.
    #[error("the address may not be asked")]
    Address,
    /// No connection.
    #[error("no connection")]
    Connect,
    /// Too slow.
    #[error("no whole answer in time")]
    TooSlow,
    /// The answer is not 200.
    #[error("the answer is not 200")]
    Status,
    /// The answer is too large.
    #[error("the answer is too large")]
    TooLarge,
    /// The answer is not what it should be.
    #[error("the answer cannot be understood")]
    Nonsense,
    /// Too many fetches at once, or the last one failed a moment ago.
    #[error("asked a moment ago")]
    Later,
}
