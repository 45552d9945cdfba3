//! A client with a name of its own and without a store: its process dies, and the next one goes on with the session, of
//! which it knows nothing.
//!
//! `CS_TEST_SDK_DEATHS` says how often one is killed (8).

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use cloudsignal::{Builder, Client, Continuity, Event, Outcome, Qos, Subscription};
use cloudsignal_core::codec::{Ack, Connect, Packet, Publish, ReasonCode, Subscribe, SubscribeFilter};
use cloudsignal_core::{PacketId, TopicFilter, TopicName, Version};
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::link::Link;
use cloudsignal_tests::random::Random;
use cloudsignal_tests::wait;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::child::{self, Task};
use crate::client;

/// The name under which one process follows the other.
const DEVICE: &str = "device";
/// What comes to it.
const WORK: &str = "work";
/// What it tells.
const TOLD: &str = "told";
/// So many messages may be on their way to it.
const RECEIVE_MAX: u16 = 8;
/// The first process dies while so many QoS 2 messages of its own are on their way.
const BEGUN: u16 = 8;

fn device(broker: &Broker) -> Builder {
    client(broker, Listener::Mqtt)
        .client_id(DEVICE)
        .receive_max(RECEIVE_MAX)
}

/// QoS 1 and 2 in turn.
fn qos_of(number: u64) -> Qos {
    if number.is_multiple_of(2) {
        Qos::ExactlyOnce
    } else {
        Qos::AtLeastOnce
    }
}

async fn send(from: &Client, topic: &str, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        let message = from.publish(topic, number.to_string()).qos(qos_of(number));
        let outcome = message.await.expect("the client is open");
        assert!(matches!(outcome, Outcome::Acknowledged(_)), "{outcome:?}");
    }
}

/// The next numbers; the messages count as dealt with.
async fn take(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = timeout(wait::DEADLINE, subscription.recv()).await;
        let message = next.unwrap_or_else(|_| panic!("only {taken:?} have come"));
        let message = message.expect("the subscription goes on");
        taken.push(message.text().expect("text").parse().expect("a number"));
    }
    taken
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("above 0")
}

/// A process that has subscribed, and gone as far as a test needs it.
struct First {
    link: Link,
}

impl First {
    async fn begin(broker: &Broker) -> Self {
        let first_run = broker.first_run();
        let mut connect = Connect::new(Version::V5, DEVICE);
        connect.clean_start = false;
        connect.session_expiry_secs = Some(3_600);
        connect.receive_max = NonZeroU16::new(RECEIVE_MAX);
        connect.username = Some(&first_run.username);
        connect.password = Some(first_run.password.as_bytes());
        let link = Link::connect(&broker.addr(Listener::Mqtt).to_string(), &connect).await;
        let mut this = Self {
            link: link.expect("it is let in"),
        };
        let filter = TopicFilter::parse(WORK).expect("a filter");
        let filters = vec![SubscribeFilter::new(filter, Qos::ExactlyOnce)];
        this.say(&Packet::Subscribe(Subscribe::new(id(1), filters))).await;
        this.await_packets(1, |packet| matches!(packet, Packet::SubAck(_)))
            .await;
        this
    }

    async fn say(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(Version::V5, &mut bytes).expect("it can be said");
        self.link.write(&bytes).await.expect("it is heard");
    }

