//! Everything that is worth storing of an organization.

use alloc::sync::Arc;

use cloudsignal_core::Qos;

use super::Org;
use crate::change::Change;
use crate::session::{Session, Stage};

impl Org {
    /// Everything that would have to be stored, as changes: to begin a store. They belong into one group, since
    /// deliveries may share a message. What only the store has is left out.
    pub fn snapshot(&self, tell: &mut impl FnMut(Change)) {
        let persistent = self
            .sessions
            .iter()
            .filter(|(_, session)| session.is_persistent());
        for (_, session) in persistent {
            session.snapshot(tell);
        }
        for message in self.retained.iter() {
            tell(Change::Retained {
                message: Arc::clone(message),
            });
        }
    }
}

impl Session {
    fn snapshot(&self, tell: &mut impl FnMut(Change)) {
        tell(self.change());
        if let Some(will) = self.will_change() {
            tell(will);
        }
        for subscription in self.subscriptions.iter() {
            tell(self.subscribed(&subscription));
        }
        for entry in self.outbound.window() {
            tell(match &entry.stage {
                Stage::Published(pending) => self.queued(pending, Some(entry.packet_id)),
                &Stage::Released(order) => Change::Released {
                    session: self.name(),
                    order,
                    packet_id: entry.packet_id.get(),
                    shares: None,
                },
            });
        }
        for pending in self
            .outbound
            .queue
            .resident()
            .filter(|pending| pending.qos > Qos::AtMostOnce)
        {
            tell(self.queued(pending, None));
        }
        if let Some(numbered) = self.numbered() {
            tell(numbered);
        }
        for &packet_id in &*self.received {
            tell(Change::Received {
                session: self.name(),
                packet_id,
            });
        }
    }
}
