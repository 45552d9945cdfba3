//! Every decision about a credential, its connections over MQTT 5 and 3.1.1, and the code that they end with.

use cloudsignal_core::{Qos, Version};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::broker::{Broker, Client, connect_as, publish};

const NOT_AUTHORIZED: u8 = 0x87;
const ADMINISTRATIVE_ACTION: u8 = 0x98;

/// The same client over both versions.
struct Pair {
    v5: Client<TcpStream>,
    v311: Client<TcpStream>,
}

impl Broker {
    async fn pair(&self, name: &str, username: &str, password: &str) -> Pair {
        let enter = async |version: Version, client_id: String| {
            let mut client = self.dial().await;
            client
                .send(&connect_as(version, &client_id, username, password))
                .await;
            client.expect_connack(0).await;
            client
        };
        Pair {
            v5: enter(Version::V5, format!("{name}-5")).await,
            v311: enter(Version::V311, format!("{name}-311")).await,
        }
    }

    pub(crate) fn org(&self) -> String {
        let (username, _) = self.login();
        username.split_once('@').unwrap().1.to_owned()
    }
}

impl Pair {
    /// MQTT 5 is told why; 3.1.1 has no word for it.
    async fn expect_end(mut self, code: u8) {
        self.v5.expect_disconnect(code).await;
        self.v311.expect_end().await;
    }

    async fn expect_pong(&mut self) {
        self.v5.expect_pong().await;
        self.v311.expect_pong().await;
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn a_user_who_may_not_stay_is_told_to_go() {
    let broker = Broker::start(|_| {}).await;
    let ada = format!("ada@{}", broker.org());
    for (method, decision) in [
        ("PATCH", json!({"password": "long enough 2"})),
        ("PATCH", json!({"enabled": false})),
        ("DELETE", json!({})),
    ] {
        broker
            .manage(
                "POST",
                "/v2/users",
                json!({"username": "ada", "password": "long enough 1"}),
            )
            .await;
        let pair = broker.pair("ada", &ada, "long enough 1").await;
        broker.manage(method, "/v2/users/ada", decision).await;
        pair.expect_end(NOT_AUTHORIZED).await;
        if method != "DELETE" {
            broker.manage("DELETE", "/v2/users/ada", json!({})).await;
        }
    }
}

#[tokio::test]
async fn keys_and_tokens_take_their_connections_with_them() {
    let broker = Broker::start(|_| {}).await;
    let server = format!("server@{}", broker.org());
    for rotates in [false, true] {
        let key = broker
            .manage("POST", "/v2/keys", json!({"name": "backend"}))
            .await;
        let pair = broker.pair("backend", &server, text(&key["value"])).await;
        let path = format!("/v2/keys/{}", text(&key["id"]));
        if rotates {
            broker.manage("POST", &(path + "/rotate"), json!({})).await;
        } else {
            broker.manage("DELETE", &path, json!({})).await;
        }
        pair.expect_end(NOT_AUTHORIZED).await;
    }
    for all in [false, true] {
        let token = broker
            .manage(
                "POST",
                "/v2/tokens/create",
                json!({"user_email": "eve@example.com"}),
            )
            .await;
        let pair = broker
            .pair(
                "eve",
                text(&token["mqtt_credentials"]["username"]),
                text(&token["access_token"]),
            )
            .await;
        let decision = if all {
            json!({"user_email": "eve@example.com"})
        } else {
            json!({"token_id": token["token_id"]})
        };
        broker.manage("POST", "/v2/tokens/revoke", decision).await;
        pair.expect_end(NOT_AUTHORIZED).await;
    }
}

#[tokio::test]
async fn a_suspended_organization_ends_every_kind_of_connection() {
    let broker = Broker::start(|_| {}).await;
    let (username, password) = broker.login();
    let users = broker.pair("user", &username, &password).await;
    let token = broker
        .manage(
            "POST",
            "/v2/tokens/create",
            json!({"user_email": "eve@example.com"}),
        )
        .await;
    let tokens = broker
        .pair(
            "eve",
            text(&token["mqtt_credentials"]["username"]),
            text(&token["access_token"]),
        )
        .await;
    let path = format!("/v2/organizations/{}/suspend", broker.org());
    broker.manage("POST", &path, json!({})).await;
    users.expect_end(ADMINISTRATIVE_ACTION).await;
    tokens.expect_end(ADMINISTRATIVE_ACTION).await;
}

#[tokio::test]
async fn new_rules_take_away_deliveries_and_publishes_and_no_connection() {
    let broker = Broker::start(|_| {}).await;
    let (username, password) = broker.login();
    let mut pair = broker.pair("user", &username, &password).await;
    pair.v5.subscribe(Version::V5, "t/#", Qos::AtMostOnce).await;
    pair.v311.subscribe(Version::V311, "t/#", Qos::AtMostOnce).await;
    let rules = json!({"version": "2.1", "default": "deny", "rules": [
        {"user": "*", "topic": "t/open", "action": "pub+sub"},
        {"user": "*", "topic": "t/#", "action": "sub"},
        {"user": "*", "topic": "t/closed", "action": "pub+sub", "effect": "deny"}]});
    broker.manage("PUT", "/v2/acl", rules).await;
    let key = broker
        .manage("POST", "/v2/keys", json!({"name": "backend"}))
        .await;
    let server = format!("server@{}", broker.org());
    let mut backend = broker.pair("backend", &server, text(&key["value"])).await.v5;
    for topic in ["t/closed", "t/open"] {
        let message = publish(Version::V5, topic, Qos::AtLeastOnce, 1, b"x");
        backend.send(&message).await;
        assert_eq!(backend.packet().await[0], 0x40);
    }
    for client in [&mut pair.v5, &mut pair.v311] {
        let message = client.packet().await;
        let text = String::from_utf8_lossy(&message);
        assert!(
            text.contains("t/open"),
            "the other one is kept back: {message:02x?}"
        );
        client.expect_pong().await;
    }
    // MQTT 5 is told that it may not publish; 3.1.1 has no word for it and is acknowledged.
    let denied = |version| publish(version, "t/other", Qos::AtLeastOnce, 1, b"x");
    pair.v5.send(&denied(Version::V5)).await;
    let puback = pair.v5.packet().await;
    assert_eq!((puback[0], puback[4]), (0x40, NOT_AUTHORIZED), "{puback:02x?}");
    pair.v311.send(&denied(Version::V311)).await;
    assert_eq!(pair.v311.packet().await[0], 0x40);
    pair.expect_pong().await;
}
