//! The named quotas of an organization: what each is called, what a client is told beyond it, and what is spent.

use cloudsignal_core::Instant;
use cloudsignal_core::codec::ReasonCode;

use crate::bucket::Bucket;
use crate::limits::Limits;

/// Seconds between two reports of the same quota.
pub(crate) const REPORT_SECS: u32 = 10;

/// A bound of a whole organization that a client can run into. Each has the name of its field in [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quota {
    /// [`Limits::connections_max`]
    Connections,
    /// [`Limits::connects_per_sec`]
    Connects,
    /// [`Limits::sessions_max`]
    Sessions,
    /// [`Limits::subscriptions_max`]
    SessionSubscriptions,
    /// [`Limits::all_subscriptions_max`]
    AllSubscriptions,
    /// [`Limits::wildcard_subscriptions_max`]
    WildcardSubscriptions,
    /// [`Limits::publish_messages_per_sec`]
    PublishMessages,
    /// [`Limits::publish_bytes_per_sec`]
    PublishBytes,
    /// [`Limits::publish_messages_per_month`]
    MonthMessages,
    /// [`Limits::refused_publishes_per_sec`]
    RefusedPublishes,
    /// [`Limits::payload_bytes_max`]
    PayloadBytes,
    /// [`Limits::packet_bytes_max`]
    PacketBytes,
    /// [`Limits::fan_out_max`]
    FanOut,
    /// [`Limits::deliver_messages_per_sec`]
    DeliverMessages,
    /// [`Limits::deliver_bytes_per_sec`]
    DeliverBytes,
    /// [`Limits::retained_messages_max`]
    RetainedMessages,
    /// [`Limits::retained_bytes_max`]
    RetainedBytes,
    /// [`Limits::all_queue_bytes_max`]
    AllQueueBytes,
}

impl Quota {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every quota, in the order of [`Quota::index`].
    pub const ALL: [Self; 18] = [
        Self::Connections,
        Self::Connects,
        Self::Sessions,
        Self::SessionSubscriptions,
        Self::AllSubscriptions,
        Self::WildcardSubscriptions,
        Self::PublishMessages,
        Self::PublishBytes,
        Self::MonthMessages,
        Self::RefusedPublishes,
        Self::PayloadBytes,
        Self::PacketBytes,
        Self::FanOut,
        Self::DeliverMessages,
        Self::DeliverBytes,
        Self::RetainedMessages,
        Self::RetainedBytes,
        Self::AllQueueBytes,
    ];

    /// Position in [`Quota::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its field in [`Limits`], which is also its key in a configuration and its label in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections_max",
            Self::Connects => "connects_per_sec",
            Self::Sessions => "sessions_max",
            Self::SessionSubscriptions => "subscriptions_max",
            Self::AllSubscriptions => "all_subscriptions_max",
            Self::WildcardSubscriptions => "wildcard_subscriptions_max",
            Self::PublishMessages => "publish_messages_per_sec",
            Self::PublishBytes => "publish_bytes_per_sec",
            Self::MonthMessages => "publish_messages_per_month",
            Self::RefusedPublishes => "refused_publishes_per_sec",
            Self::PayloadBytes => "payload_bytes_max",
            Self::PacketBytes => "packet_bytes_max",
            Self::FanOut => "fan_out_max",
            Self::DeliverMessages => "deliver_messages_per_sec",
            Self::DeliverBytes => "deliver_bytes_per_sec",
            Self::RetainedMessages => "retained_messages_max",
            Self::RetainedBytes => "retained_bytes_max",
            Self::AllQueueBytes => "all_queue_bytes_max",
        }
    }

    /// What a v5 client is told that runs into it, if it is told: nobody waits for an answer about a delivery.
    #[must_use]
    pub const fn reason(self) -> Option<ReasonCode> {
        match self {
            // CONNACK [MQTT-3.2.2-8]; CONNACK, SUBACK, PUBACK and PUBREC.
            Self::Connects => Some(ReasonCode::ConnectionRateExceeded),
            Self::Connections
            | Self::Sessions
            | Self::SessionSubscriptions
            | Self::AllSubscriptions
            | Self::WildcardSubscriptions
            | Self::PublishMessages
            | Self::PublishBytes
            | Self::MonthMessages
            | Self::PayloadBytes
            | Self::FanOut
            | Self::RetainedMessages
            | Self::RetainedBytes => Some(ReasonCode::QuotaExceeded),
            // DISCONNECT: no acknowledgement can carry these [MQTT-3.14.2-1].
            Self::RefusedPublishes => Some(ReasonCode::MessageRateTooHigh),
            Self::PacketBytes => Some(ReasonCode::PacketTooLarge),
            Self::DeliverMessages | Self::DeliverBytes | Self::AllQueueBytes => None,
        }
    }
}

