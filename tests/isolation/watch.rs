//! What must not move: organizations that sleep are found as they were left, and what the broker tells about itself
//! is about one organization only.

use cloudsignal_broker::counters::Counters;

use crate::intruder::EVERYBODY;
use crate::leaks::Leak;
use crate::world::World;

/// Sleeping organizations whose accounts are looked at too, in a round.
const ACCOUNTS_LOOKED_AT: usize = 2;

/// Everything that can be seen of an organization from outside of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Portrait {
    org: usize,
    counters: Option<Counters>,
    accounts: Vec<String>,
}

impl World {
    /// How the sleepers look.
    pub(crate) fn portraits(&mut self) -> Vec<Portrait> {
        let sleepers: Vec<_> = self.sleepers.iter().copied().enumerate().collect();
        let portraits = sleepers.into_iter().map(|(at, org)| Portrait {
            org,
            counters: self.bench.broker.counters(&self.ids[org]),
            accounts: if at < ACCOUNTS_LOOKED_AT {
                self.accounts_of(org)
            } else {
                Vec::new()
            },
        });
        portraits.collect()
    }

    /// The sleepers look as they did.
    pub(crate) fn compare_portraits(&mut self, before: &[Portrait]) {
        let after = self.portraits();
        for (before, after) in before.iter().zip(&after) {
            self.judge.unmoved(before.org, before, after);
            self.tally.portraits += 1;
        }
    }

    /// `$SYS` tells no more than the organization itself has caused.
    pub(crate) fn note_statistics(&mut self, org: usize, topic: &str, payload: &[u8]) {
        let text = std::str::from_utf8(payload).unwrap_or_default();
        let Ok(mut told) = text.parse::<u64>() else {
            let what = format!("{org}: {topic} is {text:?}");
            return self.judge.accuse("statistics", what);
        };
        if self.leak == Some(Leak::Statistics) {
            told = told * 50 + 1_000;
        }
        let clients = (self.orgs[org].slots.len() + EVERYBODY.len()) as u64;
        let sent = self.orgs[org].sent;
        let most = match topic.strip_prefix("$SYS/broker/") {
            Some("clients/connected" | "clients/total") => clients,
            Some("messages/received") => sent.messages,
            Some("bytes/received") => sent.bytes,
            _ => return,
        };
        if told > most {
            let what = format!("{org}: {topic} is {told}, and it caused {most}");
            self.judge.accuse("statistics", what);
        }
    }
}
