//! The committed seeds of the fuzz targets, also those that once made a target fail.

use alloc::vec::Vec;
use std::fs;
use std::path::Path;
use std::string::String;

use super::super::{Decoded, Decoder, PACKET_BYTES_MAX, Packet};
use super::properties::answer_any_bytes;
use crate::Version;
use crate::topic::{TopicFilter, TopicName};

/// Name and content of every seed of a target.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let seeds = files.map(|file| {
        let path = file.unwrap().path();
        (
            path.file_name().unwrap().to_string_lossy().into_owned(),
            fs::read(&path).unwrap(),
        )
    });
    seeds.collect()
}

fn decoder_for(version: u8) -> Decoder {
    match version {
        3 => Decoder::with_version(Version::V31, PACKET_BYTES_MAX),
        4 => Decoder::with_version(Version::V311, PACKET_BYTES_MAX),
        5 => Decoder::with_version(Version::V5, PACKET_BYTES_MAX),
        _ => Decoder::new(PACKET_BYTES_MAX),
    }
}

#[test]
fn packets_are_understood_and_written_the_same_way() {
    let seeds = seeds("roundtrip");
    assert!(seeds.len() > 30, "the corpus is there");
    for (name, seed) in seeds {
        let (version, bytes) = seed.split_first().unwrap();
        let mut decoder = decoder_for(*version);
        let Ok(Decoded::Packet { packet, bytes: taken }) = decoder.decode(bytes) else {
            panic!("{name}")
        };
        assert_eq!(taken, bytes.len(), "{name}");
        let mut again = Vec::new();
        packet.encode(decoder.version().unwrap(), &mut again).unwrap();
        assert_eq!(again, bytes, "{name}");
        answer_any_bytes(bytes).unwrap();
    }
}

#[test]
fn streams_are_answered() {
    let seeds = seeds("decode");
    assert!(seeds.len() > 10, "the corpus is there");
    for (name, seed) in seeds {
        let mut decoder = decoder_for(seed[0]);
        let mut stream = &seed[2..];
        let mut packets = Vec::new();
        while let Ok(Decoded::Packet { packet, bytes }) = decoder.decode(stream) {
            answer_any_bytes(&stream[..bytes]).unwrap();
            stream = &stream[bytes..];
            packets.push(packet);
        }
        if name.starts_with("conversation") {
            assert!(stream.is_empty(), "{name} stops before {stream:?}");
            assert!(matches!(packets.first(), Some(Packet::Connect(_))));
        }
    }
}

#[test]
fn topics_are_answered() {
    let seeds = seeds("topic");
    assert!(seeds.len() > 5, "the corpus is there");
    for (_, seed) in seeds {
        let text = String::from_utf8(seed).unwrap();
        let mut filters = text.lines().map(TopicFilter::parse);
        let (mine, theirs) = (filters.next().unwrap(), filters.next().unwrap());
        let name = TopicName::parse(text.lines().nth(2).unwrap());
        if let (Ok(mine), Ok(theirs), Ok(name)) = (mine, theirs, name) {
            assert!(
                !mine.covers(theirs) || !theirs.matches(name) || mine.matches(name),
                "{text}"
            );
        }
    }
}
