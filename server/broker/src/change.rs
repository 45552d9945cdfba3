//! What must be stored before an acknowledgement may leave.
//!
//! The machine says what changed; the shell stores the changes of a turn as one group and then
//! calls [`Org::handle_stored`](crate::Org::handle_stored). Messages are named by their number, so a
//! store keeps each one once, however many sessions wait for it.

use alloc::boxed::Box;
use alloc::sync::Arc;

use cloudsignal_core::Qos;

use crate::message::Message;

/// One change of durable state. Sessions that end with their connection never appear here.
#[derive(Clone, Debug)]
pub enum Change {
    /// A persistent session was made, or one of its facts changed.
    Session {
        /// The session's client id.
        client_id: Arc<str>,
        /// Its owner.
        principal: Arc<str>,
        /// Seconds it outlives its connection; [`u32::MAX`] for ever.
        expiry_secs: u32,
    },
    /// A session ended; everything stored about it goes.
    SessionEnded {
        /// The session's client id.
        client_id: Arc<str>,
    },
    /// A subscription was made or replaced.
    Subscribed {
        /// The session's client id.
        client_id: Arc<str>,
        /// The filter as it was sent.
        filter: Box<str>,
        /// The wire byte of its options.
        options: u8,
        /// Its subscription identifier.
        subscription_id: Option<u32>,
    },
    /// A subscription was removed.
    Unsubscribed {
        /// The session's client id.
        client_id: Arc<str>,
        /// The filter as it was sent.
        filter: Box<str>,
    },
    /// A message was queued for a session. The same message may be queued for many.
    Queued {
        /// The session's client id.
        client_id: Arc<str>,
        /// The message; its number identifies it in the store.
        message: Arc<Message>,
        /// The QoS it will be delivered at.
        qos: Qos,
    },
    /// A queued message was acknowledged, expired or dropped.
    Settled {
        /// The session's client id.
        client_id: Arc<str>,
        /// The message's number.
        number: u64,
    },
    /// A QoS 2 delivery was received by the client (PUBREC): only PUBREL remains to be sent.
    Released {
        /// The session's client id.
        client_id: Arc<str>,
        /// The message's number.
        number: u64,
        /// The packet id of the exchange.
        packet_id: u16,
    },
    /// A QoS 2 publish arrived and must not be routed again.
    Received {
        /// The session's client id.
        client_id: Arc<str>,
        /// The packet id of the exchange.
        packet_id: u16,
    },
    /// A QoS 2 exchange from the client ended (PUBREL).
    Completed {
        /// The session's client id.
        client_id: Arc<str>,
        /// The packet id of the exchange.
        packet_id: u16,
    },
    /// A retained message was set.
    Retained {
        /// The message, its topic included.
        message: Arc<Message>,
    },
    /// A retained message was cleared.
    RetainedCleared {
        /// Its topic.
        topic: Box<str>,
    },
}
