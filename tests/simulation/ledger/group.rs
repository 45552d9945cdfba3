//! What a shared group is owed: each message to one member.

use std::collections::BTreeSet;

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
    /// The ticket under which it was accepted; 0 once it has survived a crash.
    pub(crate) ticket: u64,
    /// Whether a crash has undone that it was accepted.
    pub(crate) is_void: bool,
    /// Who was sent it, one after the other.
    pub(crate) holders: Vec<Holder>,
    /// Whether it was sent at QoS 1, so that it may arrive again, or a crash has undone that it was sent.
    pub(crate) may_repeat: bool,
    pub(crate) received: u32,
}

/// A member that was sent the message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) session: SessionKey,
    pub(crate) link: u32,
    pub(crate) qos: Qos,
    /// The ticket under which it was sent; 0 once it has survived a crash.
    pub(crate) ticket: u64,
    /// The ticket under which the broker got its acknowledgement.
    pub(crate) done: Option<u64>,
    /// Whether its connection ended while the message could go to another member, in whose queue it may expire, or
    /// the broker died, and it may expire before it is sent again.
    pub(crate) may_have_left: bool,
}

impl GroupDue {
    /// Who was sent it last.
    pub(crate) fn holder(&self) -> Option<&Holder> {
        self.holders.last()
    }

    pub(crate) fn holder_mut(&mut self) -> Option<&mut Holder> {
        self.holders.last_mut()
    }

    /// Whether it may have expired where it was not yet sent.
    pub(crate) fn may_have_expired(&self, now: Instant) -> bool {
        self.expires_at <= now && self.holder().is_none_or(|holder| holder.may_have_left)
    }

    /// Why the message must not be sent to a member for the first time now.
    pub(crate) fn refusal(&self, is_link_ended: impl Fn(u32) -> bool) -> Option<&'static str> {
        let holder = self.holder()?;
        if holder.qos != Qos::AtLeastOnce {
            Some("at a QoS that forbids it")
        } else if holder.done.is_some() {
            Some("after it was acknowledged")
        } else if !is_link_ended(holder.link) {
            Some("while the first member is still connected")
        } else {
            None
        }
    }

    /// The broker has died with what was not `stored`, and of the sessions only those that are `restored` are there:
    /// the message is where it was then.
    pub(crate) fn crash(&mut self, restored: &BTreeSet<SessionKey>, stored: u64) {
        if self.qos == Qos::AtMostOnce || self.ticket > stored {
            (self.is_owed, self.is_void) = (false, true);
            return;
        }
        self.ticket = 0;
        let was_sent = self.holders.len();
        self.holders.retain(|holder| {
            // At QoS 2 it was stored who gets it, and that nobody else does, before it was sent.
            let is_stored = holder.ticket <= stored && restored.contains(&holder.session);
            is_stored || holder.qos == Qos::ExactlyOnce
        });
        self.may_repeat |= self.holders.len() < was_sent;
        for holder in &mut self.holders {
            holder.ticket = 0;
            holder.may_have_left |= holder.qos == Qos::AtLeastOnce;
            holder.done.take_if(|done| *done > stored);
            if let Some(done) = &mut holder.done {
                *done = 0;
            }
        }
    }
}
