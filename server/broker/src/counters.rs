//! Plain numbers that the shell exports. They only rise, except where "now" says so.

use crate::quota::Quota;
use crate::sink::DropReason;

/// What one organization has counted since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections open now.
    pub connections_now: u64,
    /// Sessions now, connected or not.
    pub sessions_now: u64,
    /// Subscriptions now.
    pub subscriptions_now: u64,
    /// Those of them that have a wildcard.
    pub wildcard_subscriptions_now: u64,
    /// Retained messages now.
    pub retained_messages_now: u64,
    /// Bytes of retained messages now.
    pub retained_bytes_now: u64,
    /// Bytes waiting in session queues now.
    pub queue_bytes_now: u64,
    /// Messages waiting in session queues now.
    pub queue_messages_now: u64,
    /// Bytes sent to clients and not acknowledged by them now.
    pub inflight_bytes_now: u64,
    /// The most connections at once since [`Org::restart_peak`](crate::Org::restart_peak).
    pub connections_peak: u64,
    /// CONNECTs accepted.
    pub connects: u64,
    /// CONNECTs refused after authentication.
    pub connects_refused: u64,
    /// Sessions taken over by a new connection.
    pub takeovers: u64,
    /// Connections that went on with another credential.
    pub reauthentications: u64,
    /// PUBLISH packets received, by QoS.
    pub messages_received: [u64; 3],
    /// Payload bytes received in PUBLISH packets.
    pub bytes_received: u64,
    /// Messages that were allowed and within the quotas, wills included. Each counts towards the month.
    pub messages_published: u64,
    /// Payload bytes of these.
    pub bytes_published: u64,
    /// PUBLISH packets sent, by QoS; a retransmission counts again.
    pub messages_sent: [u64; 3],
    /// Payload bytes sent in PUBLISH packets.
    pub bytes_sent: u64,
    /// Messages that did not reach a session, by [`DropReason::index`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// How often a client ran into each quota, by [`Quota::index`].
    pub exceeded: [u64; Quota::COUNT],
    /// Publishes and subscriptions that were not allowed.
    pub denied: u64,
    /// Clients that broke the protocol.
    pub faults: u64,
    /// Wills published.
    pub wills: u64,
}

impl Counters {
    /// Counts one message that did not arrive.
    pub(crate) fn drop_one(&mut self, reason: DropReason) {
        self.dropped[reason.index()] += 1;
    }
}
