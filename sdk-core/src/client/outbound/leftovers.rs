//! QoS 2 identifiers that an earlier process may have left with the server.
//!
//! A process that goes on with a session of which it knows nothing cannot tell which identifiers the server still keeps. It
//! would take a message under one of them for the one that it has: answer it, and throw it away [MQTT-4.3.3-10]. So before
//! the first QoS 2 message, and when no other is on its way, the server is asked to let go of the lowest identifiers, which
//! it answers whether it has them or not [MQTT-4.3.3-11]; no others are used from then on.

use super::answers::release;
use super::{Lane, Outbound};
use crate::client::packet_ids::{PacketIds, Use};
use crate::{PacketId, Qos, ReasonCode};

/// How many identifiers are asked back: no more QoS 2 messages are on their way at once in such a session.
const RELEASED: u16 = 256;
/// Stands for the number of answers that are owed, while the server was not asked on this connection.
const UNASKED: u16 = u16::MAX;

#[derive(Debug)]
pub(super) struct Leftovers {
    /// So many answers the server owes.
    owed: u16,
    /// When it owes none, there are none up to here.
    none_through: u16,
}

impl Leftovers {
    /// Of a session that was begun by this client, or of which it knows everything.
    pub(super) const NONE: Self = Self {
        owed: 0,
        none_through: u16::MAX,
    };

    /// A connection has ended: what it did not answer is asked again.
    pub(super) const fn rewind(&mut self) {
        if self.owed > 0 {
            self.owed = UNASKED;
        }
    }

    /// PUBCOMP has come for no message.
    pub(super) const fn answered(&mut self) {
        self.owed = self.owed.saturating_sub(1);
    }
}

impl Outbound {
    /// The server has a session of which this client knows nothing.
    pub(in crate::client) const fn adopt(&mut self) {
        self.leftovers = Leftovers {
            owed: UNASKED,
            none_through: RELEASED,
        };
    }

    /// An identifier for a message. `None`: it has to wait.
    pub(super) fn take_id(
        &mut self,
        order: u64,
        qos: Qos,
        lane: &mut Lane<'_>,
        ids: &mut PacketIds,
    ) -> Option<PacketId> {
        let mut highest = u16::MAX;
        if qos == Qos::ExactlyOnce {
            if self.leftovers.owed == UNASKED && self.in_flight == 0 {
                for id in (1..=RELEASED).filter_map(PacketId::new) {
                    release(id, ReasonCode::Success, lane.form.version, lane.out);
                }
                self.leftovers.owed = RELEASED;
            }
            if self.leftovers.owed > 0 {
                return None;
            }
            highest = self.leftovers.none_through;
        }
        ids.take_up_to(highest, Use::Publish(order))
    }
}
