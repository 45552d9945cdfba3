//! PUBLISH byte by byte.

use core::num::NonZeroU16;

use super::*;
use crate::codec::tests::{V3, VERSIONS, assert_wire, decode, frame, malformed, protocol};
use crate::codec::{At, Packet};

fn name(text: &str) -> TopicName<'_> {
    TopicName::parse(text).unwrap()
}

#[test]
fn qos_0_is_topic_and_payload() {
    let publish = Packet::Publish(Publish::new(name("a/b"), b"hi"));
    for version in V3 {
        assert_wire(version, &[0x30, 7, 0, 3, b'a', b'/', b'b', b'h', b'i'], &publish);
    }
    // MQTT 5 adds the length of the properties, even when there are none [MQTT-2.2.2-1].
    assert_wire(
        Version::V5,
        &[0x30, 8, 0, 3, b'a', b'/', b'b', 0, b'h', b'i'],
        &publish,
    );
}

#[test]
fn flags_and_packet_id_travel() {
    let publish = Publish {
        dup: true,
        qos: Qos::ExactlyOnce,
        retain: true,
        packet_id: PacketId::new(0x1234),
        ..Publish::new(name("t"), b"")
    };
    let bytes = [0b0011_1101, 5, 0, 1, b't', 0x12, 0x34];
    for version in V3 {
        assert_wire(version, &bytes, &Packet::Publish(publish.clone()));
    }
}

#[test]
fn every_property_travels() {
    let mut user = Vec::new();
    UserProperties::push(&mut user, "k", "v").unwrap();
    let publish = Publish {
        properties: PublishProperties {
            payload_format: Some(true),
            message_expiry_secs: Some(60),
            topic_alias: NonZeroU16::new(5),
            response_topic: Some(name("r")),
            correlation_data: Some(&[0xFF]),
            subscription_ids: SubscriptionIds::from_slice(&[1, 200]),
            content_type: Some("c"),
            user_properties: UserProperties::from_wire(&user).unwrap(),
        },
        topic: None,
        ..Publish::new(name("t"), b"x")
    };
    let properties: &[&[u8]] = &[
        &[0x01, 1],                      // payload format indicator: text
        &[0x02, 0, 0, 0, 60],            // message expiry interval
        &[0x03, 0, 1, b'c'],             // content type
        &[0x08, 0, 1, b'r'],             // response topic
        &[0x09, 0, 1, 0xFF],             // correlation data
        &[0x0B, 1],                      // subscription identifier
        &[0x0B, 0xC8, 0x01],             // and another
        &[0x23, 0, 5],                   // topic alias
        &[0x26, 0, 1, b'k', 0, 1, b'v'], // user property
    ];
    let properties = properties.concat();
    let bytes = frame(0x30, &[&[0, 0], &[properties.len() as u8], &properties, b"x"]);
    assert_wire(Version::V5, &bytes, &Packet::Publish(publish));
}

#[test]
fn properties_that_may_repeat_keep_their_order_among_others() {
    let user = |value| [0x26, 0, 1, b'k', 0, 1, value];
    let block = [&user(b'2')[..], &[0x0B, 9], &[0x01, 0], &user(b'1'), &[0x0B, 3]].concat();
    let bytes = with_properties(&block);
    let Ok(Packet::Publish(publish)) = decode(Version::V5, &bytes) else {
        panic!("{bytes:?}")
    };
    // [MQTT-3.3.2-18]
    assert!(
        publish
            .properties
            .user_properties
            .iter()
            .eq([("k", "2"), ("k", "1")])
    );
    assert!(publish.properties.subscription_ids.iter().eq([9, 3]));
    assert_eq!(publish.properties.payload_format, Some(false));
}

#[test]
fn flags_that_contradict_are_malformed() {
    for version in VERSIONS {
        // [MQTT-3.3.1-4]
        assert_eq!(malformed(version, &[0x36, 0]), (0, Malformed::Qos3));
        // [MQTT-3.3.1-2]
        assert_eq!(malformed(version, &[0x38, 0]), (0, Malformed::DupAtQos0));
    }
}

#[test]
fn a_packet_id_is_needed_from_qos_1_on_and_is_not_0() {
    for version in VERSIONS {
        let zero = frame(0x32, &[&[0, 1, b't', 0, 0, 0]]);
        assert_eq!(malformed(version, &zero), (5, Malformed::PacketIdZero)); // [MQTT-2.2.1-3]
        let missing = frame(0x32, &[&[0, 1, b't', 1]]);
        assert_eq!(malformed(version, &missing), (5, Malformed::Truncated));
    }
}

