//! What every step of a turn has at hand: the time, the sink, and the organization's common things.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use cloudsignal_core::{Duration, Instant, Qos};

use crate::change::{Change, Storage};
use crate::counters::Counters;
use crate::limits::Limits;
use crate::quota::{Meter, Quota, REPORT_SECS};
use crate::session::{Connection, Outbound, Pending};
use crate::sink::{ConnId, DropReason, Report, Sink, Ticket};
use crate::timers::{Timer, Timers};

/// What all sessions of an organization share.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) limits: Limits,
    /// The loosest bounds that held so far: what came in under them stays.
    pub(crate) loosest: Loosest,
    pub(crate) counters: Counters,
    pub(crate) meter: Meter,
    pub(crate) timers: Timers,
    /// Where packets are encoded; empty between turns.
    pub(crate) scratch: Vec<u8>,
    /// The ticket that changes belong to until the turn is sealed.
    pub(crate) ticket: Ticket,
    /// Everything up to this one is stored.
    pub(crate) stored: Ticket,
    /// Somebody beside the connections waits for this one.
    pub(crate) awaited: Ticket,
    pub(crate) storage: Storage,
    /// When the next queues are looked at for what is too old; [`Instant::MAX`] when nothing waits.
    pub(crate) sweep_at: Instant,
    /// Whether anything changed under that ticket.
    pub(crate) unsealed: bool,
    /// Whether the packet being handled changed anything, so that its acknowledgement has to wait.
    pub(crate) changed: bool,
    /// Connections with packets that wait, by ticket.
    pub(crate) waiting: VecDeque<(Ticket, ConnId)>,
    /// Sessions of which something can leave the memory once it is stored, by ticket: place and serial. Some may
    /// have ended meanwhile.
    pub(crate) spilling: VecDeque<(Ticket, u32, u64)>,
    /// Connections whose messages wait for the delivery quota, in the order in which they began to wait. Some may
    /// have ended meanwhile.
    pub(crate) starved: VecDeque<ConnId>,
    message_number: u64,
    /// Whether clients may have numbered messages.
    pub(crate) numbers: bool,
    /// Orders of new deliveries are above it.
    pub(crate) order_floor: u64,
}

/// Bounds of what sessions hold. Lowering a bound takes nothing away from whoever holds more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loosest {
    pub(crate) queue_messages_max: usize,
    pub(crate) queue_bytes_max: usize,
    pub(crate) inflight_max: u16,
}

impl Loosest {
    fn widen(&mut self, limits: &Limits) {
        self.queue_messages_max = self.queue_messages_max.max(limits.queue_messages_max);
        self.queue_bytes_max = self.queue_bytes_max.max(limits.queue_bytes_max);
        self.inflight_max = self.inflight_max.max(limits.inflight_max);
    }
}

/// What one more message of a session may take, as the organization stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) queue_messages_max: usize,
    pub(crate) queue_bytes_max: usize,
    /// What is left for all sessions together.
    pub(crate) all_bytes_left: u64,
}

/// How long a message waits for the delivery quota before it is asked again, in microseconds.
const STARVED_MICROS: u64 = 20_000;
/// Between two looks at some queues, in seconds.
pub(crate) const SWEEP_EVERY_SECS: u32 = 10;

