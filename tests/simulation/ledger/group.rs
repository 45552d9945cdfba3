//! What a shared group is owed: each message to one member.

use cloudsignal_core::{Instant, Qos};

use super::Tag;
use crate::model::SessionKey;

/// One accepted message for one shared group.
#[derive(Clone, Debug)]
pub(crate) struct GroupDue {
    /// `$share/…` included.
    pub(crate) filter: String,
    pub(crate) tag: Tag,
    pub(crate) number: usize,
    pub(crate) topic: String,
    /// What it was published at; a member may get less.
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) expires_at: Instant,
    /// Whether some member must get it; else one may.
    pub(crate) is_owed: bool,
    pub(crate) may_be_dropped: bool,
    /// Who was sent it last.
    pub(crate) holder: Option<Holder>,
    /// Whether it was sent at QoS 1, so that it may arrive again.
    pub(crate) may_repeat: bool,
    pub(crate) received: u32,
}

/// A member that was sent the message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) session: SessionKey,
    pub(crate) link: u32,
    pub(crate) qos: Qos,
    /// Whether the broker got its acknowledgement.
    pub(crate) is_done: bool,
    /// Whether its connection ended while the message could go to another member, in whose queue it may expire.
    pub(crate) may_have_left: bool,
}

impl GroupDue {
    /// Whether it may have expired where it was not yet sent.
    pub(crate) fn may_have_expired(&self, now: Instant) -> bool {
        self.expires_at <= now && self.holder.is_none_or(|holder| holder.may_have_left)
    }

    /// Why the message must not be sent to a member for the first time now.
    pub(crate) fn refusal(&self, is_link_ended: impl Fn(u32) -> bool) -> Option<&'static str> {
        let holder = self.holder?;
        if holder.qos != Qos::AtLeastOnce {
            Some("at a QoS that forbids it")
        } else if holder.is_done {
            Some("after it was acknowledged")
        } else if !is_link_ended(holder.link) {
            Some("while the first member is still connected")
        } else {
            None
        }
    }
}
