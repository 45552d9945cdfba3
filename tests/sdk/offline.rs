//! What is published while there is no connection.

use cloudsignal::{FileStore, Qos, Subscription};
use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::proxy::Proxy;
use cloudsignal_tests::{ports, wait};
use tokio::time::timeout;

use crate::client;

const MESSAGES: usize = 100;

async fn take_all(subscription: &mut Subscription) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < MESSAGES {
        let message = timeout(wait::DEADLINE, subscription.recv())
            .await
            .expect("a message");
        taken.push(message.expect("it goes on").text().expect("text").to_owned());
    }
    taken
}

fn numbers() -> Vec<String> {
    (0..MESSAGES).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn it_waits_for_the_connection_and_arrives_in_order() {
    let broker = BrokerOptions::default().start();
    let listener = client(&broker, Listener::Mqtt).connect().await.unwrap();
    let mut heard = listener.subscribe("offline").qos(Qos::ExactlyOnce).await.unwrap();
    let sender = client(&broker, Listener::Mqtt).connect().await.unwrap();
    sender.suspend().await;
    for (number, text) in numbers().into_iter().enumerate() {
        let qos = [Qos::AtLeastOnce, Qos::ExactlyOnce][number % 2];
        drop(sender.publish("offline", text).qos(qos).send().await.unwrap());
    }
    let flushing = sender.flush();
    let (flushed, ()) = tokio::join!(flushing, sender.resume());
    flushed.unwrap();
    assert_eq!(take_all(&mut heard).await, numbers());
}

#[tokio::test]
async fn what_was_sent_before_the_client_is_closed_is_in_the_store() {
    let broker = BrokerOptions::default().start();
    let listener = client(&broker, Listener::Mqtt).connect().await.unwrap();
    let mut heard = listener.subscribe("offline").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let nowhere = Proxy::to(([127, 0, 0, 1], ports::free_port()).into()).await;
    let unreachable = cloudsignal::Client::builder(format!("mqtt://localhost:{}", nowhere.port()));
    let store = || FileStore::open(folder.path()).unwrap();
    let sender = unreachable.store(store()).start().await.unwrap();
    for text in numbers() {
        drop(sender.publish("offline", text).send().await.unwrap());
    }
    sender.close().await;
    let sender = client(&broker, Listener::Mqtt)
        .store(store())
        .connect()
        .await
        .unwrap();
    sender.flush().await.unwrap();
    assert_eq!(take_all(&mut heard).await, numbers());
}
