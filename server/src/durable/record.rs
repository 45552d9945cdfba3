//! Bytes of stored state. The first byte of every record is the version of the layout; an unknown one is refused.
//!
//! Numbers are big-endian. A text or a run of bytes has its length in front, as u32. Moments are those of the wall
//! clock, in microseconds since 1970, 0 for none: [`Instant`] means nothing in another process.

mod reader;
mod writer;

use std::sync::Arc;

use bytes::TryGetError;

use cloudsignal_broker::change::Terms;
use cloudsignal_broker::{Identity, Message};
use cloudsignal_core::Instant;

use super::keys::{QueueKey, parse_queue};
use crate::clock::Clock;

pub(super) use reader::Reader;
pub(super) use writer::Writer;

/// The layout that this program writes.
pub(super) const FORMAT_VERSION: u8 = 1;

/// Kinds of deliveries. Stored: never change a number. Those that are undated are read and not written any more.
const INLINE_UNDATED: u8 = 1;
const SHARED_UNDATED: u8 = 2;
const RELEASED: u8 = 3;
const INLINE: u8 = 4;
const SHARED: u8 = 5;

/// Why a record cannot be used. It is never guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    /// A newer program wrote it.
    #[error("stored in format {0}, and this program knows format {FORMAT_VERSION}")]
    UnknownVersion(u8),
    /// Fewer bytes than the layout has.
    #[error("it ends too soon")]
    Short,
    /// More bytes than the layout has.
    #[error("bytes follow its end")]
    Long,
    /// A value that the layout does not have.
    #[error("{0} is not valid")]
    Bad(&'static str),
}

impl From<TryGetError> for Damage {
    fn from(_: TryGetError) -> Self {
        Self::Short
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionRecord {
    pub(super) client_id: Arc<str>,
    pub(super) identity: Arc<Identity>,
    pub(super) expiry_secs: u32,
    pub(super) ends_at: Option<Instant>,
}

/// A subscription, beside its filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SubscriptionRecord {
    pub(super) options: u8,
    pub(super) subscription_id: Option<u32>,
    pub(super) owes_retained: bool,
}

/// A will.
#[derive(Clone, Debug)]
pub(super) struct WillRecord {
    pub(super) message: Arc<Message>,
    pub(super) expiry_secs: Option<u32>,
    pub(super) delay_secs: u32,
    pub(super) due_at: Option<Instant>,
}

/// A delivery.
#[derive(Clone, Debug)]
pub(super) enum DeliveryRecord<M> {
    /// It is waiting, or being sent.
    Queued {
        message: M,
        terms: Terms,
        packet_id: Option<u16>,
    },
    /// Only PUBREL remains to be sent.
    Released { packet_id: u16 },
}

/// Where the message of a delivery is.
#[derive(Clone, Debug)]
pub(super) enum MessagePlace {
    /// In the delivery's own record.
    Inline(Arc<Message>),
    /// On the shelf of messages, under its number.
    Shared(u64),
}

/// The number of the message that an entry of a queue shares with others, if it is a delivery that does.
pub(super) fn shared_message(key: &[u8], value: &[u8], clock: &Clock) -> Option<u64> {
    let Some(QueueKey::Delivery(_)) = parse_queue(key) else {
        return None;
    };
    match Reader::new(value, clock).ok()?.delivery().ok()? {
        DeliveryRecord::Queued {
            message: MessagePlace::Shared(number),
            ..
        } => Some(number),
        DeliveryRecord::Queued {
            message: MessagePlace::Inline(_),
            ..
        }
        | DeliveryRecord::Released { .. } => None,
    }
}