#[test]
fn a_topic_with_a_wildcard_is_a_bad_topic_name() {
    for version in VERSIONS {
        let error = decode(version, &[0x30, 6, 0, 3, b'a', b'/', b'#', 0]).unwrap_err();
        let at = At {
            packet: PacketType::Publish,
            offset: 2,
            fault: TopicError::WildcardInName,
        };
        assert_eq!(error, DecodeError::BadTopicName(at)); // [MQTT-3.3.2-2]
        assert_eq!(error.reason(), crate::ReasonCode::TopicNameInvalid);
    }
}

#[test]
fn text_is_utf_8_without_nul() {
    for version in VERSIONS {
        // [MQTT-1.5.4-1]: also surrogates and over-long forms are no UTF-8.
        for topic in [&[0xFF, b'a', b'a'], &[0xED, 0xA0, 0x80], b"\xC0\x80a"] {
            let bytes = frame(0x30, &[&[0, 3], topic, &[0]]);
            assert_eq!(malformed(version, &bytes), (2, Malformed::Utf8));
        }
        // [MQTT-1.5.4-2]
        let bytes = frame(0x30, &[&[0, 2, b'a', 0, 0]]);
        assert_eq!(malformed(version, &bytes), (2, Malformed::NulCharacter));
        // A byte order mark is a character like any other [MQTT-1.5.4-3].
        let bytes = frame(0x30, &[&[0, 3], "\u{feff}".as_bytes(), &[0]]);
        let Ok(Packet::Publish(publish)) = decode(version, &bytes) else {
            panic!("{version:?}")
        };
        assert_eq!(publish.topic.map(TopicName::as_str), Some("\u{feff}"));
    }
}

#[test]
fn an_empty_topic_needs_an_alias() {
    for version in V3 {
        let error = decode(version, &[0x30, 2, 0, 0]).unwrap_err();
        let at = At {
            packet: PacketType::Publish,
            offset: 2,
            fault: TopicError::Empty,
        };
        assert_eq!(error, DecodeError::BadTopicName(at)); // [MQTT-4.7.3-1]
    }
    assert_eq!(
        protocol(Version::V5, &[0x30, 3, 0, 0, 0]),
        (2, ProtocolFault::NoTopic)
    );
    assert!(decode(Version::V5, &[0x30, 6, 0, 0, 3, 0x23, 0, 1]).is_ok());
}

#[test]
fn alias_0_is_a_bad_alias() {
    let error = decode(Version::V5, &[0x30, 7, 0, 1, b't', 3, 0x23, 0, 0]).unwrap_err();
    assert_eq!(error, DecodeError::BadTopicAlias { offset: 6 }); // [MQTT-3.3.2-8]
    assert_eq!(error.reason(), crate::ReasonCode::TopicAliasInvalid);
}

/// A QoS 0 PUBLISH to `t` with these properties, which begin at offset 6.
fn with_properties(properties: &[u8]) -> Vec<u8> {
    frame(0x30, &[&[0, 1, b't', properties.len() as u8], properties])
}

#[test]
fn property_values_are_checked() {
    let refused = |properties: &[u8]| protocol(Version::V5, &with_properties(properties));
    let value = |id, value| (6, ProtocolFault::PropertyValue { id, value });
    assert_eq!(refused(&[0x01, 2]), value(0x01, 2));
    assert_eq!(refused(&[0x0B, 0]), value(0x0B, 0));
    let topic = |error| (6, ProtocolFault::ResponseTopic(error));
    assert_eq!(refused(&[0x08, 0, 1, b'+']), topic(TopicError::WildcardInName)); // [MQTT-3.3.2-14]
    assert_eq!(refused(&[0x08, 0, 0]), topic(TopicError::Empty));
    let twice = (8, ProtocolFault::DuplicateProperty { id: 0x01 });
    assert_eq!(refused(&[0x01, 1, 0x01, 1]), twice);
}

