//! A new token for a living connection: in band where the server can, else by another connection that takes over.

use super::token::TokenError;
use super::verdict::Verdict;
use super::{AUTH_METHOD, Client, Lost, Output, Renewal, Sink, State, Warning, Which};
use crate::ReasonCode;
use crate::codec::Auth;
use crate::time::Instant;

impl Client {
    pub(super) fn check_renewal(&mut self, now: Instant, sink: &mut dyn Sink) {
        if self.state != State::Connected || self.successor.is_some() {
            return;
        }
        let renewal = self.wire.as_ref().map(|wire| wire.renewal);
        if matches!(renewal, Some(Renewal::Asked(until)) if until <= now) {
            self.renew_without_method(now, sink);
        } else if self.token.is_due(now) {
            self.token.ask(now, &self.options.patience, sink);
        }
    }

    /// A new token has come while the connection lives.
    pub(super) fn renew(&mut self, now: Instant, sink: &mut dyn Sink) {
        let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_live()) else {
            return;
        };
        if wire.renewal == Renewal::Impossible {
            self.successor = Some(self.dial(now, sink));
            return;
        }
        if let Some(token) = self.token.current() {
            let mut auth = Auth::new(ReasonCode::Reauthenticate, AUTH_METHOD);
            auth.data = Some(&token.password);
            let _ = auth.encode(wire.version, &mut wire.out); // [MQTT-4.12.1-1]
            wire.renewal = Renewal::Asked(now.after(self.options.patience.renewal));
        }
    }

    fn renew_without_method(&mut self, now: Instant, sink: &mut dyn Sink) {
        if let Some(wire) = self.wire.as_mut() {
            wire.renewal = Renewal::Impossible;
        }
        self.renew(now, sink);
    }

    /// AUTH from the server. `Err`: nobody has asked.
    pub(super) fn on_auth(&mut self, auth: &Auth<'_>) -> Result<(), ReasonCode> {
        let Some(wire) = self.wire.as_mut() else {
            return Ok(());
        };
        match (auth.reason, wire.renewal) {
            (ReasonCode::Success, Renewal::Asked(_)) => {
                wire.renewal = Renewal::Possible;
                Ok(())
            }
            _ => Err(ReasonCode::ProtocolError),
        }
    }

    /// The connection that should have taken over could not be made.
    pub(super) fn successor_failed(&mut self, why: Lost, now: Instant, sink: &mut dyn Sink) {
        if self.wire.is_some() {
            sink.output(Output::Warning(Warning::TokenNotRenewed));
            self.token.postpone(now);
        } else {
            self.lose(why, now, sink);
        }
    }

    pub(super) fn successor_refused(&mut self, reason: ReasonCode, now: Instant, sink: &mut dyn Sink) {
        self.hang_up(Which::Successor, now, sink);
        if self.wire.is_none() {
            self.refused(reason, None, now, sink);
        } else if Verdict::on(reason) == Verdict::Credential {
            self.without_token(TokenError::Failed, now, sink);
        } else {
            self.successor_failed(Lost::Server(reason), now, sink);
        }
    }
}
