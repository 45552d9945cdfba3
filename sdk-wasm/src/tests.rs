//! The buffers as JavaScript finds them.

use std::collections::BTreeMap;
use std::string::{String, ToString as _};
use std::vec::Vec;

use crate::face::Face;
use crate::fields::{Fields, push};
use crate::layout as at;

const RUST: &str = include_str!("layout.rs");
const JAVASCRIPT: &str = include_str!("../../npm/src/wire/layout.ts");

/// Every `const NAME… = NUMBER;` of a file.
fn numbers(text: &str) -> BTreeMap<String, f64> {
    let lines = text
        .lines()
        .filter_map(|line| line.split_once("const ")?.1.split_once(" = "));
    let named = lines.filter_map(|(name, value)| {
        let name = name.split(':').next()?.trim();
        Some((name.to_string(), value.trim_end_matches(';').parse().ok()?))
    });
    named.collect()
}

#[test]
fn both_sides_have_the_same_numbers() {
    let rust = numbers(RUST);
    assert!(rust.len() > 50, "{rust:?}");
    assert_eq!(rust, numbers(JAVASCRIPT));
}

/// An event: kind, detail, code, number, body.
type Event<'a> = (u8, u8, u16, f64, &'a [u8]);

fn events(bytes: &[u8]) -> Vec<Event<'_>> {
    let mut rest = bytes;
    let mut events = Vec::new();
    while !rest.is_empty() {
        let size = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        let (event, after) = rest.split_at(size);
        let number = f64::from_le_bytes(event[8..16].try_into().unwrap());
        let code = u16::from_le_bytes([event[2], event[3]]);
        events.push((event[0], event[1], code, number, &event[at::EVENT_BYTES..]));
        rest = after;
    }
    events
}

/// A client, and a server of four packets.
struct World {
    face: Face,
    now: f64,
    /// Of what is published: not 0, and it is a question.
    patience: f64,
}

/// CONNACK of MQTT 5: no session, success, no properties.
const CONNACK: &[u8] = b"\x20\x03\x00\x00\x00";

impl World {
    fn new(options: &[(u8, &[u8])]) -> Self {
        let mut list = Vec::new();
        for (which, value) in options {
            push(&mut list, *which, &[value]);
        }
        let mut world = Self {
            face: Face::new(),
            now: 0.0,
            patience: 0.0,
        };
        assert!(world.configure(&list));
        world
    }

    fn configure(&mut self, list: &[u8]) -> bool {
        self.input(&[list]);
        let bytes = u32::try_from(list.len()).unwrap();
        self.face.configure(bytes, 7, 0.0, 1_700_000_000_000.0)
    }

    fn connected() -> Self {
        let mut world = Self::new(&[]);
        world.face.connect(world.now);
        world.face.handle_opened(1, world.now);
        world.face.collect();
        world.receive(CONNACK);
        world
    }

    fn input(&mut self, parts: &[&[u8]]) {
        let bytes = parts.concat();
        self.face.reserve(u32::try_from(bytes.len()).unwrap());
        self.face.desk().input[..bytes.len()].copy_from_slice(&bytes);
    }

    fn receive(&mut self, frame: &[u8]) {
        self.input(&[frame]);
        let bytes = u32::try_from(frame.len()).unwrap();
        self.face.handle_bytes(1, bytes, self.now);
    }

    fn events(&mut self) -> Vec<Event<'_>> {
        events(&self.face.desk().outgoing.events)
    }

    fn publish(&mut self, topic: &[u8], payload: &[u8], properties: &[u8], flags: u8) -> f64 {
        self.input(&[topic, payload, properties]);
        let [topic, payload, properties] =
            [topic, payload, properties].map(|part| u32::try_from(part.len()).unwrap());
        self.face
            .publish(topic, payload, properties, flags, self.patience, self.now)
    }

    fn subscribe(&mut self, filter: &[u8]) -> f64 {
        self.input(&[filter]);
        self.face
            .subscribe(u32::try_from(filter.len()).unwrap(), 1, self.now)
    }

    fn waiting(&mut self) -> u64 {
        self.face.desk().header()[2]
    }
}

#[test]
fn connecting_dials_and_says_hello_once_collected() {
    let mut world = World::new(&[(at::OPTION_CLIENT_ID, b"me")]);
    world.face.connect(0.0);
    let dialed = world.events();
    assert_eq!(dialed[0], (at::STATE, 1, 0, 0.0, &[][..]));
    assert_eq!(dialed[1], (at::DIAL, 0, 0, 1.0, &[][..]));
    world.face.handle_opened(1, 1.0);
    assert!(world.events().is_empty(), "what is to be sent waits");
    let waiting = world.waiting();
    world.face.collect();
    let sent = world.events();
    let [(at::SEND, 0, 0, 1.0, hello)] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!((hello[0], hello.len() as u64), (0x10, waiting));
    assert_eq!(world.waiting(), 0);
    let bytes = world.face.client_id() as usize;
    assert_eq!(&world.face.desk().input[..bytes], b"me");
}

#[test]
fn options_that_cannot_be_are_refused() {
    let mut list = Vec::new();
    push(&mut list, at::OPTION_WILL_TOPIC, &[b"a/#"]);
    let mut world = World::new(&[]);
    assert!(!world.configure(&list));
    assert!(!world.configure(&[99, 0, 0, 0, 0]));
}

