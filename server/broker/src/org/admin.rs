//! What the shell's directory and its operators change while clients are connected. It takes effect at once.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use cloudsignal_core::codec::ReasonCode;
use cloudsignal_core::{Instant, TopicName};

use super::{Org, rearm};
use crate::authz::{CompiledPolicy, Grants, LastPermit};
use crate::identity::{Credential, Identity};
use crate::limits::Limits;
use crate::policy::Policy;
use crate::session::Pending;
use crate::sink::{ConnId, DropReason, Sink};
use crate::timers::Timer;
use crate::turn::Turn;

impl Org {
    /// The access rules changed. Every session lives by the new ones from here on, connected or not;
    /// what waits for it and is no longer allowed is dropped and counted.
    pub fn handle_policy(&mut self, policy: Policy, now: Instant, sink: &mut impl Sink) {
        self.desk.changed = false;
        self.policy = Arc::new(CompiledPolicy::new(policy));
        for place in self.places() {
            if let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() {
                conn.last_permit = LastPermit::default();
            }
            self.refresh_permits(place);
            self.drop_forbidden(place, now, sink);
        }
        self.cache.forget();
        self.submitters.forget();
    }

    /// What waits for a session and may no longer be delivered is dropped and counted.
    pub(super) fn drop_forbidden(&mut self, place: u32, now: Instant, sink: &mut impl Sink) {
        let Self {
            sessions,
            desk,
            policy,
            ..
        } = self;
        let session = &mut sessions[place as usize];
        let grants = Grants::new(policy, &session.identity, session.subscriptions.client_id());
        let mut gone = Vec::new();
        if grants.is_open() || !session.outbound.holds_back() {
            return;
        }
        let mut known = KnownTopics::default();
        let mut keep = |pending: &Pending| {
            let allowed = known.ask(pending.message.topic(), |topic| grants.allows_delivery(topic));
            if !allowed {
                gone.push(pending.left());
            }
            allowed
        };
        session
            .outbound
            .retain_untried(desk, session.conn.as_deref_mut(), &mut keep);
        session.outbound.queue.retain(desk, keep);
        let mut turn = Turn { desk, now, sink };
        for left in gone {
            turn.desk.counters.drop_one(DropReason::DeliveryDenied);
            session.settle(&mut turn, left);
        }
    }

    /// The bounds changed. What exceeds them stays; nothing more is let in. What was negotiated with a client
    /// (Receive Maximum, Maximum Packet Size, Topic Alias Maximum) holds for as long as it is connected.
    pub fn handle_limits(&mut self, limits: Limits) {
        self.desk.set_limits(limits);
    }

    /// A month begins, or goes on after a restart: so many messages of it are published already.
    pub const fn handle_month(&mut self, messages_published: u64) {
        self.desk.meter.month_messages = messages_published;
    }

    /// Messages that were published in this month, as far as the organization was told of it.
    #[must_use]
    pub const fn month_messages(&self) -> u64 {
        self.desk.meter.month_messages
    }

    /// [`Counters::connections_peak`](crate::counters::Counters::connections_peak) begins anew. Answers what it was.
    pub const fn restart_peak(&mut self) -> u64 {
        let counters = &mut self.desk.counters;
        core::mem::replace(&mut counters.connections_peak, counters.connections_now)
    }

    /// A credential ended: revoked, changed or deleted (0x87), run out (0xA0). Its connections
    /// are closed with `reason`. Answers how many.
    pub fn handle_credential_ended(
        &mut self,
        credential: &Credential,
        reason: ReasonCode,
        now: Instant,
        sink: &mut impl Sink,
    ) -> usize {
        let places = self.owners.of_credential(credential);
        self.close_each(&places, reason, "the credential has ended", now, sink)
    }

    /// Closes the connections of one user, whatever credential opened them. Answers how many.
    pub fn handle_principal_ended(
        &mut self,
        principal: &str,
        reason: ReasonCode,
        now: Instant,
        sink: &mut impl Sink,
    ) -> usize {
        let places = self.owners.of_principal(principal);
        self.close_each(&places, reason, "the user has ended", now, sink)
    }

    /// Closes one connection, if it is still open with this identity. Answers whether it was.
    pub fn handle_login_ended(
        &mut self,
        conn: ConnId,
        identity: &Identity,
        reason: ReasonCode,
        now: Instant,
        sink: &mut impl Sink,
    ) -> bool {
        let Some(place) = self.place_of_login(conn, identity) else {
            return false;
        };
        self.close_each(&[place], reason, "the credential has ended", now, sink) > 0
    }

    /// A credential was renewed: the connections that it opened live until `expires_at`. Answers how many.
    pub fn handle_credential_renewed(
        &mut self,
        credential: &Credential,
        expires_at: Option<Instant>,
    ) -> usize {
        let places = self.owners.of_credential(credential);
        for &place in &places {
            self.move_end(place, expires_at);
        }
        places.len()
    }

