//! What changed in the directory, so that open connections feel it at once.

use cloudsignal_broker::{Credential, OrgId};
use cloudsignal_core::Instant;
use cloudsignal_core::codec::ReasonCode;

/// A change that is stored and in force.
///
/// Whoever falls behind by more than [`EVENTS_MAX`](super::limits::EVENTS_MAX) events is told so by the
/// channel and then asks [`Directory::standing`](super::Directory::standing) about every connection, and
/// [`Directory::policy`](super::Directory::policy) for every organization: nothing is lost, only late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEvent {
    /// The organization it happened in.
    pub org: OrgId,
    /// What happened.
    pub change: AccountChange,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountChange {
    /// The organization exists now.
    OrgCreated,
    /// Nobody may log in any more.
    OrgSuspended,
    /// Logins are possible again.
    OrgResumed,
    /// The organization and everything of it is gone.
    OrgDeleted,
    /// The policy is another one.
    PolicyChanged,
    /// The plan or what is allowed beside it is another one.
    QuotasChanged,
    /// What acknowledgements survive is another level.
    DurabilityChanged,
    /// A user is gone.
    UserDeleted {
        /// The user's name.
        user: Box<str>,
    },
    /// A user's old password is worth nothing now.
    PasswordChanged {
        /// The user's name.
        user: Box<str>,
    },
    /// A user may not log in any more.
    UserDisabled {
        /// The user's name.
        user: Box<str>,
    },
    /// A key is worth nothing now.
    KeyRevoked {
        /// The key's id.
        id: Box<str>,
    },
    /// A key ends at another time: connections made with it end then too.
    KeyDeadlineMoved {
        /// The key's id.
        id: Box<str>,
        /// The new end.
        expires_at: Instant,
    },
    /// A token was revoked.
    TokenRevoked {
        /// The token's id.
        id: Box<str>,
    },
    /// A token was renewed: connections made with it may stay longer.
    TokenDeadlineMoved {
        /// The token's id.
        id: Box<str>,
        /// The new end.
        expires_at: Instant,
    },
    /// Tokens of one owner were revoked.
    OwnerCut {
        /// [`Identity::principal`](cloudsignal_broker::Identity::principal) of the owner.
        principal: Box<str>,
    },
    /// Tokens of one identity provider were revoked.
    ProviderCut {
        /// The provider's name.
        provider: Box<str>,
    },
}

/// What the network side has to do about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveEffect {
    /// Close the connections that this credential opened.
    EndCredential(Credential, ReasonCode),
    /// Connections that this credential opened end at another time.
    MoveDeadline(Credential, Instant),
    /// Fetch the policy and give it to the organization.
    NewPolicy,
    /// Fetch the quotas and give them to the organization.
    NewQuotas,
    /// Fetch the level of durability and give it to the organization.
    NewDurability,
    /// Close every connection of the organization.
    EndAll(ReasonCode),
    /// Ask [`Directory::standing`](super::Directory::standing) about every connection of this principal.
    CheckPrincipal(Box<str>),
    /// Ask [`Directory::standing`](super::Directory::standing) about every connection of the organization.
    CheckAll,
    /// Nothing.
    None,
}

impl AccountChange {
    /// What the network side has to do.
    #[must_use]
    pub fn effect(&self) -> LiveEffect {
        let end = |credential| LiveEffect::EndCredential(credential, ReasonCode::NotAuthorized);
        match self {
            Self::OrgCreated | Self::OrgResumed => LiveEffect::None,
            Self::OrgSuspended | Self::OrgDeleted => LiveEffect::EndAll(ReasonCode::AdministrativeAction),
            Self::PolicyChanged => LiveEffect::NewPolicy,
            Self::QuotasChanged => LiveEffect::NewQuotas,
            Self::DurabilityChanged => LiveEffect::NewDurability,
            // A namesake or a new password may have logged in by now: each connection is asked about.
            Self::UserDeleted { user } | Self::PasswordChanged { user } | Self::UserDisabled { user } => {
                LiveEffect::CheckPrincipal(format!("user/{user}").into())
            }
            Self::KeyRevoked { id } => end(Credential::Key { id: id.clone() }),
            Self::KeyDeadlineMoved { id, expires_at } => {
                LiveEffect::MoveDeadline(Credential::Key { id: id.clone() }, *expires_at)
            }
            Self::TokenRevoked { id } => end(Credential::Token { id: id.clone() }),
            Self::TokenDeadlineMoved { id, expires_at } => {
                LiveEffect::MoveDeadline(Credential::Token { id: id.clone() }, *expires_at)
            }
            Self::OwnerCut { principal } => LiveEffect::CheckPrincipal(principal.clone()),
            Self::ProviderCut { provider: _ } => LiveEffect::CheckAll,
        }
    }
}
