//! What reaches an organization from elsewhere than its clients: time, the shell, operators.

use cloudsignal_broker::{ConnId, Credential, Identity, Policy};
use cloudsignal_core::Instant;
use cloudsignal_core::codec::ReasonCode;

use crate::faults::Fault;
use crate::host::{Host, Links};
use crate::link::{Expected, Phase, Reply};
use crate::model::quotas::Credit;
use crate::model::session::Session;
use crate::scene::Scene;

/// Calls of `handle_timeout` for one moment, after which an organization must want a later one.
const TIMEOUTS_AT_ONCE_MAX: usize = 1_000;

impl Host {
    /// Serves the timers that are due.
    pub(crate) fn serve_timers(&mut self, links: &mut Links, scene: &mut Scene) {
        let now = scene.now;
        for _ in 0..TIMEOUTS_AT_ONCE_MAX {
            if self.org.poll_timeout().is_none_or(|due| due > now) {
                return;
            }
            scene.log.note(format_args!("org {}: timers", self.number));
            let called = self.call(|org, sink| org.handle_timeout(now, sink));
            self.model.time_out(now);
            self.finish(called, links, scene);
        }
        scene
            .verdict
            .fail(|| format!("timers: org {} never has enough", self.number));
    }

    /// The network takes `bytes` from an outbox; an empty one of a closing connection is closed.
    pub(crate) fn drain(&mut self, number: u32, bytes: usize, links: &mut Links, scene: &mut Scene) {
        let Some(link) = links.get_mut(&number) else {
            return;
        };
        let taken: Vec<u8> = {
            let outbox = &mut link.broker_end.outbox;
            outbox.drain(..bytes.min(outbox.len())).collect()
        };
        if let Some(waiting) = self.recorder.waiting.get_mut(&link.conn) {
            *waiting -= taken.len();
        }
        link.down.write(taken);
        let left = link.broker_end.outbox.len();
        match link.broker_end.phase {
            Phase::Closing(_) if left == 0 => self.hang_up(number, links, scene),
            Phase::Open if link.broker_end.was_full && left <= self.org.limits().output_bytes_max / 2 => {
                link.broker_end.was_full = false;
                let (conn, now) = (link.conn, scene.now);
                let called = self.call(|org, sink| org.handle_writable(conn, now, sink));
                self.finish(called, links, scene);
            }
            Phase::Fresh | Phase::Open | Phase::Closing(_) | Phase::Gone => {}
        }
    }

    pub(crate) fn set_policy(&mut self, policy: Policy, links: &mut Links, scene: &mut Scene) {
        scene
            .log
            .note(format_args!("org {}: {} rules", self.number, policy.rules.len()));
        let now = scene.now;
        let called = self.call(|org, sink| org.handle_policy(policy.clone(), now, sink));
        self.model.policy = policy;
        self.ledger.forget_denied(&self.model);
        self.finish(called, links, scene);
    }

    /// Whatever keeps clients out and messages back is lifted. Answers whether messages were kept back.
    pub(crate) fn lift_bounds(&mut self) -> bool {
        let limits = &mut self.model.limits;
        let kept_back = limits.deliver_messages_per_sec > 0 || limits.deliver_bytes_per_sec > 0;
        limits.connections_max = u32::MAX;
        limits.sessions_max = u32::MAX;
        limits.connects_per_sec = 0;
        limits.refused_publishes_per_sec = 0;
        limits.deliver_messages_per_sec = 0;
        limits.deliver_bytes_per_sec = 0;
        self.model.connects = Credit::new(0);
        self.org.handle_limits(limits.clone());
        self.forget_quota();
        kept_back
    }

    pub(crate) fn end_credential(
        &mut self,
        credential: &Credential,
        reason: ReasonCode,
        links: &mut Links,
        scene: &mut Scene,
    ) {
        let now = scene.now;
        scene
            .log
            .note(format_args!("org {}: {credential:?} ends, {reason}", self.number));
        let mut closed = 0;
        let called = self.call(|org, sink| {
            closed = org.handle_credential_ended(credential, reason, now, sink);
        });
        let due = self.close_where(
            |session| session.who.identity.credential == *credential,
            reason,
            now,
        );
        scene.verdict.require(closed == due, || {
            format!("closes: {closed} were closed, due are {due}")
        });
        self.finish(called, links, scene);
    }

    pub(crate) fn end_principal(
        &mut self,
        principal: &str,
        reason: ReasonCode,
        links: &mut Links,
        scene: &mut Scene,
    ) {
        let now = scene.now;
        scene
            .log
            .note(format_args!("org {}: {principal} ends, {reason}", self.number));
        let called = self.call(|org, sink| {
            org.handle_principal_ended(principal, reason, now, sink);
        });
        self.close_where(
            |session| *session.who.identity.principal == *principal,
            reason,
            now,
        );
        self.finish(called, links, scene);
    }

