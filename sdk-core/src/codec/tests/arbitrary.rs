//! Every valid packet, at random.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::{NonZeroU16, NonZeroU32};
use std::string::String;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

use super::super::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketId, PacketType, Publish, PublishProperties,
    ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter, SubscriptionIds, UnsubAck, Unsubscribe,
    UserProperties, Will,
};
use crate::topic::{TopicFilter, TopicName};
use crate::{Qos, Version};

/// Packets borrow; a test may keep what they borrow from until it ends.
fn leak<T: ?Sized>(value: impl Into<Box<T>>) -> &'static T {
    Box::leak(value.into())
}

fn text() -> impl Strategy<Value = &'static str> {
    "\\PC{0,12}".prop_map(leak::<str>)
}

/// Mostly short; sometimes long enough for lengths of two and three bytes.
fn binary() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![
        9 => vec(any::<u8>(), 0..20),
        1 => vec(any::<u8>(), 100..20_000),
    ]
    .prop_map(leak::<[u8]>)
}

fn topic() -> impl Strategy<Value = TopicName<'static>> {
    "[a-z$ /é]{1,20}".prop_map(|text| TopicName::parse(leak(text)).unwrap())
}

pub(super) fn filter() -> impl Strategy<Value = TopicFilter<'static>> {
    let level = select(&["", "a", "+", "$b", "ü"][..]);
    let share = select(&["", "", "$share/g/"][..]);
    (share, vec(level, 1..5), any::<bool>()).prop_map(|(share, mut levels, rest)| {
        if rest || levels == [""] {
            levels.push("#");
        }
        let text: String = share.chars().chain(levels.join("/").chars()).collect();
        TopicFilter::parse(leak(text)).unwrap()
    })
}

fn qos() -> impl Strategy<Value = Qos> {
    select(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][..])
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    any::<NonZeroU16>()
}

fn user_properties() -> impl Strategy<Value = UserProperties<'static>> {
    vec((text(), text()), 0..4).prop_map(|pairs| {
        let mut wire = Vec::new();
        for (name, value) in pairs {
            UserProperties::push(&mut wire, name, value).unwrap();
        }
        UserProperties::from_wire(leak(wire)).unwrap()
    })
}

fn reason(packet: PacketType) -> impl Strategy<Value = ReasonCode> {
    let all = (0..=255).filter_map(ReasonCode::from_byte);
    select(all.filter(|reason| reason.allowed_in(packet)).collect::<Vec<_>>())
}

fn message_properties() -> impl Strategy<Value = PublishProperties<'static>> {
    let first = (
        of(any::<bool>()),
        of(any::<u32>()),
        of(topic()),
        of(binary()),
        of(text()),
    );
    (first, user_properties()).prop_map(|(first, user_properties)| PublishProperties {
        payload_format: first.0,
        message_expiry_secs: first.1,
        response_topic: first.2,
        correlation_data: first.3,
        content_type: first.4,
        user_properties,
        ..PublishProperties::default()
    })
}

fn publish() -> impl Strategy<Value = Publish<'static>> {
    let subscription_ids = vec(1_u32..=268_435_455, 0..3);
    let header = (any::<bool>(), qos(), any::<bool>(), packet_id());
    (
        header,
        of(topic()),
        of(any::<NonZeroU16>()),
        subscription_ids,
        message_properties(),
        binary(),
    )
        .prop_map(
            |((dup, qos, retain, packet_id), topic, alias, subscription_ids, properties, payload)| {
                let acknowledged = qos != Qos::AtMostOnce;
                Publish {
                    dup: dup && acknowledged,
                    qos,
                    retain,
                    topic,
                    packet_id: acknowledged.then_some(packet_id),
                    properties: PublishProperties {
                        topic_alias: if topic.is_none() {
                            alias.or(NonZeroU16::new(7))
                        } else {
                            alias
                        },
                        subscription_ids: SubscriptionIds::from_slice(leak(subscription_ids)),
                        ..properties
                    },
                    payload,
                }
            },
        )
}

