//! Publishing and subscribing.

use std::collections::BTreeSet;

use cloudsignal::{
    Acknowledge, Closed, Ended, Event, Json, Outcome, PublishError, Qos, ReasonCode, SubscribeError,
    Subscription,
};
use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::wait;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::client;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    what: String,
    count: u32,
}

#[tokio::test]
async fn a_message_arrives_with_everything_that_was_said() {
    let broker = BrokerOptions::default().start();
    let client = client(&broker, Listener::Mqtt).connect().await.unwrap();
    let mut orders = client.subscribe("orders/+").await.unwrap();
    let order = Order {
        what: "hats".to_owned(),
        count: 2,
    };
    client
        .publish("orders/17", Json(&order))
        .expiry(std::time::Duration::from_secs(60))
        .response_topic("answers/17")
        .correlation_data("abc")
        .user_property("color", "red")
        .user_property("color", "blue")
        .await
        .unwrap();
    let message = orders.recv().await.unwrap();
    assert_eq!(message.json::<Order>().unwrap(), order);
    assert_eq!(message.content_type(), Some("application/json"));
    assert_eq!(message.response_topic(), Some("answers/17"));
    assert_eq!(
        message.correlation_data().map(|data| &data[..]),
        Some(&b"abc"[..])
    );
    assert!(message.expiry().is_some_and(|left| left.as_secs() <= 60));
    let colors: Vec<_> = message.user_properties().collect();
    assert_eq!(colors, [("color", "red"), ("color", "blue")]);
}

/// More than there is room for on the way to the queue.
const OFFERED: u64 = 4_000;

/// Takes messages until one is the `last`, and answers all of them.
async fn take_until(subscription: &mut Subscription, last: &str) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.last().is_none_or(|text| text != last) {
        let message = timeout(wait::DEADLINE, subscription.recv())
            .await
            .expect("a message");
        taken.push(message.expect("it goes on").text().expect("text").to_owned());
    }
    taken
}

#[tokio::test]
async fn everything_can_be_called_where_messages_are_handled() {
    let broker = BrokerOptions::default().start();
    let client = client(&broker, Listener::Mqtt)
        .receive_max(2)
        .inflight_max(2)
        .connect()
        .await
        .unwrap();
    let mut requests = client.subscribe("requests").await.unwrap();
    let mut answers = client.subscribe("answers").await.unwrap();
    let asked = client.clone();
    let asking = tokio::spawn(async move {
        for number in 0..500 {
            drop(
                asked
                    .publish("requests", format!("{number}"))
                    .send()
                    .await
                    .unwrap(),
            );
        }
    });
    let handling = async {
        for _ in 0..500 {
            let request = requests.recv().await.unwrap();
            // The message is held meanwhile, and with it half of what the server may send.
            let text = request.text().unwrap().to_owned();
            client.publish("answers", text.clone()).await.unwrap();
            let extra = client.subscribe(format!("extra/{text}")).await.unwrap();
            client
                .publish(format!("extra/{text}"), "")
                .qos(Qos::AtMostOnce)
                .await
                .unwrap();
            drop(extra);
        }
    };
    let listening = take_until(&mut answers, "499");
    let (_, answered) = timeout(wait::DEADLINE, async { tokio::join!(handling, listening) })
        .await
        .expect("nobody waits for anybody for ever");
    asking.await.unwrap();
    let expected: Vec<_> = (0..500).map(|number| number.to_string()).collect();
    assert_eq!(answered, expected);
}