/// What an organization has spent of its rates and of its month.
#[derive(Debug)]
pub(crate) struct Meter {
    connects: Bucket,
    publish_messages: Bucket,
    publish_bytes: Bucket,
    deliver_messages: Bucket,
    deliver_bytes: Bucket,
    /// Messages published this month.
    pub(crate) month_messages: u64,
    /// When each quota may be reported again, and how often it was exceeded up to the last report.
    pub(crate) reported: [(Instant, u64); Quota::COUNT],
}

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            connects: Bucket::new(limits.connects_per_sec.into()),
            publish_messages: Bucket::new(limits.publish_messages_per_sec.into()),
            publish_bytes: Bucket::new(limits.publish_bytes_per_sec),
            deliver_messages: Bucket::new(limits.deliver_messages_per_sec.into()),
            deliver_bytes: Bucket::new(limits.deliver_bytes_per_sec),
            month_messages: 0,
            reported: [(Instant::ZERO, 0); Quota::COUNT],
        }
    }

    pub(crate) fn set_rates(&mut self, limits: &Limits) {
        self.connects.set_rate(limits.connects_per_sec.into());
        self.publish_messages
            .set_rate(limits.publish_messages_per_sec.into());
        self.publish_bytes.set_rate(limits.publish_bytes_per_sec);
        self.deliver_messages
            .set_rate(limits.deliver_messages_per_sec.into());
        self.deliver_bytes.set_rate(limits.deliver_bytes_per_sec);
    }

    /// One more client; if it may come, it is counted.
    pub(crate) fn connect(&mut self, now: Instant) -> bool {
        let may = self.connects.has(1, now);
        if may {
            self.connects.take(1);
        }
        may
    }

    /// One more message of so many payload bytes; if it may pass, it is counted, and if not, nothing is.
    pub(crate) fn publish(&mut self, limits: &Limits, bytes: u64, now: Instant) -> Result<(), Quota> {
        let month = limits.publish_messages_per_month;
        if month > 0 && self.month_messages >= month {
            return Err(Quota::MonthMessages);
        }
        if !self.publish_messages.has(1, now) {
            return Err(Quota::PublishMessages);
        }
        if !self.publish_bytes.has(bytes, now) {
            return Err(Quota::PublishBytes);
        }
        self.publish_messages.take(1);
        self.publish_bytes.take(bytes);
        self.month_messages += 1;
        Ok(())
    }

    /// One more message that no rate may refuse.
    pub(crate) fn publish_anyway(&mut self, bytes: u64, now: Instant) {
        self.publish_messages.take_what_is_there(1, now);
        self.publish_bytes.take_what_is_there(bytes, now);
        self.month_messages += 1;
    }

    /// Whether a message of so many payload bytes may be delivered now; [`Meter::delivered`] counts it.
    pub(crate) fn may_deliver(&mut self, bytes: usize, now: Instant) -> Result<(), Quota> {
        if !self.deliver_messages.has(1, now) {
            return Err(Quota::DeliverMessages);
        }
        if !self.deliver_bytes.has_or_is_full(bytes as u64, now) {
            return Err(Quota::DeliverBytes);
        }
        Ok(())
    }

    pub(crate) const fn delivered(&mut self, bytes: usize) {
        self.deliver_messages.take(1);
        self.deliver_bytes.take(bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn a_quota_has_the_name_of_a_limit_and_its_place_in_the_list() {
        let limits = format!("{:?}", Limits::default());
        for (at, quota) in Quota::ALL.into_iter().enumerate() {
            assert_eq!(quota.index(), at);
            assert!(
                limits.contains(&format!(" {}: ", quota.name())),
                "{}",
                quota.name()
            );
        }
    }

    #[test]
    fn a_refused_message_takes_nothing_of_either_rate() {
        let limits = Limits {
            publish_messages_per_sec: 2,
            publish_bytes_per_sec: 100,
            ..Limits::default()
        };
        let mut meter = Meter::new(&limits);
        assert_eq!(meter.publish(&limits, 90, Instant::ZERO), Ok(()));
        for _ in 0..5 {
            assert_eq!(
                meter.publish(&limits, 20, Instant::ZERO),
                Err(Quota::PublishBytes)
            );
        }
        assert_eq!(meter.publish(&limits, 10, Instant::ZERO), Ok(()));
        assert_eq!(
            meter.publish(&limits, 0, Instant::ZERO),
            Err(Quota::PublishMessages)
        );
        assert_eq!(meter.month_messages, 2);
    }
}
