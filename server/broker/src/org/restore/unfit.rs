use core::fmt;

/// Why something that was stored does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is of a session that is not there.
    NoSession,
    /// There is one by this name already.
    Twice,
    /// The session belongs to another organization.
    OtherOrganization,
    /// The filter is none.
    BadFilter,
    /// The options, or the subscription identifier, could not have come in a SUBSCRIBE.
    BadOptions,
    /// It is not of QoS 1 or 2, and is delivered at most once.
    BadQos,
    /// The packet id is 0.
    BadPacketId,
    /// Deliveries of a session have to come in rising order.
    OutOfOrder,
    /// A retained message without payload is none.
    Empty,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSession => "it is of a session that is not there",
            Self::Twice => "it is there already",
            Self::OtherOrganization => "the session belongs to another organization",
            Self::BadFilter => "the topic filter is not valid",
            Self::BadOptions => "the subscription options are not valid",
            Self::BadQos => "a delivery at QoS 0 is not kept",
            Self::BadPacketId => "the packet id is 0",
            Self::OutOfOrder => "the delivery comes after a later one",
            Self::Empty => "the retained message has no payload",
        })
    }
}

impl core::error::Error for Unfit {}
