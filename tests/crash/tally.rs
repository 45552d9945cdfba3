//! What a run did: numbers without a verdict.

use std::fmt;

use cloudsignal_core::Qos;

/// Counted from the first start on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kills: u64,
    pub(crate) stops: u64,
    /// Starts that were cut off by SIGKILL.
    pub(crate) stumbles: u64,
    /// The longest start, until clients are let in.
    pub(crate) start_millis_max: u128,
    pub(crate) connects: u64,
    pub(crate) takeovers: u64,
    pub(crate) subscribes: u64,
    pub(crate) unsubscribes: u64,
    /// Acknowledged with success, at QoS 1 and 2.
    acked: [u64; 2],
    pub(crate) refused: u64,
    /// Publishes whose fate the client does not know: its session was gone.
    pub(crate) abandoned: u64,
    /// First arrivals.
    pub(crate) delivered: u64,
    /// Repeated where it is allowed: QoS 1.
    pub(crate) duplicates: u64,
    /// Of these, under the same packet id without DUP.
    pub(crate) unmarked: u64,
    /// Came after they had been given up.
    pub(crate) late: u64,
    /// The messages that were lost, by what else was.
    pub(crate) lost: Lost,
    /// Times that a retained topic was looked at.
    pub(crate) retained_seen: u64,
    /// Writes over the HTTP API that were answered with success.
    pub(crate) directory_writes: u64,
    /// What was under way when the broker was ended.
    pub(crate) cut: Cut,
}

/// Lost messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost {
    /// A session that should have had it was gone.
    pub(crate) with_session: u64,
    /// The session was there, the subscription was not.
    pub(crate) with_subscription: u64,
    /// Nothing else was.
    pub(crate) alone: u64,
}

/// What was under way at the ends of cycles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut {
    /// Publishes without an acknowledgement.
    pub(crate) unacked: u64,
    /// Deliveries that were owed for acknowledged messages.
    pub(crate) owed: u64,
}

impl Tally {
    pub(crate) const fn acked(&mut self, qos: Qos) {
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.acked[0] += 1,
            Qos::ExactlyOnce => self.acked[1] += 1,
        }
    }

    pub(crate) const fn acked_all(&self) -> u64 {
        self.acked[0] + self.acked[1]
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cycles: {} by SIGKILL, {} by SIGTERM", self.kills, self.stops)?;
        writeln!(
            f,
            "acknowledged: {} at QoS 1, {} at QoS 2; refused {}, given up {}",
            self.acked[0], self.acked[1], self.refused, self.abandoned
        )?;
        writeln!(
            f,
            "delivered: {}, repeated at QoS 1: {}, of these without DUP: {}, late: {}",
            self.delivered, self.duplicates, self.unmarked, self.late
        )?;
        writeln!(
            f,
            "connects {}, takeovers {}, subscribes {}, unsubscribes {}, retained topics looked at {}, API writes {}",
            self.connects,
            self.takeovers,
            self.subscribes,
            self.unsubscribes,
            self.retained_seen,
            self.directory_writes
        )?;
        writeln!(
            f,
            "under way when it ended: {} publishes without acknowledgement, {} deliveries of acknowledged messages",
            self.cut.unacked, self.cut.owed
        )?;
        writeln!(
            f,
            "starts: the longest took {} ms; {} were cut off",
            self.start_millis_max, self.stumbles
        )?;
        writeln!(
            f,
            "lost messages: {} with their session, {} with their subscription, {} alone",
            self.lost.with_session, self.lost.with_subscription, self.lost.alone
        )
    }
}
