//! What operators see of sessions. Nothing here changes anything.

use core::num::NonZeroU32;
use core::ops::ControlFlow;

use cloudsignal_core::{Instant, Qos, Version};

use super::Org;
use crate::identity::Identity;
use crate::session::{Connection, Session, Subscription, Traffic};
use crate::sink::ConnId;

/// Microseconds of silence that are allowed per second of keep alive.
const SILENCE_MICROS_PER_SEC: u64 = 1_500_000;

impl Org {
    /// Every session, in no particular order.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView<'_>> {
        self.sessions.iter().map(|(_, session)| session.view())
    }

    /// The session that goes by a client id.
    #[must_use]
    pub fn session(&self, client_id: &str) -> Option<SessionView<'_>> {
        let place = self.place_of_client(client_id)?;
        self.sessions.get(place as usize).map(Session::view)
    }

    /// What a session has subscribed to, in the order of filters. Empty when there is no such session.
    pub fn subscriptions(&self, client_id: &str) -> impl Iterator<Item = SubscriptionView<'_>> {
        let place = self.place_of_client(client_id);
        let session = place.and_then(|place| self.sessions.get(place as usize));
        session
            .into_iter()
            .flat_map(|session| session.subscriptions.iter().map(Subscription::view))
    }

    /// Looks at sessions in the order of their places, from place `from` on, at most at `looks_max` places, until
    /// `visit` breaks. Answers the place to go on from; `None` at the end.
    ///
    /// A session keeps its place for life: whoever goes on from where he stopped sees each session that is
    /// there all the time, once.
    pub fn visit_sessions<'a>(
        &'a self,
        from: usize,
        looks_max: usize,
        mut visit: impl FnMut(SessionView<'a>) -> ControlFlow<()>,
    ) -> Option<usize> {
        let end = self.sessions.capacity();
        let stop = end.min(from.saturating_add(looks_max));
        for place in from..stop {
            let Some(session) = self.sessions.get(place) else {
                continue;
            };
            if visit(session.view()).is_break() {
                return Some(place + 1).filter(|&next| next < end);
            }
        }
        Some(stop).filter(|&next| next < end)
    }
}

impl Session {
    fn view(&self) -> SessionView<'_> {
        SessionView {
            client_id: self.subscriptions.client_id(),
            identity: &self.identity,
            connected: self.conn.is_some(),
            connection: self.conn.as_deref().map(Connection::view),
            expiry_secs: self.expiry_secs,
            expires_at: (self.expires_at != Instant::MAX).then_some(self.expires_at),
            subscriptions: self.subscriptions.len(),
            queue_messages: self.outbound.queue.len(),
            queue_bytes: self.outbound.queue.bytes(),
            queue_spilled: self.outbound.queue.len() - self.outbound.queue.resident_len(),
            unacknowledged: self.outbound.window_len(),
        }
    }
}

impl Connection {
    fn view(&self) -> ConnectionView {
        let keep_alive_secs = self.silence_max_micros / SILENCE_MICROS_PER_SEC;
        ConnectionView {
            conn: self.id,
            version: self.version,
            clean_start: self.clean_start,
            keep_alive_secs: u16::try_from(keep_alive_secs).unwrap_or(u16::MAX),
            connected_at: self.connected_at,
            ends_at: (self.ends_at != Instant::MAX).then_some(self.ends_at),
            traffic: self.traffic,
        }
    }
}

impl<'a> Subscription<'a> {
    fn view(self) -> SubscriptionView<'a> {
        SubscriptionView {
            filter: self.filter.as_str(),
            qos: self.qos(),
            id: self.id.map(NonZeroU32::get),
            no_local: self.no_local(),
            retain_as_published: self.retain_as_published(),
        }
    }
}

/// What an operator sees of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionView<'a> {
    /// Its client id.
    pub client_id: &'a str,
    /// Who opened it last.
    pub identity: &'a Identity,
    /// Whether it has a connection.
    pub connected: bool,
    /// Its connection.
    pub connection: Option<ConnectionView>,
    /// Seconds it outlives its connection.
    pub expiry_secs: u32,
    /// When it ends, if its client does not come back.
    pub expires_at: Option<Instant>,
    /// How many subscriptions it has.
    pub subscriptions: usize,
    /// Messages in its queue.
    pub queue_messages: usize,
    /// Bytes in its queue.
    pub queue_bytes: usize,
    /// Messages of the queue that only the store has.
    pub queue_spilled: usize,
    /// Messages sent and not acknowledged.
    pub unacknowledged: usize,
}

/// What an operator sees of a session's connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionView {
    /// The shell's number for it.
    pub conn: ConnId,
    /// The protocol it speaks.
    pub version: Version,
    /// Whether the client asked for a new session.
    pub clean_start: bool,
    /// Keep alive that holds, in seconds; 0 for none.
    pub keep_alive_secs: u16,
    /// When it was let in.
    pub connected_at: Instant,
    /// When its credential ends.
    pub ends_at: Option<Instant>,
    /// What it sent and was sent.
    pub traffic: Traffic,
}

/// What an operator sees of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionView<'a> {
    /// The filter as it was sent, `$share/…` included.
    pub filter: &'a str,
    /// The QoS that was granted.
    pub qos: Qos,
    /// Its subscription identifier.
    pub id: Option<u32>,
    /// Whether it leaves out the client's own messages.
    pub no_local: bool,
    /// Whether the retain flag comes as it was published.
    pub retain_as_published: bool,
}
