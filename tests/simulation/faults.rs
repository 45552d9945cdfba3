//! Faults that are planted on purpose: an alarm that never rings proves nothing.

/// What the harness does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A client acknowledges a message and then loses it.
    MessageLost,
    /// The store says "stored" before it is.
    StoredTooEarly,
    /// A client takes a repeated QoS 2 message for a new one.
    Qos2Repeated,
    /// A message of one organization is handed to another one.
    OrgsMixed,
    /// Bytes for a client are sent twice.
    PacketRepeated,
    /// A retained message is not handed to a new subscriber.
    RetainedForgotten,
    /// A token that is not good is taken for one that is.
    TokenMistaken,
    /// The store loses a message that it said it had; it shows when the process dies.
    StoreForgets,
    /// The store does not hear that a client has a message; it comes back when the process dies.
    StoreRemembers,
}

impl Fault {
    pub(crate) const ALL: [Self; 9] = [
        Self::MessageLost,
        Self::StoredTooEarly,
        Self::Qos2Repeated,
        Self::OrgsMixed,
        Self::PacketRepeated,
        Self::RetainedForgotten,
        Self::TokenMistaken,
        Self::StoreForgets,
        Self::StoreRemembers,
    ];

    /// Whether it shows only when the process dies.
    pub(crate) const fn needs_crashes(self) -> bool {
        matches!(self, Self::StoreForgets | Self::StoreRemembers)
    }

    /// How a verdict about it may begin.
    pub(crate) const fn verdicts(self) -> &'static [&'static str] {
        match self {
            Self::MessageLost => &["lost:"],
            Self::StoredTooEarly => &["acknowledged before stored:"],
            Self::Qos2Repeated => &["delivered twice:"],
            // A client that subscribed to a like topic notices whose message it is, another one that it came.
            Self::OrgsMixed => &["crossed organizations:", "delivered unasked:"],
            Self::PacketRepeated => &["delivered unasked:", "sent twice:", "reply:"],
            Self::RetainedForgotten => &["retained:"],
            Self::TokenMistaken => &["renewal:"],
            Self::StoreRemembers => &[
                "delivered twice:",
                "delivered unasked:",
                "out of order:",
                "sent twice:",
                "shared twice:",
            ],
            Self::StoreForgets => &["lost:", "retained:", "delivered twice:", "changes:"],
        }
    }
}
