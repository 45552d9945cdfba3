//! Faults planted in the books: each must ring, and nothing else may.

use std::time::Duration;

use cloudsignal_core::{Qos, Version};

use super::*;
use crate::books::{Ask, Presence};
use crate::plan::{Constancy, Habit, MemberPlan, Plan, Reach, StreamPlan, Writer};
use crate::retained::Value;

const WRITER: usize = 0;
const READER: usize = 1;
const MATES: [usize; 2] = [2, 3];

const QOS_1: usize = 0;
const QOS_2: usize = 1;
const SHELF: usize = 2;

const OWN: usize = 0;
const SHARED: usize = 1;

fn plan() -> Plan {
    let member = |name: &str, streams: &[usize]| MemberPlan {
        client_id: name.to_owned(),
        version: Version::V5,
        streams: streams.to_vec(),
        subscriptions: Vec::new(),
        window: 1,
        held_max: 0,
        receive_max: 1,
        pace: 0,
        habit: Habit::Present,
    };
    let stream = |topic: &str, qos, kind| StreamPlan {
        writer: Writer::Member(WRITER),
        topic: topic.to_owned(),
        qos,
        kind,
    };
    let mut plan = Plan {
        seed: 0,
        base: "t".to_owned(),
        members: vec![
            member("writer", &[QOS_1, QOS_2, SHELF]),
            member("reader", &[]),
            member("mate-0", &[]),
            member("mate-1", &[]),
        ],
        streams: vec![
            stream("t/m/1", Qos::AtLeastOnce, StreamKind::Messages),
            stream("t/m/2", Qos::ExactlyOnce, StreamKind::Messages),
            stream("t/r/3", Qos::AtLeastOnce, StreamKind::Retained),
        ],
        subscriptions: Vec::new(),
    };
    let constant = Constancy::Constant;
    plan.subscription(
        "t/m/#".to_owned(),
        Qos::ExactlyOnce,
        Reach::Own,
        constant,
        &[READER],
    );
    let shared = "$share/g/t/m/2".to_owned();
    plan.subscription(shared, Qos::ExactlyOnce, Reach::Group, constant, &MATES);
    plan
}

/// Books in which everybody is connected and subscribed.
fn books() -> Books {
    let mut books = Books::new(&Arc::new(plan()), Duration::from_secs(5));
    books.cycle = 1;
    for member in 0..4 {
        books.connected(member, Presence::Absent);
    }
    subscribe(&mut books, READER, OWN);
    MATES.into_iter().for_each(|it| subscribe(&mut books, it, SHARED));
    books
}

fn subscribe(books: &mut Books, member: usize, subscription: usize) {
    books.asking(subscription, Ask::Subscribe);
    books.answered(member, subscription, Ask::Subscribe);
}

fn publish(books: &mut Books, stream: usize, value: Value) -> Name {
    let name = Name {
        stream,
        number: books.sent(stream, value),
    };
    books.acked(name);
    name
}

fn message(books: &mut Books, stream: usize) -> Name {
    publish(books, stream, Value::Number)
}

/// The kinds of faults after a reckoning, and what is told of them.
fn verdict(books: &mut Books) -> (Vec<Kind>, String) {
    books.reckon();
    (books.faults.kinds(), books.faults.to_string())
}

fn held(books: &Books, number: Option<u64>) -> Vec<String> {
    let payload = number.map(|number| {
        let name = Name {
            stream: SHELF,
            number,
        };
        ("t/r/3".to_owned(), message::payload(name, 3))
    });
    books.wrong_retained(payload.as_slice())
}

#[test]
fn a_good_broker_is_not_accused() {
    let mut books = books();
    for turn in 0..10 {
        let (one, two) = (message(&mut books, QOS_1), message(&mut books, QOS_2));
        books.arrived(READER, one);
        // At least once.
        books.arrived(READER, one);
        books.arrived(READER, two);
        books.arrived(MATES[turn % 2], two);
    }
    // Not acknowledged: may be lost, as long as QoS 2 does not come twice.
    let open = books.sent(QOS_1, Value::Number);
    assert!(open > 0 && books.is_complete());
    books.cycle = 2;
    books.connected(READER, Presence::Present);
    assert_eq!(verdict(&mut books), (vec![], String::new()));
    assert_eq!((books.tally.delivered, books.tally.duplicates), (30, 10));
}