#[tokio::test]
async fn a_slow_reader_slows_the_server_and_loses_nothing_but_old_qos_0() {
    let broker = BrokerOptions::default().start();
    let reader = client(&broker, Listener::Mqtt)
        .receive_max(10)
        .connect()
        .await
        .unwrap();
    let writer = client(&broker, Listener::Mqtt).connect().await.unwrap();
    let mut kept = reader.subscribe("kept").await.unwrap();
    let mut light = reader
        .subscribe("light")
        .qos(Qos::AtMostOnce)
        .buffer(10)
        .await
        .unwrap();
    for number in 0..100 {
        let light = writer.publish("light", format!("{number}")).qos(Qos::AtMostOnce);
        light.await.unwrap();
    }
    for number in 0..100 {
        writer.publish("kept", format!("{number}")).await.unwrap();
    }
    let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(take_until(&mut kept, "99").await, expected);
    // What was published after it has arrived, so everything has that ever will.
    reader.publish("light", "end").qos(Qos::AtMostOnce).await.unwrap();
    let taken = take_until(&mut light, "end").await;
    assert!(taken.len() <= 11, "{} were kept", taken.len());
    assert_eq!(taken.len() as u64 + light.dropped(), 101);
}

#[tokio::test]
async fn a_message_for_two_subscriptions_counts_when_both_are_done() {
    let broker = BrokerOptions::default().start();
    let reader = client(&broker, Listener::Mqtt)
        .receive_max(1)
        .connect()
        .await
        .unwrap();
    let writer = client(&broker, Listener::Mqtt).connect().await.unwrap();
    let mut one = reader.subscribe("both/+").await.unwrap();
    let mut other = reader
        .subscribe("both/#")
        .acknowledge(Acknowledge::Explicitly)
        .await
        .unwrap();
    writer.publish("both/1", "first").await.unwrap();
    writer.publish("both/1", "second").await.unwrap();
    drop(one.recv().await.unwrap());
    let held = other.recv().await.unwrap();
    // Only one may be unacknowledged, so the second comes after the explicit word; an answer to PINGREQ or another
    // command shows that nothing else came before.
    reader.publish("elsewhere", "").await.unwrap();
    assert!(
        timeout(std::time::Duration::from_millis(50), one.recv())
            .await
            .is_err()
    );
    held.ack();
    assert_eq!(one.recv().await.unwrap().text(), Ok("second"));
    other.recv().await.unwrap().ack();
}

#[tokio::test]
async fn a_subscription_that_is_dropped_is_over() {
    let broker = BrokerOptions::default().start();
    let client = client(&broker, Listener::Mqtt).connect().await.unwrap();
    let mut stays = client.subscribe("a/#").await.unwrap();
    drop(client.subscribe("a/b").await.unwrap());
    let again = client.subscribe("a/b").await.unwrap();
    again.unsubscribe().await;
    let outcome = client.publish("a/b", "1").await;
    assert_eq!(outcome, Ok(Outcome::Acknowledged(ReasonCode::Success)));
    assert_eq!(stays.recv().await.unwrap().text(), Ok("1"));
    stays.unsubscribe().await;
    let outcome = client.publish("a/b", "2").await;
    assert_eq!(
        outcome,
        Ok(Outcome::Acknowledged(ReasonCode::NoMatchingSubscribers))
    );
}

#[tokio::test]
async fn what_cannot_be_published_or_subscribed_to_is_refused_at_once() {
    let broker = BrokerOptions::default().start();
    let client = client(&broker, Listener::Mqtt).connect().await.unwrap();
    assert!(matches!(
        client.publish("a/#", "").await,
        Err(PublishError::Topic(_))
    ));
    assert!(matches!(
        client.publish("", "").try_send(),
        Err(PublishError::Topic(_))
    ));
    assert!(matches!(
        client.subscribe("a#").await,
        Err(SubscribeError::Filter(_))
    ));
    let nul = client.publish("a", "").user_property("nul", "\0").await;
    assert!(matches!(nul, Err(PublishError::Inexpressible(_))));
    let mut open = client.subscribe("a").await.unwrap();
    client.close().await;
    assert_eq!(
        client.publish("a", "").await,
        Err(PublishError::Closed(Closed::ByCaller))
    );
    assert!(open.recv().await.is_none());
    assert_eq!(open.ended(), Some(Ended::Closed(Closed::ByCaller)));
}

