//! A message for one session, from the moment it waits until the session has it no more.

use alloc::boxed::Box;
use alloc::sync::Arc;

use cloudsignal_core::{Instant, Qos};

use crate::change::{Keeping, Terms};
use crate::message::Message;
use crate::router::{GroupName, Groups};
use crate::session::fan_out::Delivery;
use crate::session::queue::{Facts, NEVER_STORED};
use crate::sink::Ticket;

/// A message that waits for one session, or that it has not acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) message: Arc<Message>,
    /// Which of the session's deliveries it is; 0 at QoS 0, which nobody asks about later.
    pub(crate) order: u64,
    pub(crate) qos: Qos,
    retain: bool,
    /// The shared group it came through.
    pub(crate) group: Option<Arc<GroupName>>,
    ids: Option<Box<[u32]>>,
    keeping: Keeping,
    /// [`Delivery::leaves_after`]
    pub(crate) leaves_after: Ticket,
    pub(crate) queued_at: Instant,
    /// It is stored with this.
    pub(crate) ticket: Ticket,
}

/// A delivery that leaves the session for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) qos: Qos,
    pub(crate) order: u64,
    /// The number of its message, if the store may have that once for several.
    pub(crate) shares: Option<u64>,
}

impl Left {
    /// Its message was needed no more before.
    pub(super) const fn released(order: u64) -> Self {
        Self {
            qos: Qos::ExactlyOnce,
            order,
            shares: None,
        }
    }
}

impl Pending {
    pub(crate) fn new(message: Arc<Message>, order: u64, delivery: &Delivery<'_>, now: Instant) -> Self {
        let ids = (!delivery.ids.is_empty()).then(|| delivery.ids.into());
        Self {
            message,
            order,
            qos: delivery.qos,
            retain: delivery.retain,
            group: delivery.group.map(Arc::clone),
            ids,
            keeping: delivery.keeping,
            leaves_after: delivery.leaves_after,
            queued_at: now,
            ticket: NEVER_STORED,
        }
    }

    /// What was stored comes back.
    pub(crate) fn restored(message: Arc<Message>, order: u64, terms: Terms, groups: &Groups) -> Self {
        Self {
            message,
            order,
            qos: terms.qos,
            retain: terms.retain,
            group: terms.group.map(|filter| groups.name_of(&filter)),
            ids: (!terms.subscription_ids.is_empty()).then_some(terms.subscription_ids),
            keeping: terms.keeping,
            leaves_after: Ticket(0),
            queued_at: terms.queued_at,
            ticket: Ticket(0),
        }
    }

    /// How the session gets it, in words that last.
    pub(crate) fn terms(&self) -> Terms {
        Terms {
            qos: self.qos,
            retain: self.retain,
            subscription_ids: self.ids.clone().unwrap_or_default(),
            group: self.group.as_ref().map(|group| Arc::clone(&group.filter)),
            queued_at: self.queued_at,
            keeping: self.keeping,
        }
    }

    /// What stays known of it when only the store has it.
    pub(crate) fn facts(&self) -> Facts {
        Facts {
            order: self.order,
            bytes: self.message.size(),
            expires_at: self.message.expires_at(),
            queued_at: self.queued_at,
            is_shared: self.group.is_some(),
        }
    }

    /// Its name when it goes.
    pub(crate) fn left(&self) -> Left {
        let shares = match self.keeping {
            Keeping::Together => Some(self.message.number()),
            Keeping::Apart => None,
        };
        Left {
            qos: self.qos,
            order: self.order,
            shares,
        }
    }

    pub(crate) fn delivery(&self) -> Delivery<'_> {
        Delivery {
            qos: self.qos,
            retain: self.retain,
            ids: self.ids.as_deref().unwrap_or(&[]),
            group: self.group.as_ref(),
            keeping: self.keeping,
            leaves_after: self.leaves_after,
        }
    }
}