impl Desk {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            loosest: Loosest::default(),
            meter: Meter::new(&limits),
            limits,
            counters: Counters::default(),
            timers: Timers::default(),
            scratch: Vec::new(),
            ticket: Ticket(1),
            stored: Ticket(0),
            awaited: Ticket(0),
            storage: Storage::Absent,
            sweep_at: Instant::MAX,
            unsealed: false,
            changed: false,
            waiting: VecDeque::new(),
            spilling: VecDeque::new(),
            starved: VecDeque::new(),
            message_number: 0,
            numbers: false,
            order_floor: 0,
        }
    }

    /// Other bounds from now on.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.loosest.widen(&self.limits);
        self.meter.set_rates(&limits);
        self.limits = limits;
    }

    /// What came back with a restart stays, whatever the bounds are now.
    pub(crate) fn keep_bounds(&mut self, outbound: &Outbound) {
        let loosest = &mut self.loosest;
        loosest.queue_messages_max = loosest.queue_messages_max.max(outbound.queue.len());
        loosest.queue_bytes_max = loosest.queue_bytes_max.max(outbound.queue.bytes());
        let inflight = u16::try_from(outbound.window_len()).unwrap_or(u16::MAX);
        loosest.inflight_max = loosest.inflight_max.max(inflight);
    }

    /// The loosest bounds that ever held.
    pub(crate) fn loosest(&self) -> Loosest {
        let mut loosest = self.loosest;
        loosest.widen(&self.limits);
        loosest
    }

    /// If anything waits for the delivery quota, it is tried again soon.
    pub(crate) fn await_deliveries(&mut self, now: Instant) {
        if !self.starved.is_empty() {
            let at = now.after(Duration::from_micros(STARVED_MICROS));
            self.timers.arm(at, Timer::Deliveries);
        }
    }

    /// Something waits: queues are looked at from time to time.
    pub(crate) fn await_sweep(&mut self, now: Instant) {
        if self.sweep_at == Instant::MAX {
            self.sweep_at = now.after_secs(SWEEP_EVERY_SECS);
            self.timers.arm(self.sweep_at, Timer::Sweep);
        }
    }

    /// What began to wait then or before is too old; `None` if nothing is.
    pub(crate) fn old_since(&self, now: Instant) -> Option<Instant> {
        let age_micros = u64::from(self.limits.queue_age_secs_max) * 1_000_000;
        let since = now.as_micros().checked_sub(age_micros)?;
        (age_micros > 0).then_some(Instant::from_micros(since))
    }

    /// Why a message that waits is not worth delivering any more, if it is not.
    pub(crate) fn stale(&self, pending: &Pending, now: Instant) -> Option<DropReason> {
        if pending.message.is_expired(now) {
            return Some(DropReason::Expired);
        }
        let is_old = self
            .old_since(now)
            .is_some_and(|since| pending.queued_at <= since);
        is_old.then_some(DropReason::TooOld)
    }

    pub(crate) const fn room(&self) -> Room {
        let held = self.counters.queue_bytes_now + self.counters.inflight_bytes_now;
        Room {
            queue_messages_max: self.limits.queue_messages_max,
            queue_bytes_max: self.limits.queue_bytes_max,
            all_bytes_left: self.limits.all_queue_bytes_max.saturating_sub(held),
        }
    }

    /// Whether anything may leave the memory because the store has it.
    pub(crate) const fn may_spill(&self) -> bool {
        match self.storage {
            Storage::Absent => false,
            Storage::Working | Storage::Failing => true,
        }
    }

    /// Packets of a connection wait for what is being changed.
    pub(crate) fn wait(&mut self, conn: &mut Connection) {
        self.wait_for(self.ticket, conn);
    }

    /// The same for what was changed before. Behind somebody who waits for more it is looked at with him, which is
    /// soon enough.
    pub(crate) fn wait_for(&mut self, ticket: Ticket, conn: &mut Connection) {
        if conn.awaits < ticket {
            conn.awaits = ticket;
            self.waiting.push_back((ticket, conn.id));
        }
    }

    /// Messages up to this number have theirs.
    pub(crate) fn skip_messages(&mut self, number: u64) {
        self.message_number = self.message_number.max(number);
    }

    /// The number of the next message that is kept.
    pub(crate) const fn next_message(&mut self) -> u64 {
        self.message_number += 1;
        self.message_number
    }
}

/// One step of the machine.
#[derive(Debug)]
pub(crate) struct Turn<'a, S> {
    pub(crate) desk: &'a mut Desk,
    pub(crate) now: Instant,
    pub(crate) sink: &'a mut S,
}

impl<S: Sink> Turn<'_, S> {
    /// A PUBLISH went out.
    pub(crate) const fn count_sent(&mut self, qos: Qos, payload_bytes: usize) {
        let counters = &mut self.desk.counters;
        counters.messages_sent[qos.bits() as usize] += 1;
        counters.bytes_sent += payload_bytes as u64;
        self.desk.meter.delivered(payload_bytes);
    }

    /// A client ran into a quota: that is counted, and told from time to time.
    pub(crate) fn exceeded(&mut self, quota: Quota, client_id: &str) {
        let count = &mut self.desk.counters.exceeded[quota.index()];
        *count += 1;
        let (again_at, told) = &mut self.desk.meter.reported[quota.index()];
        if *again_at <= self.now {
            let times = *count - *told;
            (*again_at, *told) = (self.now.after_secs(REPORT_SECS), *count);
            self.sink.report(Report::QuotaExceeded {
                client_id,
                quota,
                times,
            });
        }
    }

    /// What waits for `conn` is tried again soon, after those who wait already.
    pub(crate) fn starve(&mut self, conn: &mut Connection) {
        if conn.is_starved {
            return;
        }
        conn.is_starved = true;
        let is_first = self.desk.starved.is_empty();
        self.desk.starved.push_back(conn.id);
        if is_first {
            self.desk.await_deliveries(self.now);
        }
    }

    /// A durable change: the acknowledgement of the packet being handled waits for it.
    pub(crate) fn store(&mut self, change: Change) {
        self.desk.changed = true;
        self.note(change);
    }

    /// A durable change that the packet being handled promises nothing of.
    pub(crate) fn note(&mut self, change: Change) {
        self.desk.unsealed = true;
        self.sink.store(change);
    }
}
