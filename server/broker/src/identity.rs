//! Who a connection is. Made by the shell's authentication, never by the broker.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use cloudsignal_core::Instant;

use crate::scope::Scope;

/// The short id of an organization, such as `org_k7xm4pqr2n5t`. A clone takes no memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrgId(Arc<str>);

impl OrgId {
    /// Wraps an id that the shell has validated.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which credential opened a connection, so that its end can end the connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// No credential: the development listener.
    Anonymous,
    /// The password of an individual user.
    Password {
        /// The user's name, without the organization.
        user: Box<str>,
    },
    /// A temporary token.
    Token {
        /// The token's id, not its secret.
        id: Box<str>,
    },
    /// A certificate that the client showed in the TLS handshake.
    Certificate {
        /// The certificate's fingerprint.
        id: Box<str>,
    },
    /// A secret key of the organization.
    Key {
        /// The key's id, not its secret.
        id: Box<str>,
    },
}

/// Whether the organization's policy applies to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The policy decides.
    Policy,
    /// Everything in the organization is allowed: the development listener.
    Full,
}

/// Who a connection is: the answer of authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The organization that the connection is bound to, for good.
    pub org: OrgId,
    /// The name part of the user name, without `@organization`.
    pub username: Box<str>,
    /// The stable owner of sessions. Outlives any one token.
    pub principal: Box<str>,
    /// The credential that was shown.
    pub credential: Credential,
    /// Facts that policies may bind to, such as `("email", "ada@example.com")`. At most [`CLAIMS_MAX`].
    pub claims: Vec<(Box<str>, Box<str>)>,
    /// When the connection must end, if the credential has an end.
    pub expires_at: Option<Instant>,
    /// Whether the policy applies.
    pub access: Access,
    /// What the credential is limited to; `None` for nothing less than its user may do.
    pub scope: Option<Arc<Scope>>,
}

/// How many claims an identity may carry.
pub const CLAIMS_MAX: usize = 32;

impl Identity {
    /// Whoever came without a login and may do everything.
    #[must_use]
    pub fn anonymous(org: OrgId, username: &str) -> Self {
        Self {
            org,
            username: username.into(),
            principal: username.into(),
            credential: Credential::Anonymous,
            claims: Vec::new(),
            expires_at: None,
            access: Access::Full,
            scope: None,
        }
    }

    /// Whether a policy says the same about both, so that a client that comes back is no other than it was.
    pub(crate) fn has_rights_of(&self, other: &Self) -> bool {
        self.username == other.username
            && self.claims == other.claims
            && self.access == other.access
            && self.scope == other.scope
    }

    /// The value of a claim.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims
            .iter()
            .find(|(claim, _)| &**claim == name)
            .map(|(_, value)| &**value)
    }
}
