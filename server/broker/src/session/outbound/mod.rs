//! Messages on their way to one client: a bounded queue, and the window of those sent and not yet
//! acknowledged.

mod answers;
mod packet_ids;
mod pending;
mod resuming;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU16;

use cloudsignal_core::Qos;
use cloudsignal_core::codec::PacketId;

use super::Connection;
use super::alone::Resent;
use super::outlet::Resting;
use super::queue::{Queue, Resident};
use crate::router::GroupName;
use crate::sink::Ticket;
use crate::turn::Desk;

use packet_ids::IdSet;
pub(crate) use pending::{Left, Pending};

/// A packet id in use towards the client.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) packet_id: PacketId,
    pub(crate) stage: Stage,
    /// Whether this connection has sent it; if not it has still to be sent.
    pub(crate) sent: bool,
    /// Whether a connection may have sent it before. Until then nothing is an answer to it.
    pub(crate) tried: bool,
    /// It leaves when this is stored.
    held_until: Ticket,
    /// Whether it has taken a place of this connection's quota.
    pub(crate) counted: bool,
}

impl InFlight {
    /// No connection has sent it yet in this run; `tried` if one may have in an earlier one.
    const fn restored(packet_id: PacketId, stage: Stage, tried: bool) -> Self {
        Self {
            packet_id,
            stage,
            sent: false,
            tried,
            held_until: Ticket(0),
            counted: false,
        }
    }

    /// The PUBLISH leaves over `conn`.
    pub(crate) const fn go(&mut self, conn: &mut Connection) {
        conn.quota -= 1;
        conn.unsent -= 1;
        (self.sent, self.tried, self.counted) = (true, true, true);
    }

    /// Bytes of the message, as long as it is kept.
    fn size(&self) -> usize {
        match &self.stage {
            Stage::Published(pending) => pending.message.size(),
            Stage::Released(_) => 0,
        }
    }
}

/// What was stored of a delivery that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// PUBLISH may have been sent.
    Sent,
    /// Only PUBREL remains to be sent.
    Released,
}

/// How far an exchange is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// PUBLISH was sent.
    Published(Pending),
    /// PUBREC came; PUBREL was sent. The message itself is no longer needed, only its order. [MQTT-4.3.3-6]
    Released(u64),
}

/// What an acknowledgement from the client did.
#[derive(Debug)]
pub(crate) enum Acknowledged {
    /// It ended the exchange of this delivery.
    Done(Left),
    /// It moved the exchange of this delivery to PUBREL.
    Released(Left),
    /// No exchange has this packet id.
    Unknown,
    /// The exchange is not at a stage where this packet may come.
    OutOfPlace,
}

/// Messages on their way to one client.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) queue: Queue,
    /// Deliveries up to this one have begun or are done, but for a few that a restart has put back.
    begun: u64,
    /// What can leave the memory was noted for this ticket.
    pub(crate) noted: Ticket,
    window: VecDeque<InFlight>,
    /// Bytes of the messages in the window.
    window_bytes: usize,
    last_packet_id: u16,
    last_order: u64,
    /// QoS 1 deliveries up to this one may have left before a restart, without the store having been told.
    may_repeat_through: u64,
    /// Whether ids have come round to one that was still in use, so that the window is not in their order.
    stepped_over: bool,
    /// Messages that the client missed and has not been told of.
    pub(crate) dropped: u32,
}

impl Outbound {
    /// Goes on behind a rest.
    pub(super) const fn woken(resting: Resting) -> Self {
        Self {
            queue: Queue::new(),
            begun: resting.last_order,
            noted: Ticket(0),
            window: VecDeque::new(),
            window_bytes: 0,
            last_packet_id: resting.last_packet_id,
            last_order: resting.last_order,
            may_repeat_through: 0,
            stepped_over: false,
            dropped: resting.dropped,
        }
    }

    /// What has to be remembered if nothing is on its way, as the store stands.
    pub(super) fn resting(&self, stored: Ticket) -> Option<Resting> {
        let is_idle = self.queue.is_empty() && self.window.is_empty() && self.queue.unclean() <= stored;
        is_idle.then_some(Resting {
            last_order: self.last_order,
            dropped: self.dropped,
            last_packet_id: self.last_packet_id,
        })
    }