    /// The same for one connection, if it is still open with this identity. Answers whether it is.
    pub fn handle_login_renewed(
        &mut self,
        conn: ConnId,
        identity: &Identity,
        expires_at: Option<Instant>,
    ) -> bool {
        let Some(place) = self.place_of_login(conn, identity) else {
            return false;
        };
        self.move_end(place, expires_at);
        true
    }

    fn place_of_login(&self, conn: ConnId, identity: &Identity) -> Option<u32> {
        let place = self.place_of(conn)?;
        let open = self.sessions[place as usize].conn.as_deref()?;
        (*open.identity == *identity).then_some(place)
    }

    fn move_end(&mut self, place: u32, expires_at: Option<Instant>) {
        if let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() {
            let at = expires_at.unwrap_or(Instant::MAX);
            rearm(&mut self.desk, &mut conn.ends_at, at, Timer::CredentialEnd(place));
        }
    }

    /// Every open connection and who it is, in no particular order.
    pub fn connections(&self) -> impl Iterator<Item = (ConnId, &Arc<Identity>)> {
        let open = self
            .sessions
            .iter()
            .filter_map(|(_, session)| session.conn.as_deref());
        open.map(|conn| (conn.id, &conn.identity))
    }

    /// The open connections of one principal.
    pub fn connections_of(&self, principal: &str) -> impl Iterator<Item = (ConnId, &Arc<Identity>)> {
        let places = self.owners.of_principal(principal).into_iter();
        let open = places.filter_map(|place| self.sessions.get(place as usize)?.conn.as_deref());
        open.map(|conn| (conn.id, &conn.identity))
    }

    /// Closes every connection: the broker stops (0x8B), the organization is suspended (0x98).
    pub fn handle_shutdown(&mut self, reason: ReasonCode, now: Instant, sink: &mut impl Sink) -> usize {
        let places = self.places();
        self.close_each(&places, reason, "", now, sink)
    }

    /// Closes one client's connection: an operator's wish, or one of many when the broker stops (0x8B).
    /// Answers whether it had one.
    pub fn handle_kick(
        &mut self,
        client_id: &str,
        reason: ReasonCode,
        now: Instant,
        sink: &mut impl Sink,
    ) -> bool {
        self.desk.changed = false;
        let Some(place) = self.place_of_client(client_id) else {
            return false;
        };
        let had_one = self.sessions[place as usize].conn.is_some();
        let is_stopping = reason == ReasonCode::ServerShuttingDown;
        let why = if is_stopping { "" } else { "closed by an operator" };
        self.close_connection(place, reason, why, now, sink);
        had_one
    }

    /// Ends a session and everything it holds, its connection first. Answers whether there was one.
    pub fn handle_forget(
        &mut self,
        client_id: &str,
        reason: ReasonCode,
        now: Instant,
        sink: &mut impl Sink,
    ) -> bool {
        let Some(place) = self.place_of_client(client_id) else {
            return false;
        };
        let serial = self.sessions[place as usize].serial;
        self.handle_kick(client_id, reason, now, sink);
        // A session without expiry has ended with its connection.
        let still = self.sessions.get(place as usize);
        if still.is_some_and(|session| session.serial == serial) {
            self.end_session(place, now, sink);
        }
        true
    }

    fn close_each(
        &mut self,
        places: &[u32],
        reason: ReasonCode,
        why: &str,
        now: Instant,
        sink: &mut impl Sink,
    ) -> usize {
        self.desk.changed = false;
        let mut closed = 0;
        for &place in places {
            // A will that is published on the way ends no other session, but be sure.
            let session = self.sessions.get(place as usize);
            if session.is_some_and(|session| session.conn.is_some()) {
                self.close_connection(place, reason, why, now, sink);
                closed += 1;
            }
        }
        closed
    }

    fn places(&self) -> Vec<u32> {
        self.sessions
            .iter()
            .filter_map(|(place, _)| u32::try_from(place).ok())
            .collect()
    }
}

/// Answers about the topics of one queue, because queues repeat topics.
#[derive(Debug, Default)]
struct KnownTopics {
    /// The latest last; at most [`KNOWN_TOPICS_MAX`].
    answers: Vec<(Box<str>, bool)>,
}

/// Topics of a queue whose answers are remembered.
const KNOWN_TOPICS_MAX: usize = 16;

impl KnownTopics {
    fn ask(&mut self, topic: TopicName<'_>, allows: impl Fn(TopicName<'_>) -> bool) -> bool {
        let known = self.answers.iter().find(|(known, _)| **known == *topic.as_str());
        if let Some((_, allowed)) = known {
            return *allowed;
        }
        let allowed = allows(topic);
        if self.answers.len() >= KNOWN_TOPICS_MAX {
            self.answers.clear();
        }
        self.answers.push((topic.as_str().into(), allowed));
        allowed
    }
}
