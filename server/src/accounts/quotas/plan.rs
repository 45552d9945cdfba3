//! Plans: named sets of quotas.

use serde::{Deserialize, Serialize};

const MIB: u64 = 1_048_576;

/// A named set of quotas. It never allows more than the server's own `limits`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// 10 connections, 100 000 messages a month.
    Free,
    /// 100 connections, 1 000 000 messages a month.
    Pro,
    /// 1 000 connections, 10 000 000 messages a month.
    Business,
    /// What the server allows.
    #[default]
    Unlimited,
}

impl Plan {
    /// Every plan, the smallest first.
    pub const ALL: [Self; 4] = [Self::Free, Self::Pro, Self::Business, Self::Unlimited];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Business => "business",
            Self::Unlimited => "unlimited",
        }
    }

    /// Its quotas by name.
    #[must_use]
    pub fn quotas(self) -> Vec<(&'static str, u64)> {
        let scale = match self {
            Self::Free => 1,
            Self::Pro => 10,
            Self::Business => 100,
            Self::Unlimited => return Vec::new(),
        };
        vec![
            ("connections_max", 10 * scale),
            ("connects_per_sec", 10 * scale),
            ("sessions_max", 50 * scale),
            ("all_subscriptions_max", 1_000 * scale),
            ("wildcard_subscriptions_max", 500 * scale),
            ("publish_messages_per_sec", 50 * scale),
            ("publish_bytes_per_sec", MIB * scale),
            ("publish_messages_per_month", 100_000 * scale),
            ("fan_out_max", 50 * scale),
            ("deliver_messages_per_sec", 500 * scale),
            ("deliver_bytes_per_sec", 4 * MIB * scale),
            ("retained_messages_max", 1_000 * scale),
            ("retained_bytes_max", 10 * MIB * scale),
            ("all_queue_bytes_max", 10 * MIB * scale),
            ("api_calls_per_sec", 20 * scale),
            ("api_key_calls_per_sec", 10 * scale),
            ("api_key_publishes_per_sec", 100 * scale),
            ("api_key_publish_burst", 200 * scale),
        ]
    }
}
