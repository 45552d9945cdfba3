//! CONNECT byte by byte.

use core::num::{NonZeroU16, NonZeroU32};

use super::*;
use crate::codec::tests::{VERSIONS, assert_wire, decode, encode, frame, malformed, protocol};
use crate::codec::{At, Decoder, PACKET_BYTES_MAX, Packet, ReasonCode};
use crate::topic::TopicError;

const MQTT: &[u8] = &[0, 4, b'M', b'Q', b'T', b'T'];
const MQISDP: &[u8] = &[0, 6, b'M', b'Q', b'I', b's', b'd', b'p'];

fn boxed<'a>(connect: &Connect<'a>) -> Packet<'a> {
    Packet::Connect(connect.clone().into())
}

/// Protocol name and level of a version.
fn protocol_of(version: Version) -> Vec<u8> {
    let name = if version == Version::V31 { MQISDP } else { MQTT };
    [name, &[version as u8]].concat()
}

/// A CONNECT with these flags, keep alive 10, no properties, and what follows them.
fn with_flags(version: Version, flags: u8, payload: &[u8]) -> Vec<u8> {
    let properties: &[u8] = if version.is_v5() { &[0] } else { &[] };
    frame(
        0x10,
        &[&protocol_of(version), &[flags, 0, 10], properties, payload],
    )
}

/// An MQTT 5 CONNECT with these properties, which begin at offset 13, and the client identifier `c`.
fn with_properties(properties: &[u8]) -> Vec<u8> {
    let length = [properties.len() as u8];
    frame(
        0x10,
        &[MQTT, &[5, 0b10, 0, 10], &length, properties, &[0, 1, b'c']],
    )
}

#[test]
fn the_smallest_connect_of_each_version() {
    for version in VERSIONS {
        let bytes = with_flags(version, 0b10, &[0, 1, b'c']);
        assert_wire(
            version,
            &bytes,
            &boxed(&Connect {
                keep_alive_secs: 10,
                ..Connect::new(version, "c")
            }),
        );
        let bytes = with_flags(version, 0, &[0, 0]);
        let connect = Connect {
            keep_alive_secs: 10,
            clean_start: false,
            ..Connect::new(version, "")
        };
        assert_wire(version, &bytes, &boxed(&connect));
    }
}

#[test]
fn will_and_credentials_come_in_order() {
    for version in VERSIONS {
        let will_properties: &[u8] = if version.is_v5() { &[0] } else { &[] };
        // [MQTT-3.1.3-1]
        let payload: &[&[u8]] = &[
            &[0, 1, b'c'], // client identifier
            will_properties,
            &[0, 1, b'w'],       // will topic
            &[0, 2, b'b', b'y'], // will payload
            &[0, 1, b'u'],       // user name
            &[0, 1, 0xFF],       // password
        ];
        let topic = TopicName::parse("w").unwrap();
        let connect = Connect {
            keep_alive_secs: 10,
            username: Some("u"),
            password: Some(&[0xFF]),
            will: Some(Will::new(topic, b"by", Qos::ExactlyOnce, true)),
            ..Connect::new(version, "c")
        };
        assert_wire(
            version,
            &with_flags(version, 0b1111_0110, &payload.concat()),
            &boxed(&connect),
        );
    }
}

#[test]
fn every_property_travels() {
    let topic = |text| TopicName::parse(text).unwrap();
    let mut user = Vec::new();
    UserProperties::push(&mut user, "k", "v").unwrap();
    let user_properties = UserProperties::from_wire(&user).unwrap();
    let will = Will {
        delay_secs: 9,
        properties: PublishProperties {
            payload_format: Some(true),
            message_expiry_secs: Some(1),
            content_type: Some("t"),
            response_topic: Some(topic("r")),
            correlation_data: Some(&[1]),
            user_properties,
            ..PublishProperties::default()
        },
        ..Will::new(topic("w"), b"", Qos::AtMostOnce, false)
    };
    let connect = Connect {
        keep_alive_secs: 10,
        will: Some(will),
        session_expiry_secs: Some(u32::MAX),
        receive_max: NonZeroU16::new(256),
        packet_bytes_max: NonZeroU32::new(1000),
        topic_alias_max: 7,
        request_response_info: true,
        request_problem_info: false,
        auth_method: Some("m"),
        auth_data: Some(&[2]),
        user_properties,
        ..Connect::new(Version::V5, "c")
    };
    let properties: &[&[u8]] = &[
        &[0x11, 0xFF, 0xFF, 0xFF, 0xFF], // session expiry interval
        &[0x15, 0, 1, b'm'],             // authentication method
        &[0x16, 0, 1, 2],                // authentication data
        &[0x17, 0],                      // request problem information
        &[0x19, 1],                      // request response information
        &[0x21, 1, 0],                   // receive maximum
        &[0x22, 0, 7],                   // topic alias maximum
        &[0x26, 0, 1, b'k', 0, 1, b'v'], // user property
        &[0x27, 0, 0, 0x03, 0xE8],       // maximum packet size
    ];
    let will_properties: &[&[u8]] = &[
        &[0x18, 0, 0, 0, 9],             // will delay interval
        &[0x01, 1],                      // payload format indicator
        &[0x02, 0, 0, 0, 1],             // message expiry interval
        &[0x03, 0, 1, b't'],             // content type
        &[0x08, 0, 1, b'r'],             // response topic
        &[0x09, 0, 1, 1],                // correlation data
        &[0x26, 0, 1, b'k', 0, 1, b'v'], // user property
    ];
    let (properties, will_properties) = (properties.concat(), will_properties.concat());
    let parts: &[&[u8]] = &[
        MQTT,
        &[5, 0b110, 0, 10],
        &[properties.len() as u8],
        &properties,
        &[0, 1, b'c'],
        &[will_properties.len() as u8],
        &will_properties,
        &[0, 1, b'w', 0, 0],
    ];
    assert_wire(Version::V5, &frame(0x10, parts), &boxed(&connect));
}

