//! Until the client is let in or refused: a whole CONNECT in time, who it is, and into its organization.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cloudsignal_broker::{AUTH_METHOD, CloseCause, Identity, OrgId};
use cloudsignal_core::Version;
use cloudsignal_core::codec::{ConnAck, Connect, DecodeError, Packet, ReasonCode};

use super::Round;
use super::link::{Filled, Link, small};
use crate::metrics::TurnedAway;
use crate::net::inbox::Unreadable;
use crate::net::listener::Kind;
use crate::net::origin::{Carrier, Origin};
use crate::net::shell::{Answer, Shell};
use crate::orgs::cell::{Handover, OrgCell};

/// Largest WebSocket message of a client that is let in, however small its packets must be: clients pack many
/// packets into one message.
const MESSAGE_BYTES_MIN: usize = 1_048_576;
/// The name of a client that has none.
const ANONYMOUS: &str = "anonymous";

/// A connection that is not let in yet.
pub(super) struct Opening {
    expired: Pin<Box<dyn Future<Output = Expiry> + Send>>,
    asking: Option<Asking>,
}

/// A CONNECT whose answer is awaited. Nothing is read meanwhile.
struct Asking {
    answer: Answer,
    version: Version,
}

/// Why an opening is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    Deadline,
    Stopping,
}

/// What the first packet asks for.
enum First {
    /// It is not whole yet.
    Incomplete,
    /// An answer that takes time.
    Asking(Asking),
    /// A client without a login, where that is enough.
    Anonymous(OrgId),
    /// It is refused; with a version, the client is told.
    Refused(Option<Version>, ReasonCode),
}

impl Opening {
    pub(super) fn new(shell: &Shell) -> Self {
        Self {
            expired: expiry(shell),
            asking: None,
        }
    }

    pub(super) fn round(&mut self, link: &mut Link, cx: &mut Context<'_>) -> io::Result<Round> {
        if let Poll::Ready(expiry) = self.expired.as_mut().poll(cx) {
            return Ok(self.give_up(link, expiry));
        }
        if let Some(asking) = &mut self.asking {
            return Ok(match asking.answer.as_mut().poll(cx) {
                Poll::Pending => Round::Wait,
                Poll::Ready(Ok(identity)) => let_in(link, identity),
                Poll::Ready(Err(refusal)) => {
                    tracing::debug!(peer = %link.peer.addr, %refusal, "login refused");
                    refuse(link, asking.version, refusal.reason())
                }
            });
        }
        self.await_connect(link, cx)
    }

    fn await_connect(&mut self, link: &mut Link, cx: &mut Context<'_>) -> io::Result<Round> {
        let filled = link.read(cx, |link, bytes, _, _| link.inbox.keep(bytes))?;
        if !link.peer.place.hold(link.inbox.held_bytes()) {
            link.shell.warn_of_limit("connections.opening_bytes_max");
            link.shell.metrics.turned_away(TurnedAway::OpeningBytes);
            return Ok(Round::End);
        }
        match first(link) {
            First::Incomplete => {}
            First::Asking(asking) => {
                // A whole CONNECT is here: checking it has a time of its own.
                self.expired = expiry(&link.shell);
                self.asking = Some(asking);
                return Ok(Round::Again);
            }
            First::Anonymous(org) => return Ok(let_in(link, Identity::anonymous(org, ANONYMOUS))),
            First::Refused(version, reason) => {
                return Ok(match version {
                    Some(version) => refuse(link, version, reason),
                    None => Round::Close(CloseCause::Refused(reason)),
                });
            }
        }
        if link.is_at_end {
            return Ok(Round::End);
        }
        if link.frames_end().is_some() {
            return Ok(Round::Close(CloseCause::Transport));
        }
        let flushed = link.flush(cx)?; // answers to WebSocket pings
        Ok(match filled {
            Filled::More if !flushed.is_blocked => Round::Again,
            Filled::More | Filled::Drained => Round::Wait,
        })
    }

    fn give_up(&self, link: &Link, expiry: Expiry) -> Round {
        let is_asking = self.asking.is_some();
        tracing::debug!(peer = %link.peer.addr, ?expiry, is_asking, "closed before it was let in");
        match expiry {
            Expiry::Deadline => link.metrics.timed_out(),
            Expiry::Stopping => {}
        }
        Round::End
    }
}

fn expiry(shell: &Shell) -> Pin<Box<dyn Future<Output = Expiry> + Send>> {
    let time = Duration::from_secs(u64::from(shell.config.connections.connect_secs));
    let stopping = shell.stopping();
    Box::pin(async move {
        tokio::select! {
            () = tokio::time::sleep(time) => Expiry::Deadline,
            () = stopping => Expiry::Stopping,
        }
    })
}

