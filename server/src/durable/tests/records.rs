//! Bytes of records.

use super::*;

#[test]
fn records_come_back_as_they_were() {
    let clock = clock();
    let session = SessionRecord {
        client_id: "c".into(),
        identity: identity(),
        expiry_secs: 60,
        ends_at: Some(Instant::from_micros(60_000_000)),
    };
    let written = bytes(|writer| writer.session(&session), &clock);
    assert_eq!(
        Reader::new(&written, &clock).unwrap().session(&org()),
        Ok(session)
    );
    let subscription = SubscriptionRecord {
        options: 0b10_1101,
        subscription_id: Some(4),
        owes_retained: true,
    };
    let written = bytes(|writer| writer.subscription("a/+", subscription), &clock);
    assert_eq!(
        Reader::new(&written, &clock).unwrap().subscription(),
        Ok(("a/+", subscription))
    );
    let numbers = numbers(7);
    let written = bytes(|writer| writer.numbers(&numbers), &clock);
    assert_eq!(Reader::new(&written, &clock).unwrap().numbers(), Ok(numbers));
    for number in [1, 2] {
        let message = message(number, "a/b");
        let written = bytes(|writer| writer.message(&message), &clock);
        let read = Reader::new(&written, &clock).unwrap().message().unwrap();
        assert_eq!(facts(&read), facts(&message));
        let will = WillRecord {
            message: Arc::clone(&message),
            expiry_secs: Some(5),
            delay_secs: 6,
            due_at: None,
        };
        let written = bytes(|writer| writer.will(&will), &clock);
        let read = Reader::new(&written, &clock).unwrap().will().unwrap();
        assert_eq!(format!("{read:?}"), format!("{will:?}"));
        let places = [
            (MessagePlace::Inline(message), Keeping::Apart),
            (MessagePlace::Shared(number), Keeping::Together),
        ];
        for (place, keeping) in places {
            let delivery = DeliveryRecord::Queued {
                message: place,
                terms: Terms {
                    keeping,
                    ..terms(Qos::AtLeastOnce)
                },
                packet_id: Some(9),
            };
            let written = bytes(|writer| writer.delivery(&delivery), &clock);
            let read = Reader::new(&written, &clock).unwrap().delivery().unwrap();
            assert_eq!(format!("{read:?}"), format!("{delivery:?}"));
        }
    }
}

#[test]
fn damaged_records_are_refused_at_every_length_and_in_every_version() {
    let clock = clock();
    let session = SessionRecord {
        client_id: "c".into(),
        identity: identity(),
        expiry_secs: 60,
        ends_at: None,
    };
    let delivery = DeliveryRecord::Queued {
        message: MessagePlace::Inline(message(2, "a")),
        terms: terms(Qos::ExactlyOnce),
        packet_id: None,
    };
    type Read = fn(Reader<'_>) -> Result<(), Damage>;
    let records: [(Vec<u8>, Read); 4] = [
        (bytes(|writer| writer.numbers(&numbers(7)), &clock), |reader| {
            reader.numbers().map(drop)
        }),
        (bytes(|writer| writer.session(&session), &clock), |reader| {
            reader.session(&org()).map(drop)
        }),
        (bytes(|writer| writer.delivery(&delivery), &clock), |reader| {
            reader.delivery().map(drop)
        }),
        (bytes(|writer| writer.packet_id(3), &clock), |reader| {
            reader.packet_id().map(drop)
        }),
    ];
    for (whole, read) in &records {
        let read = |bytes: &[u8]| Reader::new(bytes, &clock).and_then(read);
        assert_eq!(read(whole), Ok(()));
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Err(Damage::Short), "{length} bytes");
        }
        assert_eq!(read(&[whole, b"x".as_slice()].concat()), Err(Damage::Long));
        // Any other byte is refused or read as something else, and never a panic.
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7F, 0xFF] {
                let mut other = whole.clone();
                other[at] = byte;
                let _ = read(&other);
            }
        }
    }
    assert_eq!(Reader::new(&[9], &clock).unwrap_err(), Damage::UnknownVersion(9));
}
