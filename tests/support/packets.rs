//! Packets as commented bytes. Written by hand from the specification, not by our own encoder.

/// MQTT 5, clean start, client id `v5`, no login, keep alive off.
pub const CONNECT_V5: &[u8] = &[
    0x10, 0x0F, // CONNECT, 15 bytes
    0x00, 0x04, b'M', b'Q', b'T', b'T', 0x05, // protocol name, version 5
    0x02, // clean start
    0x00, 0x00, // keep alive
    0x00, // no properties
    0x00, 0x02, b'v', b'5', // client id
];

/// MQTT 3.1.1, clean session, client id `v4`, no login, keep alive off.
pub const CONNECT_V311: &[u8] = &[
    0x10, 0x0E, // CONNECT, 14 bytes
    0x00, 0x04, b'M', b'Q', b'T', b'T', 0x04, // protocol name, version 4
    0x02, // clean session
    0x00, 0x00, // keep alive
    0x00, 0x02, b'v', b'4', // client id
];

/// MQTT 3.1, clean session, client id `v3`, no login, keep alive off.
pub const CONNECT_V31: &[u8] = &[
    0x10, 0x10, // CONNECT, 16 bytes
    0x00, 0x06, b'M', b'Q', b'I', b's', b'd', b'p', 0x03, // protocol name, version 3
    0x02, // clean session
    0x00, 0x00, // keep alive
    0x00, 0x02, b'v', b'3', // client id
];

/// CONNACK of MQTT 3.1 and 3.1.1: no session present, accepted.
pub const CONNACK_V3: &[u8] = &[0x20, 0x02, 0x00, 0x00];

/// PINGREQ.
pub const PINGREQ: &[u8] = &[0xC0, 0x00];

/// PINGRESP.
pub const PINGRESP: &[u8] = &[0xD0, 0x00];

/// DISCONNECT, normal.
pub const DISCONNECT: &[u8] = &[0xE0, 0x00];

/// A packet from its first byte and its body: writes the remaining length between them.
#[must_use]
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend(remaining_length(body.len()));
    bytes.extend_from_slice(body);
    bytes
}

/// A length as MQTT writes it: seven bits a byte, the lowest first.
///
/// # Panics
/// Beyond 268 435 455, which four bytes cannot say.
#[must_use]
pub fn remaining_length(mut length: usize) -> Vec<u8> {
    assert!(length < 1 << 28, "no remaining length says {length}");
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(length & 0x7F).expect("seven bits");
        length >>= 7;
        if length == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A string or binary field: two bytes of length, then the bytes.
///
/// # Panics
/// Beyond 65 535 bytes.
#[must_use]
pub fn field(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a field has at most 65 535 bytes");
    let mut field = length.to_be_bytes().to_vec();
    field.extend_from_slice(bytes);
    field
}

/// CONNECT of MQTT 5 with clean start and, if given, a login.
#[must_use]
pub fn connect_v5(client_id: &str, login: Option<(&str, &str)>) -> Vec<u8> {
    let flags = if login.is_some() { 0xC2 } else { 0x02 };
    let mut body = field(b"MQTT");
    body.extend([0x05, flags, 0x00, 0x00, 0x00]);
    body.extend(field(client_id.as_bytes()));
    for part in login.iter().flat_map(|(user, password)| [user, password]) {
        body.extend(field(part.as_bytes()));
    }
    packet(0x10, &body)
}

/// SUBSCRIBE of MQTT 5 to one filter.
#[must_use]
pub fn subscribe_v5(packet_id: u16, filter: &[u8], options: u8) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.push(0x00); // no properties
    body.extend(field(filter));
    body.push(options);
    packet(0x82, &body)
}

/// PUBLISH of MQTT 5 at QoS 1, or at QoS 0 without a packet id.
#[must_use]
pub fn publish_v5(packet_id: Option<u16>, topic: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut body = field(topic);
    body.extend(packet_id.iter().flat_map(|id| id.to_be_bytes()));
    body.push(0x00); // no properties
    body.extend_from_slice(payload);
    packet(if packet_id.is_some() { 0x32 } else { 0x30 }, &body)
}
