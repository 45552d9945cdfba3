//! The authentication method `cloudsignal-token`: at CONNECT, and again while the client is in.

use cloudsignal_core::Qos;
use cloudsignal_core::Version;
use cloudsignal_core::codec::{Auth, Connect, Packet, ReasonCode};
use serde_json::json;

use crate::broker::{Broker, connect_as, encode, publish};
use crate::operator::Login;

const V: Version = Version::V5;
const METHOD: &str = "cloudsignal-token";

fn by_method(client_id: &str, username: Option<&str>, method: &str, token: Option<&str>) -> Vec<u8> {
    let mut connect = Connect::new(V, client_id);
    connect.username = username;
    connect.auth_method = Some(method);
    connect.auth_data = token.map(str::as_bytes);
    encode(&Packet::Connect(Box::new(connect)), V)
}

fn again(token: &str) -> Vec<u8> {
    let mut auth = Auth::new(ReasonCode::Reauthenticate, METHOD);
    auth.data = Some(token.as_bytes());
    encode(&Packet::Auth(auth), V)
}

fn success() -> Vec<u8> {
    encode(&Packet::Auth(Auth::new(ReasonCode::Success, METHOD)), V)
}

#[tokio::test]
async fn another_method_is_refused_before_anything_is_asked() {
    // [MQTT-4.12.0-1]
    let broker = Broker::start(|_| {}).await;
    let Login { username, password } = broker.token("eve@example.com").await.login;
    let mut client = broker.dial().await;
    client
        .send(&by_method("a", Some(&username), "SCRAM-SHA-1", Some(&password)))
        .await;
    client.expect_connack(0x8C).await;
    client.expect_end().await;
}

#[tokio::test]
async fn the_token_is_enough_and_a_user_name_has_to_be_its_own() {
    let broker = Broker::start(|_| {}).await;
    let Login { username, password } = broker.token("eve@example.com").await.login;
    let other = broker.token("bob@example.com").await.login.username;
    for (name, token, code) in [
        (None, Some(&*password), 0),
        (Some(&*username), Some(&*password), 0),
        (Some(&*other), Some(&*password), 0x86),
        (Some(&*username), None, 0x86),
        (None, Some("tkn_AAAA"), 0x86),
        (None, Some(""), 0x86),
    ] {
        let mut client = broker.dial().await;
        client.send(&by_method("a", name, METHOD, token)).await;
        client.expect_connack(code).await;
    }
}

#[tokio::test]
async fn a_client_goes_on_with_another_token_of_the_same_person() {
    // [MQTT-4.12.0-5] [MQTT-4.12.1-1]
    let broker = Broker::start(|_| {}).await;
    let first = broker.token("eve@example.com").await;
    let second = broker.token("eve@example.com").await;
    let mut client = broker.dial().await;
    client
        .send(&by_method("a", None, METHOD, Some(&first.login.password)))
        .await;
    client.expect_connack(0).await;
    client.subscribe(V, "t", Qos::AtMostOnce).await;
    // What comes behind it is read while the token is checked, and nothing is lost.
    let message = publish(V, "t", Qos::AtMostOnce, 0, b"meanwhile");
    client
        .send(&[again(&second.login.password), message].concat())
        .await;
    let packets = [client.packet().await, client.packet().await];
    assert!(packets.contains(&success()), "{packets:02x?}");
    assert!(packets.iter().any(|packet| packet[0] == 0x30), "{packets:02x?}");

    broker.revoke(json!({"token_id": first.id})).await;
    client.expect_pong().await;
    broker.revoke(json!({"token_id": second.id})).await;
    client.expect_disconnect(0x87).await;
}

#[tokio::test]
async fn a_token_that_is_not_good_ends_the_connection() {
    // [MQTT-4.12.1-2]
    let broker = Broker::start(|_| {}).await;
    let first = broker.token("eve@example.com").await;
    let revoked = broker.token("eve@example.com").await;
    let foreign = broker.token("bob@example.com").await;
    broker.revoke(json!({"token_id": revoked.id})).await;
    let [revoked, foreign] = [revoked, foreign].map(|token| token.login.password);
    for token in [&*revoked, &*foreign, "tkn_AAAA", "sk_test", "\u{fffd}"] {
        let mut client = broker.dial().await;
        client
            .send(&by_method("a", None, METHOD, Some(&first.login.password)))
            .await;
        client.expect_connack(0).await;
        client.send(&again(token)).await;
        client.expect_disconnect(0x87).await;
    }
}

#[tokio::test]
async fn who_came_with_a_password_sends_no_auth() {
    // [MQTT-4.12.0-7]
    let broker = Broker::start(|_| {}).await;
    let Login { username, password } = broker.token("eve@example.com").await.login;
    let mut client = broker.dial().await;
    client.send(&connect_as(V, "a", &username, &password)).await;
    client.expect_connack(0).await;
    client.send(&again(&password)).await;
    client.expect_disconnect(0x82).await;
}