/// Looks at what has arrived so far.
fn first(link: &mut Link) -> First {
    match link.inbox.peek() {
        None => First::Incomplete,
        Some(Ok(Packet::Connect(connect))) => {
            let config = &link.shell.config;
            if connect.auth_method.is_some_and(|method| method != AUTH_METHOD) {
                // [MQTT-4.12.0-1]
                return First::Refused(Some(connect.version), ReasonCode::BadAuthenticationMethod);
            }
            let name = connect.username.or(connect.auth_method);
            match (&config.dev_anonymous, link.peer.kind, name) {
                (Some(org), Kind::Mqtt, None) => First::Anonymous(OrgId::new(org)),
                (Some(_) | None, _, _) => First::Asking(Asking {
                    answer: link.shell.authenticate(&connect, &link.peer),
                    version: connect.version,
                }),
            }
        }
        // The decoder lets nothing else come first [MQTT-3.1.0-1].
        Some(Ok(_)) => First::Refused(None, ReasonCode::ProtocolError),
        Some(Err(Unreadable { error, version })) => {
            tracing::debug!(peer = %link.peer.addr, %error, "CONNECT refused");
            First::Refused(answerable(&error, version), error.reason())
        }
    }
}

/// The version in which a broken CONNECT is answered, if it is.
fn answerable(error: &DecodeError, version: Option<Version>) -> Option<Version> {
    match (error, version) {
        // [MQTT-3.1.2-2] (3.1.1): in the language that every client with a version too new understands.
        (DecodeError::UnsupportedVersion { .. }, _) => Some(Version::V311),
        // [MQTT-3.1.4-1]: MQTT 5 may be told why; 3.1.1 has no code for it.
        (_, Some(Version::V5)) => Some(Version::V5),
        (_, Some(Version::V31 | Version::V311) | None) => None,
    }
}

/// CONNACK with the reason, and nothing after it is processed [MQTT-3.1.4-6].
fn refuse(link: &mut Link, version: Version, reason: ReasonCode) -> Round {
    let refusal = ConnAck {
        reason,
        ..ConnAck::default()
    };
    let mut bytes = Vec::new();
    match refusal.encode(version, &mut bytes) {
        Ok(()) => {
            link.outbox.send(&bytes);
        }
        Err(error) => tracing::warn!(%error, %reason, "a CONNACK could not be written"),
    }
    link.shell.metrics.connect_refused(reason);
    Round::Close(CloseCause::Refused(reason))
}

/// Binds the connection to its organization and lets that answer CONNECT.
fn let_in(link: &mut Link, identity: Identity) -> Round {
    let kept = link.inbox.take_kept();
    let _ = link.peer.place.hold(0);
    let Some((connect, rest)) = link.inbox.decode_connect(&kept) else {
        // It was decoded before, or we would not be here.
        return Round::Close(CloseCause::Refused(ReasonCode::ProtocolError));
    };
    let Some(cell) = link.shell.orgs.enter(&identity.org) else {
        let reason = if link.shell.orgs.exists(&identity.org) {
            // It is being read back.
            ReasonCode::ServerUnavailable
        } else {
            ReasonCode::NotAuthorized
        };
        return refuse(link, connect.version, reason);
    };
    let round = bind(link, &cell, &connect, identity);
    if let Round::LetIn(cell, conn) = &round {
        link.turn_early(cell, *conn, rest);
    }
    round
}

fn bind(link: &mut Link, cell: &Arc<OrgCell>, connect: &Connect<'_>, identity: Identity) -> Round {
    let now = link.shell.clock.now();
    let watched = identity.clone();
    let outbox = Arc::clone(&link.outbox);
    let origin = Origin {
        addr: link.peer.addr,
        carrier: Carrier::of(&link.transport, link.frames.is_some()),
    };
    let entered = cell.hold(now, None, |org, effects| {
        let limits = org.limits();
        let bounds = (limits.packet_bytes_max, limits.output_bytes_max);
        outbox.set_full_bytes(bounds.1);
        let conn = effects.admit(&outbox, origin);
        org.handle_connect(conn, connect, identity, now, effects);
        ((conn, bounds), Handover::Free)
    });
    let Some((conn, (packet_bytes_max, output_bytes_max))) = entered else {
        return refuse(link, connect.version, ReasonCode::ServerUnavailable);
    };
    link.inbox.set_packet_bytes_max(packet_bytes_max);
    link.output_bytes_max = small(output_bytes_max);
    if let Some(frames) = link.frames.as_deref_mut() {
        frames
            .socket
            .set_message_bytes_max(MESSAGE_BYTES_MIN.max(packet_bytes_max as usize));
    }
    link.shell.check_standing(cell, conn, &watched);
    Round::LetIn(Arc::clone(cell), conn)
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("is_asking", &self.asking.is_some())
            .finish_non_exhaustive()
    }
}
