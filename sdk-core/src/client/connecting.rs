//! Dialing, waiting, giving up.

use alloc::string::String;

use super::backoff::Blame;
use super::token::{Token, TokenError};
use super::verdict::Verdict;
use super::{
    AskId, Client, Closed, End, Login, Lost, Output, Protocol, Server, Sink, Stage, State, Unanswered,
    Warning, Which, Wire, WireId,
};
use crate::codec::Disconnect;
use crate::time::Instant;
use crate::{ReasonCode, Version};

/// How often in a row a server may send the client to another one.
const REFERRALS_MAX: u8 = 4;

impl Client {
    /// Makes a connection, and again whenever it is lost. Does nothing when that is under way.
    pub fn connect(&mut self, now: Instant, sink: &mut dyn Sink) {
        match self.state {
            State::Connecting | State::Connected => {}
            State::Waiting { .. } => self.start(now, sink),
            State::Idle | State::Suspended | State::Closed { .. } => {
                self.backoff.reset();
                self.token.was_rejected = false;
                self.start(now, sink);
            }
        }
        self.flush(now, sink);
    }

    /// Disconnects; the session stays, and [`connect`](Self::connect) goes on with it.
    pub fn suspend(&mut self, now: Instant, sink: &mut dyn Sink) {
        if !matches!(self.state, State::Closed { .. }) {
            self.say_goodbye(None, now, sink);
            self.set_state(State::Suspended, sink);
        }
        self.flush(now, sink);
    }

    /// Disconnects for good. What waits in the queue is not sent; with [`End::ForgetSession`] it is forgotten.
    pub fn close(&mut self, end: End, now: Instant, sink: &mut dyn Sink) {
        let ends_session = end == End::ForgetSession && self.identity.has_session;
        self.say_goodbye(ends_session.then_some(0), now, sink);
        if end == End::ForgetSession {
            self.identity.has_session = false;
            self.was_connected = false;
            self.forget_session(sink);
            self.keep_identity(sink);
        }
        self.requests.end(Unanswered::Closed, sink);
        self.set_state(
            State::Closed {
                why: Closed::ByCaller,
            },
            sink,
        );
        self.flush(now, sink);
    }

