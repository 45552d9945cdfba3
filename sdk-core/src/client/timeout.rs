//! Time passes, and the device wakes.

use super::{Beat, Client, Lost, Output, Sink, State, Wake, Warning, Wire};
use crate::time::Instant;

impl Client {
    /// When [`handle_timeout`](Self::handle_timeout) should be called; earlier does no harm.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let is_connected = self.state == State::Connected;
        let waiting = match self.state {
            State::Waiting { until, .. } => Some(until),
            State::Idle | State::Connecting | State::Connected | State::Suspended | State::Closed { .. } => {
                None
            }
        };
        let wires = [self.wire.as_ref(), self.successor.as_ref()];
        let of_wires = wires.into_iter().flatten().filter_map(Wire::wakes_at).min();
        let token = self.token.deadline(is_connected && self.successor.is_none());
        let unclaimed = self.unclaimed_at.filter(|_| is_connected);
        let others = [waiting, token, unclaimed, self.requests.deadline()];
        others.into_iter().flatten().chain(of_wires).min()
    }

    /// Some time has passed.
    pub fn handle_timeout(&mut self, now: Instant, sink: &mut dyn Sink) {
        self.check_connecting(now, sink);
        self.check_pulse(now, sink);
        self.check_renewal(now, sink);
        self.requests.check(now, sink);
        if self.state == State::Connected && self.unclaimed_at.is_some_and(|at| at <= now) {
            self.unclaimed_at = None;
            while let Some(id) = self.subscriptions.next_unclaimed() {
                sink.output(Output::Warning(Warning::Unclaimed(id)));
                self.subscriptions.remove(id, &mut self.journal, sink);
            }
            self.hear(now, sink);
            self.pump_subscriptions(sink);
        }
        self.flush(now, sink);
    }

    fn check_pulse(&mut self, now: Instant, sink: &mut dyn Sink) {
        let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_live()) else {
            return;
        };
        match wire.pulse.beat(now, &self.options.patience) {
            None => {}
            Some(Beat::Ping) => wire.ping(),
            Some(Beat::Dead) => self.hang_up_and_lose(Lost::Silence, now, sink),
        }
    }

    /// The device has noticed something: see [`Wake`].
    pub fn handle_wake(&mut self, _wake: Wake, now: Instant, sink: &mut dyn Sink) {
        if let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_live()) {
            if wire.pulse.probe(now, &self.options.patience) == Beat::Ping {
                wire.ping();
            }
        } else if let State::Waiting { .. } = self.state {
            self.start(now, sink);
        }
        self.handle_timeout(now, sink);
    }
}
