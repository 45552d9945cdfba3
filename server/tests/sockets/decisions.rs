//! What administrators decide reaches clients that are in, at once: every decision about a credential, its connections
//! over MQTT 5 and 3.1.1, and the code that they end with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloudsignal_core::{Qos, Version};
use cloudsignal_server::clock::Clock;
use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;
use tokio::net::TcpStream;

use crate::broker::{Broker, Client, publish};
use crate::operator::{Login, Token};

const BAD_USER_NAME_OR_PASSWORD: u8 = 0x86;
const NOT_AUTHORIZED: u8 = 0x87;
const ADMINISTRATIVE_ACTION: u8 = 0x98;
const V: Version = Version::V5;

/// The same client over both versions.
struct Pair {
    v5: Client<TcpStream>,
    v311: Client<TcpStream>,
}

impl Broker {
    async fn pair(&self, name: &str, login: &Login) -> Pair {
        Pair {
            v5: self.enter(V, &format!("{name}-5"), login).await,
            v311: self.enter(Version::V311, &format!("{name}-311"), login).await,
        }
    }

    /// Clients that no decision of these tests is about.
    async fn witnesses(&self) -> Pair {
        self.pair("witness", &self.first_user()).await
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

#[tokio::test]
async fn a_user_who_may_not_stay_is_told_to_go() {
    let broker = Broker::start(|_| {}).await;
    let mut witnesses = broker.witnesses().await;
    for (method, decision) in [
        ("PATCH", json!({"password": "long enough 2"})),
        ("PATCH", json!({"enabled": false})),
        ("DELETE", json!({})),
    ] {
        let ada = broker.user("ada", "long enough 1").await;
        let pair = broker.pair("ada", &ada).await;
        broker.manage(method, "/v2/users/ada", decision).await;
        pair.expect_end(NOT_AUTHORIZED).await;
        if method != "DELETE" {
            broker.manage("DELETE", "/v2/users/ada", json!({})).await;
        }
    }
    witnesses.expect_pong().await;
}

#[tokio::test]
async fn a_key_takes_its_connections_with_it() {
    let broker = Broker::start(|_| {}).await;
    let mut witnesses = broker.witnesses().await;
    for (method, rest) in [("DELETE", ""), ("POST", "/rotate")] {
        let key = broker.key().await;
        let pair = broker.pair("backend", &key.login).await;
        broker.manage(method, &(key.path + rest), json!({})).await;
        pair.expect_end(NOT_AUTHORIZED).await;
    }
    witnesses.expect_pong().await;
}

#[tokio::test]
async fn a_token_takes_its_connections_with_it() {
    let broker = Broker::start(|_| {}).await;
    let mut witnesses = broker.witnesses().await;
    let mut other = broker
        .pair("bob", &broker.token("bob@example.com").await.login)
        .await;
    for all in [false, true] {
        let Token { login, id } = broker.token("eve@example.com").await;
        let pair = broker.pair("eve", &login).await;
        let which = if all {
            json!({"user_email": "eve@example.com"})
        } else {
            json!({"token_id": id})
        };
        broker.revoke(which).await;
        pair.expect_end(NOT_AUTHORIZED).await;
    }
    other.expect_pong().await;
    witnesses.expect_pong().await;
}

#[tokio::test]
async fn earlier_tokens_of_a_person_open_nothing_once_they_are_replaced_and_end_when_they_are_revoked() {
    let broker = Broker::start(|_| {}).await;
    let first = broker.token("eve@example.com").await.login;
    let mut old = broker.pair("old", &first).await;
    let replace = json!({"user_email": "eve@example.com", "replace_existing": true});
    let second = Token::of(&broker.manage("POST", "/v2/tokens/create", replace).await).login;
    let mut new = broker.pair("new", &second).await;
    old.expect_pong().await;
    new.expect_pong().await;
    assert_eq!(broker.knock(V, "again", &first).await.0, NOT_AUTHORIZED);

    broker.revoke(json!({"user_email": "eve@example.com"})).await;
    old.expect_end(NOT_AUTHORIZED).await;
    new.expect_end(NOT_AUTHORIZED).await;
    let third = broker.token("eve@example.com").await.login;
    broker.pair("third", &third).await.expect_pong().await;
}

/// What an identity provider signs with.
const PROVIDER_SECRET: &str = "a secret of more than thirty-two bytes";
const PROVIDER_ISSUER: &str = "https://login.example.com";

/// A token of the provider for Eve.
fn external_token() -> String {
    let now = Clock::system().wall().unix_micros() / 1_000_000;
    let claims = json!({ "iss": PROVIDER_ISSUER, "sub": "u1", "email": "eve@example.com", "iat": now, "exp": now + 300 });
    let signed = [json!({ "alg": "HS256", "typ": "JWT" }), claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".");
    let mut mac = Hmac::<Sha256>::new_from_slice(PROVIDER_SECRET.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{signed}.{signature}")
}

#[tokio::test]
async fn whoever_a_provider_vouched_for_stays_when_it_is_disabled_unless_connections_are_to_end() {
    let broker = Broker::start(|_| {}).await;
    let trust = json!({ "type": "shared_secret", "issuer": PROVIDER_ISSUER, "secret": PROVIDER_SECRET });
    let provider = json!({ "name": "website", "mqtt_password": true, "trust": trust });
    broker.manage("POST", "/v2/providers", provider).await;
    let path = "/v2/providers/website";
    let own = broker.token("bob@example.com").await.login;
    let mut own = broker.pair("own", &own).await;
    let external = Login {
        username: format!("eve_example_com@{}", broker.org()),
        password: external_token(),
    };
    let exchange = json!({ "organization_id": broker.org(), "token": external.password });
    let exchanged = Token::of(&broker.manage("POST", "/v2/tokens/exchange", exchange).await).login;

    let mut by_token = broker.pair("by-token", &external).await;
    let mut by_exchange = broker.pair("by-exchange", &exchanged).await;
    let disable = format!("{path}/disable");
    broker.manage("POST", &disable, json!({})).await;
    by_token.expect_pong().await;
    by_exchange.expect_pong().await;
    // Nobody is asked about tokens of its own any more; ours still say whose they are.
    for (login, code) in [
        (&external, BAD_USER_NAME_OR_PASSWORD),
        (&exchanged, NOT_AUTHORIZED),
    ] {
        assert_eq!(broker.knock(V, "late", login).await.0, code);
    }
    let ends = json!({ "end_connections": true });
    broker.manage("POST", &disable, ends).await;
    by_token.expect_end(NOT_AUTHORIZED).await;
    by_exchange.expect_end(NOT_AUTHORIZED).await;
    own.expect_pong().await;

    broker.manage("POST", &format!("{path}/enable"), json!({})).await;
    for login in [&external, &exchanged] {
        let (code, _) = broker.knock(V, "again", login).await;
        assert_eq!(code, NOT_AUTHORIZED, "what was ended does not come back");
    }
}

#[tokio::test]
async fn a_suspended_organization_has_no_clients() {
    let broker = Broker::start(|_| {}).await;
    let user = broker.first_user();
    let users = broker.pair("user", &user).await;
    let tokens = broker
        .pair("eve", &broker.token("eve@example.com").await.login)
        .await;
    let mut elsewhere = broker.client(V, "elsewhere").await;
    let path = format!("/v2/organizations/{}", broker.org());
    broker.manage("POST", &format!("{path}/suspend"), json!({})).await;
    users.expect_end(ADMINISTRATIVE_ACTION).await;
    tokens.expect_end(ADMINISTRATIVE_ACTION).await;
    assert_eq!(broker.knock(V, "user-5", &user).await.0, NOT_AUTHORIZED);
    elsewhere.expect_pong().await;
    broker.manage("POST", &format!("{path}/resume"), json!({})).await;
    broker.pair("user", &user).await.expect_pong().await;
}

#[tokio::test]
async fn a_new_policy_holds_for_the_next_message_of_an_old_connection() {
    let broker = Broker::start(|_| {}).await;
    let mut client = broker.enter(V, "client", &broker.first_user()).await;
    client.subscribe(V, "t", Qos::AtMostOnce).await;
    let message = publish(V, "t", Qos::AtLeastOnce, 1, b"x");
    client.send(&message).await;
    let (one, two) = (client.packet().await, client.packet().await);
    assert!([one[0], two[0]].contains(&0x30), "it is delivered");

    broker.manage("PUT", "/v2/acl", json!({"preset": "blank"})).await;
    client.send(&message).await;
    let puback = client.packet().await;
    assert_eq!((puback[0], puback[4]), (0x40, 0x87), "{puback:02x?}");
    client.expect_pong().await;

    broker
        .manage("PUT", "/v2/acl", json!({"preset": "permit-all"}))
        .await;
    client.send(&message).await;
    let (one, two) = (client.packet().await, client.packet().await);
    assert!([one[0], two[0]].contains(&0x30), "it is delivered again");
}

#[tokio::test]
async fn new_rules_take_away_deliveries_and_publishes_and_no_connection() {
    let broker = Broker::start(|_| {}).await;
    let mut pair = broker.pair("user", &broker.first_user()).await;
    pair.v5.subscribe(Version::V5, "t/#", Qos::AtMostOnce).await;
    pair.v311.subscribe(Version::V311, "t/#", Qos::AtMostOnce).await;
    let rules = json!({"version": "2.1", "default": "deny", "rules": [
        {"user": "*", "topic": "t/open", "action": "pub+sub"},
        {"user": "*", "topic": "t/#", "action": "sub"},
        {"user": "*", "topic": "t/closed", "action": "pub+sub", "effect": "deny"}]});
    broker.manage("PUT", "/v2/acl", rules).await;
    let mut backend = broker.enter(V, "backend", &broker.key().await.login).await;
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
