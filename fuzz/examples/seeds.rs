//! Writes the committed seeds into `fuzz/corpus/`.

use std::path::Path;
use std::{fs, io};

use cloudsignal_core::codec::{
    Ack, Auth, ConnAck, Connect, Disconnect, Publish, PublishProperties, RetainHandling, SubAck, Subscribe,
    SubscribeFilter, SubscriptionIds, UnsubAck, Unsubscribe, UserProperties, Will,
};
use cloudsignal_core::{Packet, PacketId, Qos, ReasonCode, TopicFilter, TopicName, Version};

const VERSIONS: [(Version, &str); 3] = [
    (Version::V31, "3.1"),
    (Version::V311, "3.1.1"),
    (Version::V5, "5"),
];

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in ["decode", "roundtrip", "topic", "login_name", "credential"] {
        fs::create_dir_all(corpus.join(target))?;
    }
    let mut wire = Vec::new();
    UserProperties::push(&mut wire, "name", "value").expect("short");
    UserProperties::push(&mut wire, "name", "again").expect("short");
    let user_properties = UserProperties::from_wire(&wire).expect("just written");
    for (version, version_name) in VERSIONS {
        let packets = packets(version, user_properties);
        let mut stream = vec![0, 7];
        for (name, packet) in packets {
            let mut seed = vec![version as u8];
            if packet.encode(version, &mut seed).is_err() {
                continue; // The version has no such packet.
            }
            stream.extend_from_slice(&seed[1..]);
            if version == Version::V31 && !matches!(packet, Packet::Connect(_)) {
                continue; // As in 3.1.1.
            }
            fs::write(
                corpus.join("roundtrip").join(format!("{name}-{version_name}")),
                seed,
            )?;
        }
        fs::write(
            corpus.join("decode").join(format!("conversation-{version_name}")),
            stream,
        )?;
    }
    for (name, stream) in DAMAGED {
        fs::write(corpus.join("decode").join(name), stream)?;
    }
    for (name, text) in TOPICS {
        fs::write(corpus.join("topic").join(name), text)?;
    }
    for (name, text) in LOGIN_NAMES {
        fs::write(corpus.join("login_name").join(name), text)?;
    }
    for (name, text) in CREDENTIALS {
        fs::write(corpus.join("credential").join(name), text)?;
    }
    Ok(())
}

/// Every packet once, CONNECT first, with everything in it that MQTT 5 allows.
fn packets(version: Version, user_properties: UserProperties<'_>) -> Vec<(&'static str, Packet<'_>)> {
    let id = PacketId::MIN;
    let ack = |reason| Ack {
        reason_string: Some("why"),
        user_properties,
        ..Ack::new(id, reason)
    };
    vec![
        (
            "connect",
            Packet::Connect(Box::new(connect(version, user_properties))),
        ),
        (
            "connect-plain",
            Packet::Connect(Box::new(Connect::new(version, ""))),
        ),
        ("connack", Packet::ConnAck(Box::new(connack(user_properties)))),
        (
            "connack-refused",
            Packet::ConnAck(Box::new(ConnAck::new(ReasonCode::NotAuthorized))),
        ),
        (
            "publish-qos-0",
            Packet::Publish(Publish::new(topic("a/b"), b"payload")),
        ),
        ("publish-qos-2", Packet::Publish(publish(user_properties))),
        ("publish-alias", Packet::Publish(by_alias())),
        ("puback", Packet::PubAck(ack(ReasonCode::NoMatchingSubscribers))),
        ("puback-plain", Packet::PubAck(Ack::new(id, ReasonCode::Success))),
        ("pubrec", Packet::PubRec(Ack::new(id, ReasonCode::QuotaExceeded))),
        (
            "pubrel",
            Packet::PubRel(ack(ReasonCode::PacketIdentifierNotFound)),
        ),
        ("pubcomp", Packet::PubComp(Ack::new(id, ReasonCode::Success))),
        ("subscribe", Packet::Subscribe(subscribe(user_properties))),
        ("suback", Packet::SubAck(suback(user_properties))),
        ("unsubscribe", Packet::Unsubscribe(unsubscribe(user_properties))),
        ("unsuback", Packet::UnsubAck(unsuback(user_properties))),
        ("pingreq", Packet::PingReq),
        ("pingresp", Packet::PingResp),
        ("auth", Packet::Auth(auth(user_properties))),
        ("disconnect", Packet::Disconnect(disconnect(user_properties))),
    ]
}