#[test]
fn the_protocol_name_decides() {
    for (name, level) in [(MQTT, 3), (MQTT, 6), (MQTT, 0x84), (MQISDP, 4), (MQISDP, 0x83)] {
        let error = decode(Version::V5, &frame(0x10, &[name, &[level]])).unwrap_err();
        assert_eq!(error, DecodeError::UnsupportedVersion { level }); // [MQTT-3.1.2-2]
        assert_eq!(error.reason(), ReasonCode::UnsupportedProtocolVersion);
    }
    for name in [
        &b"\0\x04mqtt"[..],
        b"\0\x00",
        b"\0\x05MQTT5",
        b"\0\x03MQT",
        b"\0\x04\xFF\xFF\xFF\xFF",
    ] {
        let bytes = frame(0x10, &[name, &[5, 2, 0, 0, 0, 0, 0]]);
        assert_eq!(malformed(Version::V5, &bytes), (2, Malformed::ProtocolName)); // [MQTT-3.1.2-1]
    }
}

#[test]
fn flags_must_agree() {
    for version in VERSIONS {
        let at = 2 + u32::try_from(protocol_of(version).len()).unwrap();
        let refused = |flags| {
            malformed(
                version,
                &with_flags(version, flags, &[0, 1, b'c', 0, 0, 0, 0, 0, 0]),
            )
        };
        assert_eq!(refused(0b0000_0001), (at, Malformed::ConnectFlagReserved)); // [MQTT-3.1.2-3]
        assert_eq!(refused(0b0000_1000), (at, Malformed::WillFlags)); // [MQTT-3.1.2-11]
        assert_eq!(refused(0b0010_0000), (at, Malformed::WillFlags)); // [MQTT-3.1.2-13]
        assert_eq!(refused(0b0001_1100), (at, Malformed::Qos3)); // [MQTT-3.1.2-12]
    }
}

#[test]
fn a_password_needs_a_user_name_before_mqtt_5() {
    let payload = [0, 1, b'c', 0, 1, b'p'];
    let connect = Connect {
        keep_alive_secs: 10,
        password: Some(b"p"),
        ..Connect::new(Version::V5, "c")
    };
    assert_wire(
        Version::V5,
        &with_flags(Version::V5, 0b0100_0010, &payload),
        &boxed(&connect),
    );
    let bytes = with_flags(Version::V311, 0b0100_0010, &payload);
    assert_eq!(
        malformed(Version::V311, &bytes),
        (9, Malformed::PasswordWithoutUsername)
    );
    let mut out = Vec::new();
    let refused = Connect {
        version: Version::V311,
        ..connect
    }
    .encode(&mut out);
    assert_eq!(
        refused,
        Err(EncodeError::NotInThisVersion("a password without a user name"))
    );
    assert!(out.is_empty());
}

#[test]
fn in_3_1_announced_credentials_may_be_missing() {
    let bytes = with_flags(Version::V31, 0b1100_0010, &[0, 1, b'c']);
    let Ok(Packet::Connect(connect)) = decode(Version::V31, &bytes) else {
        panic!("{bytes:?}")
    };
    assert_eq!((connect.username, connect.password), (None, None));
    let bytes = with_flags(Version::V311, 0b1100_0010, &[0, 1, b'c']);
    assert_eq!(malformed(Version::V311, &bytes), (15, Malformed::Truncated));
}

#[test]
fn a_will_topic_is_a_topic_name() {
    for version in VERSIONS {
        let will_properties: &[u8] = if version.is_v5() { &[0] } else { &[] };
        for (topic, fault) in [
            (&b"\0\x01#"[..], TopicError::WildcardInName),
            (b"\0\x00", TopicError::Empty),
        ] {
            let payload = [&[0, 1, b'c'], will_properties, topic, &[0, 0]].concat();
            let bytes = with_flags(version, 0b110, &payload);
            let error = decode(version, &bytes).unwrap_err();
            let offset = u32::try_from(bytes.len() - topic.len() - 2).unwrap();
            assert_eq!(
                error,
                DecodeError::BadTopicName(At {
                    packet: PacketType::Connect,
                    offset,
                    fault
                })
            );
        }
    }
}

