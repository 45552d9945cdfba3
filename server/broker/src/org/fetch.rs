//! Queues that the store keeps: when something leaves the memory, when it is asked for, and what becomes of the
//! answer. See [`fetch`](crate::fetch).

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use cloudsignal_core::{Instant, Qos};

use super::Org;
use crate::authz::CompiledPolicy;
use crate::fetch::{Fetch, Fetched, Unreadable};
use crate::router::Groups;
use crate::session::queue::{Purpose, Resident};
use crate::session::{Pending, Session};
use crate::sink::{DropReason, Sink};
use crate::timers::Timer;
use crate::turn::{Desk, SWEEP_EVERY_SECS, Turn};

/// Sessions whose queues leave the memory in one turn; the rest is due at once.
const SPILLS_MAX: usize = 4_096;
/// Sessions that a sweep looks at in one turn. It comes back every [`SWEEP_EVERY_SECS`] seconds, so a million sessions
/// take three quarters of an hour.
const SWEEP_LOOKS_MAX: usize = 4_096;
/// Messages and bytes of one answer to a sweep.
const SWEPT_MESSAGES_MAX: usize = 256;
const SWEPT_BYTES_MAX: usize = 256 * 1_024;
/// Pause before the store is asked again that could not be read, in seconds.
const RETRY_SECS: u32 = 1;

impl Org {
    /// What the store was asked for by [`Sink::fetch`]. An answer that nobody waits for any more does no harm.
    pub fn handle_fetched(
        &mut self,
        fetch: &Fetch,
        answer: Result<Fetched, Unreadable>,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        self.desk.changed = false;
        let Self {
            client_ids,
            sessions,
            groups,
            desk,
            policy,
            ..
        } = self;
        let Some(place) = client_ids.find(sessions, &fetch.session.client_id) else {
            return;
        };
        let session = &mut sessions[place as usize];
        if session.serial != fetch.session.serial {
            return;
        }
        let mut turn = Turn {
            desk,
            now,
            sink: &mut *sink,
        };
        match (session.outbound.queue.answered(fetch), answer) {
            (Some(purpose), Ok(fetched)) => {
                session.take_fetched(&mut turn, groups, policy, purpose, fetch, fetched);
            }
            (Some(purpose), Err(Unreadable)) => session.ask_later(purpose, now),
            (None, _) => {}
        }
        if session.conn.is_some() {
            self.pump(place, now, sink);
        }
    }

    /// What is stored by now, and not needed soon, leaves the memory.
    pub(super) fn spill_stored(&mut self, now: Instant, sink: &mut impl Sink) {
        let stored = self.desk.stored;
        for _ in 0..SPILLS_MAX {
            let spilling = &mut self.desk.spilling;
            let Some((_, place, serial)) = spilling.pop_front_if(|(ticket, ..)| *ticket <= stored) else {
                return;
            };
            let session = self.sessions.get_mut(place as usize);
            let Some(session) = session.filter(|session| session.serial == serial) else {
                continue;
            };
            session.spill(&mut self.desk);
            session.note_unstored(&mut self.desk);
            if session.conn.is_some() && session.outbound.queue.has_spilled() {
                self.pump(place, now, sink);
            }
        }
        self.desk.timers.arm(now, Timer::Spill);
    }

    /// Looks at some queues of clients that are away: what has expired or waited too long is dropped.
    pub(super) fn sweep_queues(&mut self, now: Instant, sink: &mut impl Sink) {
        let Self { sessions, desk, .. } = self;
        desk.sweep_at = Instant::MAX;
        let end = sessions.capacity();
        let stop = end.min(self.sweep_from + SWEEP_LOOKS_MAX);
        for place in self.sweep_from..stop {
            let session = sessions.get_mut(place);
            if let Some(session) = session.filter(|it| it.conn.is_none() && !it.outbound.queue.is_empty()) {
                let mut turn = Turn {
                    desk: &mut *desk,
                    now,
                    sink: &mut *sink,
                };
                session.sweep(&mut turn);
            }
        }
        self.sweep_from = if stop < end { stop } else { 0 };
        if desk.counters.queue_messages_now > 0 {
            desk.sweep_at = now.after_secs(SWEEP_EVERY_SECS);
            desk.timers.arm(desk.sweep_at, Timer::Sweep);
        }
    }
}