    /// Whether a delivery may begin now. What waits for the store is joined by others, so that they are stored
    /// together.
    pub(crate) fn is_clear(&self, conn: &Connection, desk: &Desk, qos: Qos, expiry_secs: u32) -> bool {
        conn.is_writable()
            && self.queue.is_empty()
            && match qos {
                Qos::AtMostOnce => conn.unsent == 0,
                Qos::AtLeastOnce | Qos::ExactlyOnce => self.may_open(conn, desk, expiry_secs),
            }
    }

    /// Whether one more QoS 1 or 2 delivery may begin.
    pub(crate) fn may_open(&self, conn: &Connection, desk: &Desk, expiry_secs: u32) -> bool {
        usize::from(conn.quota) > conn.unsent
            && (conn.unsent == 0 || expiry_secs > 0)
            && self.has_window(desk)
    }

    /// Whether a new message would not overtake another one.
    pub(crate) fn is_idle(&self, conn: &Connection) -> bool {
        self.queue.is_empty() && conn.unsent == 0
    }

    /// Whether one more message may be unacknowledged.
    pub(crate) fn has_window(&self, desk: &Desk) -> bool {
        self.window.len() < usize::from(desk.limits.inflight_max)
            && (self.window_bytes < desk.limits.inflight_bytes_max || self.window_bytes == 0)
    }

    /// Makes room in the queue for a message of `size` bytes.
    pub(crate) fn make_room(&mut self, desk: &mut Desk, size: usize) -> bool {
        if size > desk.limits.queue_bytes_max {
            return false;
        }
        self.dropped += self.queue.make_room(desk, size);
        self.queue.fits(desk.room(), size)
    }

    /// Whether a delivery is in memory, in the queue or in the window.
    pub(crate) fn holds(&self, order: u64) -> bool {
        let is_it = |entry: &InFlight| match &entry.stage {
            Stage::Published(pending) => pending.order == order,
            Stage::Released(released) => *released == order,
        };
        self.queue.holds(order) || (order <= self.begun && self.window.iter().any(is_it))
    }

    /// What is stored and not needed soon leaves the memory.
    pub(crate) fn spill(&mut self, desk: &mut Desk, resident: Resident) {
        self.dropped += self.queue.spill(desk, resident, self.begun);
    }

    pub(crate) const fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    pub(crate) fn window_len(&self) -> usize {
        self.window.len()
    }

    /// Forgets everything, because the session ends.
    pub(crate) fn clear(&mut self, desk: &mut Desk) {
        self.queue.clear(desk);
        self.window.clear();
        self.forget_window(desk, self.window_bytes);
    }

    /// The order of the next delivery, above `floor`; QoS 0 has none.
    pub(crate) fn next_order(&mut self, qos: Qos, floor: u64) -> u64 {
        if qos == Qos::AtMostOnce {
            return 0;
        }
        self.last_order = self.last_order.max(floor) + 1;
        self.last_order
    }

    pub(crate) const fn last_order(&self) -> u64 {
        self.last_order
    }

    /// Deliveries up to this one have theirs.
    pub(crate) fn skip_orders(&mut self, order: u64) {
        self.last_order = self.last_order.max(order);
    }

    /// A delivery comes back that may have left before the restart.
    pub(crate) const fn note_repeat(&mut self, order: u64) {
        self.may_repeat_through = order;
    }

    /// What the first PUBLISH of a delivery says since the last restart. At QoS 1 it leaves before the store knows its
    /// packet id, so after a crash nobody can tell whether it did. DUP says that it may have, and without it it must
    /// not have: it is set for all that may. [MQTT-3.3.1-1] [MQTT-3.3.1-3]
    pub(crate) fn begins(&self, pending: &Pending) -> Resent {
        match pending.qos {
            Qos::AtLeastOnce if pending.order <= self.may_repeat_through => Resent::Yes,
            // At QoS 2 nothing leaves that the store does not know.
            Qos::AtMostOnce | Qos::AtLeastOnce | Qos::ExactlyOnce => Resent::No,
        }
    }

    pub(crate) fn window(&self) -> impl Iterator<Item = &InFlight> {
        self.window.iter()
    }