#[test]
fn a_call_for_each_frame_and_one_frame_for_many_calls() {
    let mut world = World::connected();
    assert_eq!(world.events()[0].0, at::STATE);
    for payload in [&b"1"[..], b"2"] {
        assert_eq!(world.publish(b"a", payload, &[], 0), 0.0);
    }
    assert!(world.publish(b"a", b"3", &[], 1) > 0.0);
    world.face.collect();
    let sent = world.events();
    assert_eq!(sent.len(), 1);
    let packets: Vec<_> = sent[0].4.iter().filter(|byte| **byte & 0xF4 == 0x30).collect();
    assert!(packets.len() >= 3, "{sent:02X?}");
}

#[test]
fn refusals_are_told_apart() {
    let mut world = World::connected();
    assert_eq!(world.publish(b"a/#", b"", &[], 0), at::REFUSED_TOPIC);
    assert_eq!(world.publish(b"\xFF", b"", &[], 0), at::REFUSED_TOPIC);
    assert_eq!(world.publish(b"a", b"", &[], 3), at::REFUSED_INEXPRESSIBLE);
    assert_eq!(
        world.publish(b"a", b"", &[99, 0, 0, 0, 0], 0),
        at::REFUSED_INEXPRESSIBLE
    );
    assert_eq!(world.subscribe(b"a/#/b"), at::REFUSED_TOPIC);
    world.face.close(0, 1.0);
    assert_eq!(world.publish(b"a", b"", &[], 1), at::REFUSED_CLOSED);
    assert_eq!(world.subscribe(b"a"), at::REFUSED_CLOSED);
}

#[test]
fn a_message_has_its_receivers_its_topic_once_and_its_properties() {
    let mut world = World::connected();
    assert_eq!(world.subscribe(b"a/+"), 1.0);
    // Subscription identifier 1 and content type "t".
    let publish = b"\x32\x10\x00\x03a/b\x00\x09\x06\x0B\x01\x03\x00\x01thi";
    world.receive(&[&publish[..], publish].concat());
    let got = world.events();
    let [first, second] = got.as_slice() else {
        panic!("{got:?}")
    };
    assert_eq!((first.0, first.1), (at::MESSAGE, 1 | at::HAS_TOPIC));
    assert!(first.3 > 0.0, "it is acknowledged later");
    let body = first.4;
    assert_eq!(body[..12], [3, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(&body[12..17], b"a/bhi");
    let properties: Vec<_> = Fields::new(&body[17..]).collect();
    assert_eq!(properties, [(at::CONTENT_TYPE, &b"t"[..])]);
    assert_eq!((second.1 & at::HAS_TOPIC, second.2), (0, first.2));
    assert_eq!(&second.4[12..14], b"hi");
}

#[test]
fn properties_go_out_as_they_were_given() {
    let mut world = World::connected();
    let mut list = Vec::new();
    push(&mut list, at::RESPONSE_TOPIC, &[b"r"]);
    push(&mut list, at::CORRELATION, &[b"c"]);
    push(&mut list, at::USER, &[&[1, 0], b"k", b"v"]);
    assert_eq!(world.publish(b"a", b"", &list, 0), 0.0);
    world.face.collect();
    let sent = world.events();
    let expected = b"\x08\x00\x01r\x09\x00\x01c\x26\x00\x01k\x00\x01v";
    let found = sent[0].4.windows(expected.len()).any(|part| part == expected);
    assert!(found, "{sent:02X?}");
}

#[test]
fn a_large_input_is_given_room_and_taken_back() {
    let mut world = World::connected();
    let payload = std::vec![7; 3 << 20];
    assert!(world.publish(b"a", &payload, &[], 1) > 0.0);
    assert!(world.face.desk().input.len() < payload.len());
}

#[test]
fn what_a_connection_was_to_send_ends_with_it() {
    let mut world = World::connected();
    assert!(world.publish(b"a", b"1", &[], 0) >= 0.0);
    assert!(world.waiting() > 0);
    world.face.handle_closed(1, 1.0);
    assert_eq!(world.waiting(), 0);
    world.face.collect();
    assert!(world.events().is_empty());
}

#[test]
fn goodbye_comes_before_the_end() {
    let mut world = World::connected();
    world.face.suspend(1.0);
    let kinds: Vec<_> = world.events().iter().map(|event| event.0).collect();
    assert_eq!(kinds, [at::SEND, at::HANGUP, at::STATE]);
}

#[test]
fn a_question_ends_with_its_answer_or_with_why_there_is_none() {
    let mut world = World::connected();
    world.patience = 1_000.0;
    let [answered, open] = [b"1", b"2"].map(|payload| world.publish(b"ask", payload, &[], 0));
    assert!(answered > 0.0 && open > 0.0 && answered != open);
    // PUBLISH for subscription 1: that correlation, and the payload "y".
    let correlation = (answered as u64).to_be_bytes();
    let reply = [
        &b"\x30\x12\x00\x01r\x0D\x0B\x01\x09\x00\x08"[..],
        &correlation,
        b"y",
    ]
    .concat();
    world.receive(&reply);
    let got = world.events();
    let [(at::MESSAGE, flags, _, request, body)] = got.as_slice() else {
        panic!("{got:?}")
    };
    assert_eq!((*flags, *request), (at::REPLY | at::HAS_TOPIC, answered));
    assert_eq!(body[4..8], [1, 0, 0, 0]);
    world.now = 1_001.0;
    world.face.handle_timeout(world.now);
    let failed = world.events();
    assert!(
        failed.contains(&(at::REQUEST_FAILED, 0, 0, open, &[][..])),
        "{failed:?}"
    );
}
