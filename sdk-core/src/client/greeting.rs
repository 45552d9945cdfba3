//! CONNECT and CONNACK, and whether the session goes on.

use alloc::vec::Vec;
use core::num::{NonZeroU16, NonZeroU32};

use super::wire::Terms;
use super::{
    AUTH_METHOD, Client, Closed, Continuity, Login, Lost, Output, Renewal, Sink, Stage, State, Which,
};
use crate::ReasonCode;
use crate::codec::{ConnAck, Connect, UserProperties};
use crate::time::{Duration, Instant};

impl Client {
    /// Sends CONNECT once the connection is open and there is something to log in with.
    pub(super) fn greet_if_ready(&mut self, which: Which, now: Instant, sink: &mut dyn Sink) {
        let has_token = !matches!(self.options.login, Login::Token) || self.token.usable(now).is_some();
        if self.wire_mut(which).is_none_or(|wire| wire.stage != Stage::Open) {
            return;
        }
        if !has_token {
            self.token.ask(now, &self.options.patience, sink);
            if let Some(wire) = self.wire_mut(which) {
                wire.deadline = None; // The question has its own.
            }
            return;
        }
        if self.greet(which).is_err() {
            // What the caller has configured cannot be said in MQTT.
            self.give_up(Closed::Refused(ReasonCode::ImplementationSpecific), now, sink);
            return;
        }
        let deadline = now.after(self.options.patience.connect);
        if let Some(wire) = self.wire_mut(which) {
            wire.stage = Stage::Greeting;
            wire.deadline = Some(deadline);
        }
    }

    fn greet(&mut self, which: Which) -> Result<(), crate::EncodeError> {
        let Self {
            options,
            identity,
            token,
            wire,
            successor,
            ..
        } = self;
        let wire = match which {
            Which::Main => wire,
            Which::Successor => successor,
        };
        let Some(wire) = wire else { return Ok(()) };
        let mut packet = Connect::new(wire.version, &identity.client_id);
        packet.clean_start = options.session_expiry_secs == 0;
        packet.keep_alive_secs = options.keep_alive_secs;
        packet.session_expiry_secs = Some(options.session_expiry_secs);
        packet.receive_max = NonZeroU16::new(options.receive_max);
        packet.packet_bytes_max = NonZeroU32::new(options.packet_bytes_max);
        packet.topic_alias_max = options.topic_alias_max;
        packet.will = options.will.as_ref().map(|will| will.as_packet());
        match &options.login {
            Login::Anonymous => {}
            Login::Password { username, password } => {
                packet.username = Some(username);
                packet.password = Some(password);
            }
            Login::Token => {
                if let Some(token) = token.current() {
                    packet.username = token.username.as_deref();
                    if wire.version.is_v5() && !self.has_no_method {
                        packet.auth_method = Some(AUTH_METHOD);
                        packet.auth_data = Some(&token.password);
                        wire.renewal = Renewal::Possible;
                    } else {
                        packet.username = packet.username.or(Some(""));
                        packet.password = Some(&token.password);
                    }
                }
            }
        }
        let mut users = Vec::new();
        UserProperties::push_sequence(&mut users, identity.epoch);
        packet.user_properties = UserProperties::from_wire(&users).unwrap_or_default();
        packet.encode(&mut wire.out)
    }

    /// The server's answer.
    pub(super) fn on_connack(
        &mut self,
        which: Which,
        connack: &ConnAck<'_>,
        now: Instant,
        sink: &mut dyn Sink,
    ) {
        if connack.reason.is_error() {
            match which {
                Which::Main => self.refused(connack.reason, connack.server_reference, now, sink),
                Which::Successor => self.successor_refused(connack.reason, now, sink),
            }
            return;
        }
        if which == Which::Successor {
            // It has the session now: what the old connection left unanswered is for this one.
            self.hang_up(Which::Main, now, sink);
            self.wire = self.successor.take();
        }
        self.go_live(connack, now, sink);
    }

    fn go_live(&mut self, connack: &ConnAck<'_>, now: Instant, sink: &mut dyn Sink) {
        let Some(wire) = self.wire.as_mut() else { return };
        let keep_alive = connack
            .server_keep_alive_secs
            .unwrap_or(self.options.keep_alive_secs);
        wire.stage = Stage::Live;
        wire.deadline = None;
        wire.live_since = now;
        wire.terms = Terms::read(connack, wire.version, &self.options);
        wire.pulse = super::pulse::Pulse::new(Duration::from_secs(keep_alive.into()), now);
        self.form = wire.form();
        if let Some(assigned) = connack.assigned_client_id {
            self.identity.client_id = assigned.into(); // [MQTT-3.2.2-16]
        }
        let is_same = wire.terms.session_at.is_none_or(|at| self.inbound.is_behind(at));
        let continuity = self.reconcile(connack.session_present && is_same, sink);
        self.set_state(State::Connected, sink);
        sink.output(Output::Connected { continuity });
        if continuity == Continuity::Adopted {
            self.subscriptions.adopt();
            self.outbound.adopt();
        }
        // To wake up for nothing, once, costs less than to find out whether anything waits for it.
        if self.unclaimed_at.is_none() {
            self.unclaimed_at = Some(now.after(self.options.patience.unclaimed));
        }
        self.pump_subscriptions(sink);
        self.pump(now, sink);
        self.hear(now, sink);
    }

    /// Compares what the server knows of the session with what the client knows.
    fn reconcile(&mut self, is_present: bool, sink: &mut dyn Sink) -> Continuity {
        let was_known = self.identity.has_session || self.was_connected;
        self.was_connected = true;
        let has_session = self.options.session_expiry_secs > 0;
        if self.identity.has_session != has_session {
            self.identity.has_session = has_session;
            self.keep_identity(sink);
        }
        match (is_present, was_known) {
            (true, true) => Continuity::Resumed,
            (true, false) => Continuity::Adopted,
            (false, was_known) => {
                self.forget_session(sink);
                if was_known {
                    Continuity::Lost
                } else {
                    Continuity::New
                }
            }
        }
    }

    pub(super) fn forget_session(&mut self, sink: &mut dyn Sink) {
        self.outbound
            .forget_session(&mut self.ids, &mut self.journal, sink);
        self.inbound.forget_session(&mut self.journal, sink);
        self.subscriptions.forget_session(&mut self.journal, sink);
    }

    /// The server has broken the rules: it hears so, if it can, and the connection ends.
    pub(super) fn on_nonsense(
        &mut self,
        which: Which,
        reason: ReasonCode,
        now: Instant,
        sink: &mut dyn Sink,
    ) {
        if let Some(wire) = self
            .wire_mut(which)
            .filter(|wire| wire.is_live() && wire.version.is_v5())
        {
            wire.goodbye(&crate::codec::Disconnect::new(reason));
        }
        self.hang_up(which, now, sink);
        match which {
            Which::Main => self.lose(Lost::Nonsense, now, sink),
            Which::Successor => self.successor_failed(Lost::Nonsense, now, sink),
        }
    }
}
