//! The other brokers' configuration: nobody has to log in, nothing is stored, nothing is logged, no message waits for
//! more (`TCP_NODELAY`), and queues hold whatever a row puts into them. Faster than their users run them.

use super::stage::{Place, Ports};

/// Mosquitto 2.0 and 2.1.
pub(super) fn mosquitto(place: &Place) -> String {
    let Ports { mqtt, mqtts, ws, wss } = place.ports;
    let (cert, key, user) = (place.certificate.display(), place.key.display(), &place.user);
    // Started by root it would become a user who cannot read the key.
    format!(
        "user {user}
allow_anonymous true
persistence false
log_type none
set_tcp_nodelay true
max_queued_messages 0
listener {mqtt} 127.0.0.1
listener {mqtts} 127.0.0.1
certfile {cert}
keyfile {key}
listener {ws} 127.0.0.1
protocol websockets
listener {wss} 127.0.0.1
protocol websockets
certfile {cert}
keyfile {key}
"
    )
}

/// Messages that FlashMQ keeps for one client: the most that it can.
const FLASHMQ_PENDING_MAX: u32 = 65_535;
/// Bytes of them.
const FLASHMQ_PENDING_BYTES_MAX: u32 = 1_000_000_000;

/// Bytes that wait to be written to one client: more than any row puts there. With a megabyte, the default, it would
/// drop messages of QoS 0 and pause between retained ones.
const FLASHMQ_WRITE_BUFFER_BYTES_MAX: u32 = 67_108_864;

/// FlashMQ 1.26, with one thread for each core that it has.
pub(super) fn flashmq(place: &Place) -> String {
    let Ports { mqtt, mqtts, ws, wss } = place.ports;
    let tls = format!(
        "  fullchain {}\n  privkey {}\n",
        place.certificate.display(),
        place.key.display()
    );
    format!(
        "allow_anonymous true
log_level none
thread_count {}
max_qos_msg_pending_per_client {FLASHMQ_PENDING_MAX}
max_qos_bytes_pending_per_client {FLASHMQ_PENDING_BYTES_MAX}
client_max_write_buffer_size {FLASHMQ_WRITE_BUFFER_BYTES_MAX}
",
        place.cores
    ) + &flashmq_listener(mqtt, "mqtt", "")
        + &flashmq_listener(mqtts, "mqtt", &tls)
        + &flashmq_listener(ws, "websockets", "")
        + &flashmq_listener(wss, "websockets", &tls)
}

fn flashmq_listener(port: u16, protocol: &str, tls: &str) -> String {
    format!(
        "listen {{
  port {port}
  protocol {protocol}
  inet_protocol ip4
  inet4_bind_address 127.0.0.1
  tcp_nodelay true
{tls}}}
"
    )
}
