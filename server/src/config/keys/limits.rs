//! What the server allows every organization, and every client.

use super::{GIB, Key, Kind, Value};

use cloudsignal_core::codec::PACKET_BYTES_MAX;

/// The section `limits`.
pub(super) static KEYS: &[Key] = &[
    number!(
        "limits.connections_max",
        limits.connections_max,
        "connections",
        1,
        100_000_000,
        "Connections of one organization. One more is refused with 0x97."
    ),
    number!(
        "limits.connects_per_sec",
        limits.connects_per_sec,
        "clients per second",
        0,
        0xFFFF_FFFF,
        "Clients of one organization that may come in; one more is refused with 0x9F; 0: no limit."
    ),
    number!(
        "limits.sessions_max",
        limits.sessions_max,
        "sessions",
        1,
        100_000_000,
        "Sessions of one organization, connected or not. A CONNECT that needs one more is refused with 0x97."
    ),
    number!(
        "limits.client_id_bytes_max",
        limits.client_id_bytes_max,
        "bytes",
        23,
        65_535,
        "Length of a client id."
    ),
    number!(
        "limits.subscriptions_max",
        limits.subscriptions_max,
        "subscriptions",
        1,
        1_000_000,
        "Subscriptions of one session."
    ),
    number!(
        "limits.all_subscriptions_max",
        limits.all_subscriptions_max,
        "subscriptions",
        0,
        0xFFFF_FFFF,
        "Subscriptions of all sessions of one organization together. One more is answered with 0x97."
    ),
    number!(
        "limits.wildcard_subscriptions_max",
        limits.wildcard_subscriptions_max,
        "subscriptions",
        0,
        0xFFFF_FFFF,
        "Those of them that have a wildcard. One more is answered with 0x97."
    ),
    number!(
        "limits.filter_bytes_max",
        limits.filter_bytes_max,
        "bytes",
        1_024,
        1 << 30,
        "Bytes of all filters that one session subscribes to."
    ),
    number!(
        "limits.topic_levels_max",
        limits.topic_levels_max,
        "levels",
        1,
        65_535,
        "Depth of a topic or filter."
    ),
    number!(
        "limits.receive_max",
        limits.receive_max,
        "messages",
        1,
        65_535,
        "QoS 1 and 2 messages that a client may have unacknowledged towards the broker (Receive Maximum)."
    ),
    number!(
        "limits.inflight_max",
        limits.inflight_max,
        "messages",
        1,
        65_535,
        "QoS 1 and 2 messages that the broker keeps unacknowledged towards a client."
    ),
    number!(
        "limits.inflight_bytes_max",
        limits.inflight_bytes_max,
        "bytes",
        1,
        GIB,
        "Bytes sent to one client and not acknowledged; beyond them messages wait in its queue."
    ),
    number!(
        "limits.topic_alias_max",
        limits.topic_alias_max,
        "aliases",
        0,
        65_535,
        "Topic aliases that a client may set (Topic Alias Maximum)."
    ),
    number!(
        "limits.topic_alias_out_max",
        limits.topic_alias_out_max,
        "aliases",
        0,
        65_535,
        "Topic aliases that the broker sets towards a client that allows them."
    ),
    number!(
        "limits.packet_bytes_max",
        limits.packet_bytes_max,
        "bytes",
        1_024,
        PACKET_BYTES_MAX as u64,
        "Largest packet that is accepted (Maximum Packet Size)."
    ),
    number!(
        "limits.payload_bytes_max",
        limits.payload_bytes_max,
        "bytes",
        0,
        PACKET_BYTES_MAX as u64,
        "Largest payload; a publish with a larger one is refused with 0x97."
    ),
    number!(
        "limits.queue_messages_max",
        limits.queue_messages_max,
        "messages",
        1,
        100_000_000,
        "Messages that wait for one session."
    ),
    number!(
        "limits.queue_bytes_max",
        limits.queue_bytes_max,
        "bytes",
        1_024,
        64 * GIB,
        "Bytes that wait for one session."
    ),
    number!(
        "limits.all_queue_bytes_max",
        limits.all_queue_bytes_max,
        "bytes",
        0,
        1_024 * GIB,
        "Bytes that wait or are not acknowledged in all sessions of one organization; beyond them every queue is full."
    ),
    number!(
        "limits.queue_age_secs_max",
        limits.queue_age_secs_max,
        "seconds",
        0,
        4_294_967_295,
        "Longest that a message waits in a queue, whatever its own expiry; 0 for no limit."
    ),
    number!(
        "limits.queue_resident_messages_max",
        limits.queue_resident_messages_max,
        "messages",
        1,
        100_000,
        "Messages of one session's queue that stay in memory while its client is connected; the others are on disk."
    ),
    number!(
        "limits.queue_resident_bytes_max",
        limits.queue_resident_bytes_max,
        "bytes",
        1,
        GIB,
        "Bytes of these."
    ),
    number!(
        "limits.queue_shared_messages_max",
        limits.queue_shared_messages_max,
        "messages",
        0,
        1_000_000,
        "Messages of one session's queue that came through a shared group and stay in memory, so that other members \
         can be given them."
    ),
    number!(
        "limits.output_bytes_max",
        limits.output_bytes_max,
        "bytes",
        1_024,
        GIB,
        "Bytes in a connection's output; more waits in the session's queue, and a client whose own answers fill it \
         is not read."
    ),
    number!(
        "limits.shared_payload_bytes_min",
        limits.shared_payload_bytes_min,
        "bytes",
        256,
        GIB,
        "Payloads of this size are shared between subscribers; smaller ones are copied."
    ),
    number!(
        "limits.retained_messages_max",
        limits.retained_messages_max,
        "messages",
        0,
        100_000_000,
        "Retained messages of one organization."
    ),
    number!(
        "limits.retained_bytes_max",
        limits.retained_bytes_max,
        "bytes",
        0,
        64 * GIB,
        "Bytes of all retained messages of one organization."
    ),
    number!(
        "limits.session_expiry_secs_max",
        limits.session_expiry_secs_max,
        "seconds",
        0,
        0xFFFF_FFFF,
        "Longest session expiry interval that is granted; 4294967295: for ever."
    ),
    number!(
        "limits.session_expiry_secs_default",
        limits.session_expiry_secs_default,
        "seconds",
        0,
        0xFFFF_FFFF,
        "Session expiry of an MQTT 5 client that resumes without asking for one."
    ),
    number!(
        "limits.keep_alive_secs_max",
        limits.keep_alive_secs_max,
        "seconds",
        0,
        65_535,
        "Longest keep alive that is granted; 0: the client decides."
    ),
    number!(
        "limits.publish_messages_per_sec",
        limits.publish_messages_per_sec,
        "messages per second",
        0,
        0xFFFF_FFFF,
        "What all clients of one organization together may publish; 0: no limit."
    ),
    number!(
        "limits.publish_bytes_per_sec",
        limits.publish_bytes_per_sec,
        "bytes per second",
        0,
        1_024 * GIB,
        "Payload bytes that all clients of one organization together may publish; 0: no limit."
    ),
    number!(
        "limits.publish_messages_per_month",
        limits.publish_messages_per_month,
        "messages per month",
        0,
        0xFF_FFFF_FFFF_FFFF,
        "What all clients of one organization together may publish in a calendar month (UTC); 0: no limit."
    ),
    number!(
        "limits.refused_publishes_per_sec",
        limits.refused_publishes_per_sec,
        "messages per second",
        0,
        0xFFFF_FFFF,
        "Publishes of one client that a quota may refuse; one more ends its connection with 0x96; 0: no limit."
    ),
    number!(
        "limits.fan_out_max",
        limits.fan_out_max,
        "sessions",
        0,
        0xFFFF_FFFF,
        "Sessions that one publish may reach; one that would reach more is refused with 0x97."
    ),
    number!(
        "limits.deliver_messages_per_sec",
        limits.deliver_messages_per_sec,
        "messages per second",
        0,
        0xFFFF_FFFF,
        "What is delivered to all clients of one organization together; QoS 0 is dropped, QoS 1 and 2 wait; 0: no limit."
    ),
    number!(
        "limits.deliver_bytes_per_sec",
        limits.deliver_bytes_per_sec,
        "bytes per second",
        0,
        1_024 * GIB,
        "Payload bytes delivered to all clients of one organization together; 0: no limit."
    ),
    number!(
        "limits.sys_interval_secs",
        limits.sys_interval_secs,
        "seconds",
        0,
        86_400,
        "Time between two rounds of $SYS messages; 0: none."
    ),
];
