//! What the store has kept comes back.

use super::{BadRecord, Client, Key, SubscriptionId, Use, outbound, record};
use crate::time::Instant;

impl Client {
    /// Gives back a record of the store, before [`connect`](Self::connect). Any order will do.
    ///
    /// # Errors
    /// What is wrong with it. Nothing of it is used then; the caller may delete it.
    pub fn restore(&mut self, key: Key, record: &[u8]) -> Result<(), BadRecord> {
        let is_first = match key {
            Key::Identity => {
                let identity = record::Identity::read(record)?;
                self.outbound.skip_orders(identity.reserved);
                let is_same = self
                    .options
                    .client_id
                    .as_ref()
                    .is_none_or(|id| *id == identity.client_id);
                if is_same {
                    self.identity = identity;
                    if self.identity.has_session {
                        self.inbound.restore_session();
                    }
                }
                true
            }
            Key::Mark => {
                self.inbound.restore_mark(record::read_mark(record)?);
                true
            }
            Key::Received(id) => {
                record::read_received(record)?;
                crate::PacketId::new(id).is_some_and(|id| self.inbound.restore_received(id))
            }
            Key::Subscription(id) => self
                .subscriptions
                .restore(SubscriptionId(id), record::Terms::read(record)?),
            Key::Outgoing(order) => self.restore_outgoing(order, record::read_outgoing(record)?),
        };
        if is_first { Ok(()) } else { Err(BadRecord::Twice) }
    }

    fn restore_outgoing(&mut self, order: u64, kept: record::Outgoing) -> bool {
        if let outbound::Stage::Unanswered(id) | outbound::Stage::Unreleased(id) = kept.stage {
            if !self.ids.reserve(id, Use::Publish(order)) {
                return false;
            }
        }
        let expires_at = kept.expires_unix.map(|secs| {
            Instant::from_micros(secs.saturating_mul(1_000_000).saturating_sub(self.unix_at_zero))
        });
        self.outbound.restore(order, kept.stage, kept.frame, expires_at);
        true
    }
}
