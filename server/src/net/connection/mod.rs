//! The loop of one connection: read what the socket has, decode, one turn with the organization, write what waits.
//!
//! ```text
//!   Opening ── CONNECT, let in ──▶ Open ── close ──▶ Closing ──▶ end
//!      └─────────────── refused: CONNACK ───────────────▲
//! ```
//!
//! One task per connection and no other: it is a hand-written future, so that a lone message costs the task one
//! poll, one read and (at the subscriber) one write, and an idle connection holds no buffer.
//!
//! | file | holds |
//! |---|---|
//! | [`link`] | the bytes: transport, WebSocket frames, inbox, outbox |
//! | [`gathering`] | whether output waits for more |
//! | [`portion`] | how many of them are read at once |
//! | [`opening`] | until the client is let in or refused |
//! | [`serving`] | while it is in |
//! | [`closing`] | from the decision to close until the socket is closed |
//! | [`writing`] | bytes on their way out |

mod closing;
mod gathering;
mod link;
mod opening;
mod portion;
mod serving;
mod writing;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use cloudsignal_broker::{CloseCause, ConnId};

use crate::identity::certificate::ClientCertificate;
use crate::net::listener::Kind;
use crate::net::shell::Shell;
use crate::net::sources::Place;
use crate::net::transport::Transport;
use crate::net::websocket::WebSocket;
use crate::orgs::cell::{Handover, OrgCell};

use closing::Closing;
use link::Link;
use opening::Opening;
use portion::PORTION_WORK;

/// Rounds of read, turn and write in one poll, after which other tasks get theirs. A portion of work ends it earlier.
const ROUNDS_PER_POLL_MAX: usize = 8;

/// Who is at the other end.
#[derive(Debug)]
pub(crate) struct Peer {
    /// As the proxy tells, if there is one.
    pub(crate) addr: SocketAddr,
    /// The listener it came to.
    pub(crate) kind: Kind,
    /// The certificate that it showed, if it did.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// Its place in the count of connections.
    pub(crate) place: Place,
}

/// One connection, from an open transport to its end.
#[derive(Debug)]
pub(crate) struct Connection {
    link: Link,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Waiting for CONNECT, or for the answer about it.
    Opening(Box<Opening>),
    /// Bound to an organization, for good.
    Open(Arc<OrgCell>, ConnId),
    /// Flushing, then closing.
    Closing(Box<Closing>),
}

/// How a round ended.
#[derive(Debug)]
enum Round {
    /// There is more to do.
    Again,
    /// Nothing to do until somebody wakes the task.
    Wait,
    /// The client is in.
    LetIn(Arc<OrgCell>, ConnId),
    /// The connection is to be closed, with what waits still to be sent.
    Close(CloseCause),
    /// The connection is over.
    End,
}

impl Connection {
    /// A connection whose transport is ready for MQTT. `early` has arrived already.
    pub(crate) fn new(
        transport: Transport,
        websocket: Option<WebSocket>,
        early: &[u8],
        peer: Peer,
        shell: Arc<Shell>,
    ) -> Self {
        let stage = Stage::Opening(Box::new(Opening::new(&shell)));
        let mut link = Link::new(transport, websocket, peer, shell);
        link.keep_early(early);
        Self { link, stage }
    }

    fn round(&mut self, cx: &mut Context<'_>) -> io::Result<Round> {
        match &mut self.stage {
            Stage::Opening(opening) => opening.round(&mut self.link, cx),
            Stage::Open(cell, conn) => self.link.serve(cell, *conn, cx),
            Stage::Closing(closing) => closing.round(&mut self.link, cx),
        }
    }

    /// Tells the organization, if there is one, that this connection is gone.
    fn leave(&mut self) {
        let Stage::Open(cell, conn) = &self.stage else {
            return;
        };
        let (now, conn) = (self.link.shell.clock.now(), *conn);
        cell.hold(now, Some(conn), |org, effects| {
            org.handle_closed(conn, now, effects);
            effects.dismiss(conn);
            ((), Handover::Free)
        });
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let connection = self.get_mut();
        connection.link.register(cx.waker());
        connection.link.work_in_poll = 0;
        for _ in 0..ROUNDS_PER_POLL_MAX {
            match connection.round(cx) {
                Ok(Round::Again) if connection.link.work_in_poll as usize >= PORTION_WORK => break,
                Ok(Round::Again) => {}
                Ok(Round::Wait) => return Poll::Pending,
                Ok(Round::LetIn(cell, conn)) => connection.stage = Stage::Open(cell, conn),
                Ok(Round::Close(cause)) => {
                    connection.leave();
                    connection.stage = Stage::Closing(Box::new(Closing::new(cause)));
                }
                Ok(Round::End) => return Poll::Ready(()),
                Err(error) => {
                    tracing::debug!(peer = %connection.link.peer.addr, %error, "transport failed");
                    return Poll::Ready(());
                }
            }
        }
        let_others_go_first(cx);
        Poll::Pending
    }
}

/// The task is polled again once the worker has run what is ready and has looked for new events of the network.
/// Waking it right here would leave those events for later, and with them whoever is quiet.
fn let_others_go_first(cx: &mut Context<'_>) {
    // The first poll of it only does this.
    let _pending = pin!(tokio::task::yield_now()).poll(cx);
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        let bytes = size_of::<Connection>();
        // With what the runtime adds a task takes a multiple of 128 bytes: these are 512.
        assert!(bytes <= 408, "{bytes} bytes per connection, before any buffer");
    }
}