#[tokio::test]
async fn the_queue_of_a_client_without_a_server_is_bounded() {
    let mut broker = BrokerOptions::default().start();
    let sender = client(&broker, Listener::Mqtt)
        .queue_max(20, 1 << 20)
        .connect()
        .await
        .unwrap();
    broker.kill();
    let later = || {
        sender
            .publish("later", "x")
            .try_send()
            .expect("the driver takes it")
    };
    let tickets: Vec<_> = (0..100).map(|_| later()).collect();
    // They are looked at in their order, so all others have been.
    assert_eq!(later().await, Err(PublishError::QueueFull));
    let patient = sender
        .publish("later", "y")
        .send()
        .await
        .expect("there is room on the way");
    sender.close().await;
    assert!(matches!(patient.await, Err(PublishError::Closed(_))));
    let mut refused = 0;
    for ticket in tickets {
        match ticket.await {
            Err(PublishError::QueueFull) => refused += 1,
            end => assert_eq!(end, Err(PublishError::Closed(Closed::ByCaller))),
        }
    }
    assert_eq!(refused, 80, "there was room for 20");
}

#[tokio::test]
async fn events_end_with_the_client() {
    let broker = BrokerOptions::default().start();
    let first = client(&broker, Listener::Mqtt)
        .client_id("one")
        .connect()
        .await
        .unwrap();
    let mut events = first.events();
    let mut heard = first.subscribe("never").await.unwrap();
    let second = client(&broker, Listener::Mqtt)
        .client_id("one")
        .connect()
        .await
        .unwrap();
    assert!(
        timeout(wait::DEADLINE, heard.recv())
            .await
            .expect("an end")
            .is_none()
    );
    assert_eq!(heard.ended(), Some(Ended::Closed(Closed::TakenOver)));
    let mut rest = BTreeSet::new();
    while let Some(event) = timeout(wait::DEADLINE, events.recv()).await.expect("an end") {
        rest.insert(matches!(event, Event::Connected { .. }));
    }
    assert!(!rest.contains(&true), "it does not come back");
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn futures_that_are_dropped_lose_nothing_that_was_promised() {
    let broker = BrokerOptions::default().start();
    let client = client(&broker, Listener::Mqtt)
        .inflight_max(3)
        .queue_max(5, 1 << 20)
        .connect()
        .await
        .unwrap();
    let mut heard = client.subscribe("dropped").qos(Qos::ExactlyOnce).await.unwrap();
    let mut promised = BTreeSet::new();
    let sending = async {
        for number in 0..OFFERED {
            let text = number.to_string();
            let message = client.publish("dropped", text.clone()).qos(Qos::ExactlyOnce);
            let patience = std::time::Duration::from_micros(number % 7 * 100);
            if let Ok(ticket) = timeout(patience, message.send()).await {
                drop(ticket.unwrap());
                promised.insert(text);
            }
        }
        client.flush().await.unwrap();
        client
            .publish("dropped", "end")
            .qos(Qos::ExactlyOnce)
            .await
            .unwrap();
    };
    let hearing = async {
        let mut taken = Vec::new();
        while taken.last().is_none_or(|text| text != "end") {
            // Each wait is given up and begun anew many times.
            let waited = timeout(std::time::Duration::from_micros(200), heard.recv()).await;
            if let Ok(message) = waited {
                taken.push(message.unwrap().text().unwrap().to_owned());
            }
        }
        taken
    };
    let (_, taken) = timeout(wait::DEADLINE, async { tokio::join!(sending, hearing) })
        .await
        .expect("it comes to its end");
    let distinct: BTreeSet<_> = taken.iter().cloned().collect();
    assert_eq!(distinct.len(), taken.len(), "each once");
    assert!(
        promised.is_subset(&distinct) && promised.len() < OFFERED as usize,
        "{} promised",
        promised.len()
    );
}