#[test]
fn a_lost_message_rings_with_its_story() {
    let mut books = books();
    let lost = message(&mut books, QOS_1);
    let after = message(&mut books, QOS_1);
    books.arrived(READER, after);
    books.cycle = 3;
    assert!(!books.is_complete());
    let (kinds, story) = verdict(&mut books);
    assert_eq!((kinds, lost.number), (vec![Kind::Lost], 0));
    assert_eq!(books.tally.lost.alone, 1);
    for word in [
        "t/m/1 number 0 of writer (QoS 1)",
        "sent in cycle 1",
        "acknowledged in cycle 1",
        "to reader",
        "ends of cycles since: 1, 2",
    ] {
        assert!(story.contains(word), "{story}");
    }
    assert!(books.is_complete(), "a loss is told once");
    // It comes after all: too late, but not twice.
    books.arrived(READER, lost);
    assert_eq!((books.tally.late, books.faults.kinds()), (1, vec![Kind::Lost]));
}

#[test]
fn a_message_that_no_member_of_a_group_gets_is_lost() {
    let mut books = books();
    let lost = message(&mut books, QOS_2);
    books.arrived(READER, lost);
    let after = message(&mut books, QOS_2);
    books.arrived(READER, after);
    books.arrived(MATES[1], after);
    let (kinds, story) = verdict(&mut books);
    assert_eq!(kinds, [Kind::Lost]);
    assert!(story.contains("to mate-0 or mate-1"), "{story}");
}

#[test]
fn qos_2_twice_rings() {
    let mut books = books();
    let twice = message(&mut books, QOS_2);
    books.arrived(MATES[0], twice);
    books.arrived(READER, twice);
    books.arrived(READER, twice);
    assert_eq!(verdict(&mut books).0, [Kind::Duplicate]);
    assert_eq!(books.faults.count(Kind::Duplicate), 1);
    // Two members of one group, and after the reckoning.
    books.arrived(MATES[1], twice);
    books.arrived(READER, twice);
    assert_eq!(books.faults.count(Kind::Duplicate), 3);
}

#[test]
fn another_order_rings() {
    let mut books = books();
    let (first, second) = (message(&mut books, QOS_1), message(&mut books, QOS_1));
    books.arrived(READER, second);
    books.arrived(READER, first);
    assert_eq!(verdict(&mut books).0, [Kind::OutOfOrder]);
}

#[test]
fn a_redelivery_may_repeat_the_order() {
    let mut books = books();
    let (first, second) = (message(&mut books, QOS_1), message(&mut books, QOS_1));
    for name in [first, second, first, second] {
        books.arrived(READER, name);
    }
    assert_eq!(verdict(&mut books).0, []);
}

#[test]
fn an_old_retained_value_rings() {
    let mut books = books();
    assert!(held(&books, None).is_empty());
    let (old, new) = (message(&mut books, SHELF), message(&mut books, SHELF));
    assert!(held(&books, Some(new.number)).is_empty());
    for wrong in [None, Some(old.number), Some(7)] {
        assert_eq!(held(&books, wrong).len(), 1, "{wrong:?}");
    }
    // A later one that is not acknowledged may be there, and may not.
    let open = books.sent(SHELF, Value::Number);
    assert!(held(&books, Some(new.number)).is_empty() && held(&books, Some(open)).is_empty());
}

#[test]
fn a_retained_value_that_was_cleared_must_not_come_back() {
    let mut books = books();
    let value = message(&mut books, SHELF);
    publish(&mut books, SHELF, Value::Clear);
    assert!(held(&books, None).is_empty());
    let found = [("t/r/3".to_owned(), message::payload(value, 0))];
    books.reckon_retained(&found);
    assert_eq!(books.faults.kinds(), [Kind::Retained]);
    let spoiled = [("t/r/3".to_owned(), b"garbage".to_vec())];
    assert_eq!(books.wrong_retained(&spoiled).len(), 1);
}

