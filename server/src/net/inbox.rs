//! Bytes that arrived, and the packets in them.
//!
//! Whole packets are decoded where they lie, in the reader's buffer. Only the beginning of a packet whose end has
//! not arrived is kept, in memory that grows as bytes arrive and is given back with the packet.

use std::mem;

use cloudsignal_core::Version;
use cloudsignal_core::codec::{Connect, DecodeError, Decoded, Decoder, Packet};

/// What a kept beginning grows by at least, so that a large packet is not copied once per read.
const GROWTH_BYTES_MIN: usize = 64 * 1_024;

/// The reading end of a connection.
#[derive(Debug)]
pub(crate) struct Inbox {
    decoder: Decoder,
    /// The beginning of a packet; empty, and without memory, most of the time.
    partial: Vec<u8>,
}

/// A first packet that cannot be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unreadable {
    /// What is wrong with it.
    pub(crate) error: DecodeError,
    /// The version it was written in, if so much could be read.
    pub(crate) version: Option<Version>,
}

/// A packet, and the bytes that it was decoded from.
#[derive(Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) packet: Packet<'a>,
    pub(crate) frame: &'a [u8],
}

/// The packets of one read, in order.
#[derive(Debug)]
pub(crate) struct Packets<'a> {
    decoder: &'a mut Decoder,
    first: &'a [u8],
    rest: &'a [u8],
}

impl Inbox {
    pub(crate) const fn new(packet_bytes_max: u32) -> Self {
        Self {
            decoder: Decoder::new(packet_bytes_max),
            partial: Vec::new(),
        }
    }

    /// Changes the largest packet that is accepted.
    pub(crate) fn set_packet_bytes_max(&mut self, packet_bytes_max: u32) {
        self.decoder.set_packet_bytes_max(packet_bytes_max);
    }

    /// Looks at the first packet of what is kept, and takes nothing. `None`: it is not whole yet.
    pub(crate) fn peek(&self) -> Option<Result<Packet<'_>, Unreadable>> {
        let mut decoder = self.decoder;
        match decoder.decode(&self.partial) {
            Ok(Decoded::Packet { packet, bytes: _ }) => Some(Ok(packet)),
            Ok(Decoded::Incomplete { .. }) => None,
            Err(error) => Some(Err(Unreadable {
                error,
                version: decoder.version(),
            })),
        }
    }

    /// Reads a CONNECT off the front of `bytes`, and from now on speaks its version. Answers what follows it.
    pub(crate) fn decode_connect<'a>(&mut self, bytes: &'a [u8]) -> Option<(Connect<'a>, &'a [u8])> {
        match self.decoder.decode(bytes) {
            Ok(Decoded::Packet {
                packet: Packet::Connect(connect),
                bytes: used,
            }) => Some((*connect, bytes.get(used..).unwrap_or_default())),
            Ok(_) | Err(_) => None,
        }
    }

    /// Bytes kept.
    pub(crate) fn held_bytes(&self) -> usize {
        self.partial.len()
    }

    /// Whether the connection stands between two packets.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.partial.is_empty() && self.partial.capacity() == 0
    }

    /// Keeps everything, whole packets or not.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
    }

    /// Takes out everything that is kept.
    pub(crate) fn take_kept(&mut self) -> Vec<u8> {
        mem::take(&mut self.partial)
    }

    /// Gives the packets in what is kept and `bytes` to `handle`, and keeps the beginning of the next one.
    pub(crate) fn read<R>(&mut self, bytes: &[u8], handle: impl FnOnce(&mut Packets<'_>) -> R) -> Option<R> {
        let mut rest = bytes;
        let first = if self.partial.is_empty() {
            Vec::new()
        } else {
            self.complete(&mut rest)?
        };
        let mut packets = Packets {
            decoder: &mut self.decoder,
            first: &first,
            rest,
        };
        let answer = handle(&mut packets);
        let rest = packets.rest;
        self.partial.extend_from_slice(rest);
        Some(answer)
    }

    /// Moves bytes from `rest` to the kept beginning until it is one whole packet, or certainly wrong.
    /// `None`: there are not enough.
    fn complete(&mut self, rest: &mut &[u8]) -> Option<Vec<u8>> {
        loop {
            let mut decoder = self.decoder;
            let needed = match decoder.decode(&self.partial) {
                Ok(Decoded::Incomplete { bytes }) => bytes,
                Ok(Decoded::Packet { .. }) | Err(_) => return Some(mem::take(&mut self.partial)),
            };
            let missing = needed.saturating_sub(self.partial.len()).max(1);
            let (taken, left) = rest.split_at(missing.min(rest.len()));
            self.grow(taken.len(), needed);
            self.partial.extend_from_slice(taken);
            *rest = left;
            if taken.len() < missing {
                return None;
            }
        }
    }

    /// Makes room for `more` bytes of a packet of `needed`: as they arrive, not as the header promises.
    fn grow(&mut self, more: usize, needed: usize) {
        let len = self.partial.len();
        if self.partial.capacity() < len + more {
            let wanted = (2 * len).max(GROWTH_BYTES_MIN).min(needed).max(len + more);
            self.partial.reserve_exact(wanted - len);
        }
    }
}

