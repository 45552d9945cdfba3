//! What an organization's effects do: bytes go to outboxes, changes to a list, reports to the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use slab::Slab;
use tokio::sync::oneshot;

use cloudsignal_broker::change::Change;
use cloudsignal_broker::{CloseCause, ConnId, Fetch, Message, OrgId, Report, Sink, Ticket, spare};
use cloudsignal_core::Instant;

use crate::accounts::Secret;
use crate::clock::WallTime;
use crate::config::ConnectionLog;
use crate::durable::committer::Submission;
use crate::durable::pipeline::Pipeline;
use crate::history::record::{code_of, protocol_name};
use crate::history::{EndReason, EndedConnection, History};
use crate::net::origin::Origin;
use crate::net::outbox::Outbox;
use crate::orgs::lines::Line;
use crate::orgs::turns::Turns;

/// The effects of one hold.
#[derive(Debug)]
pub(crate) struct Effects<'a> {
    pub(super) conns: &'a mut Slab<Bound>,
    /// Who waits for a group of changes to be stored, in the order of tickets.
    pub(super) waiters: &'a mut VecDeque<(Ticket, oneshot::Sender<()>)>,
    pub(super) changes: &'a mut Vec<Change>,
    pub(super) pipeline: &'a mut Pipeline,
    pub(super) after: &'a mut Afterwards,
    /// The connection whose task is at work: it looks at its outbox by itself.
    pub(super) current: Option<ConnId>,
    /// Messages, answers and changes that were appended in this hold.
    pub(super) sends: usize,
    /// Until when the connection at work is not to be read.
    pub(super) rest_until: Option<Instant>,
    /// Which lines somebody wants to read.
    pub(super) log: ConnectionLog,
    pub(super) now: Instant,
}

/// A connection that has its number.
#[derive(Debug)]
pub(super) struct Bound {
    outbox: Arc<Outbox>,
    origin: Origin,
}

impl Bound {
    pub(super) const fn origin(&self) -> Origin {
        self.origin
    }
}

/// What is left to do once the organization's lock is free.
#[derive(Debug, Default)]
pub(crate) struct Afterwards {
    wakes: Vec<Waker>,
    lines: Vec<Line>,
    ended: Vec<Ended>,
    /// Queues that are to be read.
    pub(super) fetches: Vec<Fetch>,
    /// What is to be written.
    pub(super) submission: Option<Submission>,
    /// Who waited for what is stored now.
    pub(super) stored: Vec<oneshot::Sender<()>>,
}

/// A connection that ended in this hold. Its times are read off the organization's clock.
#[derive(Debug)]
struct Ended {
    connected_at: Instant,
    ended_at: Instant,
    entry: EndedConnection,
}

/// A list that was longer than this gives its memory back.
const KEPT_ENTRIES_MAX: usize = 4_096;

impl Effects<'_> {
    /// Gives a connection its number.
    pub(crate) fn admit(&mut self, outbox: &Arc<Outbox>, origin: Origin) -> ConnId {
        let outbox = Arc::clone(outbox);
        let conn = self.conns.insert(Bound { outbox, origin });
        ConnId(u32::try_from(conn).expect("invariant: a process has fewer than 2^32 connections"))
    }

    /// Takes the number back; the organization has forgotten it.
    pub(crate) fn dismiss(&mut self, conn: ConnId) {
        self.conns.try_remove(conn.0 as usize);
        if spare::is_due(self.conns.len(), self.conns.capacity()) {
            self.conns.shrink_to_fit();
        }
    }

    /// Hears when everything up to `ticket` is stored; an error if that will never be.
    pub(crate) fn stored(&mut self, ticket: Ticket) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        self.waiters.push_back((ticket, tell));
        told
    }

    /// Messages, answers and changes that were appended in this hold.
    pub(crate) const fn sends(&self) -> usize {
        self.sends
    }

    /// Until when the connection at work is not to be read.
    pub(crate) const fn rest_until(&self) -> Option<Instant> {
        self.rest_until
    }

    /// What goes into the history.
    fn note_end(&mut self, report: &Report<'_>) {
        let &Report::Disconnected {
            conn,
            client_id,
            cause,
            username,
            version,
            connected_at,
            traffic,
        } = report
        else {
            return;
        };
        let Some(Bound { origin, .. }) = self.conns.get(conn.0 as usize) else {
            return;
        };
        let mut entry = EndedConnection {
            client_id: client_id.into(),
            username: username.into(),
            connected_at: WallTime::ZERO,
            disconnected_at: WallTime::ZERO,
            reason: EndReason::of(cause),
            reason_code: code_of(cause),
            protocol: protocol_name(version).into(),
            transport: origin.carrier,
            address: origin.addr,
            messages_in: 0,
            messages_out: 0,
            bytes_in: 0,
            bytes_out: 0,
        };
        entry.count(traffic);
        self.after.ended.push(Ended {
            connected_at,
            ended_at: self.now,
            entry,
        });
    }

    fn wake_later(&mut self, conn: ConnId, waker: Option<Waker>) {
        if self.current != Some(conn) {
            self.after.wakes.extend(waker);
        }
    }
}

