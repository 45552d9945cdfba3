//! Sends what waits: what an earlier connection sent and was not acknowledged, then the queue, then
//! retained messages. It stops when the output, the quota or the turn's budget is used up.

use alloc::collections::VecDeque;

use cloudsignal_core::codec::{Ack, AckKind, ReasonCode};
use cloudsignal_core::{Instant, Qos};

use super::{Org, rearm};
use crate::authz::CompiledPolicy;
use crate::change::Keeping;
use crate::router::Retained;
use crate::session::connection::Completes;
use crate::session::{Delivered, Delivery, Left, Pending, Recorded, Session, Stage, must_hold, send_alone};
use crate::sink::{ConnId, DropReason, Sink, Ticket};
use crate::timers::Timer;
use crate::turn::Turn;

/// Retained topics looked at in one go; the rest waits for the next turn, so that nobody else does.
const SCAN_LOOKS_MAX: usize = 1_000;
/// Connections that are served in one go when the delivery quota has filled again.
const STARVED_LOOKS_MAX: usize = 1_000;

impl Org {
    /// The output of `conn` has drained: to half of [`output_bytes_max`](crate::Limits::output_bytes_max) or less.
    pub fn handle_writable(&mut self, conn: ConnId, now: Instant, sink: &mut impl Sink) {
        let Some(place) = self.place_of(conn) else { return };
        self.desk.changed = false;
        if let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() {
            conn.output_full = false;
        }
        self.pump(place, now, sink);
    }

    /// Sends what waited for the delivery quota, one connection after the other, as far as the quota goes.
    pub(super) fn feed_starved(&mut self, now: Instant, sink: &mut impl Sink) {
        for _ in 0..self.desk.starved.len().min(STARVED_LOOKS_MAX) {
            if self.desk.meter.may_deliver(0, now).is_err() {
                break;
            }
            let Some(id) = self.desk.starved.pop_front() else {
                break;
            };
            let Some(place) = self.place_of(id) else { continue };
            let conn = self.sessions[place as usize].conn.as_deref_mut();
            if let Some(conn) = conn.filter(|conn| conn.is_starved) {
                conn.is_starved = false;
                self.pump(place, now, sink);
            }
        }
        self.desk.await_deliveries(now);
    }

    pub(super) fn pump(&mut self, place: u32, now: Instant, sink: &mut impl Sink) {
        let Self {
            sessions,
            retained,
            desk,
            policy,
            ..
        } = self;
        let session = &mut sessions[place as usize];
        let mut turn = Turn { desk, now, sink };
        session.send_again(&mut turn);
        session.send_queue(&mut turn);
        let is_cut_short = session.send_retained(&mut turn, retained, policy);
        let resume_at = if is_cut_short {
            now
        } else {
            session.retries_at(now)
        };
        if let Some(conn) = session.conn.as_deref_mut() {
            rearm(turn.desk, &mut conn.resume_at, resume_at, Timer::Resume(place));
        }
    }
}

impl Session {
    /// Sends the window of an earlier connection again, in the original order. [MQTT-4.4.0-1] [MQTT-4.6.0-1]
    fn send_again<S: Sink>(&mut self, turn: &mut Turn<'_, S>) {
        while let Some(conn) = self
            .conn
            .as_deref_mut()
            .filter(|conn| conn.unsent > 0 && conn.is_writable())
        {
            let dropped = self.outbound.dropped;
            let unsent = self.outbound.first_unsent(conn.quota > 0, turn.desk.stored);
            let Some((entry, resent)) = unsent else {
                return;
            };
            let Stage::Published(pending) = &entry.stage else {
                let pubrel = Ack::new(entry.packet_id, ReasonCode::Success);
                let version = conn.version;
                conn.reply(turn, Completes::Nothing, |out| {
                    pubrel.encode(AckKind::PubRel, version, out)
                });
                entry.sent = true;
                conn.unsent -= 1;
                continue;
            };
            let (packet_id, qos, left) = (entry.packet_id, pending.qos, pending.left());
            let payload_bytes = pending.message.payload().len();
            if !entry.tried && pending.message.is_expired(turn.now) {
                self.outbound.discard(turn.desk, conn, packet_id);
                turn.desk.counters.drop_one(DropReason::Expired); // [MQTT-3.3.2-5]
                self.settle(turn, left);
                continue;
            }
            // What was sent before does not wait for the quota of deliveries.
            if !entry.tried
                && let Err(quota) = turn.desk.meter.may_deliver(payload_bytes, turn.now)
            {
                turn.exceeded(quota, self.subscriptions.client_id());
                return turn.starve(conn);
            }
            let news = if entry.tried { 0 } else { dropped };
            let Some(told) = send_alone(conn, turn, pending, packet_id, resent, news) else {
                self.outbound.discard(turn.desk, conn, packet_id);
                self.give_up(turn, left);
                continue;
            };
            turn.count_sent(qos, payload_bytes);
            conn.traffic.sent(payload_bytes);
            entry.go(conn);
            self.outbound.dropped -= told;
        }
    }