impl<'a> Packets<'a> {
    /// The next whole packet. `None`: the rest is the beginning of one. After an error there is no next one.
    pub(crate) fn next(&mut self) -> Option<Result<Arrived<'a>, DecodeError>> {
        let from_first = !self.first.is_empty();
        let bytes = if from_first { self.first } else { self.rest };
        if bytes.is_empty() {
            return None;
        }
        match self.decoder.decode(bytes) {
            Ok(Decoded::Packet { packet, bytes: used }) => {
                let (frame, left) = bytes.split_at_checked(used).unwrap_or_default();
                if from_first {
                    self.first = left;
                } else {
                    self.rest = left;
                }
                Some(Ok(Arrived { packet, frame }))
            }
            Ok(Decoded::Incomplete { .. }) => None,
            Err(error) => {
                (self.first, self.rest) = (&[], &[]);
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudsignal_core::Qos;
    use cloudsignal_core::codec::{Publish, PublishProperties};
    use cloudsignal_core::topic::TopicName;

    use super::*;

    fn inbox(packet_bytes_max: u32) -> Inbox {
        let mut inbox = Inbox::new(packet_bytes_max);
        inbox.decoder = Decoder::with_version(Version::V311, packet_bytes_max);
        inbox
    }

    fn publish(payload: &[u8]) -> Vec<u8> {
        let publish = Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic: Some(TopicName::parse("a/b").unwrap()),
            packet_id: None,
            properties: PublishProperties::default(),
            payload,
        };
        let mut bytes = Vec::new();
        publish.encode(Version::V311, &mut bytes).unwrap();
        bytes
    }

    /// Payloads of the packets that `bytes` complete.
    fn read(inbox: &mut Inbox, bytes: &[u8]) -> Vec<Result<Vec<u8>, DecodeError>> {
        let payloads = inbox.read(bytes, |packets| {
            let mut payloads = Vec::new();
            while let Some(packet) = packets.next() {
                payloads.push(packet.map(|Arrived { packet, frame }| {
                    let Packet::Publish(publish) = packet else {
                        panic!("{packet:?}")
                    };
                    assert_eq!(frame, self::publish(publish.payload));
                    publish.payload.to_vec()
                }));
            }
            payloads
        });
        payloads.unwrap_or_default()
    }

    #[test]
    fn packets_come_out_the_same_wherever_the_stream_is_cut() {
        let payloads = [
            b"".to_vec(),
            b"one".to_vec(),
            vec![7; 200],
            vec![8; 20_000],
            b"last".to_vec(),
        ];
        let stream: Vec<u8> = payloads.iter().flat_map(|payload| publish(payload)).collect();
        for step in (1..300).chain([4_096, 10_000, 20_000, stream.len()]) {
            let mut inbox = inbox(100_000);
            let mut read_payloads = Vec::new();
            for part in stream.chunks(step) {
                read_payloads.extend(read(&mut inbox, part).into_iter().map(Result::unwrap));
            }
            assert_eq!(read_payloads, payloads, "in steps of {step}");
            assert!(
                inbox.is_empty(),
                "an idle connection holds nothing, in steps of {step}"
            );
        }
    }

    #[test]
    fn memory_grows_with_what_has_arrived_not_with_what_was_promised() {
        let mut inbox = inbox(100_000_000);
        let packet = publish(&vec![1; 50_000_000]);
        for part in packet[..300_000].chunks(1_000) {
            assert!(read(&mut inbox, part).is_empty());
            let arrived = inbox.held_bytes();
            assert!(
                inbox.partial.capacity() <= (2 * arrived).max(GROWTH_BYTES_MIN + 1_000),
                "{arrived}"
            );
        }
    }

    #[test]
    fn an_error_comes_after_the_good_packets_before_it_and_ends_the_stream() {
        let mut inbox = inbox(1_000);
        let stream = [publish(b"good"), vec![0xF0, 0x00], publish(b"lost")].concat();
        let read_packets = read(&mut inbox, &stream);
        assert_eq!(read_packets.len(), 2);
        assert_eq!(read_packets[0], Ok(b"good".to_vec()));
        assert!(read_packets[1].is_err());
    }

    #[test]
    fn a_large_packet_is_refused_by_its_header() {
        let mut inbox = inbox(100);
        let packet = publish(&[0; 200]);
        assert_eq!(read(&mut inbox, &packet[..1]), []);
        let refused = read(&mut inbox, &packet[1..3]);
        assert_eq!(refused, [Err(DecodeError::TooLarge { bytes: 208, max: 100 })]);
    }
}