impl Sink for Effects<'_> {
    fn send(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        self.sends += 1;
        let Some(Bound { outbox, .. }) = self.conns.get(conn.0 as usize) else {
            return 0;
        };
        let (unsent_bytes, waker) = outbox.send(bytes);
        self.wake_later(conn, waker);
        unsent_bytes
    }

    fn send_shared(&mut self, conn: ConnId, head: &[u8], message: &Arc<Message>) -> usize {
        self.sends += 1;
        let Some(Bound { outbox, .. }) = self.conns.get(conn.0 as usize) else {
            return 0;
        };
        let (unsent_bytes, waker) = outbox.send_shared(head, message);
        self.wake_later(conn, waker);
        unsent_bytes
    }

    fn close(&mut self, conn: ConnId, cause: CloseCause) {
        let Some(Bound { outbox, .. }) = self.conns.get(conn.0 as usize) else {
            return;
        };
        let waker = outbox.close(cause);
        self.wake_later(conn, waker);
    }

    fn verify(&mut self, conn: ConnId, token: &[u8]) {
        let Some(bound) = self.conns.get(conn.0 as usize) else {
            return;
        };
        // No token has other bytes than text; what is none fails the check.
        let token = std::str::from_utf8(token).unwrap_or_default();
        let waker = bound.outbox.ask(Secret::new(token.to_owned()));
        self.wake_later(conn, waker);
    }

    fn listens(&self, _conn: ConnId) -> bool {
        !self.pipeline.is_congested()
    }

    fn rest(&mut self, conn: ConnId, until: Instant) {
        if self.current == Some(conn) {
            self.rest_until = Some(until);
        }
    }

    fn store(&mut self, change: Change) {
        // A delivery to a session that is away costs the hold as much as one to a client.
        self.sends += 1;
        self.changes.push(change);
    }

    fn fetch(&mut self, fetch: Fetch) {
        self.after.fetches.push(fetch);
    }

    fn report(&mut self, report: Report<'_>) {
        self.note_end(&report);
        self.after.lines.extend(Line::of(report, self.log));
    }
}

impl Afterwards {
    /// Does it: wakes connections and whoever waits for the store, writes lines and history.
    pub(super) fn run(
        &mut self,
        org: &OrgId,
        log: ConnectionLog,
        history: &History,
        turns: &Turns,
        now: Instant,
    ) {
        let clock = history.clock();
        if let Some(submission) = self.submission.take() {
            submission.send();
        }
        for stored in self.stored.drain(..) {
            // Nobody waits any more.
            let _ = stored.send(());
        }
        if !self.ended.is_empty() {
            let ended = self.ended.drain(..).map(|ended| EndedConnection {
                connected_at: clock.wall_of(ended.connected_at),
                disconnected_at: clock.wall_of(ended.ended_at),
                ..ended.entry
            });
            history.note(org, ended);
        }
        turns.wake(org, &mut self.wakes, now);
        for line in self.lines.drain(..) {
            line.write(org, log);
        }
        trim(&mut self.wakes);
        trim(&mut self.ended);
        trim(&mut self.lines);
        trim(&mut self.stored);
    }
}

/// Gives the memory of a list back that was long once.
fn trim<T>(list: &mut Vec<T>) {
    if list.capacity() > KEPT_ENTRIES_MAX {
        *list = Vec::new();
    }
}
