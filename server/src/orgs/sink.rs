//! What an organization's effects do: bytes go to outboxes, changes to a list, reports to the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use slab::Slab;
use tokio::sync::oneshot;

use cloudsignal_broker::change::Change;
use cloudsignal_broker::{CloseCause, ConnId, Message, OrgId, Quota, Report, Sink, Ticket};
use cloudsignal_core::Instant;

use crate::accounts::Secret;
use crate::clock::WallTime;
use crate::config::ConnectionLog;
use crate::durable::pipeline::{Pipeline, Submission};
use crate::history::record::{code_of, protocol_name};
use crate::history::{EndReason, EndedConnection, History};
use crate::net::origin::Origin;
use crate::net::outbox::Outbox;
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

/// A report, kept until it can be written without anybody waiting.
#[derive(Debug)]
enum Line {
    Connected {
        client_id: Box<str>,
        username: Box<str>,
        session_present: bool,
    },
    Disconnected {
        client_id: Box<str>,
        cause: CloseCause,
    },
    Denied {
        client_id: Box<str>,
        action: &'static str,
        topic: Box<str>,
    },
    Fault {
        client_id: Box<str>,
        what: &'static str,
    },
    QuotaExceeded {
        client_id: Box<str>,
        quota: Quota,
        times: u64,
    },
    SessionEnded {
        client_id: Box<str>,
    },
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
        if self.wakes.capacity() > KEPT_ENTRIES_MAX {
            self.wakes = Vec::new();
        }
        if self.ended.capacity() > KEPT_ENTRIES_MAX {
            self.ended = Vec::new();
        }
        if self.lines.capacity() > KEPT_ENTRIES_MAX {
            self.lines = Vec::new();
        }
    }
}

/// What an operator can act on: who ran into which bound, how often since the last time.
fn warn_of_quota(org: &OrgId, client: &str, quota: Quota, times: u64) {
    let quota = quota.name();
    tracing::warn!(%org, client, quota, times, "a quota was exceeded");
}

impl Line {
    /// The line, if anybody would read it.
    fn of(report: Report<'_>, log: ConnectionLog) -> Option<Self> {
        let about_connections = match log {
            ConnectionLog::Info => tracing::enabled!(tracing::Level::INFO),
            ConnectionLog::Debug => tracing::enabled!(tracing::Level::DEBUG),
        };
        let decisions = tracing::enabled!(tracing::Level::DEBUG);
        match report {
            Report::Connected {
                conn: _,
                client_id,
                username,
                session_present,
            } => about_connections.then(|| Self::Connected {
                client_id: client_id.into(),
                username: username.into(),
                session_present,
            }),
            Report::Disconnected {
                conn: _,
                client_id,
                cause,
                username: _,
                version: _,
                connected_at: _,
                traffic: _,
            } => about_connections.then(|| Self::Disconnected {
                client_id: client_id.into(),
                cause,
            }),
            Report::Denied {
                client_id,
                action,
                topic,
            } => decisions.then(|| Self::Denied {
                client_id: client_id.into(),
                action,
                topic: topic.into(),
            }),
            Report::Fault { client_id, what } => decisions.then(|| Self::Fault {
                client_id: client_id.into(),
                what,
            }),
            Report::QuotaExceeded {
                client_id,
                quota,
                times,
            } => tracing::enabled!(tracing::Level::WARN).then(|| Self::QuotaExceeded {
                client_id: client_id.into(),
                quota,
                times,
            }),
            Report::SessionEnded { client_id } => decisions.then(|| Self::SessionEnded {
                client_id: client_id.into(),
            }),
        }
    }

    fn write(self, org: &OrgId, log: ConnectionLog) {
        match (self, log) {
            (
                Self::Connected {
                    client_id: client,
                    username,
                    session_present,
                },
                ConnectionLog::Info,
            ) => {
                tracing::info!(%org, client, username, session_present, "connected");
            }
            (
                Self::Connected {
                    client_id: client,
                    username,
                    session_present,
                },
                ConnectionLog::Debug,
            ) => {
                tracing::debug!(%org, client, username, session_present, "connected");
            }
            (
                Self::Disconnected {
                    client_id: client,
                    cause,
                },
                ConnectionLog::Info,
            ) => {
                tracing::info!(%org, client, %cause, "disconnected");
            }
            (
                Self::Disconnected {
                    client_id: client,
                    cause,
                },
                ConnectionLog::Debug,
            ) => {
                tracing::debug!(%org, client, %cause, "disconnected");
            }
            (
                Self::Denied {
                    client_id: client,
                    action,
                    topic,
                },
                _,
            ) => {
                tracing::debug!(%org, client, action, topic, "denied");
            }
            (
                Self::Fault {
                    client_id: client,
                    what,
                },
                _,
            ) => {
                tracing::debug!(%org, client, what, "protocol broken");
            }
            (
                Self::QuotaExceeded {
                    client_id,
                    quota,
                    times,
                },
                _,
            ) => warn_of_quota(org, &client_id, quota, times),
            (Self::SessionEnded { client_id: client }, _) => {
                tracing::debug!(%org, client, "session ended");
            }
        }
    }
}
