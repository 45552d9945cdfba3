//! What the machine asks for, carried out at once: nothing of it calls the machine or the application.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use cloudsignal_core::client::{
    self as core, AskId, Closed, Continuity, Output, Sink, TokenError, TokenReason, Warning,
};

use super::questions::Questions;
use super::receivers::Receivers;
use super::shelf::Shelf;
use super::tickets::Tickets;
use super::wires::Wires;
use crate::clock::Clock;
use crate::state::{Event, State};
use crate::token::{AnyProvider, AskToken};

pub(super) struct Hands {
    pub(super) clock: Clock,
    pub(super) wires: Wires,
    pub(super) shelf: Shelf,
    pub(super) receivers: Receivers,
    pub(super) tickets: Tickets,
    pub(super) questions: Questions,
    pub(super) provider: Option<Arc<dyn AnyProvider>>,
    pub(super) asked: JoinSet<(AskId, Result<core::Token, TokenError>)>,
    pub(super) states: watch::Sender<State>,
    pub(super) events: broadcast::Sender<Event>,
    /// The machine will do nothing any more.
    pub(super) closed: Option<Closed>,
}

impl fmt::Debug for Hands {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Hands")
            .field("wires", &self.wires)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl Hands {
    fn ask(&mut self, ask: AskId, reason: TokenReason) {
        let provider = self.provider.clone();
        self.asked.spawn(async move {
            let answer = match provider {
                Some(provider) => provider.ask(AskToken { reason }).await,
                None => Err(TokenError::Refused),
            };
            (ask, answer.map(|token| token.inner))
        });
    }

    /// The answer of the token provider. One that panics has failed, which the machine notices by itself.
    pub(super) fn poll_token(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<(AskId, Result<core::Token, TokenError>)> {
        while let Poll::Ready(Some(answer)) = self.asked.poll_join_next(cx) {
            match answer {
                Ok(answer) => return Poll::Ready(answer),
                Err(error) => tracing::error!(%error, "the token provider has failed"),
            }
        }
        Poll::Pending
    }

    fn change(&mut self, state: core::State) {
        let state = match state {
            core::State::Idle | core::State::Connecting => State::Connecting,
            core::State::Connected => State::Connected,
            core::State::Waiting { until, why } => State::Waiting {
                until: self.clock.moment(until),
                why,
            },
            core::State::Suspended => State::Suspended,
            core::State::Closed { why } => {
                self.closed = Some(why);
                return;
            }
        };
        tracing::debug!(?state, "state");
        self.states.send_replace(state);
    }

    pub(super) fn tell(&self, event: Event) {
        let _nobody_listens = self.events.send(event);
    }

    fn warn(&mut self, warning: Warning) {
        tracing::warn!(?warning, "client");
        if let Warning::Unclaimed(id) = warning {
            self.receivers.ended(id);
        }
        self.tell(Event::Warning(warning));
    }

    /// Everybody hears that it is over.
    pub(super) fn close(&mut self, why: Closed) {
        self.asked.abort_all();
        self.questions.close();
        self.tickets.close(why);
        self.receivers.close(why);
        self.states.send_replace(State::Closed { why });
    }
}

impl Sink for Hands {
    fn output(&mut self, output: Output<'_>) {
        match output {
            Output::Dial { wire, to } => self.wires.dial(wire, to),
            Output::Send { wire, bytes } => self.wires.send(wire, bytes),
            Output::Hangup { wire } => self.wires.hang_up(wire),
            Output::AskToken { ask, reason } => self.ask(ask, reason),
            Output::Put { key, record } => self.shelf.put(key, record),
            Output::Delete { key } => self.shelf.delete(key),
            Output::Sync { ticket } => self.shelf.sync(ticket),
            Output::State(state) => self.change(state),
            Output::Connected { continuity } => {
                tracing::info!(?continuity, "connected");
                if continuity == Continuity::Lost {
                    self.receivers.lose_session();
                }
                self.tell(Event::Connected { continuity });
            }
            Output::Message(message) => self.receivers.deliver(&message),
            Output::Stored { id } => self.tickets.stored(id),
            Output::Published { id, outcome } => self.tickets.ended(id, outcome),
            Output::Subscribed { id, granted } => self.receivers.granted(id, granted),
            Output::SubscribeRefused { id, reason } => self.receivers.refused(id, reason),
            Output::Unsubscribed { id } => self.receivers.ended(id),
            Output::Replied { request, message } => {
                let message = self.receivers.own(&message);
                self.questions.answered(request, message);
            }
            Output::RequestFailed { request, why } => self.questions.failed(request, why),
            Output::Warning(warning) => self.warn(warning),
        }
    }
}
