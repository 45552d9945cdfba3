//! One message to many subscribers: encoded once for each shape, copied only when somebody keeps it.

use alloc::sync::Arc;

use cloudsignal_core::codec::{PacketId, Publish, PublishLayout, PublishProperties, SubscriptionIds};
use cloudsignal_core::{Instant, Qos, Version};
use smallvec::SmallVec;

use super::alone::send_alone;
use super::connection::Connection;
use super::{Left, Pending, Session};
use crate::change::{Change, Keeping};
use crate::message::{Message, Publication};
use crate::quota::Quota;
use crate::router::GroupName;
use crate::sink::{DropReason, Sink, Ticket};
use crate::turn::{Desk, Turn};

/// How one session gets a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery<'a> {
    /// The lower of what was published and what was granted.
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) ids: &'a [u32],
    /// The shared group it came through.
    pub(crate) group: Option<&'a Arc<GroupName>>,
    pub(crate) keeping: Keeping,
    /// At QoS 2, and at QoS 1 where it is numbered, it leaves when this is stored: that another session has it no more,
    /// or that its publisher will not publish it again.
    pub(crate) leaves_after: Ticket,
}

impl Delivery<'_> {
    /// Whether it must not leave yet although its own session stores nothing.
    pub(crate) fn is_early(&self, desk: &Desk, conn: &Connection) -> bool {
        let waits = match self.qos {
            Qos::ExactlyOnce => true,
            Qos::AtLeastOnce => conn.is_numbered,
            Qos::AtMostOnce => false,
        };
        waits && self.leaves_after > desk.stored
    }
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// Sent or queued.
    Yes,
    /// Dropped, and counted.
    No,
}

/// What subscribers must agree in to be sent the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    is_v5: bool,
    qos: Qos,
    retain: bool,
}

/// A message while it is handed to its subscribers.
#[derive(Debug)]
pub(crate) struct FanOut<'p> {
    publication: &'p Publication<'p>,
    kept: Option<Arc<Message>>,
    /// At most twelve, and mostly one.
    shapes: SmallVec<[(Shape, PublishLayout); 2]>,
    /// Whether the payload is large enough to be shared instead of copied.
    shares_payload: bool,
    scratch_start: usize,
    expiry_secs: Option<u32>,
}

impl<'p> FanOut<'p> {
    pub(crate) fn new(publication: &'p Publication<'p>, desk: &Desk, now: Instant) -> Self {
        Self {
            publication,
            kept: None,
            shapes: SmallVec::new(),
            shares_payload: publication.payload.len() >= desk.limits.shared_payload_bytes_min,
            scratch_start: desk.scratch.len(),
            expiry_secs: expiry_secs(publication.expires_at, now),
        }
    }

    /// A message that is kept already.
    pub(crate) fn of(
        message: &Arc<Message>,
        publication: &'p Publication<'p>,
        desk: &Desk,
        now: Instant,
    ) -> Self {
        Self {
            kept: Some(Arc::clone(message)),
            ..Self::new(publication, desk, now)
        }
    }

    /// The message, copied by the first who asks.
    pub(crate) fn keep(&mut self, desk: &mut Desk) -> Arc<Message> {
        Arc::clone(
            self.kept
                .get_or_insert_with(|| self.publication.keep(desk.next_message())),
        )
    }

    /// Gives the scratch buffer back.
    pub(crate) fn finish(self, desk: &mut Desk) {
        desk.scratch.truncate(self.scratch_start);
    }

    /// The message as it looks to everybody of this version, QoS and retain flag; `None` when MQTT has no
    /// packet that large.
    fn shape(&mut self, desk: &mut Desk, version: Version, delivery: &Delivery<'_>) -> Option<PublishLayout> {
        let shape = Shape {
            is_v5: version.is_v5(),
            qos: delivery.qos,
            retain: delivery.retain,
        };
        if let Some((_, layout)) = self.shapes.iter().find(|(known, _)| *known == shape) {
            return Some(*layout);
        }
        let wire = self.publication.wire.filter(|_| !self.shares_payload);
        let copied = wire.and_then(|wire| wire.copy(version, shape.qos, shape.retain, &mut desk.scratch));
        let layout = if let Some(layout) = copied {
            layout
        } else {
            let packet = publish(self.publication, delivery, PacketId::MIN, self.expiry_secs);
            encode(&packet, version, self.shares_payload, desk)?
        };
        self.shapes.push((shape, layout));
        Some(layout)
    }

