//! What a client answers to what it was sent.

use cloudsignal_core::Qos;
use cloudsignal_core::codec::PacketId;

use super::{Acknowledged, InFlight, Left, Outbound, Stage};
use crate::session::Connection;
use crate::turn::Desk;

impl Outbound {
    /// PUBACK.
    pub(crate) fn acknowledge(
        &mut self,
        desk: &mut Desk,
        conn: &mut Connection,
        packet_id: PacketId,
    ) -> Acknowledged {
        let Some(at) = self.find_tried(packet_id) else {
            return Acknowledged::Unknown;
        };
        let Stage::Published(pending) = &self.window[at].stage else {
            return Acknowledged::OutOfPlace;
        };
        if pending.qos != Qos::AtLeastOnce {
            return Acknowledged::OutOfPlace;
        }
        let done = Acknowledged::Done(pending.left());
        self.close_window(desk, conn, at);
        done
    }

    /// PUBREC. With an error it ends the exchange.
    pub(crate) fn release(
        &mut self,
        desk: &mut Desk,
        conn: &mut Connection,
        packet_id: PacketId,
        is_error: bool,
    ) -> Acknowledged {
        let Some(at) = self.find_tried(packet_id) else {
            return Acknowledged::Unknown;
        };
        let entry = &mut self.window[at];
        match &entry.stage {
            Stage::Published(pending) if pending.qos != Qos::ExactlyOnce => Acknowledged::OutOfPlace,
            Stage::Published(pending) if is_error => {
                let done = Acknowledged::Done(pending.left());
                self.close_window(desk, conn, at);
                done
            }
            Stage::Published(pending) => {
                let (left, size) = (pending.left(), pending.message.size());
                if !entry.sent {
                    conn.unsent -= 1;
                    entry.sent = true;
                }
                entry.stage = Stage::Released(left.order);
                entry.held_until = desk.ticket;
                self.forget_window(desk, size);
                Acknowledged::Released(left)
            }
            &Stage::Released(order) => Acknowledged::Released(Left::released(order)),
        }
    }

    /// PUBCOMP.
    pub(crate) fn complete(
        &mut self,
        desk: &mut Desk,
        conn: &mut Connection,
        packet_id: PacketId,
    ) -> Acknowledged {
        let Some(at) = self.find_tried(packet_id) else {
            return Acknowledged::Unknown;
        };
        let Stage::Released(order) = self.window[at].stage else {
            return Acknowledged::OutOfPlace;
        };
        self.close_window(desk, conn, at);
        Acknowledged::Done(Left::released(order))
    }

    pub(super) fn find(&self, packet_id: PacketId) -> Option<usize> {
        let found = |entry: &InFlight| entry.packet_id == packet_id;
        self.window.iter().position(found)
    }

    /// The exchange that an acknowledgement is about: none that the client cannot know of.
    fn find_tried(&self, packet_id: PacketId) -> Option<usize> {
        self.find(packet_id).filter(|&at| self.window[at].tried)
    }
}
