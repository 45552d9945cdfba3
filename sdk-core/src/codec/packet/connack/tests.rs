//! CONNACK byte by byte.

use super::*;
use crate::codec::Packet;
use crate::codec::tests::{V3, assert_wire, decode, encode, frame, malformed, protocol};

fn boxed<'a>(connack: &ConnAck<'a>) -> Packet<'a> {
    Packet::ConnAck(connack.clone().into())
}

#[test]
fn the_smallest_connack_of_each_version() {
    let connack = boxed(&ConnAck::default());
    for version in V3 {
        assert_wire(version, &[0x20, 2, 0, 0], &connack);
    }
    assert_wire(Version::V5, &[0x20, 3, 0, 0, 0], &connack);
}

#[test]
fn session_present_exists_since_3_1_1() {
    let connack = boxed(&ConnAck {
        session_present: true,
        ..ConnAck::default()
    });
    assert_wire(Version::V5, &[0x20, 3, 1, 0, 0], &connack);
    assert_wire(Version::V311, &[0x20, 2, 1, 0], &connack);
    assert_eq!(encode(Version::V31, &connack), [0x20, 2, 0, 0]);
    assert_eq!(
        decode(Version::V31, &[0x20, 2, 0xFF, 0]),
        Ok(boxed(&ConnAck::default()))
    );
}

#[test]
fn return_codes_of_3_1_1() {
    let codes = [
        (0, ReasonCode::Success),
        (1, ReasonCode::UnsupportedProtocolVersion),
        (2, ReasonCode::ClientIdentifierNotValid),
        (3, ReasonCode::ServerUnavailable),
        (4, ReasonCode::BadUserNameOrPassword),
        (5, ReasonCode::NotAuthorized),
    ];
    for version in V3 {
        for (code, reason) in codes {
            assert_wire(version, &[0x20, 2, 0, code], &boxed(&ConnAck::new(reason)));
        }
        let refused = malformed(version, &[0x20, 2, 0, 6]);
        assert_eq!(refused, (3, Malformed::ReasonCode { byte: 6 }));
    }
}

#[test]
fn every_property_travels() {
    let mut user = Vec::new();
    UserProperties::push(&mut user, "k", "v").unwrap();
    let connack = ConnAck {
        session_present: true,
        reason: ReasonCode::Success,
        session_expiry_secs: Some(1),
        receive_max: NonZeroU16::new(2),
        qos_max: Some(Qos::AtLeastOnce),
        retain_available: Some(true),
        packet_bytes_max: Some(3),
        assigned_client_id: Some("i"),
        topic_alias_max: Some(4),
        reason_string: Some("s"),
        user_properties: UserProperties::from_wire(&user).unwrap(),
        wildcard_available: Some(false),
        subscription_ids_available: Some(true),
        shared_available: Some(false),
        server_keep_alive_secs: Some(5),
        response_information: Some("p"),
        server_reference: Some("h"),
        auth_method: Some("m"),
        auth_data: Some(&[6]),
    };
    let properties: &[&[u8]] = &[
        &[0x11, 0, 0, 0, 1],             // session expiry interval
        &[0x12, 0, 1, b'i'],             // assigned client identifier
        &[0x13, 0, 5],                   // server keep alive
        &[0x15, 0, 1, b'm'],             // authentication method
        &[0x16, 0, 1, 6],                // authentication data
        &[0x1A, 0, 1, b'p'],             // response information
        &[0x1C, 0, 1, b'h'],             // server reference
        &[0x1F, 0, 1, b's'],             // reason string
        &[0x21, 0, 2],                   // receive maximum
        &[0x22, 0, 4],                   // topic alias maximum
        &[0x24, 1],                      // maximum QoS
        &[0x25, 1],                      // retain available
        &[0x26, 0, 1, b'k', 0, 1, b'v'], // user property
        &[0x27, 0, 0, 0, 3],             // maximum packet size
        &[0x28, 0],                      // wildcard subscription available
        &[0x29, 1],                      // subscription identifiers available
        &[0x2A, 0],                      // shared subscription available
    ];
    let properties = properties.concat();
    let bytes = frame(0x20, &[&[1, 0, properties.len() as u8], &properties]);
    assert_wire(Version::V5, &bytes, &boxed(&connack));
}

