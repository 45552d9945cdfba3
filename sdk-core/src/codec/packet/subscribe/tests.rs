//! SUBSCRIBE byte by byte.

use super::*;
use crate::codec::Packet;
use crate::codec::tests::{V3, VERSIONS, assert_wire, decode, frame, malformed, protocol};

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

fn filter(text: &str, qos: Qos) -> SubscribeFilter<'_> {
    SubscribeFilter::new(TopicFilter::parse(text).unwrap(), qos)
}

/// An MQTT 5 SUBSCRIBE to this filter; its options are at the last offset.
fn with_options(text: &str, options: u8) -> Vec<u8> {
    frame(
        0x82,
        &[&[0, 1, 0], &[0, text.len() as u8], text.as_bytes(), &[options]],
    )
}

#[test]
fn filters_come_in_order() {
    let filters = std::vec![
        filter("a/+", Qos::AtMostOnce),
        filter("$share/g/#", Qos::ExactlyOnce)
    ];
    let subscribe = Packet::Subscribe(Subscribe::new(id(0x0102), filters));
    let payload = [&[0, 3][..], b"a/+", &[0], &[0, 10], b"$share/g/#", &[2]].concat();
    for version in V3 {
        assert_wire(version, &frame(0x82, &[&[1, 2], &payload]), &subscribe);
    }
    assert_wire(Version::V5, &frame(0x82, &[&[1, 2, 0], &payload]), &subscribe);
}

#[test]
fn options_and_properties_travel() {
    let mut user = Vec::new();
    UserProperties::push(&mut user, "k", "v").unwrap();
    let subscribe = Subscribe {
        subscription_id: Some(200),
        user_properties: UserProperties::from_wire(&user).unwrap(),
        ..Subscribe::new(
            id(1),
            std::vec![
                SubscribeFilter {
                    no_local: true,
                    ..filter("a", Qos::AtLeastOnce)
                },
                SubscribeFilter {
                    retain_as_published: true,
                    retain_handling: RetainHandling::SendIfNew,
                    ..filter("b", Qos::AtMostOnce)
                },
                SubscribeFilter {
                    retain_handling: RetainHandling::DoNotSend,
                    ..filter("c", Qos::AtMostOnce)
                },
            ],
        )
    };
    let parts: &[&[u8]] = &[
        &[0, 1, 10],
        &[0x0B, 0xC8, 0x01],             // subscription identifier
        &[0x26, 0, 1, b'k', 0, 1, b'v'], // user property
        &[0, 1, b'a', 0b0000_0101],      // no local, QoS 1
        &[0, 1, b'b', 0b0001_1000],      // retain handling 1, retain as published
        &[0, 1, b'c', 0b0010_0000],      // retain handling 2
    ];
    assert_wire(Version::V5, &frame(0x82, parts), &Packet::Subscribe(subscribe));
}

#[test]
fn a_bad_filter_is_told_and_the_others_go_on() {
    for version in VERSIONS {
        let properties: &[u8] = if version.is_v5() { &[0] } else { &[] };
        let payload = [0, 2, b'a', b'+', 1, 0, 0, 0, 0, 1, b'b', 2];
        let bytes = frame(0x82, &[&[0, 1], properties, &payload]);
        let Ok(Packet::Subscribe(subscribe)) = decode(version, &bytes) else {
            panic!("{version:?}")
        };
        let filters: Vec<_> = subscribe
            .filters
            .iter()
            .map(|entry| (entry.filter, entry.qos))
            .collect();
        assert_eq!(filters[0], (Err(TopicError::MisplacedWildcard), Qos::AtLeastOnce));
        assert_eq!(filters[1], (Err(TopicError::Empty), Qos::AtMostOnce));
        assert_eq!(filters[2], (TopicFilter::parse("b"), Qos::ExactlyOnce));
        let refused = subscribe.encode(version, &mut Vec::new());
        assert!(matches!(refused, Err(EncodeError::BreaksRule(_))));
    }
}