    /// Bytes of a packet of this shape, wherever its payload is.
    const fn packet_bytes(&self, layout: &PublishLayout) -> usize {
        let shared = if self.shares_payload {
            self.publication.payload.len()
        } else {
            0
        };
        layout.end - layout.start + shared
    }
}

/// Whole seconds that a message has left, rounded up so that an unhurried one keeps what it came with.
pub(super) fn expiry_secs(expires_at: Option<Instant>, now: Instant) -> Option<u32> {
    let left = expires_at?.since(now).as_micros().div_ceil(1_000_000);
    Some(u32::try_from(left).unwrap_or(u32::MAX))
}

pub(super) fn publish<'a>(
    publication: &Publication<'a>,
    delivery: &Delivery<'a>,
    packet_id: PacketId,
    message_expiry_secs: Option<u32>,
) -> Publish<'a> {
    Publish {
        dup: false,
        qos: delivery.qos,
        retain: delivery.retain,
        topic: Some(publication.topic),
        packet_id: (delivery.qos > Qos::AtMostOnce).then_some(packet_id),
        properties: PublishProperties {
            message_expiry_secs,
            subscription_ids: SubscriptionIds::from_slice(delivery.ids),
            ..publication.properties.clone()
        },
        payload: publication.payload,
    }
}

/// Appends the packet to the scratch buffer. `None` when it is larger than MQTT can express: what came in
/// goes out with properties that it did not have.
pub(super) fn encode(
    packet: &Publish<'_>,
    version: Version,
    shares_payload: bool,
    desk: &mut Desk,
) -> Option<PublishLayout> {
    let encoded = if shares_payload {
        packet.encode_head(version, packet.payload.len(), &mut desk.scratch)
    } else {
        packet.encode(version, &mut desk.scratch)
    };
    encoded.ok()
}

/// Whether the client of `conn` accepts a packet as large as this delivery, with nothing added to it.
pub(crate) fn accepts(
    conn: &Connection,
    publication: &Publication<'_>,
    delivery: &Delivery<'_>,
    now: Instant,
) -> bool {
    conn.packet_bytes_max == usize::MAX
        || publish(
            publication,
            delivery,
            PacketId::MIN,
            expiry_secs(publication.expires_at, now),
        )
        .encoded_len(conn.version)
        .is_ok_and(|bytes| bytes <= conn.packet_bytes_max)
}

impl Session {
    /// Gives the session a message that was just published: sends it if nothing is in its way, queues it otherwise.
    pub(crate) fn deliver<S: Sink>(
        &mut self,
        turn: &mut Turn<'_, S>,
        fan: &mut FanOut<'_>,
        delivery: &Delivery<'_>,
    ) -> Delivered {
        let reliable = delivery.qos > Qos::AtMostOnce;
        let Some(conn) = self.conn.as_deref_mut() else {
            // QoS 0 is not queued for clients that are away.
            return if reliable {
                self.enqueue(turn, fan, delivery)
            } else {
                Delivered::No
            };
        };
        if conn.is_starved && !reliable {
            return self.lose(turn, DropReason::DeliveryQuota);
        }
        if !self
            .outbound
            .is_clear(conn, turn.desk, delivery.qos, self.expiry_secs)
        {
            return self.enqueue(turn, fan, delivery);
        }
        if must_hold(delivery.qos, self.expiry_secs, conn) || delivery.is_early(turn.desk, conn) {
            return self.hold(turn, fan, delivery);
        }
        if let Err(quota) = turn
            .desk
            .meter
            .may_deliver(fan.publication.payload.len(), turn.now)
        {
            turn.exceeded(quota, self.subscriptions.client_id());
            if reliable {
                turn.starve(conn);
                return self.enqueue(turn, fan, delivery);
            }
            return self.lose(turn, DropReason::DeliveryQuota);
        }
        let has_news = self.outbound.dropped > 0 && conn.version.is_v5();
        let is_numbered = reliable && conn.is_numbered;
        if !delivery.ids.is_empty() || !conn.aliases_out.is_off() || has_news || is_numbered {
            let order = self.outbound.next_order(delivery.qos, turn.desk.order_floor);
            let pending = Pending::new(fan.keep(turn.desk), order, delivery, turn.now);
            let delivered = self.send_now(turn, pending);
            if delivered == Delivered::Yes && reliable {
                self.store_newest(turn);
            }
            return delivered;
        }
        let layout = fan.shape(turn.desk, conn.version, delivery);
        let Some(layout) = layout.filter(|layout| fan.packet_bytes(layout) <= conn.packet_bytes_max) else {
            return self.lose(turn, DropReason::PacketTooLarge); // [MQTT-3.1.2-25]
        };
        if reliable {
            let message = fan.keep(turn.desk);
            let at = layout
                .packet_id_at
                .expect("invariant: QoS 1 and 2 carry a packet id");
            let packet_id = self.outbound.next_packet_id();
            let order = self.outbound.next_order(delivery.qos, turn.desk.order_floor);
            self.outbound.open_window(
                turn.desk,
                packet_id,
                Pending::new(message, order, delivery, turn.now),
            );
            turn.desk.scratch[at..at + 2].copy_from_slice(&packet_id.get().to_be_bytes());
            conn.quota -= 1;
        }
        let shared = fan.shares_payload.then(|| fan.keep(turn.desk));
        conn.send_publish(turn, layout, shared.as_ref());
        turn.count_sent(delivery.qos, fan.publication.payload.len());
        conn.traffic.sent(fan.publication.payload.len());
        if reliable {
            self.store_newest(turn);
        }
        Delivered::Yes
    }

