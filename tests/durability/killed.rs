//! The real program is killed and starts again: what it has acknowledged is there.

use std::collections::BTreeSet;

use cloudsignal_core::codec::{Connect, Packet};
use cloudsignal_core::{Qos, Version};
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};

use crate::client::{Client, Got, ack};

fn restart(mut broker: Broker) -> Broker {
    broker.kill();
    broker.start_again()
}

/// Publishes what is retained, at QoS 1, at QoS 2 with PUBREL, and at QoS 2 without; everything is acknowledged.
async fn fill(broker: &Broker) {
    let (mut publisher, _) = Client::connect(broker.addr(Listener::Mqtt), "publisher", u32::MAX).await;
    publisher
        .publish("kept", "retained", Qos::AtLeastOnce, 1, true)
        .await;
    assert_eq!(publisher.next().await, Got::PubAck(1));
    publisher.publish("q/1", "one", Qos::AtLeastOnce, 2, false).await;
    assert_eq!(publisher.next().await, Got::PubAck(2));
    publisher.publish("q/2", "two", Qos::ExactlyOnce, 3, false).await;
    assert_eq!(publisher.next().await, Got::PubRec(3));
    publisher.release(3).await;
    assert_eq!(publisher.next().await, Got::PubComp(3));
    publisher
        .publish("q/2", "three", Qos::ExactlyOnce, 4, false)
        .await;
    assert_eq!(publisher.next().await, Got::PubRec(4));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let broker = BrokerOptions::default().with_anonymous_clients().start();
    let (mut away, session_present) = Client::connect(broker.addr(Listener::Mqtt), "away", u32::MAX).await;
    assert!(!session_present);
    away.subscribe("q/#").await;
    drop(away);
    fill(&broker).await;
    let broker = restart(broker);

    // The publisher ends its exchange; the message is not routed once more.
    let (mut publisher, session_present) =
        Client::connect(broker.addr(Listener::Mqtt), "publisher", u32::MAX).await;
    assert!(session_present);
    publisher
        .publish("q/2", "three", Qos::ExactlyOnce, 4, false)
        .await;
    assert_eq!(publisher.next().await, Got::PubRec(4));
    publisher.release(4).await;
    assert_eq!(publisher.next().await, Got::PubComp(4));

    let (mut away, session_present) = Client::connect(broker.addr(Listener::Mqtt), "away", u32::MAX).await;
    assert!(session_present);
    let mut ids = BTreeSet::new();
    for (expected, expected_qos) in [("one", 1), ("two", 2), ("three", 2)] {
        let Got::Message { payload, qos, id, .. } = away.next().await else {
            panic!("messages come")
        };
        assert_eq!((payload.as_str(), qos), (expected, expected_qos), "in order");
        assert!(ids.insert(id));
    }
    // One is received and not released when the broker dies again.
    let ids: Vec<_> = ids.into_iter().collect();
    away.send(&Packet::PubRec(ack(ids[1]))).await;
    assert_eq!(away.next().await, Got::PubRel(ids[1]));
    let broker = restart(broker);

    let (mut away, _) = Client::connect(broker.addr(Listener::Mqtt), "away", u32::MAX).await;
    let mut again = BTreeSet::new();
    for _ in 0..3 {
        let mut got = away.next().await;
        // At QoS 1 the id may be another one.
        if let Got::Message { qos: 1, id, .. } = &mut got {
            *id = ids[0];
        }
        again.insert(got);
    }
    let message = |topic: &str, payload: &str, qos, id| Got::Message {
        topic: topic.to_owned(),
        payload: payload.to_owned(),
        qos,
        id,
        is_retained: false,
    };
    let expected = [
        message("q/1", "one", 1, ids[0]),
        Got::PubRel(ids[1]),
        message("q/2", "three", 2, ids[2]),
    ];
    assert_eq!(
        again,
        expected.into(),
        "the same ids, and nothing received comes twice"
    );

    let (mut curious, _) = Client::connect(broker.addr(Listener::Mqtt), "curious", 0).await;
    curious.subscribe("kept").await;
    let Got::Message {
        payload, is_retained, ..
    } = curious.next().await
    else {
        panic!("the retained message comes")
    };
    assert_eq!((payload.as_str(), is_retained), ("retained", true));
}

