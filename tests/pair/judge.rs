//! What was promised to applications, and what they got.

use std::collections::{BTreeMap, BTreeSet};

use cloudsignal_core::Qos;

/// Names a message: who published it, and which of his it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) peer: usize,
    pub(crate) number: u64,
}

#[derive(Debug)]
struct Promise {
    qos: Qos,
    /// Its publisher was told that it is safe, or did not die before it was.
    is_safe: bool,
    /// The publisher gave it up by its own rules.
    is_given_up: bool,
}

/// Keeps the books.
#[derive(Debug)]
pub(crate) struct Judge {
    promises: BTreeMap<Key, Promise>,
    /// By receiver: how often, and in which order for the first time.
    arrivals: Vec<BTreeMap<Key, u32>>,
    order: Vec<Vec<Key>>,
    /// By receiver: what may come again, because its process died before it could remember.
    pardoned: Vec<BTreeSet<Key>>,
    /// Whether QoS 1 may not arrive twice either.
    pub(crate) is_numbered: bool,
    pub(crate) repeated: u64,
    pub(crate) keeps_lines: bool,
}

impl Judge {
    pub(crate) fn new(peers: usize) -> Self {
        Self {
            promises: BTreeMap::new(),
            arrivals: vec![BTreeMap::new(); peers],
            order: vec![Vec::new(); peers],
            pardoned: vec![BTreeSet::new(); peers],
            is_numbered: true,
            repeated: 0,
            keeps_lines: false,
        }
    }

    pub(crate) fn published(&mut self, message: Key, qos: Qos) {
        if self.keeps_lines {
            println!("             published: {message:?} {qos:?}");
        }
        let promise = Promise {
            qos,
            is_safe: false,
            is_given_up: false,
        };
        self.promises.insert(message, promise);
    }

    /// It survives whatever happens from now on.
    pub(crate) fn safe(&mut self, message: Key) {
        if let Some(promise) = self.promises.get_mut(&message) {
            promise.is_safe = true;
        }
    }

    pub(crate) fn given_up(&mut self, message: Key) {
        if let Some(promise) = self.promises.get_mut(&message) {
            promise.is_given_up = true;
        }
    }

    pub(crate) fn arrived(&mut self, receiver: usize, message: Key) {
        if self.keeps_lines {
            println!("             {receiver} gets {message:?}");
        }
        let count = self.arrivals[receiver].entry(message).or_default();
        *count += 1;
        if *count == 1 {
            self.order[receiver].push(message);
        } else {
            self.repeated += 1;
        }
    }

    /// The receiver's process has died and does not know that it got these.
    pub(crate) fn pardon(&mut self, receiver: usize, messages: impl IntoIterator<Item = Key>) {
        self.pardoned[receiver].extend(messages);
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.order.iter().map(|order| order.len() as u64).sum()
    }

    pub(crate) fn verdict(&self) -> Option<String> {
        (0..self.arrivals.len())
            .find_map(|receiver| self.missing(receiver).or_else(|| self.disorder(receiver)))
    }

    fn missing(&self, receiver: usize) -> Option<String> {
        for (message, promise) in &self.promises {
            let count = self.arrivals[receiver].get(message).copied().unwrap_or(0);
            if count == 0 && promise.is_safe && !promise.is_given_up {
                return Some(format!("lost: {message:?} for {receiver}, {promise:?}"));
            }
            let is_exact = self.is_numbered || promise.qos == Qos::ExactlyOnce;
            if count > 1 && is_exact && !self.pardoned[receiver].contains(message) {
                return Some(format!("twice: {message:?} for {receiver}, {promise:?}"));
            }
        }
        None
    }

    /// Messages of one publisher arrive in the order in which they were published [MQTT-4.6.0-1].
    fn disorder(&self, receiver: usize) -> Option<String> {
        let mut last: BTreeMap<usize, u64> = BTreeMap::new();
        for message in &self.order[receiver] {
            let before = last.insert(message.peer, message.number).unwrap_or(0);
            if before > message.number {
                return Some(format!("order: {message:?} after {before} for {receiver}"));
            }
        }
        None
    }
}