    /// The client misses a message, and is told how many.
    pub(crate) fn lose<S>(&mut self, turn: &mut Turn<'_, S>, reason: DropReason) -> Delivered {
        turn.desk.counters.drop_one(reason);
        self.outbound.dropped += 1;
        Delivered::No
    }

    /// The store is told of the delivery that was sent last; its publisher waits for that.
    fn store_newest<S: Sink>(&self, turn: &mut Turn<'_, S>) {
        if let Some((packet_id, pending)) = self.outbound.newest().filter(|_| self.is_persistent()) {
            turn.store(self.queued(pending, Some(packet_id)));
        }
    }

    pub(crate) fn queued(&self, pending: &Pending, packet_id: Option<PacketId>) -> Change {
        Change::Queued {
            session: self.name(),
            order: pending.order,
            message: Arc::clone(&pending.message),
            terms: pending.terms(),
            packet_id: packet_id.map(PacketId::get),
        }
    }

    /// A message that was just published leaves when the store has it, together with those that come meanwhile.
    fn hold<S: Sink>(
        &mut self,
        turn: &mut Turn<'_, S>,
        fan: &mut FanOut<'_>,
        delivery: &Delivery<'_>,
    ) -> Delivered {
        let Some(conn) = self.conn.as_deref_mut() else {
            return Delivered::No;
        };
        if !accepts(conn, fan.publication, delivery, turn.now) {
            return self.lose(turn, DropReason::PacketTooLarge); // [MQTT-3.1.2-25]
        }
        let order = self.outbound.next_order(delivery.qos, turn.desk.order_floor);
        let pending = Pending::new(fan.keep(turn.desk), order, delivery, turn.now);
        self.outbound.hold(turn.desk, conn, pending, self.expiry_secs);
        self.store_newest(turn);
        Delivered::Yes
    }

    /// Begins a delivery that nothing is in the way of: sends it, or holds it until the store has its packet id. The
    /// caller has made sure of quota and window.
    pub(crate) fn begin<S: Sink>(
        &mut self,
        turn: &mut Turn<'_, S>,
        pending: Pending,
        recorded: Recorded,
    ) -> Delivered {
        let Some(conn) = self.conn.as_deref_mut() else {
            return Delivered::No;
        };
        let (qos, order) = (pending.qos, pending.order);
        if must_hold(qos, self.expiry_secs, conn) || pending.delivery().is_early(turn.desk, conn) {
            let publication = pending.message.publication();
            if !accepts(conn, &publication, &pending.delivery(), turn.now) {
                return self.lose(turn, DropReason::PacketTooLarge); // [MQTT-3.1.2-25]
            }
            self.outbound.hold(turn.desk, conn, pending, self.expiry_secs);
        } else if self.send_now(turn, pending) == Delivered::No {
            return Delivered::No;
        }
        let newest = self.outbound.newest();
        if let Some((packet_id, pending)) = newest.filter(|_| self.is_persistent() && qos > Qos::AtMostOnce) {
            match recorded {
                Recorded::No => turn.note(self.queued(pending, Some(packet_id))),
                Recorded::Yes if qos == Qos::ExactlyOnce => turn.note(Change::Sent {
                    session: self.name(),
                    order,
                    packet_id: packet_id.get(),
                }),
                Recorded::Yes => {}
            }
        }
        Delivered::Yes
    }