#[test]
fn a_session_that_is_gone_rings_and_its_messages_are_lost() {
    let mut books = books();
    message(&mut books, QOS_1);
    books.cycle = 2;
    books.connected(READER, Presence::Absent);
    // Nothing is owed until it has subscribed again.
    message(&mut books, QOS_1);
    subscribe(&mut books, READER, OWN);
    let last = message(&mut books, QOS_1);
    books.arrived(READER, last);
    let (kinds, story) = verdict(&mut books);
    assert_eq!(kinds, [Kind::Lost, Kind::Session]);
    assert_eq!(books.faults.count(Kind::Lost), 1);
    assert_eq!(books.tally.lost.with_session, 1);
    assert!(
        story.contains("reader (its session was lost at the end of cycle 1)"),
        "{story}"
    );
}

#[test]
fn a_missing_subscription_rings_and_is_made_again() {
    let mut books = books();
    let before = message(&mut books, QOS_1);
    books.arrived(READER, before);
    books.cycle = 2;
    books.connected(READER, Presence::Present);
    for _ in 0..LAST_WORDS {
        message(&mut books, QOS_1);
    }
    let (kinds, story) = verdict(&mut books);
    assert_eq!(kinds, [Kind::Lost, Kind::Subscription]);
    assert!(story.contains("t/m/# of reader"), "{story}");
    assert_eq!(books.tally.lost.with_subscription, LAST_WORDS as u64);
    assert_eq!(books.sessions[READER].to_heal.first(), Some(&OWN));
    // Until then, nothing more is owed by it.
    message(&mut books, QOS_1);
    assert!(books.is_complete());
}

#[test]
fn a_subscription_that_was_given_up_owes_nothing_and_must_not_come_back() {
    let mut books = books();
    let before = message(&mut books, QOS_1);
    books.asking(OWN, Ask::Unsubscribe);
    // What was sent before UNSUBSCRIBE may come, or not.
    let between = message(&mut books, QOS_1);
    books.answered(READER, OWN, Ask::Unsubscribe);
    assert!(books.is_complete());
    books.arrived(READER, before);
    books.arrived(READER, between);
    assert_eq!(books.faults.kinds(), []);
    let after = message(&mut books, QOS_1);
    books.arrived(READER, after);
    assert_eq!(verdict(&mut books).0, [Kind::Ghost]);
}

#[test]
fn what_was_sent_before_suback_is_not_owed() {
    let mut books = Books::new(&Arc::new(plan()), Duration::from_secs(5));
    books.asking(OWN, Ask::Subscribe);
    message(&mut books, QOS_1);
    books.answered(READER, OWN, Ask::Subscribe);
    assert!(books.is_complete());
    assert_eq!(verdict(&mut books).0, []);
}

#[test]
fn a_message_from_nowhere_rings() {
    let mut books = books();
    books.arrived(
        MATES[0],
        Name {
            stream: QOS_1,
            number: 0,
        },
    );
    books.arrived(
        READER,
        Name {
            stream: 99,
            number: 0,
        },
    );
    assert_eq!(books.faults.kinds(), [Kind::Protocol]);
    assert_eq!(books.faults.count(Kind::Protocol), 2);
}

#[test]
fn publishers_wait_for_whoever_has_too_much_before_it() {
    let mut books = books();
    while books.may_publish(QOS_1) {
        message(&mut books, QOS_1);
    }
    assert_eq!(books.behind(READER), crate::books::BEHIND_MAX);
    // The last one has come: those before it are lost, and nobody waits for them.
    let last = Name {
        stream: QOS_1,
        number: crate::books::BEHIND_MAX - 1,
    };
    books.arrived(READER, last);
    assert!(books.may_publish(QOS_1));
    assert!(!books.is_complete());
}
