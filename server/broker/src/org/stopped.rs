//! Why a message does not go on.

use cloudsignal_core::codec::ReasonCode;

use crate::authz::Denied;
use crate::quota::Quota;
use crate::sink::{DropReason, Sink};
use crate::turn::Turn;

/// A message that does not go on, and what its publisher is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopped {
    pub(super) reason: ReasonCode,
    pub(super) dropped: DropReason,
    /// The quota that it ran into, if it was one.
    pub(super) quota: Option<Quota>,
}

impl From<Denied> for Stopped {
    fn from(denied: Denied) -> Self {
        Self::without_quota(denied.reason(), DropReason::PublishDenied)
    }
}

impl Stopped {
    pub(super) const fn without_quota(reason: ReasonCode, dropped: DropReason) -> Self {
        Self {
            reason,
            dropped,
            quota: None,
        }
    }

    pub(super) const fn by(quota: Quota, dropped: DropReason) -> Self {
        Self {
            reason: ReasonCode::QuotaExceeded,
            dropped,
            quota: Some(quota),
        }
    }

    pub(super) fn count<S: Sink>(self, mut turn: Turn<'_, S>, client_id: &str) {
        turn.desk.counters.drop_one(self.dropped);
        if let Some(quota) = self.quota {
            turn.exceeded(quota, client_id);
        }
    }
}