#[test]
fn property_blocks_are_checked() {
    let refused = |properties: &[u8]| malformed(Version::V5, &with_properties(properties));
    assert_eq!(refused(&[0x04, 0]), (6, Malformed::UnknownProperty { id: 0x04 }));
    assert_eq!(refused(&[0x81, 0]), (6, Malformed::UnknownProperty { id: 0x81 }));
    assert_eq!(
        refused(&[0x11, 0, 0, 0, 0]),
        (6, Malformed::PropertyNotAllowed { id: 0x11 })
    );
    assert_eq!(refused(&[0x01]), (7, Malformed::Truncated));
    assert_eq!(
        refused(&[0x26, 0, 1, b'k', 0, 2, b'v']),
        (10, Malformed::Truncated)
    );
    assert_eq!(refused(&[0x0B, 0x80, 0x00]), (7, Malformed::VarintNotMinimal)); // [MQTT-1.5.5-1]
    assert_eq!(
        refused(&[0x0B, 0x80, 0x80, 0x80, 0x80, 1]),
        (7, Malformed::VarintTooLong)
    );
    assert_eq!(refused(&[0x0B, 0x80]), (7, Malformed::Truncated));
    // The block claims more than the packet has.
    let bytes = [0x30, 4, 0, 1, b't', 1];
    assert_eq!(malformed(Version::V5, &bytes), (6, Malformed::Truncated));
}

#[test]
fn errors_tell_an_operator_what_and_where() {
    let error = decode(Version::V5, &with_properties(&[0x11, 0, 0, 0, 0])).unwrap_err();
    let text = "PUBLISH at offset 6: property 0x11 (session expiry interval) is not allowed in this packet";
    assert_eq!(std::format!("{error}"), text);
    let error = decode(Version::V5, &[0x30, 4, 0, 1, b'#', 0]).unwrap_err();
    let text = "PUBLISH at offset 2: topic name contains a wildcard, which only a topic filter may have";
    assert_eq!(std::format!("{error}"), text);
}

#[test]
fn the_layout_says_where_to_patch_and_cut() {
    let payload = [0xAB; 200];
    let publish = Publish {
        qos: Qos::AtLeastOnce,
        packet_id: PacketId::new(1),
        ..Publish::new(name("a/b"), &payload)
    };
    for version in VERSIONS {
        let mut out = std::vec![0x55; 10];
        let layout = publish.encode(version, &mut out).unwrap();
        assert_eq!((layout.start, layout.end), (10, out.len()));
        assert_eq!(&out[layout.payload_at..layout.end], payload);
        let at = layout.packet_id_at.unwrap();
        out[at..at + 2].copy_from_slice(&[0x12, 0x34]);
        let patched = Publish {
            packet_id: PacketId::new(0x1234),
            ..publish.clone()
        };
        assert_eq!(decode(version, &out[10..]), Ok(Packet::Publish(patched)));

        let mut head = std::vec![0x55; 10];
        let cut = publish.encode_head(version, payload.len(), &mut head).unwrap();
        assert_eq!(
            cut,
            PublishLayout {
                end: layout.payload_at,
                ..layout
            }
        );
        head[at..at + 2].copy_from_slice(&[0x12, 0x34]);
        assert_eq!(head, &out[..layout.payload_at]);
    }
}

#[test]
fn what_breaks_a_rule_is_not_sent() {
    let good = Publish::new(name("t"), b"");
    let broken = [
        Publish {
            dup: true,
            ..good.clone()
        },
        Publish {
            qos: Qos::AtLeastOnce,
            ..good.clone()
        },
        Publish {
            packet_id: PacketId::new(1),
            ..good.clone()
        }, // [MQTT-2.2.1-2]
        Publish {
            topic: None,
            ..good.clone()
        },
    ];
    for publish in broken {
        let mut out = std::vec![1];
        let refused = publish.encode(Version::V5, &mut out);
        assert!(matches!(refused, Err(EncodeError::BreaksRule(_))), "{publish:?}");
        assert_eq!(out, [1]);
    }
    let properties = PublishProperties {
        topic_alias: NonZeroU16::new(1),
        ..Default::default()
    };
    let by_alias = Publish {
        topic: None,
        properties,
        ..good.clone()
    };
    let refused = by_alias.encoded_len(Version::V311);
    assert!(matches!(refused, Err(EncodeError::NotInThisVersion(_))));
    let mut out = Vec::new();
    let largest = 268_435_455 - 3;
    assert!(good.encode_head(Version::V311, largest, &mut out).is_ok());
    let refused = good.encode_head(Version::V311, largest + 1, &mut Vec::new());
    assert_eq!(refused, Err(EncodeError::PacketTooLarge { bytes: 268_435_456 }));
}