    pub(crate) fn shut_down(&mut self, reason: ReasonCode, links: &mut Links, scene: &mut Scene) {
        let now = scene.now;
        scene
            .log
            .note(format_args!("org {}: shuts down, {reason}", self.number));
        let called = self.call(|org, sink| {
            org.handle_shutdown(reason, now, sink);
        });
        self.close_where(|_| true, reason, now);
        self.finish(called, links, scene);
    }

    pub(crate) fn kick(&mut self, client_id: &str, links: &mut Links, scene: &mut Scene) {
        let (now, reason) = (scene.now, ReasonCode::AdministrativeAction);
        scene
            .log
            .note(format_args!("org {}: kicks {client_id}", self.number));
        let mut had_one = false;
        let called = self.call(|org, sink| had_one = org.handle_kick(client_id, reason, now, sink));
        let due = self.close_where(|session| session.who.client_id == client_id, reason, now);
        scene.verdict.require(had_one == (due > 0), || {
            format!("closes: the kick of {client_id}")
        });
        self.finish(called, links, scene);
    }

    pub(crate) fn renew(&mut self, credential: &Credential, until: Option<Instant>, scene: &mut Scene) {
        scene
            .log
            .note(format_args!("org {}: {credential:?} is renewed", self.number));
        let renewed = self.org.handle_credential_renewed(credential, until);
        let mut due = 0;
        for session in self.model.sessions.values_mut() {
            if let Some(conn) = session
                .conn
                .as_mut()
                .filter(|_| session.who.identity.credential == *credential)
            {
                conn.ends_at = until.unwrap_or(Instant::MAX);
                due += 1;
            }
        }
        scene.verdict.require(renewed == due, || {
            format!("renewal: {renewed} were renewed, due are {due}")
        });
        self.org.invariants();
    }

    /// The answer about a token that a client has shown.
    pub(crate) fn verify(&mut self, at: usize, links: &mut Links, scene: &mut Scene) {
        let (conn, _token) = self.asked.remove(at);
        let link = self.conns.get(&conn).and_then(|link| links.get_mut(link));
        // A connection that is closing has nobody to bring the answer.
        let Some(link) = link.filter(|link| link.broker_end.phase == Phase::Open) else {
            return;
        };
        let offered = link
            .offered
            .pop_front()
            .expect("invariant: noted when it was written");
        scene.log.note(format_args!(
            "org {} link {}: the token is good: {}",
            self.number,
            link.number,
            offered.is_some()
        ));
        let number = link.number;
        let now = scene.now;
        let mistaken = (scene.fault == Some(Fault::TokenMistaken)).then(|| link.identity.clone());
        let said = offered.clone().or(mistaken);
        let answer = said.ok_or(ReasonCode::BadUserNameOrPassword);
        let mut lives = false;
        let called = self.call(|org, sink| lives = org.handle_verified(conn, answer, now, sink));
        let session = self.model.session_of_mut(conn).expect("invariant: it is open");
        let is_same = |it: &Identity| it.principal == session.who.identity.principal;
        let adopted = offered.filter(is_same);
        scene.verdict.require(lives == adopted.is_some(), || {
            format!("renewal: link {number} lives: {lives}")
        });
        match adopted {
            None => self.model.close(conn, ReasonCode::NotAuthorized, now),
            Some(identity) => {
                let before = std::mem::replace(&mut session.who.identity, identity);
                let after = &session.who.identity;
                let rights_changed = before.claims != after.claims || before.access != after.access;
                if let Some(open) = &mut session.conn {
                    open.ends_at = session.who.identity.expires_at.unwrap_or(Instant::MAX);
                }
                if rights_changed {
                    self.ledger.forget_denied(&self.model);
                }
                // What the session is from now on is noted; AUTH does not wait for it.
                let ticket = self.ticket_beside_session(&called);
                if let Some(link) = links.get_mut(&number) {
                    let reply = Reply::Auth;
                    link.tap.expected.push_back(Expected { reply, ticket });
                }
            }
        }
        self.finish(called, links, scene);
    }

    fn close_where(&mut self, wanted: impl Fn(&Session) -> bool, reason: ReasonCode, now: Instant) -> usize {
        let conns: Vec<ConnId> = self
            .model
            .sessions
            .values()
            .filter(|session| wanted(session))
            .filter_map(|session| session.conn.as_ref().map(|conn| conn.id))
            .collect();
        for &conn in &conns {
            self.model.close(conn, reason, now);
        }
        conns.len()
    }
}