impl Session {
    /// How much of the queue stays in memory.
    const fn resident(&self, desk: &Desk) -> Resident {
        let limits = &desk.limits;
        match &self.conn {
            Some(_) if limits.queue_resident_messages_max == 0 => Resident {
                messages_max: 1,
                bytes_max: limits.queue_resident_bytes_max,
            },
            Some(_) => Resident {
                messages_max: limits.queue_resident_messages_max,
                bytes_max: limits.queue_resident_bytes_max,
            },
            None => Resident {
                messages_max: 0,
                bytes_max: 0,
            },
        }
    }

    /// A message was queued that will be stored: it may leave the memory then. While something is noted that is not
    /// stored yet, nothing more is: one look at a long queue per commit has to do.
    pub(crate) fn note_spilling(&mut self, desk: &mut Desk) {
        let resident = self.resident(desk);
        let outbound = &mut self.outbound;
        if outbound.noted <= desk.stored && desk.may_spill() && outbound.queue.exceeds(resident) {
            outbound.noted = desk.ticket;
            desk.spilling.push_back((desk.ticket, self.place, self.serial));
        }
    }

    /// What is not stored yet leaves the memory once it is.
    fn note_unstored(&mut self, desk: &mut Desk) {
        let resident = self.resident(desk);
        let outbound = &mut self.outbound;
        if desk.may_spill()
            && outbound.queue.exceeds(resident)
            && let Some(ticket) = outbound.queue.newest_ticket()
            && ticket > desk.stored.max(outbound.noted)
        {
            outbound.noted = ticket;
            desk.spilling.push_back((ticket, self.place, self.serial));
        }
    }

    fn spill(&mut self, desk: &mut Desk) {
        let resident = self.resident(desk);
        self.outbound.spill(desk, resident);
    }

    /// The client is away: what is stored leaves the memory now, and the rest once it is.
    pub(crate) fn leave_memory(&mut self, desk: &mut Desk) {
        if !self.is_persistent() || !desk.may_spill() || self.outbound.queue.is_empty() {
            return;
        }
        self.spill(desk);
        self.note_unstored(desk);
    }

    /// Asks the store for what comes next, if little of it is in memory.
    pub(crate) fn ask_for_more<S: Sink>(&mut self, turn: &mut Turn<'_, S>) {
        let resident = self.resident(turn.desk);
        if self.conn.is_none() || !self.outbound.queue.runs_low(resident) {
            return;
        }
        if self.may_ask(turn.desk, turn.now) {
            self.ask(turn, Purpose::Deliver, None);
        }
    }

    /// Whether the store can be asked now. If not because it does not know yet what left out of turn, it is as soon
    /// as it does.
    fn may_ask(&mut self, desk: &mut Desk, now: Instant) -> bool {
        let outbound = &mut self.outbound;
        let unclean = outbound.queue.unclean();
        let Some(spilled) = outbound.queue.spilled() else {
            return false;
        };
        if !spilled.is_free(now) {
            return false;
        }
        // Under a ticket that is still open, and has no changes, the store was told of nothing.
        let was_told = unclean < desk.ticket || desk.unsealed;
        if unclean <= desk.stored || !was_told {
            return true;
        }
        desk.awaited = desk.awaited.max(unclean);
        if outbound.noted < unclean {
            outbound.noted = unclean;
            desk.spilling.push_back((unclean, self.place, self.serial));
        }
        false
    }

    fn ask<S: Sink>(&mut self, turn: &mut Turn<'_, S>, purpose: Purpose, after: Option<u64>) {
        let Some((after, through)) = self.outbound.queue.ask(purpose, after) else {
            return;
        };
        let (messages_max, bytes_max) = match purpose {
            Purpose::Deliver => {
                let resident = self.resident(turn.desk);
                (resident.messages_max, resident.bytes_max)
            }
            Purpose::Sweep { .. } => (SWEPT_MESSAGES_MAX, SWEPT_BYTES_MAX),
        };
        turn.sink.fetch(Fetch {
            session: self.name(),
            after,
            through,
            messages_max: messages_max.min(self.outbound.queue.messages_in(bytes_max)),
            bytes_max,
        });
    }

    /// The store could not be read.
    fn ask_later(&mut self, purpose: Purpose, now: Instant) {
        if let Some(spilled) = self.outbound.queue.spilled() {
            spilled.retry_at = now.after_secs(RETRY_SECS);
            if let Purpose::Sweep { .. } = purpose {
                spilled.end_sweep_early(now);
            }
        }
    }

