//! What must be stored before an acknowledgement may leave.
//!
//! The machine says what changed; the shell stores the changes of a turn as one group, all or nothing, and then
//! calls [`Org::handle_stored`](crate::Org::handle_stored). A later change of the same thing replaces the earlier
//! one, so a shell that has not written it yet need not. What was stored comes back by
//! [`Restoring`](crate::restore::Restoring).
//!
//! | named by | never used again | what |
//! |---|---|---|
//! | [`SessionName::serial`] | in this organization | a session |
//! | serial and `order` | in this session | one delivery to a session, QoS 1 or 2; rises with every one |
//! | [`Message::number`] | as long as anybody holds it | a message, kept once however many sessions wait for it |

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use cloudsignal_core::{Instant, Qos};

use crate::identity::Identity;
use crate::message::Message;

/// A session, as changes name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionName {
    /// Its number. Never used again, also not after a restart.
    pub serial: u64,
    /// Its client id. A later session may have the same.
    pub client_id: Arc<str>,
}

/// One change of durable state. Sessions that end with their connection never appear here.
#[derive(Clone, Debug)]
pub enum Change {
    /// A persistent session was made, or one of its facts changed.
    Session {
        /// Which one.
        session: SessionName,
        /// Its owner, whose rights it has also while it is away.
        identity: Arc<Identity>,
        /// Seconds it outlives its connection; [`u32::MAX`] for ever; 0: it ends with the connection that it has.
        expiry_secs: u32,
        /// When it ends unless its client comes back; `None` while it is connected or if it never ends.
        ends_at: Option<Instant>,
    },
    /// A session ended; everything stored about it goes.
    SessionEnded {
        /// Which one.
        session: SessionName,
    },
    /// A connected client has left a will, or a will waits for its delay.
    Will {
        /// The session.
        session: SessionName,
        /// Its message, whose expiry begins when it is published.
        message: Arc<Message>,
        /// Seconds from then until it expires.
        expiry_secs: Option<u32>,
        /// Seconds that it waits after the connection has ended.
        delay_secs: u32,
        /// When it is due; `None` while the client is connected.
        due_at: Option<Instant>,
    },
    /// A will was published or taken back.
    WillGone {
        /// The session.
        session: SessionName,
    },
    /// A subscription was made or replaced.
    Subscribed {
        /// The session.
        session: SessionName,
        /// The filter as it was sent.
        filter: Box<str>,
        /// The wire byte of its options, with the QoS that was granted.
        options: u8,
        /// Its subscription identifier.
        subscription_id: Option<u32>,
        /// Whether retained messages have still to be handed out because of it.
        owes_retained: bool,
    },
    /// A subscription was removed.
    Unsubscribed {
        /// The session.
        session: SessionName,
        /// The filter as it was sent.
        filter: Box<str>,
    },
    /// A message is to be delivered to a session. The same message may be delivered to many, and to one session
    /// more than once.
    Queued {
        /// The session.
        session: SessionName,
        /// Which of its deliveries.
        order: u64,
        /// The message; its number identifies it in the store.
        message: Arc<Message>,
        /// How it is delivered.
        terms: Terms,
        /// The packet id under which it is being sent, if it is.
        packet_id: Option<u16>,
    },
    /// A QoS 2 delivery gets a packet id. It leaves once this is stored: after a crash the client must see the same
    /// id again, or it takes the message for another one. [MQTT-4.4.0-1]
    Sent {
        /// The session.
        session: SessionName,
        /// Which of its deliveries.
        order: u64,
        /// The packet id of the exchange.
        packet_id: u16,
    },
    /// A QoS 2 delivery was received by the client (PUBREC): only PUBREL remains to be sent.
    Released {
        /// The session.
        session: SessionName,
        /// Which of its deliveries.
        order: u64,
        /// The packet id of the exchange.
        packet_id: u16,
        /// As in [`Change::Settled`].
        shares: Option<u64>,
    },
    /// A delivery was acknowledged, expired or dropped. Nobody waits for this to be stored.
    Settled {
        /// The session.
        session: SessionName,
        /// Which of its deliveries.
        order: u64,
        /// The number of the message that it needs no more, if that was [`Keeping::Together`] with others.
        shares: Option<u64>,
    },
    /// A QoS 2 publish arrived and must not be routed again.
    Received {
        /// The session.
        session: SessionName,
        /// The packet id of the exchange.
        packet_id: u16,
    },
    /// A QoS 2 exchange from the client ended (PUBREL).
    Completed {
        /// The session.
        session: SessionName,
        /// The packet id of the exchange.
        packet_id: u16,
    },
    /// Numbered publishes of a client have come so far. It replaces what was said before; what came with it in one turn
    /// is stored with it or not at all.
    Numbered {
        /// The session.
        session: SessionName,
        /// How far.
        numbers: PublishNumbers,
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

/// How far the numbered publishes of a client have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishNumbers {
    /// The client counts under this number; under another one it begins anew.
    pub epoch: u64,
    /// The highest number that has come; 0 if none has.
    pub through: u64,
    /// Those up to it that were refused, and of which the client may not have heard: at most as many as it may have
    /// unanswered.
    pub refused: Vec<RefusedPublish>,
}

/// A publish that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedPublish {
    /// Its packet id.
    pub packet_id: u16,
    /// Its number.
    pub sequence: u64,
}

/// Whether the store takes changes, as far as the shell knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// Nothing is stored: queues stay in memory.
    #[default]
    Absent,
    /// It does, or is slow.
    Working,
    /// It has refused some and is tried again: the disk is full, or broken.
    Failing,
}

/// How one session gets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The QoS of the delivery: 1 or 2.
    pub qos: Qos,
    /// Its RETAIN flag.
    pub retain: bool,
    /// Its subscription identifiers.
    pub subscription_ids: Box<[u32]>,
    /// The filter of the shared subscription that it came through, `$share/…` included.
    pub group: Option<Arc<str>>,
    /// When it began to wait.
    pub queued_at: Instant,
    /// With whom the store keeps its message.
    pub keeping: Keeping,
}

/// With whom the store keeps the message of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// All deliveries of one publish are told in one turn: the message may be stored once for all of them.
    Together,
    /// The delivery came later, as that of a retained message or of one that another member of a group left: its
    /// message is stored with it.
    Apart,
}
