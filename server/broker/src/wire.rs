//! A PUBLISH as its bytes came. Most leave just as they came, and a copy costs less than to write them again.

use alloc::vec::Vec;

use cloudsignal_core::codec::{PacketId, Publish, PublishLayout};
use cloudsignal_core::{Qos, Version};

/// Bytes of the packet type, and where DUP, QoS and RETAIN are in the first byte.
const PUBLISH: u8 = 0x30;
/// A byte of the remaining length that another one follows.
const MORE: u8 = 0x80;
/// Bytes of the length in front of the topic name.
const TOPIC_LENGTH_BYTES: usize = 2;

/// A whole PUBLISH that says nothing to subscribers but what its publisher said, for whoever speaks its version and
/// gets its QoS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a> {
    frame: &'a [u8],
    is_v5: bool,
    qos: Qos,
    /// From the start of the frame; where there is none, where it would be.
    packet_id_at: usize,
    payload_bytes: usize,
}

impl<'a> Wire<'a> {
    /// `None` for a packet that every subscriber gets differently from how it came. `frame` is empty when nobody
    /// knows how it came.
    pub(crate) fn of(publish: &Publish<'_>, version: Version, frame: &'a [u8]) -> Option<Self> {
        let topic = publish.topic?;
        let properties = &publish.properties;
        if properties.topic_alias.is_some() || properties.message_expiry_secs.is_some() {
            return None;
        }
        let header_bytes = header_bytes(frame)?;
        Some(Self {
            frame,
            is_v5: version.is_v5(),
            qos: publish.qos,
            packet_id_at: header_bytes + TOPIC_LENGTH_BYTES + topic.as_str().len(),
            payload_bytes: publish.payload.len(),
        })
    }

    /// Appends the packet as it goes to those who get it at this version, QoS and retain flag, with the smallest
    /// packet id. `None`: to those it has to be written.
    pub(crate) fn copy(
        &self,
        version: Version,
        qos: Qos,
        retain: bool,
        out: &mut Vec<u8>,
    ) -> Option<PublishLayout> {
        let has_packet_id = qos != Qos::AtMostOnce;
        if self.is_v5 != version.is_v5() || has_packet_id != (self.qos != Qos::AtMostOnce) {
            return None;
        }
        let start = out.len();
        out.extend_from_slice(self.frame);
        out[start] = PUBLISH | qos.bits() << 1 | u8::from(retain); // [MQTT-3.3.1-3]
        let packet_id_at = has_packet_id.then_some(start + self.packet_id_at);
        if let Some(at) = packet_id_at {
            out[at..at + 2].copy_from_slice(&PacketId::MIN.get().to_be_bytes());
        }
        Some(PublishLayout {
            start,
            packet_id_at,
            payload_at: out.len() - self.payload_bytes,
            end: out.len(),
        })
    }
}

/// Bytes of the fixed header. `None` when there is none, or when its length is longer than it has to be, which
/// clients before MQTT 5 may write and we do not pass on.
fn header_bytes(frame: &[u8]) -> Option<usize> {
    let length = frame.get(1..)?;
    let last = length.iter().position(|byte| byte & MORE == 0)?;
    let is_shortest = last == 0 || length[last] != 0;
    is_shortest.then_some(1 + last + 1)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use cloudsignal_core::codec::{Decoded, Decoder, PACKET_BYTES_MAX, Packet, PublishProperties};
    use cloudsignal_core::topic::TopicName;

    use super::*;

    const VERSIONS: [Version; 2] = [Version::V311, Version::V5];
    const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

    fn publish(qos: Qos, payload: &[u8]) -> Publish<'_> {
        Publish {
            qos,
            packet_id: (qos != Qos::AtMostOnce).then(|| PacketId::new(0x1234).unwrap()),
            dup: qos != Qos::AtMostOnce,
            ..Publish::new(TopicName::parse("room/1").unwrap(), payload)
        }
    }

    fn frame(publish: &Publish<'_>, version: Version) -> Vec<u8> {
        let mut frame = Vec::new();
        publish.encode(version, &mut frame).unwrap();
        frame
    }

    #[test]
    fn a_copy_is_what_would_have_been_written() {
        for version in VERSIONS {
            for (came, leaves) in QOS.iter().flat_map(|came| QOS.map(|leaves| (*came, leaves))) {
                for (retain, payload) in [(false, vec![]), (true, vec![7; 100]), (true, vec![8; 20_000])] {
                    let mut packet = publish(came, &payload);
                    packet.properties.content_type = version.is_v5().then_some("text/plain");
                    packet.retain = !retain;
                    let frame = frame(&packet, version);
                    let wire = Wire::of(&packet, version, &frame).unwrap();
                    (packet.qos, packet.dup, packet.retain) = (leaves, false, retain);
                    packet.packet_id = (leaves != Qos::AtMostOnce).then_some(PacketId::MIN);
                    let (mut written, mut copied) = (vec![1, 2, 3], vec![1, 2, 3]);
                    let as_written = packet.encode(version, &mut written).unwrap();
                    let as_copied = wire.copy(version, leaves, retain, &mut copied);
                    if (came == Qos::AtMostOnce) == (leaves == Qos::AtMostOnce) {
                        assert_eq!((as_copied, copied), (Some(as_written), written));
                    } else {
                        assert_eq!((as_copied, copied.len()), (None, 3));
                    }
                }
            }
        }
    }

    #[test]
    fn other_versions_are_written() {
        let packet = publish(Qos::AtMostOnce, b"hot");
        for (came, leaves) in [(Version::V311, Version::V5), (Version::V5, Version::V31)] {
            let frame = frame(&packet, came);
            let wire = Wire::of(&packet, came, &frame).unwrap();
            let copied = wire.copy(leaves, Qos::AtMostOnce, false, &mut Vec::new());
            assert_eq!(copied, None);
        }
    }

    #[test]
    fn what_subscribers_get_differently_is_written() {
        let changed = |properties: PublishProperties<'static>| {
            let packet = Publish {
                properties,
                ..publish(Qos::AtMostOnce, b"hot")
            };
            let frame = frame(&packet, Version::V5);
            Wire::of(&packet, Version::V5, &frame).is_none()
        };
        assert!(!changed(PublishProperties::default()));
        assert!(changed(PublishProperties {
            topic_alias: core::num::NonZeroU16::new(1),
            ..PublishProperties::default()
        }));
        assert!(changed(PublishProperties {
            message_expiry_secs: Some(1),
            ..PublishProperties::default()
        }));
    }

    #[test]
    fn a_length_that_is_longer_than_it_has_to_be_is_not_passed_on() {
        let frame = [&[0x30, 0x85, 0x80, 0x00][..], b"\0\x01ahi"].concat();
        let mut decoder = Decoder::with_version(Version::V311, PACKET_BYTES_MAX);
        let Ok(Decoded::Packet {
            packet: Packet::Publish(packet),
            ..
        }) = decoder.decode(&frame)
        else {
            panic!("clients before MQTT 5 may do so")
        };
        assert!(Wire::of(&packet, Version::V311, &frame).is_none());
        assert!(
            Wire::of(&packet, Version::V311, &[]).is_none(),
            "nobody knows the bytes"
        );
    }
}
