//! What holds for every packet and for every sequence of bytes.

use alloc::boxed::Box;
use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{
    Ack, ConnAck, Connect, Decoded, Decoder, Disconnect, EncodeError, PACKET_BYTES_MAX, Packet, PacketType,
    Publish, PublishProperties, ReasonCode, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe, Will,
};
use super::arbitrary::packet;
use super::{V3, VERSIONS, decode, encode, frame};
use crate::Version;
use crate::topic::{TopicError, TopicFilter};

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(packet in packet()) {
        let bytes = encode(Version::V5, &packet);
        prop_assert_eq!(decode(Version::V5, &bytes), Ok(packet));
    }

    #[test]
    fn before_mqtt_5_all_that_the_version_has_survives(packet in packet()) {
        for version in V3 {
            let packet = asking_for(version, packet.clone());
            let mut out = std::vec![0xAA; 3];
            match (packet.encode(version, &mut out), surviving(version, &packet)) {
                (Ok(()), Some(expected)) => prop_assert_eq!(decode(version, &out[3..]), Ok(expected)),
                (Err(EncodeError::NotInThisVersion(_)), None) => prop_assert_eq!(out, [0xAA; 3]),
                (encoded, expected) => prop_assert!(false, "{encoded:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn a_packet_may_arrive_split_anywhere_and_with_others_behind_it(packet in packet()) {
        let mut bytes = encode(Version::V5, &packet);
        let whole = bytes.len();
        for cut in (0..whole).filter(|cut| *cut < 100 || whole - cut < 3) {
            let mut decoder = decoder_for(&packet);
            match decoder.decode(&bytes[..cut]) {
                Ok(Decoded::Incomplete { bytes: wanted }) => prop_assert!(cut < wanted && wanted <= whole),
                other => prop_assert!(false, "{cut} of {whole} bytes: {other:?}"),
            }
        }
        bytes.extend([0xC0, 0x00]);
        let decoded = decoder_for(&packet).decode(&bytes);
        prop_assert_eq!(decoded, Ok(Decoded::Packet { packet, bytes: whole }));
    }

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..64)) {
        answer_any_bytes(&bytes)?;
    }

    /// Nearly valid bytes reach deeper than random ones.
    #[test]
    fn damaged_packets_are_answered(
        packet in packet(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        version in prop::sample::select(&VERSIONS[..]),
    ) {
        let mut bytes = Vec::new();
        if asking_for(version, packet).encode(version, &mut bytes).is_ok() {
            for (index, byte) in damage {
                *index.get_mut(&mut bytes) = byte;
            }
            answer_any_bytes(&bytes)?;
        }
    }
}

/// A list of the shortest filters takes eight times the bytes it came in, and no packet takes more.
#[test]
fn lists_take_bounded_memory() {
    assert!(size_of::<SubscribeFilter<'_>>() <= 8 * 3);
    assert!(size_of::<Result<TopicFilter<'_>, TopicError>>() <= 8 * 2);
    let shortest = [0, 0, 0].repeat(1000);
    let subscribe = frame(0x82, &[&[0, 1], &shortest]);
    let Ok(Packet::Subscribe(subscribe)) = decode(Version::V311, &subscribe) else {
        panic!()
    };
    assert_eq!(
        (subscribe.filters.len(), subscribe.filters.capacity()),
        (1000, 1000)
    );
    let unsubscribe = frame(0xA2, &[&[0, 1], &shortest]);
    let Ok(Packet::Unsubscribe(unsubscribe)) = decode(Version::V311, &unsubscribe) else {
        panic!()
    };
    assert_eq!(
        (unsubscribe.filters.len(), unsubscribe.filters.capacity()),
        (1500, 1500)
    );
}

fn decoder_for(packet: &Packet<'_>) -> Decoder {
    if matches!(packet, Packet::Connect(_)) {
        Decoder::new(PACKET_BYTES_MAX)
    } else {
        Decoder::with_version(Version::V5, PACKET_BYTES_MAX)
    }
}

/// Decoding does not panic, and what was understood can be said again.
pub(super) fn answer_any_bytes(bytes: &[u8]) -> Result<(), TestCaseError> {
    let connected = VERSIONS.map(|version| Decoder::with_version(version, PACKET_BYTES_MAX));
    for mut decoder in connected.into_iter().chain([Decoder::new(PACKET_BYTES_MAX)]) {
        let answer = if decoder.version().is_some() {
            PacketType::Disconnect
        } else {
            PacketType::ConnAck
        };
        let (packet, taken) = match decoder.decode(bytes) {
            Ok(Decoded::Packet { packet, bytes: taken }) => (packet, taken),
            Ok(Decoded::Incomplete { .. }) => continue,
            Err(error) => {
                prop_assert!(
                    error.reason().is_error() && error.reason().allowed_in(answer),
                    "{error}"
                );
                continue;
            }
        };
        prop_assert!(taken <= bytes.len());
        if has_bad_filter(&packet) {
            continue;
        }
        let version = decoder.version().unwrap();
        let bytes = encode(version, &packet);
        prop_assert_eq!(decode(version, &bytes), Ok(packet));
    }
    Ok(())
}

/// Such a packet can be received, and answered, but not sent.
fn has_bad_filter(packet: &Packet<'_>) -> bool {
    if let Packet::Subscribe(subscribe) = packet {
        subscribe.filters.iter().any(|filter| filter.filter.is_err())
    } else if let Packet::Unsubscribe(unsubscribe) = packet {
        unsubscribe.filters.iter().any(Result::is_err)
    } else {
        false
    }
}

/// CONNECT carries its version in itself; elsewhere the caller says it.
fn asking_for(version: Version, packet: Packet<'_>) -> Packet<'_> {
    if let Packet::Connect(connect) = packet {
        Packet::Connect(Box::new(Connect { version, ..*connect }))
    } else {
        packet
    }
}

/// What a peer of an old version reads, or `None` when the packet cannot be told to it.
fn surviving<'a>(version: Version, packet: &Packet<'a>) -> Option<Packet<'a>> {
    let bare_ack = |ack: &Ack<'a>| Ack::new(ack.packet_id, ReasonCode::Success);
    Some(match packet {
        Packet::Connect(connect) if connect.password.is_some() && connect.username.is_none() => return None,
        Packet::Connect(connect) => Packet::Connect(Box::new(Connect {
            clean_start: connect.clean_start,
            keep_alive_secs: connect.keep_alive_secs,
            username: connect.username,
            password: connect.password,
            will: connect
                .will
                .as_ref()
                .map(|will| Will::new(will.topic, will.payload, will.qos, will.retain)),
            ..Connect::new(version, connect.client_id)
        })),
        Packet::ConnAck(connack) => Packet::ConnAck(Box::new(ConnAck {
            session_present: connack.session_present && version == Version::V311,
            reason: ReasonCode::from_connack_v3(connack.reason.connack_v3())?,
            ..ConnAck::default()
        })),
        Packet::Publish(publish) => {
            publish.topic?;
            Packet::Publish(Publish {
                properties: PublishProperties::default(),
                ..publish.clone()
            })
        }
        Packet::PubAck(ack) => Packet::PubAck(bare_ack(ack)),
        Packet::PubRec(ack) => Packet::PubRec(bare_ack(ack)),
        Packet::PubRel(ack) => Packet::PubRel(bare_ack(ack)),
        Packet::PubComp(ack) => Packet::PubComp(bare_ack(ack)),
        Packet::Subscribe(subscribe) => {
            let filters = subscribe.filters.iter();
            let bare =
                |filter: &SubscribeFilter<'a>| SubscribeFilter::new(filter.filter.unwrap(), filter.qos);
            Packet::Subscribe(Subscribe::new(subscribe.packet_id, filters.map(bare).collect()))
        }
        Packet::SubAck(suback) => {
            let reasons = suback.reasons.iter();
            let failed = ReasonCode::UnspecifiedError;
            let reasons = reasons.map(|reason| if reason.is_error() { failed } else { *reason });
            Packet::SubAck(SubAck::new(suback.packet_id, reasons.collect()))
        }
        Packet::Unsubscribe(unsubscribe) => Packet::Unsubscribe(Unsubscribe::new(
            unsubscribe.packet_id,
            unsubscribe.filters.clone(),
        )),
        Packet::UnsubAck(unsuback) => Packet::UnsubAck(UnsubAck::new(unsuback.packet_id, Vec::new())),
        Packet::PingReq => Packet::PingReq,
        Packet::PingResp => Packet::PingResp,
        Packet::Disconnect(_) => Packet::Disconnect(Disconnect::default()),
        Packet::Auth(_) => return None,
    })
}
