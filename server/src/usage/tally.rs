//! What was used in a stretch of time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use cloudsignal_broker::Quota;
use cloudsignal_broker::counters::Counters;
use cloudsignal_broker::sink::DropReason;

/// Messages and their payload bytes that went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Flow {
    /// Messages.
    pub(crate) messages: u64,
    /// Payload bytes of these.
    pub(crate) bytes: u64,
}

/// What an organization used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Tally {
    /// Published by clients, by wills and over HTTP, and neither forbidden nor beyond a quota.
    #[serde(rename = "in")]
    pub(crate) inward: Flow,
    /// Delivered to clients; what is sent again counts again.
    #[serde(rename = "out")]
    pub(crate) outward: Flow,
    /// Clients that came in.
    pub(crate) connects: u64,
    /// Clients that were refused after they had logged in.
    pub(crate) connects_refused: u64,
    /// The most connections at once.
    pub(crate) connections_peak: u64,
    /// Calls of the HTTP API with a key of the organization.
    pub(crate) api_calls: u64,
    /// Messages that did not arrive, by reason. Reasons that did not occur are left out.
    pub(crate) dropped: BTreeMap<String, u64>,
    /// How often a quota was exceeded, by its name. Quotas that were not are left out.
    pub(crate) exceeded: BTreeMap<String, u64>,
}

impl Tally {
    /// What was counted between two looks at the same counters.
    pub(crate) fn between(before: &Counters, after: &Counters) -> Self {
        let rise = |read: fn(&Counters) -> u64| read(after).saturating_sub(read(before));
        let sent = |counters: &Counters| counters.messages_sent.iter().sum::<u64>();
        Self {
            inward: Flow {
                messages: rise(|it| it.messages_published),
                bytes: rise(|it| it.bytes_published),
            },
            outward: Flow {
                messages: sent(after).saturating_sub(sent(before)),
                bytes: rise(|it| it.bytes_sent),
            },
            connects: rise(|it| it.connects),
            connects_refused: rise(|it| it.connects_refused),
            connections_peak: after.connections_peak,
            api_calls: 0,
            dropped: named(DropReason::ALL.into_iter().map(|reason| {
                let at = reason.index();
                (
                    reason.name(),
                    after.dropped[at].saturating_sub(before.dropped[at]),
                )
            })),
            exceeded: named(Quota::ALL.into_iter().map(|quota| {
                let at = quota.index();
                (
                    quota.name(),
                    after.exceeded[at].saturating_sub(before.exceeded[at]),
                )
            })),
        }
    }

    /// Adds another stretch of time.
    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            inward,
            outward,
            connects,
            connects_refused,
            connections_peak,
            api_calls,
            dropped,
            exceeded,
        } = other;
        self.inward.add(*inward);
        self.outward.add(*outward);
        self.connects += connects;
        self.connects_refused += connects_refused;
        self.connections_peak = self.connections_peak.max(*connections_peak);
        self.api_calls += api_calls;
        add_named(&mut self.dropped, dropped);
        add_named(&mut self.exceeded, exceeded);
    }
}

impl Flow {
    const fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

fn named(counts: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<String, u64> {
    counts
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

fn add_named(sums: &mut BTreeMap<String, u64>, counts: &BTreeMap<String, u64>) {
    for (name, count) in counts {
        *sums.entry(name.clone()).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_the_difference_of_two_looks_and_tallies_add_up() {
        let before = Counters {
            messages_published: 5,
            messages_sent: [1, 2, 3],
            ..Counters::default()
        };
        let mut after = before.clone();
        after.messages_published = 8;
        after.messages_sent = [1, 5, 4];
        after.connections_peak = 4;
        after.dropped[DropReason::PublishQuota.index()] = 7;
        after.exceeded[Quota::PublishMessages.index()] = 7;
        let tally = Tally::between(&before, &after);
        assert_eq!((tally.inward.messages, tally.outward.messages), (3, 4));
        assert_eq!(tally.dropped, [("publish_quota".to_owned(), 7)].into());
        let mut sum = tally.clone();
        sum.add(&tally);
        assert_eq!((sum.inward.messages, sum.connections_peak), (6, 4));
        assert_eq!(sum.exceeded["publish_messages_per_sec"], 14);
    }

    #[test]
    fn a_stored_tally_of_an_older_program_can_be_read() {
        let tally: Tally = serde_json::from_str(r#"{"in":{"messages":3,"bytes":4}}"#).unwrap();
        assert_eq!(
            tally.inward,
            Flow {
                messages: 3,
                bytes: 4
            }
        );
    }
}