    async fn await_packets(&mut self, count: usize, is_one: impl Fn(&Packet<'_>) -> bool) {
        let mut seen = 0;
        let reading = self.link.read_until(|packet| {
            seen += usize::from(is_one(packet));
            seen == count
        });
        let read = timeout(wait::DEADLINE, reading).await;
        read.expect("it comes").expect("the connection lives");
    }

    /// Gets as many messages as it may, and has taken the second, of QoS 2, as far as PUBREL.
    async fn get_work(&mut self) {
        let mut second = None;
        let (mut seen, all) = (0, usize::from(RECEIVE_MAX));
        let reading = self.link.read_until(|packet| {
            if let Packet::Publish(publish) = packet {
                seen += 1;
                if seen == 2 {
                    assert_eq!(publish.qos, Qos::ExactlyOnce);
                    second = publish.packet_id;
                }
            }
            seen == all
        });
        let read = timeout(wait::DEADLINE, reading).await;
        read.expect("it comes").expect("the connection lives");
        let received = Ack::new(second.expect("QoS 2 has one"), ReasonCode::Success);
        self.say(&Packet::PubRec(received)).await;
        self.await_packets(1, |packet| matches!(packet, Packet::PubRel(_)))
            .await;
    }

    /// Publishes at QoS 2, and does not come to PUBREL.
    async fn begin_telling(&mut self) {
        let topic = TopicName::parse(TOLD).expect("a topic");
        for number in 1..=BEGUN {
            let payload = number.to_string();
            let mut publish = Publish::new(topic, payload.as_bytes());
            (publish.qos, publish.packet_id) = (Qos::ExactlyOnce, Some(id(number)));
            self.say(&Packet::Publish(publish)).await;
        }
        self.await_packets(usize::from(BEGUN), |packet| matches!(packet, Packet::PubRec(_)))
            .await;
    }
}

/// The process after it, and that it knows where it stands.
async fn second(broker: &Broker) -> Client {
    let client = device(broker).start().await.expect("there is nothing to read");
    let mut events = client.events();
    client.connected().await.expect("it is let in");
    let told = timeout(wait::DEADLINE, events.recv()).await.expect("it is told");
    assert!(
        matches!(
            told,
            Some(Event::Connected {
                continuity: Continuity::Adopted
            })
        ),
        "{told:?}"
    );
    client
}

#[tokio::test]
async fn what_was_on_its_way_waits_until_the_next_process_has_subscribed() {
    let broker = BrokerOptions::default().start();
    let sender = client(&broker, Listener::Mqtt).connect().await.unwrap();
    let mut first = First::begin(&broker).await;
    send(&sender, WORK, 1..=12).await;
    first.get_work().await;
    drop(first);
    send(&sender, WORK, 13..=16).await;

    let device = second(&broker).await;
    // The answer comes behind everything that the broker has sent until then: as much as it may.
    device.publish("elsewhere", "").await.unwrap();
    send(&sender, WORK, 17..=20).await;
    let mut work = device.subscribe(WORK).qos(Qos::ExactlyOnce).await.unwrap();
    let mut owed: Vec<u64> = (1..=20).collect();
    owed.retain(|number| *number != 2); // That one was received, as the broker was told.
    assert_eq!(take(&mut work, owed.len()).await, owed);
    send(&sender, WORK, 21..=22).await;
    assert_eq!(take(&mut work, 2).await, [21, 22]);
    device.flush().await.unwrap();
    device.close().await;

    // Nothing is left for a third.
    let device = second(&broker).await;
    let mut work = device.subscribe(WORK).qos(Qos::ExactlyOnce).await.unwrap();
    send(&sender, WORK, 23..=23).await;
    assert_eq!(take(&mut work, 1).await, [23]);
}

#[tokio::test]
async fn what_the_next_process_publishes_is_not_taken_for_what_the_last_one_has() {
    let broker = BrokerOptions::default().start();
    let hearer = client(&broker, Listener::Mqtt).connect().await.unwrap();
    let mut told = hearer.subscribe(TOLD).qos(Qos::ExactlyOnce).await.unwrap();
    let mut first = First::begin(&broker).await;
    first.begin_telling().await;
    drop(first);
    let begun = u64::from(BEGUN);
    let device = second(&broker).await;
    let tickets = (begun + 1..=2 * begun).map(|number| {
        let message = device.publish(TOLD, number.to_string());
        message.qos(Qos::ExactlyOnce).try_send().expect("there is room")
    });
    for ticket in tickets.collect::<Vec<_>>() {
        let outcome = timeout(wait::DEADLINE, ticket).await.expect("an answer");
        assert!(matches!(outcome, Ok(Outcome::Acknowledged(_))), "{outcome:?}");
    }
    let all: Vec<u64> = (1..=2 * begun).collect();
    assert_eq!(take(&mut told, all.len()).await, all);
}

/// The test by which a child comes to life.
const CHILD: &str = "adopted::a_child_without_a_store";
/// A number that it tells is its life and the place in it.
const LIFE: u64 = 1_000_000;
/// So many of them may be without an answer.
const UNANSWERED: usize = 16;
/// So many messages are sent to each life.
const SENT: u64 = 20;
/// What says that no more comes.
const END: &str = "end";

#[tokio::test]
#[ignore = "a child of the test below"]
async fn a_child_without_a_store() {
    let task = Task::given();
    let client = Client::builder(task.text("url"))
        .client_id(DEVICE)
        .password(task.text("username"), task.text("password"))
        .receive_max(RECEIVE_MAX)
        .connect()
        .await
        .expect("it is let in");
    let mut numbers = (task.number("life").expect("a number") * LIFE)..;
    // By the answer whatever was on its way to the life before has arrived again.
    send(&client, TOLD, numbers.by_ref().take(1)).await;
    let mut work = client
        .subscribe(WORK)
        .qos(Qos::ExactlyOnce)
        .await
        .expect("it is granted");
    tokio::spawn(async move {
        while let Some(message) = work.recv().await {
            child::tell(format_args!("got {}", message.text().expect("text")));
        }
    });
    let mut answers = JoinSet::new();
    for number in numbers {
        let message = client.publish(TOLD, number.to_string()).qos(qos_of(number));
        let ticket = message.send().await.expect("it is open");
        answers.spawn(async move {
            let outcome = ticket.await.expect("it is open");
            assert!(matches!(outcome, Outcome::Acknowledged(_)), "{outcome:?}");
            child::tell(format_args!("answered {number}"));
        });
        if answers.len() >= UNANSWERED {
            answers.join_next().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_are_killed_one_after_the_other_miss_nothing() {
    let deaths = std::env::var("CS_TEST_SDK_DEATHS").map_or(8, |text| text.parse().expect("a number"));
    let broker = BrokerOptions::default().start();
    let first_run = broker.first_run();
    let judge = client(&broker, Listener::Mqtt).connect().await.unwrap();
    let told = judge.subscribe(TOLD).qos(Qos::ExactlyOnce).await.unwrap();
    let judging = tokio::spawn(count(told));
    First::begin(&broker).await; // There is a subscription, so that nothing is for nobody.
    let (mut answered, mut got) = (BTreeSet::new(), BTreeSet::new());
    let mut dice = Random::new(11);
    for life in 1..=deaths {
        let task = json!({
            "url": broker.url(Listener::Mqtt),
            "username": first_run.username,
            "password": first_run.password,
            "life": life,
        });
        let child = child::start(CHILD, &task);
        send(&judge, WORK, (life - 1) * SENT..life * SENT).await;
        let lines = usize::try_from(dice.between(1, 100)).expect("few");
        for line in child::kill_after(child, lines, |line| line.contains(' ')).await {
            let number = |text: &str| text.parse::<u64>().expect("a number");
            answered.extend(line.strip_prefix("answered ").map(number));
            got.extend(line.strip_prefix("got ").map(number));
        }
    }
    let device = second(&broker).await;
    let mut work = device.subscribe(WORK).qos(Qos::ExactlyOnce).await.unwrap();
    let last = deaths * SENT;
    send(&judge, WORK, [last].into_iter()).await;
    while !got.contains(&last) {
        got.extend(take(&mut work, 1).await);
    }
    assert!(
        got.iter().copied().eq(0..=last),
        "of {last}, only {got:?} have come"
    );
    judge.publish(TOLD, END).qos(Qos::ExactlyOnce).await.unwrap();
    let told = judging.await.expect("the judge does not panic");
    assert!(answered.len() as u64 >= deaths, "{answered:?}");
    for number in answered {
        assert!(
            told.contains_key(&number),
            "{number} was answered and has not arrived"
        );
    }
    for (number, times) in told {
        assert_eq!(times, 1, "{number} has arrived more than once");
    }
}

/// How often each number has arrived.
async fn count(mut told: Subscription) -> BTreeMap<u64, u32> {
    let mut heard = BTreeMap::new();
    while let Some(message) = told.recv().await {
        match message.text().expect("text") {
            END => break,
            number => *heard.entry(number.parse().expect("a number")).or_default() += 1,
        }
    }
    heard
}
