//! What the bounds of an organization let in, counted as their documentation says.

use std::collections::BTreeSet;

use cloudsignal_core::{Duration, Instant};

use super::session::{Conn, Session};
use super::{Model, SessionKey};

const MICROS_PER_SEC: u128 = 1_000_000;

/// So much per second, and a second's worth may come at once. 0 is no limit.
#[derive(Clone, Debug)]
pub(crate) struct Credit {
    per_sec: u128,
    /// What is saved, in millionths.
    saved: u128,
    at: Instant,
}

impl Credit {
    pub(crate) fn new(per_sec: u32) -> Self {
        let per_sec = u128::from(per_sec);
        Self {
            per_sec,
            saved: per_sec * MICROS_PER_SEC,
            at: Instant::ZERO,
        }
    }

    /// One more, if it may be.
    pub(crate) fn spend(&mut self, now: Instant) -> bool {
        if self.per_sec == 0 {
            return true;
        }
        let brought = now.since(self.at).as_micros().saturating_mul(self.per_sec);
        self.at = self.at.max(now);
        self.saved = self
            .saved
            .saturating_add(brought)
            .min(self.per_sec * MICROS_PER_SEC);
        let left = self.saved.checked_sub(MICROS_PER_SEC);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }
}

impl Conn {
    /// A rate refused a publish. Answers whether that is one too many within a second.
    pub(crate) fn refuse(&mut self, per_sec_max: u32, now: Instant) -> bool {
        let (count, since) = &mut self.refused;
        if now.since(*since) >= Duration::from_secs(1) {
            (*count, *since) = (0, now);
        }
        *count += 1;
        per_sec_max > 0 && *count > per_sec_max
    }
}

impl Model {
    /// How many sessions and shared groups a message would reach.
    pub(crate) fn fan_out(&self, publisher: SessionKey, topic: &str) -> usize {
        let is_reached = |session: &&Session| {
            let is_own = session.key == publisher;
            let mut matching = session.matching(topic);
            matching.any(|subscription| !(is_own && subscription.no_local))
                && session.may_receive(&self.policy, topic)
        };
        let shared = self
            .sessions
            .values()
            .flat_map(|session| session.matching_shared(topic));
        let groups: BTreeSet<&str> = shared.map(|(filter, _)| filter).collect();
        self.sessions.values().filter(is_reached).count() + groups.len()
    }

    /// Whether there may be one subscription more in the organization.
    pub(crate) fn has_room_for(&self, filter: &str) -> bool {
        let all = || {
            self.sessions
                .values()
                .flat_map(|session| session.subscriptions.keys())
        };
        let is_wild = |filter: &str| filter.contains(['+', '#']);
        let wild = all().filter(|filter| is_wild(filter)).count();
        let limits = &self.limits;
        all().count() < limits.all_subscriptions_max as usize
            && (!is_wild(filter) || wild < limits.wildcard_subscriptions_max as usize)
    }
}