fn topic(text: &str) -> TopicName<'_> {
    TopicName::parse(text).expect("a topic name")
}

fn filter(text: &str) -> TopicFilter<'_> {
    TopicFilter::parse(text).expect("a topic filter")
}

fn connect(version: Version, user_properties: UserProperties<'_>) -> Connect<'_> {
    let message = PublishProperties {
        payload_format: Some(true),
        message_expiry_secs: Some(60),
        response_topic: Some(topic("answer")),
        correlation_data: Some(b"17"),
        content_type: Some("text/plain"),
        user_properties,
        ..PublishProperties::default()
    };
    let will = Will::new(topic("gone"), b"bye", Qos::AtLeastOnce, true);
    Connect {
        clean_start: false,
        keep_alive_secs: 60,
        username: Some("user"),
        password: Some(b"password"),
        will: Some(Will {
            delay_secs: 5,
            properties: message,
            ..will
        }),
        session_expiry_secs: Some(3600),
        receive_max: Some(PacketId::MIN),
        packet_bytes_max: Some(core::num::NonZeroU32::MAX),
        topic_alias_max: 10,
        request_response_info: true,
        request_problem_info: false,
        auth_method: Some("method"),
        auth_data: Some(b"data"),
        user_properties,
        ..Connect::new(version, "client")
    }
}

fn connack(user_properties: UserProperties<'_>) -> ConnAck<'_> {
    ConnAck {
        session_present: true,
        reason: ReasonCode::Success,
        session_expiry_secs: Some(60),
        receive_max: Some(PacketId::MAX),
        qos_max: Some(Qos::AtLeastOnce),
        retain_available: Some(true),
        packet_bytes_max: Some(1024),
        assigned_client_id: Some("assigned"),
        topic_alias_max: Some(32),
        reason_string: Some("why"),
        user_properties,
        wildcard_available: Some(true),
        subscription_ids_available: Some(false),
        shared_available: Some(true),
        server_keep_alive_secs: Some(30),
        response_information: Some("answers/"),
        server_reference: Some("other"),
        auth_method: Some("method"),
        auth_data: Some(b"data"),
    }
}

fn publish(user_properties: UserProperties<'_>) -> Publish<'_> {
    let properties = PublishProperties {
        payload_format: Some(false),
        message_expiry_secs: Some(1),
        topic_alias: Some(PacketId::MIN),
        response_topic: Some(topic("answer")),
        correlation_data: Some(&[0xFF, 0]),
        subscription_ids: SubscriptionIds::from_slice(&[1, 128, 268_435_455]),
        content_type: Some("application/octet-stream"),
        user_properties,
    };
    Publish {
        dup: true,
        qos: Qos::ExactlyOnce,
        retain: true,
        packet_id: Some(PacketId::MAX),
        properties,
        ..Publish::new(topic("Größe/°C"), &[0; 150])
    }
}

fn by_alias() -> Publish<'static> {
    let properties = PublishProperties {
        topic_alias: Some(PacketId::MAX),
        ..PublishProperties::default()
    };
    Publish {
        topic: None,
        properties,
        ..Publish::new(topic("t"), b"")
    }
}

fn subscribe(user_properties: UserProperties<'_>) -> Subscribe<'_> {
    let filters = vec![
        SubscribeFilter {
            no_local: true,
            ..SubscribeFilter::new(filter("a/+/#"), Qos::ExactlyOnce)
        },
        SubscribeFilter {
            retain_as_published: true,
            retain_handling: RetainHandling::DoNotSend,
            ..SubscribeFilter::new(filter("$share/group/#"), Qos::AtLeastOnce)
        },
    ];
    Subscribe {
        subscription_id: Some(300),
        user_properties,
        ..Subscribe::new(PacketId::MIN, filters)
    }
}

fn suback(user_properties: UserProperties<'_>) -> SubAck<'_> {
    let reasons = vec![
        ReasonCode::Success,
        ReasonCode::GrantedQos2,
        ReasonCode::TopicFilterInvalid,
    ];
    SubAck {
        reason_string: Some("why"),
        user_properties,
        ..SubAck::new(PacketId::MIN, reasons)
    }
}

fn unsubscribe(user_properties: UserProperties<'_>) -> Unsubscribe<'_> {
    let filters = vec![Ok(filter("a/+/#")), Ok(filter("$share/group/#"))];
    Unsubscribe {
        user_properties,
        ..Unsubscribe::new(PacketId::MIN, filters)
    }
}

fn unsuback(user_properties: UserProperties<'_>) -> UnsubAck<'_> {
    let reasons = vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    UnsubAck {
        reason_string: Some("why"),
        user_properties,
        ..UnsubAck::new(PacketId::MIN, reasons)
    }
}

fn disconnect(user_properties: UserProperties<'_>) -> Disconnect<'_> {
    Disconnect {
        reason: ReasonCode::UseAnotherServer,
        session_expiry_secs: Some(0),
        reason_string: Some("why"),
        server_reference: Some("other"),
        user_properties,
    }
}

fn auth(user_properties: UserProperties<'_>) -> Auth<'_> {
    Auth {
        data: Some(b"data"),
        reason_string: Some("why"),
        user_properties,
        ..Auth::new(ReasonCode::ContinueAuthentication, "method")
    }
}

/// Streams that are refused, each for its own reason; version and cut come first.
const DAMAGED: &[(&str, &[u8])] = &[
    ("not-connected", &[0, 1, 0xC0, 0]),
    (
        "old-bridge-level",
        b"\x00\x03\x10\x0D\x00\x06MQIsdp\x83\x02\x00\x00\x00",
    ),
    (
        "unknown-protocol",
        b"\x00\x03\x10\x0C\x00\x04HTTP\x04\x02\x00\x00\x00\x00",
    ),
    ("length-not-minimal", &[5, 2, 0xC0, 0x80, 0]),
    ("length-too-long", &[4, 2, 0x30, 0x80, 0x80, 0x80, 0x80, 1]),
    ("too-large", &[5, 1, 0x30, 0xFF, 0xFF, 0xFF, 0x7F]),
    ("type-0", &[5, 0, 0, 0]),
    ("property-twice", &[5, 4, 0x30, 8, 0, 1, b't', 4, 1, 0, 1, 0]),
    ("property-unknown", &[5, 4, 0x30, 6, 0, 1, b't', 2, 4, 0]),
    (
        "subscribe-bad-filter",
        &[4, 9, 0x82, 7, 0, 1, 0, 2, b'a', b'+', 0],
    ),
    ("dup-of-3.1", &[3, 2, 0x6A, 2, 0, 1]),
    (
        "second-connect",
        b"\x05\x03\x10\x0C\x00\x04MQTT\x06\x02\x00\x00\x00\x00",
    ),
    ("trailing-bytes", &[4, 2, 0xD0, 1, 0]),
];

/// Two filters and a name, one a line.
const TOPICS: &[(&str, &str)] = &[
    ("covers-and-matches", "a/#\na/+/c\na/b/c"),
    ("parent-level", "sport/#\nsport\nsport"),
    ("empty-levels", "+/+\n/+\n/finance"),
    ("rest-of-nothing", "/#\n/+/#\n/"),
    ("everything", "#\n+/#\na//b"),
    ("dollar", "$SYS/#\n+/x\n$SYS/x"),
    ("shared", "$share/group/a/+\n$share/other/a/b\na/b"),
    ("shared-broken", "$share/g+/a\n$share//a\n$share/g"),
    ("misplaced", "a#/b\n#/a\na+b"),
    ("unicode", "Größe/+\nGröße/°C\nGröße/°C"),
];

/// User names: `good-` ones name a user and an organization, `bad-` ones do not.
const LOGIN_NAMES: &[(&str, &str)] = &[
    ("good-short-id", "ada@org_abcdefgh2345"),
    ("good-uuid", "ada@264eb43f-135a-483c-a73d-17f9ca8bff27"),
    (
        "good-uuid-in-capitals",
        "ada@264EB43F-135A-483C-A73D-17F9CA8BFF27",
    ),
    ("good-two-at", "ada@example.com@org_abcdefgh2345"),
    ("good-server", "server@org_abcdefgh2345"),
    (
        "good-name-of-an-organization",
        "org_abcdefgh2345@264eb43f-135a-483c-a73d-17f9ca8bff27",
    ),
    ("good-strange-name", "$+/#@org_abcdefgh2345"),
    ("bad-nobody", "@org_abcdefgh2345"),
    ("bad-no-organization", "ada@"),
    ("bad-no-at", "ada"),
    ("bad-space", "ada@org_abcdefgh2345 "),
    ("bad-id-in-capitals", "ada@ORG_ABCDEFGH2345"),
    ("bad-id-of-digits", "ada@org_012345678901"),
    ("bad-braces", "ada@{264eb43f-135a-483c-a73d-17f9ca8bff27}"),
    ("bad-urn", "ada@urn:uuid:264eb43f-135a-483c-a73d-17f9ca8bff27"),
    ("bad-no-hyphens", "ada@264eb43f135a483ca73d17f9ca8bff27"),
    (
        "bad-as-long-as-a-uuid",
        "ada@264eb43f135a483ca73d17f9ca8bff27----",
    ),
    ("bad-organization-alone", "org_abcdefgh2345"),
    ("bad-address", "Größe+tag@example.com"),
];

/// Texts of which only the `good-` ones have the shape of a token; the key that signed them has the bytes 0 to 31.
const CREDENTIALS: &[(&str, &str)] = &[
    (
        "good-token",
        "tkn_Am9yZ19hYmNkZWZnaDIzNDUAAAAAAAAAAAAAAAAAAAAHAAYKJBgeQAAABgok7rHkAAAAAAAAAAADD2FkYUBleGFtcGxlLmNvbQtjbG91ZHNpZ25hbAEEdGVhbQADcmVkAgMACXJvb21zLysvIxSabm59H9W2dRMN0HnAjaRcDBrBMEv55HmtTEeAVE_c",
    ),
    (
        "good-token-without-scope",
        "tkn_Am9yZ19hYmNkZWZnaDIzNDUAAAAAAAAAAAAAAAAAAAAHAAYKJBgeQAAABgok7rHkAAAAAAAAAAADD2FkYUBleGFtcGxlLmNvbQtjbG91ZHNpZ25hbAEEdGVhbQADcmVkAIrAw84cL4nFyIlhY3laBUinmu33KExwOM4UnFkIcYbQ",
    ),
    (
        "bad-token-of-another-version",
        "tkn_AW9yZ19hYmNkZWZnaDIzNDUAAAAAAAAAAAAAAAAAAAAHAAYKJBgeQAAABgok7rHkAAAAAAAAAAADD2FkYUBleGFtcGxlLmNvbQtjbG91ZHNpZ25hbAEEdGVhbQADcmVkAgMACXJvb21zLysvIxCM6N4WYw8FWbLRbUt2MaP8KABgRomfJjDCvGBdu0dS",
    ),
    (
        "bad-token-cut",
        "tkn_Am9yZ19hYmNkZWZnaDIzNDUAAAAAAAAAAAAAAAAAAAAHAAYKJBgeQAAABgok7rHkAAAAAAAAAAADD2FkYUBleGFtcGxlLmNvbQtjbG91ZHNpZ25hbAEEdGVhbQADcmVkAgMACXJvb21zLysvIxSabm59H9W2dRMN0HnAjaRcDBrBMEv55HmtTEe",
    ),
    (
        "bad-token-padded",
        "tkn_Am9yZ19hYmNkZWZnaDIzNDUAAAAAAAAAAAAAAAAAAAAHAAYKJBgeQAAABgok7rHkAAAAAAAAAAADD2FkYUBleGFtcGxlLmNvbQtjbG91ZHNpZ25hbAEEdGVhbQADcmVkAgMACXJvb21zLysvIxSabm59H9W2dRMN0HnAjaRcDBrBMEv55HmtTEeAVE_c=",
    ),
    (
        "bad-token-organization",
        "tkn_Ak9SR19BQkNERUZHSDIzNDUAAAAAAAAAAAAAAAAAAAAHAAYKJBgeQAAABgok7rHkAAAAAAAAAAADD2FkYUBleGFtcGxlLmNvbQtjbG91ZHNpZ25hbAEEdGVhbQADcmVkAgMACXJvb21zLysvI3obmxAaju0j4omdWtHFbIE4DEgr1J42o8pgTJfHZQ6y",
    ),
    (
        "bad-token-address",
        "tkn_Am9yZ19hYmNkZWZnaDIzNDUAAAAAAAAAAAAAAAAAAAAHAAYKJBgeQAAABgok7rHkAAAAAAAAAAADBm5vYm9keQtjbG91ZHNpZ25hbAEEdGVhbQADcmVkAgMACXJvb21zLysvIwbHuxq144oC0u2VbAafG7cNiLBKsux-keefblUr4m0L",
    ),
    ("bad-token-empty", "tkn_"),
    ("bad-secret-key", "sk_hk7vjAcOZdTI2XyiIuOqJkmhCryXtgZtoIiZbZexC6I"),
    ("bad-digest", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
    ("bad-change", "\x05A@B"),
];
