//! Every bound an organization has, with its unit. Worst-case memory stands beside each.

/// The bounds of one organization. Every field has a default that suits one small machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. Beyond it CONNECT is refused with 0x97.
    pub connections_max: u32,
    /// Sessions, connected or not. Beyond it a CONNECT that needs a new one is refused with 0x97.
    pub sessions_max: u32,
    /// Bytes of a client id; a longer one is refused with 0x85.
    pub client_id_bytes_max: usize,
    /// Subscriptions of one session; one more is answered with 0x97.
    pub subscriptions_max: u32,
    /// Bytes of all filters of one session; a filter that does not fit is answered with 0x97.
    pub filter_bytes_max: usize,
    /// Levels of a topic or filter; deeper ones are refused with 0x90 and 0x8F.
    pub topic_levels_max: usize,
    /// QoS 1 and 2 messages a v5 client may have unacknowledged towards us (Receive Maximum).
    pub receive_max: u16,
    /// QoS 1 and 2 messages we keep unacknowledged towards one client, whatever it would allow.
    pub inflight_max: u16,
    /// Topic aliases a client may set (Topic Alias Maximum), each at most a topic's length of memory.
    pub topic_alias_max: u16,
    /// Topic aliases that we set towards one client, whatever it would allow.
    pub topic_alias_out_max: u16,
    /// Bytes of the largest packet we accept (Maximum Packet Size).
    pub packet_bytes_max: u32,
    /// Messages waiting in one session's queue.
    pub queue_messages_max: usize,
    /// Bytes waiting in one session's queue.
    pub queue_bytes_max: usize,
    /// Bytes that may wait in a connection's output before its messages wait in the session's queue.
    pub output_bytes_max: usize,
    /// Payloads of at least this many bytes are shared, smaller ones are copied into the output.
    pub shared_payload_bytes_min: usize,
    /// Retained messages.
    pub retained_messages_max: usize,
    /// Bytes of all retained messages.
    pub retained_bytes_max: usize,
    /// Longest session expiry interval granted, in seconds; [`u32::MAX`] lets sessions live for ever.
    pub session_expiry_secs_max: u32,
    /// Session expiry, in seconds, of a v5 client that resumes (clean start false) without asking for one.
    pub session_expiry_secs_default: u32,
    /// Longest keep alive granted, in seconds; 0 leaves it to the client.
    pub keep_alive_secs_max: u16,
    /// Messages that all clients together may publish per second; 0 for no limit. A second's worth may burst.
    pub publish_messages_per_sec: u32,
    /// Payload bytes that all clients together may publish per second; 0 for no limit.
    pub publish_bytes_per_sec: u64,
    /// Seconds between two rounds of `$SYS` messages; 0 for none.
    pub sys_interval_secs: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_000_000,
            sessions_max: 1_000_000,
            client_id_bytes_max: 1_024,
            subscriptions_max: 1_000,
            filter_bytes_max: 1_048_576,
            topic_levels_max: 128,
            receive_max: 256,
            inflight_max: 256,
            topic_alias_max: 32,
            topic_alias_out_max: 16,
            packet_bytes_max: 1_048_576,
            queue_messages_max: 10_000,
            queue_bytes_max: 16 * 1_048_576,
            output_bytes_max: 256 * 1_024,
            shared_payload_bytes_min: 8 * 1_024,
            retained_messages_max: 1_000_000,
            retained_bytes_max: 256 * 1_048_576,
            session_expiry_secs_max: u32::MAX,
            session_expiry_secs_default: 0,
            keep_alive_secs_max: 0,
            publish_messages_per_sec: 0,
            publish_bytes_per_sec: 0,
            sys_interval_secs: 10,
        }
    }
}
