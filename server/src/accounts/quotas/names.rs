//! Every quota by its name: what it counts, and where it is kept.

use super::Allowance;

/// What a quota of 0 means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    /// Nothing is allowed.
    Nothing,
    /// There is no limit: so it is with everything that is counted by time.
    NoLimit,
}

/// A quota that plans and operators set.
#[derive(Clone, Copy)]
pub struct QuotaName {
    /// Its name.
    pub name: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// What 0 means.
    pub zero: Zero,
    /// The largest value that can be set.
    pub max: u64,
    /// Reads it.
    pub read: fn(&Allowance) -> u64,
    pub(super) write: fn(&mut Allowance, u64),
}

impl std::fmt::Debug for QuotaName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The largest number that every reader of JSON gets right.
const NUMBER_MAX: u64 = (1 << 53) - 1;

macro_rules! quota {
    ($name:literal, $($field:ident).+, $zero:ident, $unit:literal, $max:expr) => {
        QuotaName {
            name: $name,
            unit: $unit,
            zero: Zero::$zero,
            max: $max,
            read: |allowance| allowance.$($field).+.try_into().unwrap_or(u64::MAX),
            write: |allowance, value| {
                allowance.$($field).+ = value.try_into().expect("invariant: checked against its bound");
            },
        }
    };
}

const U32: u64 = u32::MAX as u64;

/// Every quota, in the order in which they are shown.
pub const QUOTAS: &[QuotaName] = &[
    quota!(
        "connections_max",
        limits.connections_max,
        Nothing,
        "connections",
        U32
    ),
    quota!(
        "connects_per_sec",
        limits.connects_per_sec,
        NoLimit,
        "connects per second",
        U32
    ),
    quota!("sessions_max", limits.sessions_max, Nothing, "sessions", U32),
    quota!(
        "subscriptions_max",
        limits.subscriptions_max,
        Nothing,
        "subscriptions of one session",
        U32
    ),
    quota!(
        "all_subscriptions_max",
        limits.all_subscriptions_max,
        Nothing,
        "subscriptions",
        U32
    ),
    quota!(
        "wildcard_subscriptions_max",
        limits.wildcard_subscriptions_max,
        Nothing,
        "subscriptions",
        U32
    ),
    quota!(
        "publish_messages_per_sec",
        limits.publish_messages_per_sec,
        NoLimit,
        "messages per second",
        U32
    ),
    quota!(
        "publish_bytes_per_sec",
        limits.publish_bytes_per_sec,
        NoLimit,
        "bytes per second",
        NUMBER_MAX
    ),
    quota!(
        "publish_messages_per_month",
        limits.publish_messages_per_month,
        NoLimit,
        "messages per month",
        NUMBER_MAX
    ),
    quota!(
        "refused_publishes_per_sec",
        limits.refused_publishes_per_sec,
        NoLimit,
        "messages per second of one client",
        U32
    ),
    quota!(
        "payload_bytes_max",
        limits.payload_bytes_max,
        Nothing,
        "bytes",
        U32
    ),
    quota!("fan_out_max", limits.fan_out_max, Nothing, "sessions", U32),
    quota!(
        "deliver_messages_per_sec",
        limits.deliver_messages_per_sec,
        NoLimit,
        "messages per second",
        U32
    ),
    quota!(
        "deliver_bytes_per_sec",
        limits.deliver_bytes_per_sec,
        NoLimit,
        "bytes per second",
        NUMBER_MAX
    ),
    quota!(
        "retained_messages_max",
        limits.retained_messages_max,
        Nothing,
        "messages",
        NUMBER_MAX
    ),
    quota!(
        "retained_bytes_max",
        limits.retained_bytes_max,
        Nothing,
        "bytes",
        NUMBER_MAX
    ),
    quota!(
        "all_queue_bytes_max",
        limits.all_queue_bytes_max,
        Nothing,
        "bytes",
        NUMBER_MAX
    ),
    quota!(
        "queue_messages_max",
        limits.queue_messages_max,
        Nothing,
        "messages of one session",
        NUMBER_MAX
    ),
    quota!(
        "queue_bytes_max",
        limits.queue_bytes_max,
        Nothing,
        "bytes of one session",
        NUMBER_MAX
    ),
    quota!(
        "queue_age_secs_max",
        limits.queue_age_secs_max,
        NoLimit,
        "seconds",
        U32
    ),
    quota!(
        "session_expiry_secs_max",
        limits.session_expiry_secs_max,
        Nothing,
        "seconds",
        U32
    ),
    quota!(
        "api_calls_per_sec",
        api_calls_per_sec,
        NoLimit,
        "calls per second",
        U32
    ),
    quota!(
        "api_key_calls_per_sec",
        api_key_calls_per_sec,
        NoLimit,
        "calls per second of one key",
        U32
    ),
    quota!(
        "api_key_publishes_per_sec",
        api_key_publishes_per_sec,
        NoLimit,
        "messages per second of one key or token",
        U32
    ),
    quota!(
        "api_key_publish_burst",
        api_key_publish_burst,
        Nothing,
        "messages in one go of one key or token",
        U32
    ),
];

/// The quota with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static QuotaName> {
    QUOTAS.iter().find(|quota| quota.name == name)
}

impl QuotaName {
    /// The value, or that there is no limit.
    #[must_use]
    pub fn limit(&self, allowance: &Allowance) -> Option<u64> {
        let value = (self.read)(allowance);
        (value > 0 || self.zero == Zero::Nothing).then_some(value)
    }

    /// Lowers the quota to `value`, unless it is lower already.
    pub(super) fn narrow(&self, allowance: &mut Allowance, value: u64) {
        if self.limit(allowance).is_none_or(|known| value < known) {
            (self.write)(allowance, value);
        }
    }
}
