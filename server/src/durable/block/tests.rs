use std::sync::Arc;

use cloudsignal_broker::change::{Keeping, Terms};
use cloudsignal_broker::{Message, StoredMessage};
use cloudsignal_core::{Instant, Qos, TopicName};

use super::super::record::Reader;
use super::*;
use crate::clock::WallTime;

fn clock() -> Clock {
    Clock::manual(WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap())
}

fn message(payload: &[u8]) -> Arc<Message> {
    let stored = StoredMessage {
        number: 1,
        publisher: 3,
        topic: TopicName::parse("a").unwrap(),
        payload,
        payload_format: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: &[],
        qos: Qos::AtLeastOnce,
        retain: false,
        expires_at: None,
    };
    Message::restored(&stored).unwrap()
}

fn queued(message: MessagePlace) -> Option<DeliveryRecord<MessagePlace>> {
    let terms = Terms {
        qos: Qos::AtLeastOnce,
        retain: false,
        subscription_ids: [].into(),
        group: None,
        queued_at: Instant::ZERO,
        keeping: Keeping::Apart,
    };
    Some(DeliveryRecord::Queued {
        message,
        terms,
        packet_id: None,
    })
}

/// Deliveries of session 1 with these orders and a payload of so many bytes.
fn deliveries(
    orders: impl IntoIterator<Item = u64>,
    bytes: usize,
) -> Vec<(DeliveryName, Option<DeliveryRecord<MessagePlace>>)> {
    let payload = vec![b'x'; bytes];
    let named = |order| ((1, order), queued(MessagePlace::Inline(message(&payload))));
    orders.into_iter().map(named).collect()
}

/// The blocks that are made, as positions, and the orders that are read back of each.
fn blocks(deliveries: &Deliveries) -> Vec<(Range<usize>, Vec<u64>)> {
    let (mut found, mut from) = (Vec::new(), 0);
    while let Some((range, made)) = next_block(deliveries, from) {
        from = range.end;
        let first = deliveries[range.start].0;
        let mut bytes = Vec::new();
        write(&deliveries[range.clone()], &mut bytes, &clock());
        let read = read(first, &bytes.into()).unwrap();
        assert_eq!(read.block, made, "what is read back is what was made");
        for (_, record) in &read.records {
            assert!(Reader::new(record, &clock()).unwrap().delivery().is_ok());
        }
        found.push((range, read.records.into_iter().map(|(order, _)| order).collect()));
    }
    found
}

#[test]
fn what_is_written_together_is_one_block_up_to_64_orders() {
    let many = deliveries(7..107, 10);
    assert_eq!(
        blocks(&many),
        [(0..64, (7..71).collect()), (64..100, (71..107).collect())]
    );
    assert_eq!(blocks(&deliveries(1..=3, 10)), [], "three are not worth it");
    let with_holes = [1, 2, 5, 60, 64, 65];
    assert_eq!(
        blocks(&deliveries(with_holes, 10)),
        [(0..5, vec![1, 2, 5, 60, 64])]
    );
}

#[test]
fn a_block_of_large_messages_is_short() {
    let found = blocks(&deliveries(1..=64, 3_000));
    assert!(found.iter().all(|(range, _)| range.len() <= 6), "{found:?}");
    assert_eq!(blocks(&deliveries(1..=64, 100_000)), []);
}

#[test]
fn only_whole_messages_of_one_session_are_put_together() {
    let mut mixed = deliveries(1..=12, 10);
    mixed[4].1 = queued(MessagePlace::Shared(9));
    assert_eq!(
        blocks(&mixed)
            .iter()
            .map(|(range, _)| range.clone())
            .collect::<Vec<_>>(),
        [0..4, 5..12]
    );
    mixed[5].1 = None;
    mixed[6].1 = Some(DeliveryRecord::Released { packet_id: 1 });
    assert_eq!(
        blocks(&mixed)
            .iter()
            .map(|(range, _)| range.clone())
            .collect::<Vec<_>>(),
        [0..4, 7..12]
    );
    for (name, _) in &mut mixed[8..] {
        name.0 = 2;
    }
    assert_eq!(
        blocks(&mixed)
            .iter()
            .map(|(range, _)| range.clone())
            .collect::<Vec<_>>(),
        [0..4, 8..12]
    );
}

#[test]
fn a_block_goes_with_the_last_of_its_deliveries() {
    let (_, mut block) = next_block(&deliveries([1, 2, 4, 5], 10), 0).unwrap();
    assert!(!block.remove((1, 1), (1, 3)), "it never was there");
    assert!(!block.remove((1, 1), (2, 1)), "of another session");
    assert!(block.remove((1, 1), (1, 4)));
    assert!(!block.remove((1, 1), (1, 4)), "it is gone");
    assert_eq!(block.mark(), Mark::Left(0b1_0011));
    for order in [1, 2, 5] {
        assert!(block.remove((1, 1), (1, order)));
    }
    assert_eq!(block.mark(), Mark::Spent { is_marked: true });
}

#[test]
fn a_damaged_block_is_refused_at_every_length_and_never_panics() {
    let four = deliveries(1..=4, 10);
    let mut whole = Vec::new();
    write(&four, &mut whole, &clock());
    for length in 0..whole.len() {
        let read = read((1, 1), &Bytes::copy_from_slice(&whole[..length]));
        assert_eq!(read.err(), Some(Damage::Short), "{length} bytes");
    }
    let longer = [&whole, b"x".as_slice()].concat();
    assert_eq!(read((1, 1), &longer.into()).err(), Some(Damage::Long));
    for at in 0..whole.len() {
        for byte in [0, 1, 0x7F, 0xFF] {
            let mut other = whole.clone();
            other[at] = byte;
            let _ = read((1, u64::MAX - 1), &other.into());
        }
    }
    assert_eq!(
        read((1, 1), &Bytes::from_static(&[9])).err(),
        Some(Damage::UnknownVersion(9))
    );
}
