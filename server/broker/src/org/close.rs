//! The ends of things: connections, sessions, and what they leave behind.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;

use cloudsignal_core::codec::{Disconnect, PacketType, ReasonCode};
use cloudsignal_core::{Instant, Qos};

use super::packet::Fault;
use super::publish::Standing;
use super::route::{LeftBehind, fitness, may_receive};
use super::subscribe::has_wildcard;
use super::{Org, rearm};
use crate::change::Change;
use crate::router::shared::Fitness;
use crate::session::Will;
use crate::sink::{CloseCause, ConnId, DropReason, Report, Sink};
use crate::spare;
use crate::timers::Timer;
use crate::turn::Turn;

impl Org {
    /// The transport is gone, by whoever's wish. Called once for every connection; frees its number.
    pub fn handle_closed(&mut self, conn: ConnId, now: Instant, sink: &mut impl Sink) {
        self.desk.changed = false;
        if let Some(place) = self.place_of(conn) {
            self.detach(place, CloseCause::Transport, now, sink);
        }
    }

    pub(super) fn on_disconnect(
        &mut self,
        place: u32,
        disconnect: &Disconnect<'_>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let session = &mut self.sessions[place as usize];
        if let Some(expiry_secs) = disconnect.session_expiry_secs {
            if session.expiry_secs == 0 && expiry_secs > 0 {
                return Err(Fault::protocol(
                    "a session expiry in DISCONNECT after none in CONNECT",
                )); // [MQTT-3.14.2-2]
            }
            session.expiry_secs = expiry_secs.min(self.desk.limits.session_expiry_secs_max);
            // The end of the connection tells the store of any other interval.
            if session.expiry_secs == u32::MAX {
                let change = session.change();
                Turn {
                    desk: &mut self.desk,
                    now,
                    sink: &mut *sink,
                }
                .store(change);
            }
        }
        let Some(conn) = self.sessions[place as usize].conn.as_deref() else {
            return Ok(());
        };
        let cause = if disconnect.reason == ReasonCode::Success {
            CloseCause::Client // [MQTT-3.14.4-3]: without the will
        } else {
            CloseCause::ClientWithWill
        };
        sink.close(conn.id, cause);
        self.detach(place, cause, now, sink);
        Ok(())
    }

    /// Ends a connection by our wish.
    pub(super) fn close_connection(
        &mut self,
        place: u32,
        reason: ReasonCode,
        why: &str,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        let Self { sessions, desk, .. } = self;
        let Some(conn) = sessions[place as usize].conn.as_deref() else {
            return;
        };
        // [MQTT-3.14.2-1]: a code that DISCONNECT cannot carry is no reason to keep the connection.
        let reason = if reason.allowed_in(PacketType::Disconnect) {
            reason
        } else {
            ReasonCode::UnspecifiedError
        };
        conn.close(
            &mut Turn {
                desk,
                now,
                sink: &mut *sink,
            },
            reason,
            why,
        );
        self.detach(place, CloseCause::Server(reason), now, sink);
    }