fn will() -> impl Strategy<Value = Will<'static>> {
    (
        topic(),
        binary(),
        qos(),
        any::<bool>(),
        any::<u32>(),
        message_properties(),
    )
        .prop_map(|(topic, payload, qos, retain, delay_secs, properties)| Will {
            delay_secs,
            properties,
            ..Will::new(topic, payload, qos, retain)
        })
}

fn connect() -> impl Strategy<Value = Connect<'static>> {
    let payload = (text(), of(text()), of(binary()), of(will()));
    let flags = (any::<bool>(), any::<u16>(), any::<bool>(), any::<bool>());
    let limits = (
        of(any::<u32>()),
        of(any::<NonZeroU16>()),
        of(any::<NonZeroU32>()),
        any::<u16>(),
    );
    let auth = (of(text()), of(binary()), user_properties());
    (payload, flags, limits, auth).prop_map(|(payload, flags, limits, auth)| Connect {
        clean_start: flags.0,
        keep_alive_secs: flags.1,
        username: payload.1,
        password: payload.2,
        will: payload.3,
        session_expiry_secs: limits.0,
        receive_max: limits.1,
        packet_bytes_max: limits.2,
        topic_alias_max: limits.3,
        request_response_info: flags.2,
        request_problem_info: flags.3,
        auth_method: auth.0,
        auth_data: auth.0.and(auth.1),
        user_properties: auth.2,
        ..Connect::new(Version::V5, payload.0)
    })
}

fn connack() -> impl Strategy<Value = ConnAck<'static>> {
    let first = (
        any::<bool>(),
        reason(PacketType::ConnAck),
        of(any::<u32>()),
        of(any::<NonZeroU16>()),
    );
    let limits = (of(any::<bool>()), of(1_u32..), of(any::<u16>()), of(any::<u16>()));
    let texts = (of(text()), of(text()), of(text()), of(text()));
    let available = (
        of(any::<bool>()),
        of(any::<bool>()),
        of(any::<bool>()),
        of(any::<bool>()),
    );
    let auth = (of(text()), of(binary()), user_properties());
    (first, limits, texts, available, auth).prop_map(|(first, limits, texts, available, auth)| ConnAck {
        session_present: first.0 && first.1 == ReasonCode::Success,
        reason: first.1,
        session_expiry_secs: first.2,
        receive_max: first.3,
        qos_max: limits
            .0
            .map(|one| if one { Qos::AtLeastOnce } else { Qos::AtMostOnce }),
        packet_bytes_max: limits.1,
        topic_alias_max: limits.2,
        server_keep_alive_secs: limits.3,
        assigned_client_id: texts.0,
        reason_string: texts.1,
        response_information: texts.2,
        server_reference: texts.3,
        retain_available: available.0,
        wildcard_available: available.1,
        subscription_ids_available: available.2,
        shared_available: available.3,
        auth_method: auth.0,
        auth_data: auth.0.and(auth.1),
        user_properties: auth.2,
    })
}

fn ack(packet: PacketType) -> impl Strategy<Value = Ack<'static>> {
    (packet_id(), reason(packet), of(text()), user_properties()).prop_map(
        |(packet_id, reason, reason_string, user_properties)| Ack {
            reason_string,
            user_properties,
            ..Ack::new(packet_id, reason)
        },
    )
}

fn subscribe_filter() -> impl Strategy<Value = SubscribeFilter<'static>> {
    use RetainHandling::{DoNotSend, SendAtSubscribe, SendIfNew};
    let handling = select(&[SendAtSubscribe, SendIfNew, DoNotSend][..]);
    (filter(), qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        |(filter, qos, no_local, retain_as_published, retain_handling)| SubscribeFilter {
            no_local: no_local && filter.share().is_none(),
            retain_as_published,
            retain_handling,
            ..SubscribeFilter::new(filter, qos)
        },
    )
}

