//! What a run did: a run in which little happens proves little.

use std::fmt;

/// How often something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) operations: u64,
    pub(crate) logins: u64,
    pub(crate) resumed: u64,
    pub(crate) takeovers: u64,
    pub(crate) full: u64,
    pub(crate) publishes: u64,
    pub(crate) over_quota: u64,
    pub(crate) subscriptions: u64,
    pub(crate) messages: u64,
    pub(crate) retained: u64,
    pub(crate) wills: u64,
    pub(crate) statistics: u64,
    pub(crate) shown: u64,
    pub(crate) renewed: u64,
    pub(crate) intrusions: u64,
    pub(crate) other_spellings: u64,
    pub(crate) http_publishes: u64,
    pub(crate) requests: u64,
    pub(crate) foreign_requests: u64,
    pub(crate) rounds: u64,
    pub(crate) portraits: u64,
}

impl Tally {
    /// Every number with its name.
    pub(crate) const fn all(&self) -> [(&'static str, u64); 21] {
        [
            ("operations", self.operations),
            ("logins", self.logins),
            ("sessions resumed", self.resumed),
            ("sessions taken over", self.takeovers),
            ("logins beyond connections_max", self.full),
            ("publishes", self.publishes),
            ("publishes beyond the quota", self.over_quota),
            ("subscriptions", self.subscriptions),
            ("messages delivered", self.messages),
            ("of them retained", self.retained),
            ("of them wills", self.wills),
            ("of them $SYS", self.statistics),
            ("tokens shown by AUTH", self.shown),
            ("of them good", self.renewed),
            ("logins with another organization's credential", self.intrusions),
            ("logins with ids spelled in other ways", self.other_spellings),
            ("publishes over HTTP", self.http_publishes),
            ("requests", self.requests),
            (
                "requests with another organization's credential",
                self.foreign_requests,
            ),
            ("times that time passed", self.rounds),
            ("organizations found as they were left", self.portraits),
        ]
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, number) in self.all() {
            writeln!(f, "{number:>12} {name}")?;
        }
        Ok(())
    }
}