#[test]
fn maximum_qos_2_is_said_by_silence() {
    let connack = boxed(&ConnAck {
        qos_max: Some(Qos::ExactlyOnce),
        ..ConnAck::default()
    });
    assert_eq!(encode(Version::V5, &connack), [0x20, 3, 0, 0, 0]);
    let refused = protocol(Version::V5, &[0x20, 5, 0, 0, 2, 0x24, 2]);
    assert_eq!(refused, (5, ProtocolFault::PropertyValue { id: 0x24, value: 2 }));
}

#[test]
fn flags_and_reasons_are_checked() {
    for version in [Version::V311, Version::V5] {
        let refused = malformed(version, &[0x20, 3, 2, 0, 0]);
        assert_eq!(refused, (2, Malformed::ConnAckFlags { flags: 2 })); // [MQTT-3.2.2-1]
        let refused = protocol(version, &[0x20, 3, 1, if version.is_v5() { 0x87 } else { 5 }, 0]);
        assert_eq!(refused, (2, ProtocolFault::SessionPresentOnRefusal)); // [MQTT-3.2.2-6]
    }
    for byte in [1, 0x8D, 0xFF] {
        let refused = malformed(Version::V5, &[0x20, 3, 0, byte, 0]);
        assert_eq!(refused, (3, Malformed::ReasonCode { byte }));
    }
}

#[test]
fn property_values_are_checked() {
    let refused = |property: &[u8]| {
        protocol(
            Version::V5,
            &frame(0x20, &[&[0, 0, property.len() as u8], property]),
        )
    };
    let value = |id, value| (5, ProtocolFault::PropertyValue { id, value });
    assert_eq!(refused(&[0x21, 0, 0]), value(0x21, 0));
    assert_eq!(refused(&[0x27, 0, 0, 0, 0]), value(0x27, 0));
    for id in [0x25, 0x28, 0x29, 0x2A] {
        assert_eq!(refused(&[id, 2]), value(id, 2));
    }
    assert_eq!(refused(&[0x16, 0, 0]), (5, ProtocolFault::AuthDataWithoutMethod));
    let bytes = [0x20, 6, 0, 0, 3, 0x23, 0, 1];
    assert_eq!(
        malformed(Version::V5, &bytes),
        (5, Malformed::PropertyNotAllowed { id: 0x23 })
    );
}

#[test]
fn what_breaks_a_rule_is_not_sent() {
    let broken = [
        ConnAck {
            session_present: true,
            ..ConnAck::new(ReasonCode::NotAuthorized)
        },
        ConnAck {
            packet_bytes_max: Some(0),
            ..ConnAck::default()
        },
        ConnAck {
            auth_data: Some(b"x"),
            ..ConnAck::default()
        },
    ];
    for connack in broken {
        let mut out = std::vec![1];
        assert!(
            matches!(
                connack.encode(Version::V5, &mut out),
                Err(EncodeError::BreaksRule(_))
            ),
            "{connack:?}"
        );
        assert_eq!(out, [1]);
    }
    let reason = ReasonCode::KeepAliveTimeout;
    let refused = ConnAck::new(reason).encode(Version::V5, &mut Vec::new());
    assert_eq!(
        refused,
        Err(EncodeError::ReasonNotAllowed {
            packet: PacketType::ConnAck,
            reason
        })
    );
}

#[test]
fn secrets_are_not_printed() {
    let connack = ConnAck {
        auth_method: Some("m"),
        auth_data: Some(b"hunter2"),
        ..ConnAck::default()
    };
    let text = std::format!("{connack:?}");
    assert!(
        text.contains("auth_data: Some(***)") && !text.contains("104, 117"),
        "{text}"
    );
}
