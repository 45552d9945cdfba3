//! Leaks that are planted on purpose: an alarm that never rings proves nothing.

/// What goes wrong between two organizations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leak {
    /// What a client was sent reaches another organization's client too.
    Delivery,
    /// The same, while time passes: only the bytes themselves tell.
    LateDelivery,
    /// Logins of one organization are bound to another one.
    Binding,
    /// A credential of one organization opens another one.
    Credential,
    /// A connection goes on with the token of another organization.
    Renewal,
    /// A client id that comes in one organization ends the connection of its namesake in another one.
    Takeover,
    /// Traffic of one organization is counted for another one.
    Counter,
    /// A client is told of a quota that others have used up.
    Quota,
    /// `$SYS` tells numbers of the whole broker.
    Statistics,
    /// An answer of the API is about another organization.
    Answer,
    /// An organization's accounts are changed from another one.
    Accounts,
}

impl Leak {
    pub(crate) const ALL: [Self; 11] = [
        Self::Delivery,
        Self::LateDelivery,
        Self::Binding,
        Self::Credential,
        Self::Renewal,
        Self::Takeover,
        Self::Counter,
        Self::Quota,
        Self::Statistics,
        Self::Answer,
        Self::Accounts,
    ];

    /// What the verdict about it is about.
    pub(crate) const fn verdicts(self) -> &'static [&'static str] {
        match self {
            Self::Delivery | Self::LateDelivery => &["foreign bytes"],
            // Whichever is noticed first: the login itself counts already.
            Self::Binding => &["moved", "noticed", "closed", "foreign bytes"],
            Self::Credential | Self::Renewal => &["let in"],
            Self::Takeover => &["closed"],
            Self::Counter | Self::Accounts => &["moved"],
            Self::Quota => &["quota"],
            Self::Statistics => &["statistics"],
            Self::Answer => &["foreign answer"],
        }
    }
}
