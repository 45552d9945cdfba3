//! A PUBLISH that waits, encoded once: sending it again copies bytes.

use alloc::vec::Vec;

use super::message::Publication;
use crate::codec::{
    Decoded, Decoder, EncodeError, PACKET_BYTES_MAX, Packet, Publish, PublishLayout, UserProperties,
};
use crate::{PacketId, Qos, Version};

/// Which encoding the server of a connection needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) version: Version,
    /// Whether the order travels as [`SEQUENCE_PROPERTY`](crate::codec::SEQUENCE_PROPERTY).
    pub(super) is_sequenced: bool,
}

/// An encoded PUBLISH.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    form: Form,
    packet_id_at: u32,
}

/// Stands where the identifier will be written.
const ANY_ID: PacketId = PacketId::MIN;
const DUP: u8 = 0b1000;
const PUBLISH: u8 = 0x30;

impl Frame {
    pub(super) fn new(publication: &Publication<'_>, form: Form, order: u64) -> Result<Self, EncodeError> {
        let mut properties = publication.properties.clone();
        properties.topic_alias = None;
        properties.subscription_ids = crate::codec::SubscriptionIds::EMPTY;
        let mut users = Vec::new();
        if form.is_sequenced && publication.qos != Qos::AtMostOnce {
            properties.user_properties.write_others_than_sequence(&mut users);
            UserProperties::push_sequence(&mut users, order);
            properties.user_properties = UserProperties::from_wire(&users).unwrap_or_default();
        }
        let publish = Publish {
            dup: false,
            qos: publication.qos,
            retain: publication.retain,
            topic: Some(publication.topic),
            packet_id: (publication.qos != Qos::AtMostOnce).then_some(ANY_ID),
            properties,
            payload: publication.payload,
        };
        let mut bytes = Vec::new();
        let PublishLayout { packet_id_at, .. } = publish.encode(form.version, &mut bytes)?;
        let packet_id_at = u32::try_from(packet_id_at.unwrap_or(0)).unwrap_or(0);
        Ok(Self {
            bytes,
            form,
            packet_id_at,
        })
    }

    /// Reads one that was kept.
    pub(super) fn restored(bytes: &[u8], form: Form) -> Option<Self> {
        with_publish(bytes, form.version, |_| ())?;
        let topic_at = 1 + bytes.get(1..)?.iter().position(|byte| byte & 0x80 == 0)? + 1;
        let topic_len = u16::from_be_bytes([*bytes.get(topic_at)?, *bytes.get(topic_at + 1)?]);
        Some(Self {
            bytes: bytes.into(),
            form,
            packet_id_at: u32::try_from(topic_at + 2 + usize::from(topic_len)).ok()?,
        })
    }

    /// Of a QoS 2 message that the server has: only its handshake is left.
    pub(super) fn released() -> Self {
        Self {
            bytes: [PUBLISH | Qos::ExactlyOnce.bits() << 1].into(),
            form: Form {
                version: Version::V5,
                is_sequenced: false,
            },
            packet_id_at: 0,
        }
    }

    pub(super) const fn form(&self) -> Form {
        self.form
    }

    /// Changes the encoding, when the server of the next connection needs another one.
    pub(super) fn reform(&mut self, form: Form, order: u64) -> Result<(), EncodeError> {
        if self.form == form {
            return Ok(());
        }
        let reformed = with_publish(&self.bytes, self.form.version, |publish| {
            let mut users = Vec::new();
            let users_before = &publish.properties.user_properties;
            users_before.write_others_than_sequence(&mut users);
            let mut properties = publish.properties.clone();
            properties.user_properties = UserProperties::from_wire(&users).unwrap_or_default();
            let publication = Publication {
                topic: publish
                    .topic
                    .ok_or(EncodeError::BreaksRule("a message has a topic"))?,
                payload: publish.payload,
                qos: publish.qos,
                retain: publish.retain,
                properties,
            };
            Self::new(&publication, form, order)
        });
        if let Some(frame) = reformed {
            *self = frame?;
        }
        Ok(())
    }

    /// Appends it to `out` under `packet_id`.
    pub(super) fn write(&self, packet_id: Option<PacketId>, dup: bool, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        if let Some(packet_id) = packet_id {
            let at = start + self.packet_id_at as usize;
            if let Some(place) = out.get_mut(at..at + 2) {
                place.copy_from_slice(&packet_id.get().to_be_bytes());
            }
            if dup {
                out[start] |= DUP; // [MQTT-3.3.1-1]
            }
        }
    }