#[test]
fn a_filter_is_utf_8_without_nul() {
    for version in VERSIONS {
        let head: &[u8] = if version.is_v5() { &[0, 1, 0] } else { &[0, 1] };
        let offset = 2 + u32::try_from(head.len()).unwrap();
        let bytes = frame(0x82, &[head, &[0, 1, 0xFF, 0]]);
        assert_eq!(malformed(version, &bytes), (offset, Malformed::Utf8)); // [MQTT-1.5.4-1]
        let bytes = frame(0x82, &[head, &[0, 1, 0, 0]]);
        assert_eq!(malformed(version, &bytes), (offset, Malformed::NulCharacter)); // [MQTT-1.5.4-2]
    }
}

#[test]
fn there_is_at_least_one_filter() {
    for version in VERSIONS {
        let head: &[u8] = if version.is_v5() { &[0, 1, 0] } else { &[0, 1] };
        let offset = 2 + u32::try_from(head.len()).unwrap();
        // [MQTT-3.8.3-2]
        assert_eq!(
            protocol(version, &frame(0x82, &[head])),
            (offset, ProtocolFault::NoFilters)
        );
        // A filter without options.
        let bytes = frame(0x82, &[head, &[0, 1, b'a']]);
        assert_eq!(malformed(version, &bytes), (offset + 3, Malformed::Truncated));
        let refused = Subscribe::new(id(1), Vec::new()).encode(version, &mut Vec::new());
        assert!(matches!(refused, Err(EncodeError::BreaksRule(_))));
    }
}

#[test]
fn options_are_checked() {
    for options in [0b0100_0000, 0b1000_0000] {
        let refused = malformed(Version::V5, &with_options("a", options));
        assert_eq!(refused, (8, Malformed::SubscriptionOptions { options })); // [MQTT-3.8.3-5]
    }
    assert_eq!(
        protocol(Version::V5, &with_options("a", 3)),
        (8, ProtocolFault::SubscriptionQos3)
    );
    assert_eq!(
        protocol(Version::V5, &with_options("a", 0x30)),
        (8, ProtocolFault::RetainHandling3)
    );
    for version in V3 {
        let refused = |options| malformed(version, &[0x82, 6, 0, 1, 0, 1, b'a', options]);
        assert_eq!(refused(4), (7, Malformed::SubscriptionOptions { options: 4 }));
        assert_eq!(refused(3), (7, Malformed::Qos3));
    }
}

#[test]
fn no_local_is_not_for_shared_subscriptions() {
    let refused = protocol(Version::V5, &with_options("$share/g/a", 0b100));
    assert_eq!(refused, (17, ProtocolFault::NoLocalOnShared)); // [MQTT-3.8.3-4]
    let shared = SubscribeFilter {
        no_local: true,
        ..filter("$share/g/a", Qos::AtMostOnce)
    };
    let refused = Subscribe::new(id(1), std::vec![shared]).encode(Version::V5, &mut Vec::new());
    assert!(matches!(refused, Err(EncodeError::BreaksRule(_))));
}

#[test]
fn a_subscription_identifier_comes_once_and_is_not_0() {
    let with = |properties: &[u8]| {
        frame(
            0x82,
            &[&[0, 1, properties.len() as u8], properties, &[0, 1, b'a', 0]],
        )
    };
    let zero = ProtocolFault::PropertyValue { id: 0x0B, value: 0 };
    assert_eq!(protocol(Version::V5, &with(&[0x0B, 0])), (5, zero));
    let twice = ProtocolFault::DuplicateProperty { id: 0x0B };
    assert_eq!(protocol(Version::V5, &with(&[0x0B, 1, 0x0B, 2])), (7, twice));
    let foreign = Malformed::PropertyNotAllowed { id: 0x1F };
    assert_eq!(malformed(Version::V5, &with(&[0x1F, 0, 0])), (5, foreign));
    for subscription_id in [Some(0), Some(268_435_456)] {
        let good = Subscribe::new(id(1), std::vec![filter("a", Qos::AtMostOnce)]);
        let refused = Subscribe {
            subscription_id,
            ..good
        }
        .encode(Version::V5, &mut Vec::new());
        assert!(matches!(refused, Err(EncodeError::BreaksRule(_))));
    }
}

#[test]
fn the_packet_id_is_not_0() {
    for version in VERSIONS {
        let refused = malformed(version, &[0x82, 7, 0, 0, 0, 0, 1, b'a', 0]);
        assert_eq!(refused, (2, Malformed::PacketIdZero)); // [MQTT-2.2.1-3]
    }
}
