//! Whether the other end is alive.

use super::options::Patience;
use crate::time::{Duration, Instant};

/// What has to be done for a connection to stay alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Send PINGREQ.
    Ping,
    /// Nobody is there any more.
    Dead,
}

#[derive(Debug)]
pub(super) struct Pulse {
    /// Zero switches it off.
    interval: Duration,
    last_sent: Instant,
    last_heard: Instant,
    /// When silence means death, after a PINGREQ.
    deadline: Option<Instant>,
}

impl Pulse {
    pub(super) const fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            last_sent: now,
            last_heard: now,
            deadline: None,
        }
    }

    pub(super) const fn sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    pub(super) const fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.deadline = None;
    }

    /// The device was asleep, or the network has changed: whether the connection lives has to show soon.
    pub(super) fn probe(&mut self, now: Instant, patience: &Patience) -> Beat {
        let soon = now.after(patience.probe);
        self.deadline = Some(self.deadline.map_or(soon, |deadline| deadline.min(soon)));
        Beat::Ping
    }

    pub(super) fn beat(&mut self, now: Instant, patience: &Patience) -> Option<Beat> {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Some(Beat::Dead);
        }
        if self.deadline.is_none() && self.ping_at().is_some_and(|at| at <= now) {
            self.deadline = Some(now.after(patience.ping));
            return Some(Beat::Ping);
        }
        None
    }

    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.deadline.or_else(|| self.ping_at())
    }

    /// A client that only sends would otherwise not notice that nobody answers, and one that only listens would be
    /// taken for dead [MQTT-3.1.2-20].
    fn ping_at(&self) -> Option<Instant> {
        let quiet_since = self.last_sent.min(self.last_heard);
        (!self.interval.is_zero()).then(|| quiet_since.after(self.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        connect: Duration::from_secs(20),
        token: Duration::from_secs(30),
        ping: Duration::from_secs(10),
        probe: Duration::from_secs(2),
        renewal: Duration::from_secs(10),
        unclaimed: Duration::from_secs(60),
    };

    fn at(secs: u32) -> Instant {
        Instant::ZERO.after_secs(secs)
    }

    #[test]
    fn silence_is_asked_about_and_then_is_death() {
        let mut pulse = Pulse::new(Duration::from_secs(30), at(0));
        assert_eq!(pulse.wakes_at(), Some(at(30)));
        assert_eq!(pulse.beat(at(29), &PATIENCE), None);
        assert_eq!(pulse.beat(at(30), &PATIENCE), Some(Beat::Ping));
        pulse.sent(at(30));
        assert_eq!(pulse.beat(at(39), &PATIENCE), None);
        pulse.heard(at(39));
        pulse.sent(at(50));
        assert_eq!(pulse.beat(at(68), &PATIENCE), None);
        assert_eq!(pulse.beat(at(69), &PATIENCE), Some(Beat::Ping));
        assert_eq!(pulse.wakes_at(), Some(at(79)));
        assert_eq!(pulse.beat(at(79), &PATIENCE), Some(Beat::Dead));
    }

    #[test]
    fn a_probe_is_impatient() {
        let mut pulse = Pulse::new(Duration::ZERO, at(0));
        assert_eq!(pulse.wakes_at(), None);
        assert_eq!(pulse.probe(at(5), &PATIENCE), Beat::Ping);
        assert_eq!(pulse.beat(at(7), &PATIENCE), Some(Beat::Dead));
        pulse.heard(at(7));
        assert_eq!(pulse.beat(at(99), &PATIENCE), None);
    }
}