#[tokio::test]
async fn what_ended_or_was_settled_before_a_kill_is_gone() {
    let broker = BrokerOptions::default().with_anonymous_clients().start();
    let (mut away, _) = Client::connect(broker.addr(Listener::Mqtt), "away", u32::MAX).await;
    away.subscribe("q/#").await;
    let (mut publisher, _) = Client::connect(broker.addr(Listener::Mqtt), "publisher", u32::MAX).await;
    publisher.publish("q/1", "one", Qos::AtLeastOnce, 1, false).await;
    assert_eq!(publisher.next().await, Got::PubAck(1));
    let Got::Message { id, .. } = away.next().await else {
        panic!("the message comes")
    };
    away.send(&Packet::PubAck(ack(id))).await;
    // The next connection without a session ends the one that was there, and its answer is stored.
    let mut connect = Connect::new(Version::V5, "away");
    (connect.clean_start, connect.session_expiry_secs) = (true, Some(u32::MAX));
    let mut fresh = Client::open(broker.addr(Listener::Mqtt)).await;
    fresh.send(&Packet::Connect(Box::new(connect))).await;
    let session_present = false;
    assert_eq!(fresh.next().await, Got::ConnAck { session_present });
    let broker = restart(broker);

    let (mut publisher, _) = Client::connect(broker.addr(Listener::Mqtt), "publisher", u32::MAX).await;
    publisher.publish("q/1", "two", Qos::AtLeastOnce, 1, false).await;
    assert_eq!(publisher.next().await, Got::PubAck(1));
    let (mut away, session_present) = Client::connect(broker.addr(Listener::Mqtt), "away", u32::MAX).await;
    assert!(session_present, "the new session is there");
    away.subscribe("marker").await;
    publisher
        .publish("marker", "marker", Qos::AtLeastOnce, 2, false)
        .await;
    let Got::Message { payload, .. } = away.next().await else {
        panic!("the marker comes")
    };
    assert_eq!(
        payload, "marker",
        "neither its old subscription nor its old messages"
    );
}

#[tokio::test]
async fn the_longest_topics_and_filters_are_there_after_a_kill() {
    let broker = BrokerOptions::default().with_anonymous_clients().start();
    let long = "x".repeat(usize::from(u16::MAX));
    let (mut away, _) = Client::connect(broker.addr(Listener::Mqtt), "away", u32::MAX).await;
    away.subscribe(&long).await;
    drop(away);
    let (mut publisher, _) = Client::connect(broker.addr(Listener::Mqtt), "publisher", 0).await;
    publisher.publish(&long, "kept", Qos::AtLeastOnce, 1, true).await;
    assert_eq!(publisher.next().await, Got::PubAck(1));
    let broker = restart(broker);

    let (mut away, _) = Client::connect(broker.addr(Listener::Mqtt), "away", u32::MAX).await;
    assert!(matches!(
        away.next().await,
        Got::Message {
            is_retained: false,
            ..
        }
    ));
    let (mut curious, _) = Client::connect(broker.addr(Listener::Mqtt), "curious", 0).await;
    curious.subscribe(&long).await;
    assert!(matches!(
        curious.next().await,
        Got::Message {
            is_retained: true,
            ..
        }
    ));
}

#[tokio::test]
async fn at_memory_nothing_is_kept_over_a_restart() {
    let options = BrokerOptions::default().with_anonymous_clients();
    let broker = options.with_text("DURABILITY_LEVEL", "memory").start();
    let (mut away, _) = Client::connect(broker.addr(Listener::Mqtt), "away", u32::MAX).await;
    away.subscribe("q/#").await;
    drop(away);
    fill(&broker).await;
    let broker = restart(broker);
    let (_, session_present) = Client::connect(broker.addr(Listener::Mqtt), "away", u32::MAX).await;
    assert!(!session_present);
}
