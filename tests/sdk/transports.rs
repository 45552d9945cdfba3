//! The same over everything that carries MQTT.

use std::time::Duration;

use cloudsignal::{Client, Closed, ConnectError, Continuity, Event, Outcome, Qos, ReasonCode, State};
use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::wait;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::timeout;

use crate::client;

/// One of each kind, there and back.
async fn converse(client: &Client) {
    let mut echo = client
        .subscribe("echo/#")
        .qos(Qos::ExactlyOnce)
        .await
        .expect("a subscription");
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let large = vec![qos.bits(); 300_000];
        for payload in [vec![], vec![qos.bits()], large] {
            let outcome = client.publish("echo/here", payload.clone()).qos(qos).await;
            let expected = match qos {
                Qos::AtMostOnce => Outcome::Sent,
                Qos::AtLeastOnce | Qos::ExactlyOnce => Outcome::Acknowledged(ReasonCode::Success),
            };
            assert_eq!(outcome, Ok(expected));
            let message = echo.recv().await.expect("the subscription goes on");
            assert_eq!(message.topic(), "echo/here");
            assert!(
                message.payload() == &payload,
                "{} bytes came back",
                message.payload().len()
            );
            assert_eq!(message.qos(), qos);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transport_carries_messages_both_ways() {
    let broker = BrokerOptions::default().start();
    for listener in [Listener::Mqtt, Listener::Mqtts, Listener::Ws, Listener::Wss] {
        let client = client(&broker, listener).connect().await;
        let client = client.unwrap_or_else(|error| panic!("{listener:?}: {error}"));
        timeout(wait::DEADLINE, converse(&client))
            .await
            .unwrap_or_else(|_| panic!("{listener:?} is stuck"));
        client.close_and_forget().await;
        assert_eq!(
            client.state(),
            State::Closed {
                why: Closed::ByCaller
            }
        );
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_not_spoken_to() {
    let broker = BrokerOptions::default().start();
    let stranger = Client::builder(broker.url(Listener::Mqtts))
        .start()
        .await
        .unwrap();
    let mut events = stranger.events();
    let told = timeout(wait::DEADLINE, events.recv())
        .await
        .expect("an attempt ends");
    let Some(Event::Unreachable { problem }) = told else {
        panic!("{told:?}");
    };
    assert!(problem.contains("certificate"), "{problem}");
}

#[tokio::test]
async fn whom_the_system_trusts_can_be_told() {
    let broker = BrokerOptions::default().start();
    let first_run = broker.first_run();
    let authority = CertificateDer::from_pem_file(&first_run.ca_file).unwrap();
    let unreadable = b"no certificate".to_vec();
    let client = Client::builder(broker.url(Listener::Mqtts))
        .password(first_run.username, first_run.password)
        .system_roots([unreadable, authority.to_vec()]);
    timeout(wait::DEADLINE, client.connect())
        .await
        .expect("an answer")
        .expect("the authority is known");
}

#[tokio::test]
async fn a_login_that_is_refused_is_not_tried_again() {
    let broker = BrokerOptions::default().start();
    let wrong = client(&broker, Listener::Mqtt).password(broker.first_run().username, "wrong");
    let refused = timeout(wait::DEADLINE, wrong.connect()).await.expect("an answer");
    let why = match refused {
        Err(ConnectError::Closed(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(why, Closed::Refused(ReasonCode::BadUserNameOrPassword));
}

#[tokio::test]
async fn a_goodbye_is_heard_and_the_session_goes_on() {
    let broker = BrokerOptions::default().start();
    for expected in [Continuity::New, Continuity::Adopted] {
        let client = client(&broker, Listener::Mqtts)
            .client_id("comes-back")
            .will("will/of-comes-back", "gone", Qos::AtLeastOnce, Duration::ZERO)
            .start()
            .await
            .unwrap();
        let mut events = client.events();
        let told = timeout(wait::DEADLINE, events.recv()).await.expect("an answer");
        assert!(
            matches!(told, Some(Event::Connected { continuity }) if continuity == expected),
            "{told:?} instead of {expected:?}"
        );
        client.close().await;
    }
    let watcher = client(&broker, Listener::Mqtt).connect().await.unwrap();
    let mut wills = watcher.subscribe("#").await.unwrap();
    watcher.publish("end", "").await.unwrap();
    assert_eq!(
        wills.recv().await.unwrap().topic(),
        "end",
        "no will was published"
    );
}