    /// The session loses its connection.
    fn detach(&mut self, place: u32, cause: CloseCause, now: Instant, sink: &mut impl Sink) {
        let Self {
            sessions,
            desk,
            conns,
            owners,
            ..
        } = self;
        let session = &mut sessions[place as usize];
        let Some(mut conn) = session.conn.take() else {
            return;
        };
        free(conns, conn.id);
        owners.leave(place, &conn.identity);
        desk.counters.connections_now -= 1;
        rearm(
            desk,
            &mut conn.keep_alive_at,
            Instant::MAX,
            Timer::KeepAlive(place),
        );
        rearm(desk, &mut conn.ends_at, Instant::MAX, Timer::CredentialEnd(place));
        rearm(desk, &mut conn.resume_at, Instant::MAX, Timer::Resume(place));
        session.outbound.mark_unsent();
        session.received.rest();
        session.scans.rest();
        // QoS 0 is not queued for clients that are away.
        session
            .outbound
            .queue
            .retain(desk, |pending| pending.qos > Qos::AtMostOnce);
        session.leave_memory(desk);
        sink.report(Report::Disconnected {
            conn: conn.id,
            client_id: session.subscriptions.client_id(),
            cause,
            username: &conn.identity.username,
            version: conn.version,
            connected_at: conn.connected_at,
            traffic: conn.traffic,
        });

        // [MQTT-3.1.2-8] [MQTT-3.1.2-10]
        if let Some(will) = conn.will.take().filter(|_| cause != CloseCause::Client) {
            self.leave_will(place, will, now, sink);
        }
        self.note_will(place, now, sink);
        self.offer_shared(place, Fitness::Busy, now, sink);
        self.sessions[place as usize].outbound.rest(&self.desk);
        match self.sessions[place as usize].expiry_secs {
            0 => self.end_session(place, now, sink),
            u32::MAX => {}
            secs => {
                self.expire_session(place, now.after_secs(secs)); // [MQTT-3.1.2-23]
                let change = self.sessions[place as usize].change();
                Turn {
                    desk: &mut self.desk,
                    now,
                    sink,
                }
                .note(change);
            }
        }
    }

    /// The session ends at `at` unless its client comes back.
    pub(super) fn expire_session(&mut self, place: u32, at: Instant) {
        let session = &mut self.sessions[place as usize];
        rearm(
            &mut self.desk,
            &mut session.expires_at,
            at,
            Timer::SessionExpiry(place),
        );
    }

    /// The store is told what became of a will that it has.
    fn note_will(&mut self, place: u32, now: Instant, sink: &mut impl Sink) {
        let Self { sessions, desk, .. } = self;
        let mut turn = Turn { desk, now, sink };
        sessions[place as usize].store_will(&mut turn);
    }

    /// The will is published now, or when its delay has passed and the client has not come back.
    fn leave_will(&mut self, place: u32, will: Box<Will>, now: Instant, sink: &mut impl Sink) {
        let session = &mut self.sessions[place as usize];
        let delay_secs = will.delay_secs.min(session.expiry_secs);
        if delay_secs == 0 {
            return self.publish_will(place, &will, now, sink);
        }
        session.will = Some(will);
        self.delay_will(place, now.after_secs(delay_secs));
    }

    /// The will is due at `at`.
    pub(super) fn delay_will(&mut self, place: u32, at: Instant) {
        if let Some(will) = self.sessions[place as usize].will.as_deref_mut() {
            rearm(&mut self.desk, &mut will.due_at, at, Timer::WillDelay(place));
        }
    }

    /// The client came back in time.
    pub(super) fn cancel_will(&mut self, place: u32) {
        self.take_will(place);
    }

    /// Takes the will that waits, and its timer with it.
    fn take_will(&mut self, place: u32) -> Option<Box<Will>> {
        let mut will = self.sessions[place as usize].will.take()?;
        rearm(
            &mut self.desk,
            &mut will.due_at,
            Instant::MAX,
            Timer::WillDelay(place),
        );
        Some(will)
    }

    pub(super) fn publish_due_will(&mut self, place: u32, now: Instant, sink: &mut impl Sink) {
        if let Some(will) = self.take_will(place) {
            self.publish_will(place, &will, now, sink);
            self.note_will(place, now, sink);
        }
    }

    fn publish_will(&mut self, place: u32, will: &Will, now: Instant, sink: &mut impl Sink) {
        let mut publication = will.message.publication();
        publication.expires_at = will.expiry_secs.map(|secs| now.after_secs(secs));
        self.desk.counters.wills += 1;
        // Why not, if not, is counted; nobody is left who could be told.
        let _ = self.publish_as(place, &publication, Standing::Will, now, sink);
    }

