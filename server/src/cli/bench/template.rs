//! A PUBLISH that is encoded once and sent again and again, with another stamp each time.

use cloudsignal_core::codec::{PacketId, Publish, PublishLayout};
use cloudsignal_core::topic::TopicName;
use cloudsignal_core::{Qos, Version};

use super::stamp::{STAMP_BYTES, Stamp};
use crate::cli::exit::{Exit, Failure};

/// A packet, and where its changing parts are.
pub(super) struct Template {
    packet: Vec<u8>,
    layout: PublishLayout,
}

impl Template {
    /// A message for this topic, with a payload of so many bytes.
    pub(super) fn new(
        topic: &str,
        qos: Qos,
        payload_bytes: usize,
        version: Version,
    ) -> Result<Self, Failure> {
        let payload = vec![b'.'; payload_bytes.max(STAMP_BYTES)];
        Self::with_payload(topic, qos, &payload, false, version)
    }

    /// A retained message for this topic, with a payload of so many bytes, or none: that clears the topic.
    pub(super) fn retained(
        topic: &str,
        qos: Qos,
        payload_bytes: usize,
        version: Version,
    ) -> Result<Self, Failure> {
        Self::with_payload(topic, qos, &vec![b'.'; payload_bytes], true, version)
    }

    fn with_payload(
        topic: &str,
        qos: Qos,
        payload: &[u8],
        retain: bool,
        version: Version,
    ) -> Result<Self, Failure> {
        let wrong =
            |error: &dyn core::fmt::Display| Failure::because(Exit::Failed, format!("{topic} {error}"));
        let topic = TopicName::parse(topic).map_err(|error| wrong(&error))?;
        let publish = Publish {
            qos,
            retain,
            packet_id: (qos > Qos::AtMostOnce).then_some(PacketId::MIN),
            ..Publish::new(topic, payload)
        };
        let mut packet = Vec::new();
        let layout = publish
            .encode(version, &mut packet)
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        Ok(Self { packet, layout })
    }

    /// Bytes of the packet.
    pub(super) const fn bytes(&self) -> usize {
        self.packet.len()
    }

    /// Adds the packet with this stamp to `out`.
    pub(super) fn push(&self, packet_id: PacketId, stamp: &Stamp, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.packet);
        let packet = &mut out[start..];
        if let Some(at) = self.layout.packet_id_at {
            packet[at..at + 2].copy_from_slice(&packet_id.get().to_be_bytes());
        }
        let payload = &mut packet[self.layout.payload_at..];
        if !payload.is_empty() {
            stamp.write(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudsignal_core::Instant;
    use cloudsignal_core::codec::{Decoded, Decoder, PACKET_BYTES_MAX, Packet};

    use super::*;

    #[test]
    fn what_was_patched_is_what_is_read() {
        for (qos, version) in [(Qos::AtMostOnce, Version::V311), (Qos::ExactlyOnce, Version::V5)] {
            let template = Template::new("bench/1", qos, 100, version).unwrap();
            let stamp = Stamp {
                run: 1,
                publisher: 2,
                sequence: 3,
                sent_at: Instant::from_micros(4),
            };
            let packet_id = PacketId::new(0x0102).unwrap();
            let mut out = vec![0];
            template.push(packet_id, &stamp, &mut out);
            assert_eq!(out.len(), 1 + template.bytes());
            let mut decoder = Decoder::with_version(version, PACKET_BYTES_MAX);
            let Ok(Decoded::Packet {
                packet: Packet::Publish(publish),
                ..
            }) = decoder.decode(&out[1..])
            else {
                panic!("it is no PUBLISH: {out:?}");
            };
            assert_eq!((publish.qos, publish.payload.len()), (qos, 100));
            assert_eq!(publish.packet_id, (qos > Qos::AtMostOnce).then_some(packet_id));
            assert_eq!(Stamp::read(publish.payload), Some(stamp));
        }
    }

    #[test]
    fn what_clears_a_topic_has_no_payload() {
        let template = Template::retained("bench/1", Qos::AtMostOnce, 0, Version::V5).unwrap();
        let stamp = Stamp {
            run: 1,
            publisher: 0,
            sequence: 0,
            sent_at: Instant::ZERO,
        };
        let mut out = Vec::new();
        template.push(PacketId::MIN, &stamp, &mut out);
        assert_eq!(out, b"\x31\x0A\0\x07bench/1\0");
    }

    #[test]
    fn a_wildcard_is_no_topic() {
        let Err(failure) = Template::new("bench/#", Qos::AtMostOnce, 100, Version::V5) else {
            panic!("it was taken");
        };
        assert!(failure.to_string().contains("bench/#"));
    }
}
