//! Retained messages for a new subscription: each matching topic once, with what is retained when its turn comes.

use std::collections::{BTreeMap, BTreeSet};

use cloudsignal_core::{Instant, Qos, TopicFilter, TopicName};

use crate::model::{Keep, SessionKey};

/// What one SUBSCRIBE to one filter is owed.
#[derive(Clone, Debug)]
pub(crate) struct Handout {
    pub(crate) session: SessionKey,
    pub(crate) filter: String,
    /// What was granted.
    pub(crate) qos: Qos,
    pub(crate) id: Option<u32>,
    /// Topics that must be handed out, with what was retained when the subscription was made.
    pub(crate) due: BTreeMap<String, Keep>,
    /// Unsubscribed, or asked for anew.
    pub(crate) is_over: bool,
    /// Messages whose delivery has begun, and when they may expire: they come even when the walk is over.
    /// [MQTT-3.10.4-3]
    pub(crate) begun: BTreeMap<usize, BTreeSet<Instant>>,
}

impl Handout {
    pub(crate) fn new(
        session: SessionKey,
        filter: &str,
        qos: Qos,
        id: Option<u32>,
        due: BTreeMap<String, Keep>,
    ) -> Self {
        Self {
            session,
            filter: filter.to_owned(),
            qos,
            id,
            due,
            is_over: false,
            begun: BTreeMap::new(),
        }
    }

    /// The delivery of a retained message began, perhaps because of this walk.
    pub(crate) fn note_begun(&mut self, topic: &str, number: usize, ends: &[Instant]) {
        let name = TopicName::parse(topic).expect("invariant: a topic of the run");
        let filter = TopicFilter::parse(&self.filter).expect("invariant: a filter of the run");
        if !self.is_over && filter.matches(name) {
            self.begun.entry(number).or_default().extend(ends);
        }
    }

    /// When the message that was begun to be delivered may expire.
    pub(crate) fn begun_ends(&self, number: usize) -> impl Iterator<Item = Instant> {
        self.begun.get(&number).into_iter().flatten().copied()
    }

    /// Whether this walk may hand out what was accepted at `index` under `topic`.
    pub(crate) fn may_give(&self, topic: &str, index: u64) -> bool {
        let name = TopicName::parse(topic).expect("invariant: a topic of the run");
        let filter = TopicFilter::parse(&self.filter).expect("invariant: a filter of the run");
        let is_current = self.due.get(topic).is_none_or(|keep| index >= keep.index);
        !self.is_over && filter.matches(name) && is_current
    }
}