    /// A packet id that no exchange uses: they begin at 1 and rise. The caller has made sure that one is
    /// free. [MQTT-2.2.1-4]
    pub(crate) fn next_packet_id(&mut self) -> PacketId {
        let next = NonZeroU16::new(self.last_packet_id.wrapping_add(1)).unwrap_or(NonZeroU16::MIN);
        // As long as none was stepped over, the oldest exchange is the first that rising ids can meet.
        match self.window.front() {
            None => self.stepped_over = false,
            Some(oldest) => self.stepped_over |= oldest.packet_id == next,
        }
        let packet_id = if self.stepped_over { self.next_free() } else { next };
        self.last_packet_id = packet_id.get();
        packet_id
    }

    /// The first id behind the last one that no exchange uses, found by looking at all of them.
    fn next_free(&self) -> PacketId {
        IdSet::of(self.window.iter().map(|entry| &entry.packet_id))
            .take_behind(self.last_packet_id)
            .expect("invariant: the window holds fewer exchanges than there are ids")
    }

    /// The message is being sent under `packet_id` and not yet acknowledged.
    pub(crate) fn open_window(&mut self, desk: &mut Desk, packet_id: PacketId, pending: Pending) {
        let size = pending.message.size();
        self.begun = self.begun.max(pending.order);
        self.window_bytes += size;
        desk.counters.inflight_bytes_now += size as u64;
        self.window.push_back(InFlight {
            packet_id,
            stage: Stage::Published(pending),
            sent: true,
            tried: true,
            held_until: Ticket(0),
            counted: true,
        });
    }

    /// The message gets a packet id and leaves later: at QoS 2 when that is stored, or that another session has it no
    /// more, and otherwise behind others.
    pub(crate) fn hold(
        &mut self,
        desk: &mut Desk,
        conn: &mut Connection,
        pending: Pending,
        expiry_secs: u32,
    ) {
        let packet_id = self.next_packet_id();
        let held_until = match pending.qos {
            Qos::ExactlyOnce if expiry_secs > 0 => desk.ticket,
            Qos::AtLeastOnce if !pending.delivery().is_early(desk, conn) => Ticket(0),
            Qos::AtLeastOnce | Qos::ExactlyOnce => pending.leaves_after,
            Qos::AtMostOnce => Ticket(0),
        };
        self.open_window(desk, packet_id, pending);
        let entry = self.window.back_mut().expect("invariant: just opened");
        (entry.sent, entry.tried, entry.counted) = (false, false, false);
        conn.unsent += 1;
        entry.held_until = held_until;
        if held_until > desk.stored {
            desk.wait_for(held_until, conn);
        }
    }

    /// The delivery that began last.
    pub(crate) fn newest(&self) -> Option<(PacketId, &Pending)> {
        let entry = self.window.back()?;
        match &entry.stage {
            Stage::Published(pending) => Some((entry.packet_id, pending)),
            Stage::Released(_) => None,
        }
    }

    /// The connection ended: everything in the window has to be sent again on the next one. [MQTT-4.4.0-1]
    pub(crate) fn mark_unsent(&mut self) -> usize {
        for entry in &mut self.window {
            entry.sent = false;
            entry.counted = false;
        }
        self.window.len()
    }

    /// The first exchange that this connection has still to send and may send now, and whether its PUBLISH may have been
    /// sent before. PUBREL takes nothing of the
    /// quota, so without any it does not wait for a PUBLISH before it. [MQTT-3.3.4-10]
    pub(crate) fn first_unsent(
        &mut self,
        has_quota: bool,
        stored: Ticket,
    ) -> Option<(&mut InFlight, Resent)> {
        let mut is_open = has_quota;
        let at = self.window.iter().position(|entry| {
            if entry.sent {
                return false;
            }
            let is_free = entry.held_until <= stored;
            match entry.stage {
                Stage::Released(_) => is_free,
                Stage::Published(_) => {
                    is_open &= is_free;
                    is_open
                }
            }
        })?;
        let resent = match &self.window[at].stage {
            Stage::Published(pending) if !self.window[at].tried => self.begins(pending),
            Stage::Published(_) | Stage::Released(_) => Resent::Yes,
        };
        Some((&mut self.window[at], resent))
    }