    /// A message is too large for this connection: it counts as delivered. [MQTT-3.1.2-25]
    fn give_up<S: Sink>(&mut self, turn: &mut Turn<'_, S>, left: Left) {
        turn.desk.counters.drop_one(DropReason::PacketTooLarge);
        self.outbound.dropped += 1;
        self.settle(turn, left);
    }

    fn send_queue<S: Sink>(&mut self, turn: &mut Turn<'_, S>) {
        while let Some(conn) = self.conn.as_deref().filter(|conn| conn.is_writable()) {
            let Some(head) = self.outbound.queue.front() else {
                break;
            };
            let stale = turn.desk.stale(head, turn.now);
            let may_begin = match head.qos {
                Qos::AtMostOnce => conn.unsent == 0,
                Qos::AtLeastOnce | Qos::ExactlyOnce => {
                    self.outbound.may_open(conn, turn.desk, self.expiry_secs)
                }
            };
            if stale.is_none() && !may_begin {
                break;
            }
            let is_held =
                must_hold(head.qos, self.expiry_secs, conn) || head.delivery().is_early(turn.desk, conn);
            let payload_bytes = head.message.payload().len();
            if stale.is_none() && !is_held && self.must_starve(turn, payload_bytes) {
                break;
            }
            let Some(pending) = self.outbound.queue.pop(turn.desk) else {
                break;
            };
            let left = pending.left();
            if let Some(reason) = stale {
                turn.desk.counters.drop_one(reason); // [MQTT-3.3.2-5]
                self.settle(turn, left);
            } else if self.begin(turn, pending, Recorded::Yes) == Delivered::No {
                self.settle(turn, left);
            }
        }
        self.ask_for_more(turn);
    }

    /// Answers whether the budget was used up before everything was handed out.
    fn send_retained<S: Sink>(
        &mut self,
        turn: &mut Turn<'_, S>,
        retained: &Retained,
        policy: &CompiledPolicy,
    ) -> bool {
        let mut looks = SCAN_LOOKS_MAX;
        while let Some(mut scan) = self.scans.existing().and_then(VecDeque::pop_front) {
            while looks > 0 && self.may_send_retained(scan.qos, turn) && !self.must_starve(turn, 0) {
                let Some(message) = retained.next(&mut scan, &mut looks, turn.now) else {
                    break;
                };
                if !scan.covered && !self.grants(policy).allows_delivery(message.topic()) {
                    continue;
                }
                let id = scan.id.map(core::num::NonZeroU32::get);
                let qos = message.qos().min(scan.qos);
                // [MQTT-3.3.1-8]: a retained message for a new subscription says so.
                let delivery = Delivery {
                    qos,
                    retain: true,
                    ids: id.as_slice(),
                    group: None,
                    keeping: Keeping::Apart,
                    leaves_after: Ticket(0),
                };
                let order = self.outbound.next_order(qos, turn.desk.order_floor);
                let pending = Pending::new(message.clone(), order, &delivery, turn.now);
                self.begin(turn, pending, Recorded::No);
            }
            if !scan.is_done() {
                self.scans.push_front(scan);
                return looks == 0 && self.conn.is_some();
            }
            let subscription = self.subscriptions.get(scan.filter());
            if let Some(subscription) = subscription.filter(|_| self.is_persistent()) {
                turn.note(self.subscribed(&subscription));
            }
        }
        false
    }

    /// Whether the delivery quota is used up; then what waits is tried again soon.
    fn must_starve<S: Sink>(&mut self, turn: &mut Turn<'_, S>, payload_bytes: usize) -> bool {
        let Err(quota) = turn.desk.meter.may_deliver(payload_bytes, turn.now) else {
            return false;
        };
        turn.exceeded(quota, self.subscriptions.client_id());
        if let Some(conn) = self.conn.as_deref_mut() {
            turn.starve(conn);
        }
        true
    }

    fn may_send_retained<S: Sink>(&self, qos: Qos, turn: &Turn<'_, S>) -> bool {
        let Some(conn) = self.conn.as_deref() else {
            return false;
        };
        self.outbound.is_clear(conn, turn.desk, qos, self.expiry_secs)
    }
}