    /// When the store may be asked again that could not be read; [`Instant::MAX`] if it may be now.
    pub(crate) fn retries_at(&self, now: Instant) -> Instant {
        let retry_at = self.outbound.queue.retry_at();
        if retry_at > now { retry_at } else { Instant::MAX }
    }

    /// What the store has, as it is today: what has expired meanwhile, or is no longer allowed, is dropped.
    fn take_fetched<S: Sink>(
        &mut self,
        turn: &mut Turn<'_, S>,
        groups: &Groups,
        policy: &CompiledPolicy,
        purpose: Purpose,
        fetch: &Fetch,
        fetched: Fetched,
    ) {
        let delivers = match purpose {
            // Whoever left meanwhile is given it when he comes back.
            Purpose::Deliver if self.conn.is_none() => return,
            Purpose::Deliver => true,
            Purpose::Sweep { .. } => false,
        };
        let through = fetched.through.min(fetch.through);
        let (mut stays, mut last, mut has_kept) = (Vec::new(), fetch.after, false);
        for stored in fetched.deliveries {
            let is_asked = last < stored.order && stored.order <= through;
            let is_known = stored.terms.qos == Qos::AtMostOnce || self.outbound.holds(stored.order);
            if !is_asked || is_known {
                continue;
            }
            last = stored.order;
            let pending = Pending::restored(stored.message, stored.order, stored.terms, groups);
            let facts = pending.facts();
            let reason = turn.desk.stale(&pending, turn.now).or_else(|| {
                let is_allowed = self.grants(policy).allows_delivery(pending.message.topic());
                (!is_allowed).then_some(DropReason::DeliveryDenied)
            });
            let queue = &mut self.outbound.queue;
            if let Some(reason) = reason {
                queue.unspill(turn.desk, &facts);
                queue.note_unclean(turn.desk.ticket);
                turn.desk.counters.drop_one(reason);
                self.settle(turn, pending.left());
            } else if delivers {
                queue.unspill(turn.desk, &facts);
                stays.push(pending);
            } else if let Some(spilled) = queue.spilled() {
                spilled.keep(&facts);
                has_kept = true;
            }
        }
        match purpose {
            Purpose::Deliver => {
                let lost = self.outbound.queue.take_in(turn.desk, stays, through);
                self.lose_damaged(turn, lost);
            }
            Purpose::Sweep { until, has_found } => {
                self.swept(turn, through.max(fetch.after), until, has_found || has_kept);
            }
        }
    }

    /// Some that were counted are not there any more: what was stored of them cannot be used.
    fn lose_damaged<S>(&mut self, turn: &mut Turn<'_, S>, lost: usize) {
        for _ in 0..lost {
            self.lose(turn, DropReason::Damaged);
        }
    }

    /// Drops what has expired or waited too long.
    fn sweep<S: Sink>(&mut self, turn: &mut Turn<'_, S>) {
        let (now, since) = (turn.now, turn.desk.old_since(turn.now).unwrap_or(Instant::ZERO));
        for (left, reason) in self.outbound.queue.take_stale(turn.desk, now, since) {
            turn.desk.counters.drop_one(reason);
            self.settle(turn, left);
        }
        let is_stale = self
            .outbound
            .queue
            .spilled()
            .is_some_and(|spilled| spilled.is_stale(since, now));
        self.outbound.rest(turn.desk);
        if !is_stale || !self.may_ask(turn.desk, now) {
            return;
        }
        if let Some(spilled) = self.outbound.queue.spilled() {
            spilled.begin_sweep();
            let purpose = Purpose::Sweep {
                until: spilled.last(),
                has_found: false,
            };
            self.ask(turn, purpose, None);
        }
    }

    /// A sweep has come up to the order `through`.
    fn swept<S: Sink>(&mut self, turn: &mut Turn<'_, S>, through: u64, until: u64, has_found: bool) {
        if !has_found {
            let lost = self.outbound.queue.skip(turn.desk, through);
            self.lose_damaged(turn, lost);
        }
        let Some(spilled) = self.outbound.queue.spilled() else {
            if self.conn.is_none() {
                self.outbound.rest(turn.desk);
            }
            return;
        };
        if through >= until {
            return;
        }
        // Whoever comes back does not wait until everything was looked at.
        if self.conn.is_some() {
            return spilled.end_sweep_early(turn.now);
        }
        self.ask(turn, Purpose::Sweep { until, has_found }, Some(through));
    }
}