    /// The session ends, and everything it held. Its delayed will is published now. [MQTT-3.1.3.2.2]
    pub(super) fn end_session(&mut self, place: u32, now: Instant, sink: &mut impl Sink) {
        self.publish_due_will(place, now, sink);
        self.cancel_will(place);
        self.offer_shared(place, Fitness::Away, now, sink);
        let mut session = self.sessions.remove(place as usize);
        if spare::is_due(self.sessions.len(), self.sessions.capacity()) {
            self.sessions.shrink_to_fit();
        }
        self.client_ids.leave(&self.sessions, session.client_id(), place);
        for subscription in session.subscriptions.iter() {
            self.leave(place, subscription.filter);
        }
        let subscriptions = &session.subscriptions;
        let desk = &mut self.desk;
        rearm(
            desk,
            &mut session.expires_at,
            Instant::MAX,
            Timer::SessionExpiry(place),
        );
        // What only the store has cannot be handed over any more.
        desk.counters.dropped[DropReason::QueueFull.index()] +=
            session.outbound.queue.spilled_shared() as u64;
        if desk.numbers {
            desk.order_floor = desk.order_floor.max(session.outbound.last_order());
        }
        session.outbound.clear(desk);
        desk.counters.sessions_now -= 1;
        desk.counters.subscriptions_now -= subscriptions.len() as u64;
        let wildcards = subscriptions.iter().filter(|it| has_wildcard(it.filter));
        desk.counters.wildcard_subscriptions_now -= wildcards.count() as u64;
        sink.report(Report::SessionEnded {
            client_id: session.subscriptions.client_id(),
        });
        if session.stored {
            let session = session.name();
            Turn { desk, now, sink }.store(Change::SessionEnded { session });
        }
    }

    /// A member of shared groups goes: others get what it has not acknowledged, if one is at least as
    /// fit as `fit_min`. [MQTT-4.8.2-5]
    fn offer_shared(&mut self, place: u32, fit_min: Fitness, now: Instant, sink: &mut impl Sink) {
        let session = &mut self.sessions[place as usize];
        if !session.outbound.holds_shared() {
            return;
        }
        let mut outbound = core::mem::take(&mut session.outbound);
        let (room, ticket) = (self.desk.room(), self.desk.ticket);
        let is_stored = session.stored;
        let mut taken: Vec<LeftBehind> = Vec::new();
        let mut left = Vec::new();
        let mut refused = 0;
        let Self {
            sessions,
            groups,
            desk,
            policy,
            ..
        } = self;
        outbound.offer_shared(desk, |group, pending| {
            let message = &pending.message;
            if message.is_expired(now) {
                return false; // [MQTT-3.3.2-5]: it goes to nobody who has not got it yet.
            }
            let publication = message.publication();
            let is_full = Cell::new(false);
            let picked = groups.pick(group.key, |member| {
                let may_receive = may_receive(sessions, policy, member, publication.topic);
                let fit = fitness(sessions, room, member, may_receive, &publication, now);
                if member.session == place {
                    return Fitness::Unfit;
                }
                is_full.set(is_full.get() || fit == Fitness::Full);
                if fit < fit_min { Fitness::Unfit } else { fit }
            });
            match picked {
                Some(member) => {
                    left.push(pending.left());
                    taken.push(LeftBehind {
                        group: Arc::clone(group),
                        member,
                        message: Arc::clone(message),
                        // A crash must not give it back to whoever leaves it, once another client may have it.
                        leaves_after: if is_stored { ticket } else { pending.leaves_after },
                    });
                }
                None => refused += usize::from(is_full.get()),
            }
            picked.is_some()
        });
        // What nobody had room for ends with the session.
        let lost = if fit_min <= Fitness::Away { refused } else { 0 };
        for _ in 0..lost {
            desk.counters.drop_one(DropReason::QueueFull);
        }
        self.sessions[place as usize].outbound = outbound;
        for left in left {
            let mut turn = Turn {
                desk: &mut self.desk,
                now,
                sink: &mut *sink,
            };
            self.sessions[place as usize].settle(&mut turn, left);
        }
        self.hand_over(taken, now, sink);
    }
}

/// A connection's number is free again.
fn free(conns: &mut Vec<Option<u32>>, conn: ConnId) {
    conns[conn.0 as usize] = None;
    while let Some(None) = conns.last() {
        conns.pop();
        if spare::is_due(conns.len(), conns.capacity()) {
            conns.shrink_to_fit();
        }
    }
}