    /// Ends all connections. The server does not publish the will.
    fn say_goodbye(&mut self, session_expiry_secs: Option<u32>, now: Instant, sink: &mut dyn Sink) {
        if let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_live()) {
            let mut packet = Disconnect::new(ReasonCode::Success);
            packet.session_expiry_secs = session_expiry_secs;
            wire.goodbye(&packet);
        }
        self.token.drop_question();
        for which in [Which::Main, Which::Successor] {
            self.hang_up(which, now, sink);
        }
    }

    /// Begins an attempt: the connection and the token are asked for together.
    pub(super) fn start(&mut self, now: Instant, sink: &mut dyn Sink) {
        self.name_itself();
        self.reserve_orders(sink);
        self.set_state(State::Connecting, sink);
        self.wire = Some(self.dial(now, sink));
        if matches!(self.options.login, Login::Token) && self.token.usable(now).is_none() {
            self.token.ask(now, &self.options.patience, sink);
        }
    }

    /// A client without a name makes one, which no other client has.
    pub(super) fn name_itself(&mut self) {
        if !self.identity.client_id.is_empty() {
            return;
        }
        let mut name = String::from("cs-");
        for _ in 0..NAME_LETTERS {
            let letter = (self.random.next() % 32) as usize;
            name.push(char::from(b"abcdefghijklmnopqrstuvwxyz234567"[letter]));
        }
        self.identity.client_id = name.into();
    }

    pub(super) fn dial(&mut self, now: Instant, sink: &mut dyn Sink) -> Wire {
        self.wires = self.wires.wrapping_add(1);
        let wire = WireId(self.wires);
        let to = self
            .referred
            .as_deref()
            .map_or(Server::Configured, Server::Referred);
        sink.output(Output::Dial { wire, to });
        Wire::new(wire, self.version, &self.options, now)
    }

    /// A connection is open.
    pub fn handle_opened(&mut self, wire: WireId, now: Instant, sink: &mut dyn Sink) {
        if let Some(which) = self.which(wire) {
            if let Some(wire) = self.wire_mut(which).filter(|wire| wire.stage == Stage::Dialing) {
                wire.stage = Stage::Open;
                self.greet_if_ready(which, now, sink);
            }
        }
        self.flush(now, sink);
    }

    /// A connection could not be opened, or has ended.
    pub fn handle_closed(&mut self, wire: WireId, now: Instant, sink: &mut dyn Sink) {
        match self.which(wire) {
            Some(Which::Main) => {
                self.drop_wire(Which::Main, now);
                self.lose(Lost::Network, now, sink);
            }
            Some(Which::Successor) => {
                self.drop_wire(Which::Successor, now);
                self.successor_failed(Lost::Network, now, sink);
            }
            None => {}
        }
        self.flush(now, sink);
    }

    /// The answer to [`Output::AskToken`].
    pub fn handle_token(
        &mut self,
        ask: AskId,
        answer: Result<Token, TokenError>,
        now: Instant,
        sink: &mut dyn Sink,
    ) {
        if self.token.answered(ask) {
            match answer {
                Ok(token) if token.has_ended() => self.without_token(TokenError::Failed, now, sink),
                Ok(token) => {
                    self.token.keep(token, now);
                    if self.state == State::Connected {
                        self.renew(now, sink);
                    } else {
                        self.greet_if_ready(Which::Main, now, sink);
                    }
                }
                Err(error) => self.without_token(error, now, sink),
            }
        }
        self.flush(now, sink);
    }

    pub(super) fn without_token(&mut self, error: TokenError, now: Instant, sink: &mut dyn Sink) {
        if self.state == State::Connected {
            sink.output(Output::Warning(Warning::TokenNotRenewed));
            self.token.postpone(now);
            return;
        }
        match error {
            TokenError::Refused => self.give_up(Closed::TokenRefused, now, sink),
            TokenError::Failed => self.hang_up_and_lose(Lost::Token, now, sink),
        }
    }

    pub(super) fn check_connecting(&mut self, now: Instant, sink: &mut dyn Sink) {
        if self.token.is_unanswered(now) {
            self.without_token(TokenError::Failed, now, sink);
        }
        if matches!(self.state, State::Waiting { until, .. } if until <= now) {
            self.start(now, sink);
        }
        let is_late = |wire: &Option<Wire>| {
            let wire = wire.as_ref().filter(|wire| !wire.is_live());
            wire.is_some_and(|wire| wire.deadline.is_some_and(|deadline| deadline <= now))
        };
        if is_late(&self.wire) {
            self.hang_up_and_lose(Lost::Silence, now, sink);
        }
        if is_late(&self.successor) {
            self.hang_up(Which::Successor, now, sink);
            self.successor_failed(Lost::Silence, now, sink);
        }
    }

    /// Sends what is left and closes. The caller says nothing more about that connection.
    pub(super) fn hang_up(&mut self, which: Which, now: Instant, sink: &mut dyn Sink) {
        if let Some(wire) = self.wire_mut(which) {
            let id = wire.id;
            wire.flush(now, sink);
            sink.output(Output::Hangup { wire: id });
            self.drop_wire(which, now);
        }
    }

    /// A connection is gone: what it left unanswered is for the next one.
    pub(super) fn drop_wire(&mut self, which: Which, now: Instant) {
        if self
            .wire_mut(which)
            .is_some_and(|wire| wire.stage == Stage::Greeting)
        {
            self.ghost_until = now.after(self.options.patience.connect);
        }
        match which {
            Which::Main => {
                let Some(wire) = self.wire.take() else { return };
                if wire.is_live() {
                    self.rewind();
                    let held = now.since(wire.live_since);
                    self.backoff.held(held, &self.options.reconnect);
                    if held >= self.options.reconnect.steady {
                        self.token.was_rejected = false;
                        self.referrals = 0;
                    }
                }
            }
            Which::Successor => self.successor = None,
        }
    }

    pub(super) fn rewind(&mut self) {
        self.outbound.rewind();
        self.inbound.rewind();
        self.subscriptions.rewind(&mut self.ids);
    }

    pub(super) fn hang_up_and_lose(&mut self, why: Lost, now: Instant, sink: &mut dyn Sink) {
        self.hang_up(Which::Main, now, sink);
        self.lose(why, now, sink);
    }

    /// There is no connection any more: another attempt, after a pause.
    pub(super) fn lose(&mut self, why: Lost, now: Instant, sink: &mut dyn Sink) {
        if self.successor.is_some() && self.state == State::Connected {
            return; // It takes over; nothing is lost yet.
        }
        self.hang_up(Which::Successor, now, sink);
        self.outbound.note_loss(sink);
        let blame = match why {
            Lost::Network | Lost::Silence | Lost::Token => Blame::Network,
            Lost::Server(_) | Lost::Nonsense => Blame::Server,
        };
        let reconnect = &self.options.reconnect;
        let pause = self.backoff.pause(blame, reconnect, &mut self.random);
        let until = now.after(pause);
        self.set_state(State::Waiting { until, why }, sink);
    }

    pub(super) fn give_up(&mut self, why: Closed, now: Instant, sink: &mut dyn Sink) {
        self.token.drop_question();
        self.hang_up(Which::Main, now, sink);
        self.hang_up(Which::Successor, now, sink);
        self.requests.end(Unanswered::Closed, sink);
        self.set_state(State::Closed { why }, sink);
    }

    /// The server has said why it will not have the client, or not any more.
    pub(super) fn refused(
        &mut self,
        reason: ReasonCode,
        reference: Option<&str>,
        now: Instant,
        sink: &mut dyn Sink,
    ) {
        let was_live = self.state == State::Connected;
        self.hang_up(Which::Main, now, sink);
        if self.successor.is_some() && was_live {
            return; // The server makes room for it.
        }
        let has_token = matches!(self.options.login, Login::Token);
        match Verdict::on(reason) {
            Verdict::Later => self.lose(Lost::Server(reason), now, sink),
            Verdict::Credential if has_token && !self.token.was_rejected => {
                self.token.reject();
                self.start(now, sink);
            }
            Verdict::Expired if has_token => {
                self.token.expire();
                self.lose(Lost::Server(reason), now, sink);
                if was_live {
                    self.start(now, sink);
                }
            }
            Verdict::Expired => self.lose(Lost::Server(reason), now, sink),
            Verdict::NoMethod if has_token && !self.has_no_method => {
                self.has_no_method = true;
                sink.output(Output::Warning(Warning::NoRenewalInBand));
                self.start(now, sink);
            }
            Verdict::OldProtocol if self.may_fall_back() => {
                self.version = Version::V311;
                sink.output(Output::Warning(Warning::OldProtocol));
                self.start(now, sink);
            }
            Verdict::Elsewhere => self.go_elsewhere(reason, reference, now, sink),
            Verdict::TakenOver if now < self.ghost_until => self.lose(Lost::Server(reason), now, sink),
            Verdict::TakenOver => self.give_up(Closed::TakenOver, now, sink),
            Verdict::Credential | Verdict::NoMethod | Verdict::OldProtocol | Verdict::Never => {
                self.give_up(Closed::Refused(reason), now, sink);
            }
        }
    }

    fn may_fall_back(&self) -> bool {
        self.options.protocol == Protocol::Best && self.version.is_v5()
    }

    fn go_elsewhere(
        &mut self,
        reason: ReasonCode,
        reference: Option<&str>,
        now: Instant,
        sink: &mut dyn Sink,
    ) {
        self.referrals = self.referrals.saturating_add(1);
        match reference {
            Some(reference) if self.referrals <= REFERRALS_MAX => {
                self.referred = Some(reference.into());
                self.start(now, sink);
            }
            _ => {
                self.referred = None;
                self.lose(Lost::Server(reason), now, sink);
            }
        }
    }
}

/// A made client identifier has 100 bits of dice.
const NAME_LETTERS: usize = 20;
