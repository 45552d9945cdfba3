//! What a session is owed through its own subscriptions.

use cloudsignal_core::codec::Publish;
use cloudsignal_core::{Instant, Qos};

use super::Tag;
use crate::model::SessionKey;

/// One accepted message for one session.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) session: SessionKey,
    pub(crate) tag: Tag,
    pub(crate) number: usize,
    pub(crate) topic: String,
    /// The place of the message among all accepted ones.
    pub(crate) index: u64,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    /// Sorted.
    pub(crate) ids: Vec<u32>,
    /// The ticket under which it was accepted; 0 once it has survived a crash.
    pub(crate) ticket: u64,
    pub(crate) expires_at: Instant,
    /// Whether it must arrive; else it only may.
    pub(crate) is_owed: bool,
    /// Whether a bound was so near that the broker may have dropped it, counted.
    pub(crate) may_be_dropped: bool,
    /// Whether it was sent; not known of one that [is flagged](Due::is_flagged).
    pub(crate) sent: bool,
    /// Whether it was ever sent, perhaps before a crash.
    pub(crate) has_left: bool,
    /// The ticket under which the broker got the last acknowledgement of it.
    pub(crate) done: Option<u64>,
    /// Whether the broker must have dropped it from the queue.
    pub(crate) is_void: bool,
    pub(crate) received: u32,
}

impl Due {
    /// Whether it looks like a step of a walk through the retained messages when it is sent.
    pub(crate) const fn is_flagged(&self) -> bool {
        self.retain && matches!(self.tag, Tag::Number(_))
    }

    /// Whether it waits in the session's queue, if anywhere.
    pub(crate) const fn may_be_sent(&self) -> bool {
        !self.sent && !self.is_void
    }

    /// It is not in the queue any more.
    pub(crate) const fn void(&mut self) {
        self.is_owed = false;
        self.is_void = true;
    }

    /// Whether a packet looks as this entry says.
    pub(crate) fn is_like(&self, packet: &Publish<'_>, is_v5: bool) -> bool {
        let mut ids: Vec<u32> = packet.properties.subscription_ids.iter().collect();
        ids.sort_unstable();
        let ids_agree = !is_v5 || ids == self.ids;
        packet.qos == self.qos && packet.retain == self.retain && ids_agree
    }

    /// The broker has died with what was not `stored`; the session is there again. What was sent and not acknowledged
    /// comes again, and so may what was acknowledged or dropped if that was not stored.
    pub(crate) fn crash(&mut self, stored: u64) {
        let is_settled = self.done.take().is_some_and(|done| done <= stored);
        if is_settled && matches!(self.tag, Tag::Number(_)) {
            self.is_void = true;
            return;
        }
        (self.ticket, self.sent, self.is_void) = (0, false, false);
    }
}
