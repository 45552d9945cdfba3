//! What one credential is limited to, below what the policy allows its user. A scope only ever narrows.

use alloc::boxed::Box;

use cloudsignal_core::TopicFilter;
use cloudsignal_core::topic::{TopicFilterBuf, TopicName};

use crate::policy::Actions;

/// How many parts a scope may have.
pub const SCOPE_PARTS_MAX: usize = 16;

/// The topics that a credential is good for. A scope without parts allows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// At most [`SCOPE_PARTS_MAX`], in no order that matters.
    pub parts: Box<[ScopePart]>,
}

/// Some topics, and what may be done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopePart {
    /// Which topics; matched as MQTT matches, and never a shared subscription.
    pub filter: TopicFilterBuf,
    /// What the credential may do there.
    pub actions: Actions,
}

impl Scope {
    pub(crate) fn allows_publish(&self, topic: TopicName<'_>) -> bool {
        self.parts
            .iter()
            .any(|part| part.actions.publish && part.filter.as_ref().matches(topic))
    }

    /// One part must hold all of `filter`: what matches it may then be delivered without a question.
    pub(crate) fn allows_subscribe(&self, filter: TopicFilter<'_>) -> bool {
        self.parts
            .iter()
            .any(|part| part.actions.subscribe && part.filter.as_ref().covers(filter))
    }

    pub(crate) fn allows_delivery(&self, topic: TopicName<'_>) -> bool {
        self.parts
            .iter()
            .any(|part| part.actions.subscribe && part.filter.as_ref().matches(topic))
    }
}
