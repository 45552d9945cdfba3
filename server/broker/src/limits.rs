//! Every bound an organization has, with its unit. Worst-case memory stands beside each.

/// The bounds of one organization. Every field has a default that suits one small machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. Beyond it CONNECT is refused with 0x97 (v3.1.1: 3).
    pub connections_max: u32,
    /// Clients that may come in per second; 0 for no limit. A second's worth may come at once. Beyond it CONNECT
    /// is refused with 0x9F (v3.1.1: 3).
    pub connects_per_sec: u32,
    /// Sessions, connected or not. Beyond it a CONNECT that needs a new one is refused with 0x97.
    pub sessions_max: u32,
    /// Bytes of a client id; a longer one is refused with 0x85.
    pub client_id_bytes_max: usize,
    /// Subscriptions of one session; one more is answered with 0x97 (v3.1.1: 0x80).
    pub subscriptions_max: u32,
    /// Subscriptions of all sessions together; one more is answered with 0x97 (v3.1.1: 0x80).
    pub all_subscriptions_max: u32,
    /// Those of them that have a wildcard, which cost more to match; one more is answered with 0x97 (v3.1.1: 0x80).
    pub wildcard_subscriptions_max: u32,
    /// Bytes of all filters of one session; a filter that does not fit is answered with 0x97.
    pub filter_bytes_max: usize,
    /// Levels of a topic or filter; deeper ones are refused with 0x90 and 0x8F.
    pub topic_levels_max: usize,
    /// QoS 1 and 2 messages a v5 client may have unacknowledged towards us (Receive Maximum).
    pub receive_max: u16,
    /// QoS 1 and 2 messages we keep unacknowledged towards one client, whatever it would allow.
    pub inflight_max: u16,
    /// Bytes of these messages, beyond which further ones wait in the queue; one message is always let through.
    pub inflight_bytes_max: usize,
    /// Topic aliases a client may set (Topic Alias Maximum), each at most a topic's length of memory.
    pub topic_alias_max: u16,
    /// Topic aliases that we set towards one client, whatever it would allow.
    pub topic_alias_out_max: u16,
    /// Bytes of the largest packet we accept (Maximum Packet Size). A larger one ends the connection with 0x95.
    pub packet_bytes_max: u32,
    /// Bytes of the largest payload; a publish with a larger one is refused with 0x97 and dropped, a CONNECT with a
    /// larger will is refused with 0x97. Worth setting only below [`Self::packet_bytes_max`].
    pub payload_bytes_max: u32,
    /// Messages waiting in one session's queue.
    pub queue_messages_max: usize,
    /// Bytes waiting in one session's queue; what is sent and not acknowledged is bounded by
    /// [`Self::inflight_bytes_max`].
    pub queue_bytes_max: usize,
    /// Bytes of all sessions together that wait or are not acknowledged; a message counts in each session that holds
    /// it. Beyond it every queue is full; what can be sent at once is still sent.
    pub all_queue_bytes_max: u64,
    /// Seconds that a message may wait in a queue, whatever its own expiry; 0 for no limit. An older one is dropped
    /// when it is looked at: at the latest some hours later, by a sweep.
    pub queue_age_secs_max: u32,
    /// Messages of one session's queue that stay in memory, if the rest can be stored and the client is connected.
    pub queue_resident_messages_max: usize,
    /// Bytes of these.
    pub queue_resident_bytes_max: usize,
    /// Messages of one session's queue that came through a shared group and stay in memory, so that they can be
    /// given to another member. What exceeds them belongs to this session alone.
    pub queue_shared_messages_max: usize,
    /// Bytes that may wait in a connection's output before its messages wait in the session's queue.
    pub output_bytes_max: usize,
    /// Payloads of at least this many bytes are shared, smaller ones are copied into the output.
    pub shared_payload_bytes_min: usize,
    /// Retained messages; one of another topic is refused with 0x97 and reaches nobody.
    pub retained_messages_max: usize,
    /// Bytes of all retained messages; one that does not fit is refused with 0x97 and reaches nobody.
    pub retained_bytes_max: usize,
    /// Longest session expiry interval granted, in seconds; [`u32::MAX`] lets sessions live for ever.
    pub session_expiry_secs_max: u32,
    /// Session expiry, in seconds, of a v5 client that resumes (clean start false) without asking for one.
    pub session_expiry_secs_default: u32,
    /// Longest keep alive granted, in seconds; 0 leaves it to the client.
    pub keep_alive_secs_max: u16,
    /// Messages that all clients together may publish per second; 0 for no limit. A second's worth may burst.
    /// Beyond it a publish is refused with 0x97 and dropped (QoS 0, and v3.1.1: only dropped). A will is counted
    /// and never refused.
    pub publish_messages_per_sec: u32,
    /// Payload bytes that all clients together may publish per second; 0 for no limit. As for messages; a payload
    /// larger than a second's worth is always refused.
    pub publish_bytes_per_sec: u64,
    /// Messages that all clients together may publish in a calendar month (UTC); 0 for no limit. As for messages
    /// per second.
    pub publish_messages_per_month: u64,
    /// Publishes of one client that a rate may refuse within a second; 0 for no limit. One more ends its connection
    /// with 0x96: it does not slow down.
    pub refused_publishes_per_sec: u32,
    /// Sessions and shared groups that one publish may reach. Beyond it the publish is refused with 0x97 and reaches
    /// nobody.
    pub fan_out_max: u32,
    /// Messages delivered to all clients together per second; 0 for no limit. Beyond it QoS 0 is dropped, QoS 1 and
    /// 2 wait in the session's queue. What is sent again counts and does not wait.
    pub deliver_messages_per_sec: u32,
    /// Payload bytes delivered to all clients together per second; 0 for no limit. As for messages; a payload larger
    /// than a second's worth waits until a whole second is saved.
    pub deliver_bytes_per_sec: u64,
    /// Seconds between two rounds of `$SYS` messages; 0 for none.
    pub sys_interval_secs: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_000_000,
            connects_per_sec: 0,
            sessions_max: 1_000_000,
            client_id_bytes_max: 1_024,
            subscriptions_max: 1_000,
            all_subscriptions_max: 10_000_000,
            wildcard_subscriptions_max: 10_000_000,
            filter_bytes_max: 1_048_576,
            topic_levels_max: 128,
            receive_max: 256,
            inflight_max: 256,
            inflight_bytes_max: 16 * 1_048_576,
            topic_alias_max: 32,
            topic_alias_out_max: 16,
            packet_bytes_max: 1_048_576,
            payload_bytes_max: 268_435_455,
            queue_messages_max: 100_000,
            queue_bytes_max: 16 * 1_048_576,
            all_queue_bytes_max: 4 * 1_024 * 1_048_576,
            queue_age_secs_max: 7 * 86_400,
            queue_resident_messages_max: 64,
            queue_resident_bytes_max: 64 * 1_024,
            queue_shared_messages_max: 1_000,
            output_bytes_max: 256 * 1_024,
            shared_payload_bytes_min: 8 * 1_024,
            retained_messages_max: 1_000_000,
            retained_bytes_max: 256 * 1_048_576,
            session_expiry_secs_max: u32::MAX,
            session_expiry_secs_default: 0,
            keep_alive_secs_max: 0,
            publish_messages_per_sec: 0,
            publish_bytes_per_sec: 0,
            publish_messages_per_month: 0,
            refused_publishes_per_sec: 1_000,
            fan_out_max: 1_000_000,
            deliver_messages_per_sec: 0,
            deliver_bytes_per_sec: 0,
            sys_interval_secs: 10,
        }
    }
}
