//! One client's noise is not another one's silence: rests after refused publishes, and crowds that are woken in turn.

use std::time::{Duration, Instant};

use cloudsignal_core::{Qos, Version};

use crate::broker::{Broker, publish};

const PINGREQ: [u8; 2] = [0xC0, 0];
const PINGRESP: [u8; 2] = [0xD0, 0];

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "a rest has a shortest time, on every machine"
)]
async fn whoever_is_refused_again_and_again_rests_and_is_answered_all_the_same() {
    let broker = Broker::start(|config| {
        config.limits.publish_messages_per_sec = 1;
        config.limits.refused_publishes_per_sec = 0;
    })
    .await;
    let mut loud = broker.client(Version::V5, "loud").await;
    let mut calm = broker.client(Version::V5, "calm").await;
    let burst: Vec<u8> = (1..=200)
        .flat_map(|id| publish(Version::V5, "x", Qos::AtLeastOnce, id, b"!"))
        .collect();
    let begin = Instant::now();
    loud.send(&burst).await;
    for id in 1..=200_u16 {
        let puback = loud.packet().await;
        assert_eq!((puback[0], &puback[2..4]), (0x40, &id.to_be_bytes()[..]));
        assert!(id == 1 || puback[4] == 0x97, "{puback:02x?}");
    }
    loud.send(&PINGREQ).await;
    calm.send(&PINGREQ).await;
    calm.expect(&PINGRESP).await;
    loud.expect(&PINGRESP).await;
    let rest = begin.elapsed();
    assert!(
        rest >= Duration::from_millis(190),
        "{rest:?} for 199 refused publishes"
    );
}

#[tokio::test]
async fn everybody_of_a_crowd_gets_everything_in_order() {
    let broker = Broker::start(|_| {}).await;
    let mut crowd = Vec::new();
    for number in 0..150 {
        let mut client = broker.client(Version::V311, &format!("one{number}")).await;
        client.subscribe(Version::V311, "news", Qos::AtMostOnce).await;
        crowd.push(client);
    }
    // They are not alone: from here on they are woken in turns.
    let mut other = broker.dial().await;
    other.send(&broker.connect(Version::V311, "other")).await;
    other.expect_connack(0).await;
    other.send(&PINGREQ).await;
    other.expect(&PINGRESP).await;
    let mut speaker = broker.client(Version::V311, "speaker").await;
    let message = |number: u16| publish(Version::V311, "news", Qos::AtMostOnce, 0, &number.to_be_bytes());
    let speech: Vec<u8> = (0..300).flat_map(message).collect();
    speaker.send(&speech).await;
    for client in &mut crowd {
        client.expect(&speech).await;
    }
}
