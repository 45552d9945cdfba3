//! The closed list of effects: everything the broker may ask of whoever runs it.

use alloc::sync::Arc;
use core::fmt;

use cloudsignal_core::codec::ReasonCode;
use cloudsignal_core::{Instant, Version};

use crate::change::Change;
use crate::fetch::Fetch;
use crate::message::Message;
use crate::quota::Quota;
use crate::session::Traffic;

/// A connection of one organization, as the shell numbers them: small and reused.
///
/// The shell chooses the number before [`Org::handle_connect`](crate::Org::handle_connect) and may
/// reuse it after [`Org::handle_closed`](crate::Org::handle_closed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

/// A group of changes that are stored together. Rises by one with every group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Where an [`Org`](crate::Org) writes its effects.
///
/// The bytes of one connection must leave in the order in which they were given.
pub trait Sink {
    /// Appends `bytes` to what `conn` will send. Answers how many bytes are waiting to leave now.
    fn send(&mut self, conn: ConnId, bytes: &[u8]) -> usize;

    /// Appends `head` and then the payload of `message`, which need not be copied.
    /// Answers how many bytes are waiting to leave now.
    fn send_shared(&mut self, conn: ConnId, head: &[u8], message: &Arc<Message>) -> usize;

    /// Nothing more will be sent to `conn`: flush what waits, then close the transport.
    fn close(&mut self, conn: ConnId, cause: CloseCause);

    /// The client of `conn` shows the password of a token to go on with. Check it, and bring the answer by
    /// [`Org::handle_verified`](crate::Org::handle_verified). At most one question per connection is open.
    fn verify(&mut self, conn: ConnId, token: &[u8]);

    /// Nothing more is to be read from `conn` until `until`, which is at most half a second away: it publishes what
    /// a rate refuses. What was read already is handled as always, and answers leave at once. A sink that does not
    /// read may ignore it.
    fn rest(&mut self, conn: ConnId, until: Instant) {
        let _ = (conn, until);
    }

    /// Whether `conn` is being read as far as what it sends allows. Silence of a client that nobody listens to, because
    /// the store has to catch up, is not its own.
    fn listens(&self, conn: ConnId) -> bool {
        let _ = conn;
        true
    }

    /// A change that must be stored before [`Org::handle_stored`](crate::Org::handle_stored) is
    /// called with the ticket that [`Org::seal`](crate::Org::seal) gives at the end of the turn.
    fn store(&mut self, change: Change);

    /// What comes next in a queue is only in the store: read it, and bring the answer by
    /// [`Org::handle_fetched`](crate::Org::handle_fetched). At most one question per session is worth an answer.
    fn fetch(&mut self, fetch: Fetch);

    /// Something an operator or an audit trail wants to know.
    fn report(&mut self, report: Report<'_>);

    /// A message was routed here; nodes with interested peers want it too. One node ignores it.
    fn forward(&mut self, message: &Arc<Message>) {
        let _ = message;
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCause {
    /// The client said goodbye with DISCONNECT.
    Client,
    /// The client's will was asked for by DISCONNECT 0x04.
    ClientWithWill,
    /// The transport ended without DISCONNECT.
    Transport,
    /// We refused the CONNECT.
    Refused(ReasonCode),
    /// We ended it; the code is what a v5 client was told.
    Server(ReasonCode),
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client disconnected"),
            Self::ClientWithWill => f.write_str("client disconnected and asked for its will"),
            Self::Transport => f.write_str("connection lost"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            Self::Server(reason) => write!(f, "closed by the broker: {reason}"),
        }
    }
}

/// Why a message did not reach a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The session's queue was full: a QoS 0 message made room, oldest first.
    QueueFullQos0,
    /// The session's queue was full of QoS 1 and 2 messages: the new one was dropped.
    QueueFull,
    /// Larger than the client's Maximum Packet Size.
    PacketTooLarge,
    /// Its expiry interval passed while it waited.
    Expired,
    /// The publisher had no permission.
    PublishDenied,
    /// The organization's publish quota was used up.
    PublishQuota,
    /// The retained store was full.
    RetainedFull,
    /// The subscriber lost its permission while the message waited.
    DeliveryDenied,
    /// The payload was larger than the organization's bound.
    PayloadTooLarge,
    /// The payload was not the UTF-8 text that it was said to be.
    PayloadFormat,
    /// It would have reached more sessions than one message may.
    FanOut,
    /// The organization's delivery quota was used up, and QoS 0 does not wait.
    DeliveryQuota,
    /// It would have to be stored, and the store fails.
    StoreFailing,
    /// It waited longer than the organization's queues keep anything.
    TooOld,
    /// It was stored, and what is stored of it cannot be used.
    Damaged,
}

impl DropReason {
    /// Every reason, in the order of [`DropReason::index`].
    pub const ALL: [Self; 15] = [
        Self::QueueFullQos0,
        Self::QueueFull,
        Self::PacketTooLarge,
        Self::Expired,
        Self::PublishDenied,
        Self::PublishQuota,
        Self::RetainedFull,
        Self::DeliveryDenied,
        Self::PayloadTooLarge,
        Self::PayloadFormat,
        Self::FanOut,
        Self::DeliveryQuota,
        Self::StoreFailing,
        Self::TooOld,
        Self::Damaged,
    ];

    /// Position in [`DropReason::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word for metrics: `queue_full`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFullQos0 => "queue_full_qos0",
            Self::QueueFull => "queue_full",
            Self::PacketTooLarge => "packet_too_large",
            Self::Expired => "expired",
            Self::PublishDenied => "publish_denied",
            Self::PublishQuota => "publish_quota",
            Self::RetainedFull => "retained_full",
            Self::DeliveryDenied => "delivery_denied",
            Self::PayloadTooLarge => "payload_too_large",
            Self::PayloadFormat => "payload_format",
            Self::FanOut => "fan_out",
            Self::DeliveryQuota => "delivery_quota",
            Self::StoreFailing => "store_failing",
            Self::TooOld => "too_old",
            Self::Damaged => "damaged",
        }
    }
}

/// What an operator or an audit trail wants to know. Never a payload, never a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report<'a> {
    /// A client is in.
    Connected {
        /// The connection.
        conn: ConnId,
        /// Its client id.
        client_id: &'a str,
        /// The name part of its user name.
        username: &'a str,
        /// Whether it found a session.
        session_present: bool,
    },
    /// A client is gone.
    Disconnected {
        /// The connection.
        conn: ConnId,
        /// Its client id.
        client_id: &'a str,
        /// Why.
        cause: CloseCause,
        /// The name part of its user name.
        username: &'a str,
        /// The protocol it spoke.
        version: Version,
        /// When it was let in.
        connected_at: Instant,
        /// What it sent and was sent.
        traffic: Traffic,
    },
    /// A publish or a subscription was not allowed.
    Denied {
        /// The client that asked.
        client_id: &'a str,
        /// `publish` or `subscribe`.
        action: &'static str,
        /// The topic or filter.
        topic: &'a str,
    },
    /// A client broke the protocol, in words an operator can act on.
    Fault {
        /// The client.
        client_id: &'a str,
        /// What was wrong.
        what: &'static str,
    },
    /// A client ran into a quota. Told at most once in ten seconds for each quota.
    QuotaExceeded {
        /// The client; empty when there is none.
        client_id: &'a str,
        /// Which one.
        quota: Quota,
        /// How often it was exceeded since the last report, this time included.
        times: u64,
    },
    /// A session ended, with everything it held.
    SessionEnded {
        /// Its client id.
        client_id: &'a str,
    },
}