fn subscribe() -> impl Strategy<Value = Subscribe<'static>> {
    let subscription_id = of(1_u32..=268_435_455);
    (
        packet_id(),
        vec(subscribe_filter(), 1..4),
        subscription_id,
        user_properties(),
    )
        .prop_map(
            |(packet_id, filters, subscription_id, user_properties)| Subscribe {
                subscription_id,
                user_properties,
                ..Subscribe::new(packet_id, filters)
            },
        )
}

fn suback() -> impl Strategy<Value = SubAck<'static>> {
    (
        packet_id(),
        vec(reason(PacketType::SubAck), 1..5),
        of(text()),
        user_properties(),
    )
        .prop_map(|(packet_id, reasons, reason_string, user_properties)| SubAck {
            reason_string,
            user_properties,
            ..SubAck::new(packet_id, reasons)
        })
}

fn unsubscribe() -> impl Strategy<Value = Unsubscribe<'static>> {
    (packet_id(), vec(filter().prop_map(Ok), 1..4), user_properties()).prop_map(
        |(packet_id, filters, user_properties)| Unsubscribe {
            user_properties,
            ..Unsubscribe::new(packet_id, filters)
        },
    )
}

fn unsuback() -> impl Strategy<Value = UnsubAck<'static>> {
    (
        packet_id(),
        vec(reason(PacketType::UnsubAck), 1..5),
        of(text()),
        user_properties(),
    )
        .prop_map(|(packet_id, reasons, reason_string, user_properties)| UnsubAck {
            reason_string,
            user_properties,
            ..UnsubAck::new(packet_id, reasons)
        })
}

fn disconnect() -> impl Strategy<Value = Disconnect<'static>> {
    let texts = (of(text()), of(text()));
    (
        reason(PacketType::Disconnect),
        of(any::<u32>()),
        texts,
        user_properties(),
    )
        .prop_map(
            |(reason, session_expiry_secs, texts, user_properties)| Disconnect {
                reason,
                session_expiry_secs,
                reason_string: texts.0,
                server_reference: texts.1,
                user_properties,
            },
        )
}

fn auth() -> impl Strategy<Value = Auth<'static>> {
    (
        reason(PacketType::Auth),
        text(),
        of(binary()),
        of(text()),
        user_properties(),
    )
        .prop_map(|(reason, method, data, reason_string, user_properties)| Auth {
            data,
            reason_string,
            user_properties,
            ..Auth::new(reason, method)
        })
}

/// Any packet that MQTT 5 can express.
pub(super) fn packet() -> impl Strategy<Value = Packet<'static>> {
    Union::new([
        connect()
            .prop_map(|connect| Packet::Connect(Box::new(connect)))
            .boxed(),
        connack()
            .prop_map(|connack| Packet::ConnAck(Box::new(connack)))
            .boxed(),
        publish().prop_map(Packet::Publish).boxed(),
        ack(PacketType::PubAck).prop_map(Packet::PubAck).boxed(),
        ack(PacketType::PubRec).prop_map(Packet::PubRec).boxed(),
        ack(PacketType::PubRel).prop_map(Packet::PubRel).boxed(),
        ack(PacketType::PubComp).prop_map(Packet::PubComp).boxed(),
        subscribe().prop_map(Packet::Subscribe).boxed(),
        suback().prop_map(Packet::SubAck).boxed(),
        unsubscribe().prop_map(Packet::Unsubscribe).boxed(),
        unsuback().prop_map(Packet::UnsubAck).boxed(),
        select(&[Packet::PingReq, Packet::PingResp][..]).boxed(),
        disconnect().prop_map(Packet::Disconnect).boxed(),
        prop_oneof![Just(Auth::default()), auth()]
            .prop_map(Packet::Auth)
            .boxed(),
    ])
}
