//! What can be wrong with a broker, and its story.

use std::fmt;

/// A broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Acknowledged to its publisher, and never came to a subscription that was there before it was sent.
    Lost,
    /// QoS 2, and came twice.
    Duplicate,
    /// Came for the first time after a later one of its publisher and topic.
    OutOfOrder,
    /// A retained value that is neither the last acknowledged write nor a later one.
    Retained,
    /// A session that had been agreed on in CONNACK was gone.
    Session,
    /// The session was there, its subscription was not.
    Subscription,
    /// A message came by a subscription whose end had been acknowledged before it was sent.
    Ghost,
    /// A write over the HTTP API was answered with success and is gone.
    Directory,
    /// Bytes or packets that a broker does not send.
    Protocol,
    /// A client waits for an answer that never comes.
    Stuck,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::Lost,
        Self::Duplicate,
        Self::OutOfOrder,
        Self::Retained,
        Self::Session,
        Self::Subscription,
        Self::Ghost,
        Self::Directory,
        Self::Protocol,
        Self::Stuck,
    ];

    /// What the report calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Lost => "messages lost",
            Self::Duplicate => "QoS 2 duplicates",
            Self::OutOfOrder => "out of order",
            Self::Retained => "retained wrong",
            Self::Session => "sessions lost",
            Self::Subscription => "subscriptions lost",
            Self::Ghost => "subscriptions come back",
            Self::Directory => "API writes lost",
            Self::Protocol => "protocol errors",
            Self::Stuck => "clients stuck",
        }
    }
}

/// One broken promise with its story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) story: String,
}

/// All of them. Counts everything, keeps the first stories of each kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    counts: [u64; Kind::ALL.len()],
    stories: Vec<Fault>,
}

/// Stories that are kept of one kind.
const STORIES_MAX: u64 = 50;

impl Faults {
    pub(crate) fn add(&mut self, kind: Kind, story: impl FnOnce() -> String) {
        let count = &mut self.counts[kind as usize];
        *count += 1;
        if *count <= STORIES_MAX {
            self.stories.push(Fault { kind, story: story() });
        }
    }

    pub(crate) const fn count(&self, kind: Kind) -> u64 {
        self.counts[kind as usize]
    }

    pub(crate) fn stories(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let told = self.stories.iter().filter(move |fault| fault.kind == kind);
        told.map(|fault| fault.story.as_str())
    }

    /// The kinds that there are any of.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        Kind::ALL
            .into_iter()
            .filter(|&kind| self.count(kind) > 0)
            .collect()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kind in Kind::ALL {
            for story in self.stories(kind) {
                writeln!(f, "  {}: {story}", kind.name())?;
            }
            if self.count(kind) > STORIES_MAX {
                let more = self.count(kind) - STORIES_MAX;
                writeln!(f, "  {}: and {more} more", kind.name())?;
            }
        }
        Ok(())
    }
}
