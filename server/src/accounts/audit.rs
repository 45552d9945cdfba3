//! Who changed what.

use core::fmt;

/// Who asks for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Whoever has the administration token, such as the command line on the server's own machine.
    Operator,
    /// Whoever has this key of the organization.
    Key {
        /// The key's id.
        id: Box<str>,
    },
    /// A member who logged in.
    Member {
        /// The member's e-mail address.
        email: Box<str>,
    },
    /// Whoever shows the credential that is changed, such as a token that is refreshed.
    Holder,
}

impl fmt::Display for Actor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => out.write_str("operator"),
            Self::Key { id } => write!(out, "key:{id}"),
            Self::Member { email } => write!(out, "member:{email}"),
            Self::Holder => out.write_str("holder"),
        }
    }
}