    /// The message will not be sent again, although the client has not acknowledged it.
    pub(crate) fn discard(&mut self, desk: &mut Desk, conn: &mut Connection, packet_id: PacketId) {
        if let Some(at) = self.find(packet_id) {
            self.close_window(desk, conn, at);
        }
    }

    /// Whether anything waits that no connection has sent.
    pub(crate) fn holds_back(&self) -> bool {
        self.queue.resident_len() > 0 || self.window.iter().any(|entry| !entry.tried)
    }

    /// Keeps of the messages that have a packet id, and that no connection has sent, those that `keep` says.
    pub(crate) fn retain_untried(
        &mut self,
        desk: &mut Desk,
        mut conn: Option<&mut Connection>,
        mut keep: impl FnMut(&Pending) -> bool,
    ) {
        let mut at = 0;
        while let Some(entry) = self.window.get(at) {
            let stays = match &entry.stage {
                Stage::Published(pending) => entry.tried || keep(pending),
                Stage::Released(_) => true,
            };
            if stays {
                at += 1;
                continue;
            }
            match conn.as_deref_mut() {
                Some(conn) => self.close_window(desk, conn, at),
                None => {
                    let size = entry.size();
                    self.window.remove(at);
                    self.forget_window(desk, size);
                }
            }
        }
    }

    fn close_window(&mut self, desk: &mut Desk, conn: &mut Connection, at: usize) {
        let entry = self.window.remove(at).expect("invariant: just found");
        self.forget_window(desk, entry.size());
        conn.unsent -= usize::from(!entry.sent);
        conn.quota += u16::from(entry.counted);
    }

    /// A message of the window is not kept any more.
    const fn forget_window(&mut self, desk: &mut Desk, size: usize) {
        self.window_bytes -= size;
        desk.counters.inflight_bytes_now -= size as u64;
    }

    /// Whether a message came through a shared group, perhaps one that the session has left since.
    pub(crate) fn holds_shared(&self) -> bool {
        let in_window = self.window.iter().any(|entry| match &entry.stage {
            Stage::Published(pending) => pending.group.is_some(),
            Stage::Released(_) => false,
        });
        in_window || self.queue.resident().any(|pending| pending.group.is_some())
    }

    /// The member of a shared group goes: every message that came through a group and may be given to
    /// another member is offered to `take`, in order, and leaves the session if it is taken. What QoS 2
    /// has sent stays: it belongs to this session alone. [MQTT-4.8.2-4] [MQTT-4.8.2-5]
    pub(crate) fn offer_shared(
        &mut self,
        desk: &mut Desk,
        mut take: impl FnMut(&Arc<GroupName>, &Pending) -> bool,
    ) {
        let mut taken_bytes = 0;
        self.window.retain(|entry| match &entry.stage {
            Stage::Published(pending) if pending.qos == Qos::AtLeastOnce || !entry.tried => {
                let is_taken = pending.group.as_ref().is_some_and(|group| take(group, pending));
                taken_bytes += if is_taken { entry.size() } else { 0 };
                !is_taken
            }
            Stage::Published(_) | Stage::Released(_) => true,
        });
        self.forget_window(desk, taken_bytes);
        self.queue.retain(desk, |pending| {
            !pending.group.as_ref().is_some_and(|group| take(group, pending))
        });
    }

    /// Checks what must always hold.
    pub(crate) fn invariants(&self, desk: &Desk, conn: Option<&Connection>) {
        self.queue.invariants(desk);
        let bytes: usize = self.window.iter().map(InFlight::size).sum();
        assert_eq!(bytes, self.window_bytes, "bytes in flight are counted right");
        let loosest = desk.loosest();
        assert!(
            self.window.len() <= usize::from(loosest.inflight_max),
            "the window is bounded"
        );
        let mut ids: Vec<_> = self.window.iter().map(|entry| entry.packet_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), self.window.len(), "packet ids are used once");
        let unsent = self.window.iter().filter(|entry| !entry.sent).count();
        assert!(
            conn.is_none_or(|conn| conn.unsent == unsent),
            "unsent entries are counted right"
        );
    }
}