#[test]
fn property_values_are_checked() {
    let refused = |properties: &[u8]| protocol(Version::V5, &with_properties(properties));
    let value = |id, value| (13, ProtocolFault::PropertyValue { id, value });
    assert_eq!(refused(&[0x21, 0, 0]), value(0x21, 0));
    assert_eq!(refused(&[0x27, 0, 0, 0, 0]), value(0x27, 0));
    assert_eq!(refused(&[0x17, 2]), value(0x17, 2));
    assert_eq!(refused(&[0x19, 0xFF]), value(0x19, 0xFF));
    assert_eq!(refused(&[0x16, 0, 0]), (13, ProtocolFault::AuthDataWithoutMethod));
    let twice = (18, ProtocolFault::DuplicateProperty { id: 0x11 });
    assert_eq!(refused(&[0x11, 0, 0, 0, 0, 0x11, 0, 0, 0, 0]), twice);
    assert!(
        decode(Version::V5, &with_properties(&[0x22, 0, 0])).is_ok(),
        "topic alias maximum 0 means none"
    );
}

#[test]
fn only_its_own_properties_are_allowed() {
    let refused = |properties: &[u8]| malformed(Version::V5, &with_properties(properties));
    for property in [&[0x23, 0, 1][..], &[0x0B, 1], &[0x18, 0, 0, 0, 0], &[0x01, 0]] {
        assert_eq!(
            refused(property),
            (13, Malformed::PropertyNotAllowed { id: property[0] })
        );
    }
    // Neither may a will carry everything that a PUBLISH may.
    for property in [&[0x23, 0, 1][..], &[0x0B, 1], &[0x11, 0, 0, 0, 0]] {
        let payload = [&[0, 1, b'c', property.len() as u8], property, &[0, 1, b'w', 0, 0]].concat();
        let bytes = with_flags(Version::V5, 0b110, &payload);
        assert_eq!(
            malformed(Version::V5, &bytes),
            (17, Malformed::PropertyNotAllowed { id: property[0] })
        );
    }
}

#[test]
fn nothing_follows_the_last_field() {
    for version in VERSIONS {
        let bytes = with_flags(version, 0b10, &[0, 1, b'c', 0, 0]);
        let offset = u32::try_from(bytes.len() - 2).unwrap();
        assert_eq!(
            malformed(version, &bytes),
            (offset, Malformed::TrailingBytes { bytes: 2 })
        );
    }
}

#[test]
fn the_version_is_known_even_when_the_rest_is_refused() {
    let mut decoder = Decoder::new(PACKET_BYTES_MAX);
    assert!(decoder.decode(&with_flags(Version::V5, 0b1, &[])).is_err());
    assert_eq!(decoder.version(), Some(Version::V5));
}

#[test]
fn what_breaks_a_rule_is_not_sent() {
    let topic = TopicName::parse("w").unwrap();
    let mut will = Will::new(topic, b"", Qos::AtMostOnce, false);
    will.properties.topic_alias = NonZeroU16::new(1);
    let plain = Connect::new(Version::V5, "c");
    let broken = [
        Connect {
            will: Some(will),
            ..plain.clone()
        },
        Connect {
            auth_data: Some(b"x"),
            ..plain.clone()
        },
    ];
    for connect in broken {
        let mut out = std::vec![1];
        assert!(
            matches!(connect.encode(&mut out), Err(EncodeError::BreaksRule(_))),
            "{connect:?}"
        );
        assert_eq!(out, [1]);
    }
    let nul = Connect::new(Version::V311, "a\0").encode(&mut Vec::new());
    assert_eq!(
        nul,
        Err(EncodeError::NulCharacter {
            field: "client identifier"
        })
    ); // [MQTT-1.5.4-2]
    let long = "x".repeat(65_536);
    let too_long = Connect {
        username: Some(&long),
        ..plain
    }
    .encode(&mut Vec::new());
    assert_eq!(
        too_long,
        Err(EncodeError::StringTooLong {
            field: "user name",
            bytes: 65_536
        })
    );
}

#[test]
fn secrets_are_not_printed() {
    let connect = Connect {
        username: Some("user"),
        password: Some(b"hunter2"),
        auth_method: Some("m"),
        auth_data: Some(b"hunter3"),
        ..Connect::new(Version::V5, "c")
    };
    let text = std::format!("{:?}", boxed(&connect));
    assert!(
        text.contains(r#"username: Some("user")"#) && text.contains("password: Some(***)"),
        "{text}"
    );
    for secret in ["hunter", &std::format!("{:?}", b"hunter2"), "104, 117"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn defaults_take_no_bytes() {
    let bytes = encode(Version::V5, &boxed(&Connect::new(Version::V5, "")));
    assert_eq!(bytes, frame(0x10, &[MQTT, &[5, 0b10, 0, 0, 0, 0, 0]]));
}
