use serde::{Deserialize, Serialize};

use crate::accounts::acl::PolicyFault;
use crate::accounts::names::NameError;

/// Why a command was not carried out. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum CommandError {
    /// A value cannot be used.
    #[error("{field} {problem}")]
    Invalid {
        /// Which value.
        field: String,
        /// Why, and what to write instead.
        problem: String,
    },
    /// The policy has faults.
    #[error("the policy has {} fault(s); the first: {}", faults.len(), faults.first().map_or_else(String::new, ToString::to_string))]
    Policy {
        /// All that were found.
        faults: Vec<PolicyFault>,
    },
    /// There is no such thing.
    #[error("there is no such {what}")]
    NotFound {
        /// `organization`, `user`, `key`.
        what: String,
    },
    /// The name is taken.
    #[error("this {what} exists already")]
    Exists {
        /// `user`.
        what: String,
    },
    /// Somebody else changed it in the meantime.
    #[error("the {what} was changed by somebody else; read it again")]
    Stale {
        /// `policy`.
        what: String,
    },
    /// Whoever asks has no power over members of this role.
    #[error("only an owner, or a secret key, has power over owners")]
    InsufficientRole,
    /// A credential is not good (any more).
    #[error("{credential}")]
    Refused {
        /// Why.
        credential: CredentialFault,
    },
    /// There are as many as there may be.
    #[error("there may be at most {max} {what}")]
    Limit {
        /// Of what.
        what: String,
        /// The bound.
        max: usize,
    },
    /// Too much is going on. Try again.
    #[error("the server is busy; try again")]
    Busy,
    /// The store cannot write. Whether the change was stored is known, and in force, once it works again.
    #[error(
        "the store does not work: whether the change was stored is known when it does; look, or try again"
    )]
    Storage,
}

/// What is wrong with a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialFault {
    /// It is not one of ours.
    #[error("the credential is not valid")]
    Unknown,
    /// Its time is over.
    #[error("the credential has expired")]
    Expired,
    /// It was revoked or replaced.
    #[error("the credential was revoked")]
    Revoked,
    /// Its organization is suspended.
    #[error("the organization is suspended")]
    Suspended,
}

impl CommandError {
    pub(in crate::accounts) fn invalid(field: &str, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            problem: problem.into(),
        }
    }

    pub(in crate::accounts) fn name(field: &str, error: NameError) -> Self {
        Self::invalid(field, error.to_string())
    }

    pub(in crate::accounts) fn not_found(what: &str) -> Self {
        Self::NotFound { what: what.into() }
    }

    pub(in crate::accounts) fn limit(what: &str, max: usize) -> Self {
        Self::Limit {
            what: what.into(),
            max,
        }
    }
}

impl From<CredentialFault> for CommandError {
    fn from(credential: CredentialFault) -> Self {
        Self::Refused { credential }
    }
}

impl From<crate::authn::password::PoolBusy> for CommandError {
    fn from(_: crate::authn::password::PoolBusy) -> Self {
        Self::Busy
    }
}