    /// Puts a message at the end of the queue. Expired messages make room, then QoS 0 messages, oldest
    /// first; without room the message is dropped and counted. Where only the store has what is in front of it, QoS 0
    /// has no place.
    fn enqueue<S: Sink>(
        &mut self,
        turn: &mut Turn<'_, S>,
        fan: &mut FanOut<'_>,
        delivery: &Delivery<'_>,
    ) -> Delivered {
        let reliable = delivery.qos > Qos::AtMostOnce;
        if !reliable && self.outbound.queue.has_spilled() {
            return self.lose(turn, DropReason::QueueFullQos0);
        }
        let message = fan.keep(turn.desk);
        if !self.outbound.queue.fits(turn.desk.room(), message.size()) {
            self.drop_expired(turn);
        }
        if !self.outbound.make_room(turn.desk, message.size()) {
            if turn.desk.room().all_bytes_left < message.size() as u64 {
                turn.exceeded(Quota::AllQueueBytes, self.subscriptions.client_id());
            }
            return self.lose(turn, DropReason::QueueFull);
        }
        let order = self.outbound.next_order(delivery.qos, turn.desk.order_floor);
        let mut pending = Pending::new(message, order, delivery, turn.now);
        let is_stored = reliable && self.is_persistent();
        if is_stored {
            pending.ticket = turn.desk.ticket;
            turn.store(self.queued(&pending, None));
        }
        self.outbound.queue.push(turn.desk, pending);
        if is_stored {
            self.note_spilling(turn.desk);
        }
        turn.desk.await_sweep(turn.now);
        Delivered::Yes
    }

    /// Sends one message that takes a packet of its own. The caller has made sure of quota and window.
    fn send_now<S: Sink>(&mut self, turn: &mut Turn<'_, S>, pending: Pending) -> Delivered {
        let Some(conn) = self.conn.as_deref_mut() else {
            return Delivered::No;
        };
        let (qos, payload_bytes) = (pending.qos, pending.message.payload().len());
        let reliable = qos > Qos::AtMostOnce;
        let packet_id = if reliable {
            self.outbound.next_packet_id()
        } else {
            PacketId::MIN
        };
        let dropped = self.outbound.dropped;
        let resent = self.outbound.begins(&pending);
        let Some(told) = send_alone(conn, turn, &pending, packet_id, resent, dropped) else {
            return self.lose(turn, DropReason::PacketTooLarge); // [MQTT-3.1.2-25]
        };
        self.outbound.dropped -= told;
        turn.count_sent(qos, payload_bytes);
        conn.traffic.sent(payload_bytes);
        if reliable {
            conn.quota = conn.quota.saturating_sub(1);
            self.outbound.open_window(turn.desk, packet_id, pending);
        }
        Delivered::Yes
    }

    /// What expired while it waited is deleted. [MQTT-3.3.2-5]
    fn drop_expired<S: Sink>(&mut self, turn: &mut Turn<'_, S>) {
        for left in self.outbound.queue.take_expired(turn.desk, turn.now) {
            turn.desk.counters.drop_one(DropReason::Expired);
            self.settle(turn, left);
        }
    }

    /// A QoS 1 or 2 message left the session for good.
    pub(crate) fn settle<S: Sink>(&self, turn: &mut Turn<'_, S>, left: Left) {
        if self.is_persistent() && left.qos > Qos::AtMostOnce {
            turn.note(Change::Settled {
                session: self.name(),
                order: left.order,
                shares: left.shares,
            });
        }
    }
}

/// Whether the store knows of a delivery that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It was queued.
    Yes,
    /// It is a new one.
    No,
}

/// Whether a delivery has to wait in the window, unsent: at QoS 2 until its packet id is stored, if it outlives the
/// connection; and behind such a one, so that it does not overtake it.
pub(crate) const fn must_hold(qos: Qos, expiry_secs: u32, conn: &Connection) -> bool {
    match qos {
        Qos::ExactlyOnce => expiry_secs > 0,
        Qos::AtLeastOnce => expiry_secs > 0 && conn.unsent > 0,
        Qos::AtMostOnce => false,
    }
}
