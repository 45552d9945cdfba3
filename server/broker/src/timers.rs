//! Every timer of an organization, in one ordered set.

use alloc::collections::BTreeSet;

use cloudsignal_core::Instant;

/// What a timer does when it fires. The number is the session's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// When the client has been silent for one and a half keep alive intervals.
    KeepAlive(u32),
    /// When the credential of the connection ends.
    CredentialEnd(u32),
    /// When a session has been without a connection for its expiry interval.
    SessionExpiry(u32),
    /// When the will of a lost connection is due.
    WillDelay(u32),
    /// When a session has more retained messages to hand out than one turn allows.
    Resume(u32),
    /// When a session that was read back is looked at.
    Restored(u32),
    /// When the next round of `$SYS` messages is due.
    Sys,
    /// When messages that wait for the delivery quota are tried again.
    Deliveries,
    /// When more of what is stored leaves the memory.
    Spill,
    /// When some more queues are looked at for what is too old.
    Sweep,
}

/// The timers. A timer is in the set at most once; whoever arms it remembers the moment to cancel it.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(crate) fn arm(&mut self, at: Instant, timer: Timer) {
        if at < Instant::MAX {
            self.0.insert((at, timer));
        }
    }

    pub(crate) fn cancel(&mut self, at: Instant, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Timer> {
        let &(at, timer) = self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        Some(timer)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_in_order_and_only_when_due() {
        let mut timers = Timers::default();
        timers.arm(Instant::from_micros(20), Timer::KeepAlive(1));
        timers.arm(Instant::from_micros(10), Timer::WillDelay(2));
        timers.arm(Instant::from_micros(15), Timer::Sys);
        timers.cancel(Instant::from_micros(15), Timer::Sys);
        assert_eq!(timers.next(), Some(Instant::from_micros(10)));
        assert_eq!(timers.due(Instant::from_micros(9)), None);
        assert_eq!(timers.due(Instant::from_micros(30)), Some(Timer::WillDelay(2)));
        assert_eq!(timers.due(Instant::from_micros(30)), Some(Timer::KeepAlive(1)));
        assert_eq!(timers.due(Instant::from_micros(30)), None);
    }

    #[test]
    fn never_is_never_armed() {
        let mut timers = Timers::default();
        timers.arm(Instant::MAX, Timer::SessionExpiry(0));
        assert_eq!(timers.next(), None);
    }
}