    /// Appends it with the lifetime that is left. Slower than `write`: everything behind it moves.
    pub(super) fn write_aged(
        &self,
        packet_id: Option<PacketId>,
        dup: bool,
        expiry_secs: u32,
        out: &mut Vec<u8>,
    ) {
        with_publish(&self.bytes, self.form.version, |publish| {
            let mut publish = publish.clone();
            publish.packet_id = packet_id;
            publish.dup = dup && packet_id.is_some();
            publish.properties.message_expiry_secs = Some(expiry_secs); // [MQTT-3.3.2-6]
            // It was encoded before, and the number has a fixed length.
            let _ = publish.encode(self.form.version, out);
        });
    }

    pub(super) fn qos(&self) -> Qos {
        Qos::from_bits(self.bytes[0] >> 1 & 0b11).unwrap_or_default()
    }

    pub(super) fn message_expiry_secs(&self) -> Option<u32> {
        with_publish(&self.bytes, self.form.version, |publish| {
            publish.properties.message_expiry_secs
        })?
    }
}

fn with_publish<T>(bytes: &[u8], version: Version, f: impl FnOnce(&Publish<'_>) -> T) -> Option<T> {
    let mut decoder = Decoder::with_version(version, PACKET_BYTES_MAX);
    match decoder.decode_from_server(bytes) {
        Ok(Decoded::Packet {
            packet: Packet::Publish(publish),
            ..
        }) => Some(f(&publish)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::TopicName;

    const PLAIN: Form = Form {
        version: Version::V5,
        is_sequenced: false,
    };
    const NUMBERED: Form = Form {
        version: Version::V5,
        is_sequenced: true,
    };
    const OLD: Form = Form {
        version: Version::V311,
        is_sequenced: false,
    };

    fn publication(users: &[u8]) -> Publication<'_> {
        let mut publication = Publication::new(
            TopicName::parse("a/b").expect("a topic"),
            b"payload",
            Qos::AtLeastOnce,
        );
        publication.properties.user_properties = UserProperties::from_wire(users).expect("properties");
        publication
    }

    fn seen(frame: &Frame, version: Version, look: impl FnOnce(&Publish<'_>)) {
        let mut out = Vec::new();
        frame.write(PacketId::new(0x1234), true, &mut out);
        with_publish(&out, version, |publish| {
            assert_eq!(publish.packet_id, PacketId::new(0x1234));
            assert!(publish.dup);
            assert_eq!(publish.payload, b"payload");
            look(publish);
        })
        .expect("a whole packet");
    }

    #[test]
    fn a_frame_changes_its_form_and_keeps_its_message() {
        let mut users = Vec::new();
        UserProperties::push(&mut users, "k", "v").expect("fits");
        let mut frame = Frame::new(&publication(&users), PLAIN, 77).expect("encodes");
        seen(&frame, Version::V5, |it| {
            assert_eq!(it.properties.user_properties.sequence(), Ok(None));
        });
        frame.reform(NUMBERED, 0xABCD_EF01_2345_6789).expect("encodes");
        seen(&frame, Version::V5, |it| {
            assert_eq!(
                it.properties.user_properties.sequence(),
                Ok(Some(0xABCD_EF01_2345_6789))
            );
            assert_eq!(it.properties.user_properties.iter().next(), Some(("k", "v")));
        });
        frame.reform(NUMBERED, 1).expect("nothing to do");
        frame.reform(PLAIN, 1).expect("encodes");
        seen(&frame, Version::V5, |it| {
            assert_eq!(it.properties.user_properties.iter().count(), 1);
        });
        frame.reform(OLD, 1).expect("encodes");
        seen(&frame, Version::V311, |it| {
            assert!(it.properties.user_properties.is_empty());
        });
    }

    #[test]
    fn a_kept_frame_is_read_back() {
        let frame = Frame::new(&publication(&[]), NUMBERED, 5).expect("encodes");
        let again = Frame::restored(&frame.bytes, NUMBERED).expect("whole");
        seen(&again, Version::V5, |it| {
            assert_eq!(it.properties.user_properties.sequence(), Ok(Some(5)));
        });
        assert!(Frame::restored(&frame.bytes[..9], NUMBERED).is_none());
        assert!(Frame::restored(&[], NUMBERED).is_none());
    }

    #[test]
    fn what_is_left_of_a_lifetime_is_written() {
        let mut publication = publication(&[]);
        publication.properties.message_expiry_secs = Some(60);
        let frame = Frame::new(&publication, NUMBERED, 5).expect("encodes");
        assert_eq!(frame.message_expiry_secs(), Some(60));
        let mut out = Vec::new();
        frame.write_aged(PacketId::new(9), false, 7, &mut out);
        with_publish(&out, Version::V5, |it| {
            assert_eq!(it.properties.message_expiry_secs, Some(7));
            assert_eq!(it.properties.user_properties.sequence(), Ok(Some(5)));
        })
        .expect("a whole packet");
    }
}
