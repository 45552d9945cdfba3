//! What administrators decide reaches clients that are in, at once.

use cloudsignal_core::{Qos, Version};
use cloudsignal_server::server::Kind;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::broker::{Broker, Client, connect_as, dial, publish};

const V: Version = Version::V5;

impl Broker {
    /// A request of the operator's about the first organization, and its answer.
    pub(crate) async fn manage(&self, method: &str, path: &str, body: Value) -> Value {
        let folder = self.folder.path().join("data");
        let read = |name: &str| -> Value {
            serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
        };
        let (org, token) = (
            read("first-run.json")["org_id"].clone(),
            read("admin.json")["token"].clone(),
        );
        let body = body.to_string();
        let mut api = Client::new(dial(self.addr(Kind::Http)).await);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             X-Organization-Id: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            token.as_str().unwrap(),
            org.as_str().unwrap(),
            body.len()
        );
        api.send(format!("{head}{body}").as_bytes()).await;
        let answer = String::from_utf8(api.rest().await).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
        serde_json::from_str(body).unwrap_or_default()
    }

    /// A client that has logged in.
    async fn user(&self, client_id: &str, username: &str, password: &str) -> Client<TcpStream> {
        let mut client = self.dial().await;
        client.send(&connect_as(V, client_id, username, password)).await;
        client.expect_connack(0).await;
        client
    }
}

impl Client<TcpStream> {
    pub(crate) async fn expect_disconnect(&mut self, code: u8) {
        let packet = self.packet().await;
        assert_eq!((packet[0], packet[2]), (0xE0, code), "{packet:02x?}");
        self.expect_end().await;
    }

    pub(crate) async fn expect_pong(&mut self) {
        self.send(&[0xC0, 0]).await;
        self.expect(&[0xD0, 0]).await;
    }
}

#[tokio::test]
async fn a_credential_that_ends_takes_its_connections_with_it_and_no_others() {
    let broker = Broker::start(|_| {}).await;
    let (first_user, first_password) = broker.login();
    let org = first_user.split_once('@').unwrap().1;
    let mut witness = broker.user("witness", &first_user, &first_password).await;

    broker
        .manage(
            "POST",
            "/v2/users",
            json!({"username": "ada", "password": "long enough 1"}),
        )
        .await;
    let ada = format!("ada@{org}");
    let mut client = broker.user("ada-1", &ada, "long enough 1").await;
    broker
        .manage("PATCH", "/v2/users/ada", json!({"password": "long enough 2"}))
        .await;
    client.expect_disconnect(0x87).await;
    let mut client = broker.user("ada-2", &ada, "long enough 2").await;
    broker.manage("DELETE", "/v2/users/ada", json!({})).await;
    client.expect_disconnect(0x87).await;

    let key = broker
        .manage("POST", "/v2/keys", json!({"name": "backend"}))
        .await;
    let mut client = broker
        .user(
            "backend",
            &format!("server@{org}"),
            key["value"].as_str().unwrap(),
        )
        .await;
    broker
        .manage(
            "DELETE",
            &format!("/v2/keys/{}", key["id"].as_str().unwrap()),
            json!({}),
        )
        .await;
    client.expect_disconnect(0x87).await;

    let token = broker
        .manage(
            "POST",
            "/v2/tokens/create",
            json!({"user_email": "bob@example.com"}),
        )
        .await;
    let (username, password) = (
        token["mqtt_credentials"]["username"].as_str().unwrap(),
        token["access_token"].as_str().unwrap(),
    );
    let mut client = broker.user("bob", username, password).await;
    broker
        .manage(
            "POST",
            "/v2/tokens/revoke",
            json!({"token_id": token["token_id"]}),
        )
        .await;
    client.expect_disconnect(0x87).await;

    witness.expect_pong().await;
}

#[tokio::test]
async fn earlier_tokens_of_a_person_open_nothing_once_they_are_replaced_and_end_when_they_are_revoked() {
    let broker = Broker::start(|_| {}).await;
    let create = |replace: bool| {
        let order = json!({"user_email": "eve@example.com", "replace_existing": replace});
        broker.manage("POST", "/v2/tokens/create", order)
    };
    let first = create(false).await;
    let (username, password) = (
        first["mqtt_credentials"]["username"].as_str().unwrap(),
        first["access_token"].as_str().unwrap(),
    );
    let mut old = broker.user("old", username, password).await;
    let second = create(true).await;
    let mut new = broker
        .user("new", username, second["access_token"].as_str().unwrap())
        .await;
    old.expect_pong().await;
    new.expect_pong().await;
    let mut again = broker.dial().await;
    again.send(&connect_as(V, "again", username, password)).await;
    again.expect_connack(0x87).await;

    let revoke = json!({"user_email": "eve@example.com"});
    broker.manage("POST", "/v2/tokens/revoke", revoke).await;
    old.expect_disconnect(0x87).await;
    new.expect_disconnect(0x87).await;
    let third = create(false).await;
    broker
        .user("third", username, third["access_token"].as_str().unwrap())
        .await
        .expect_pong()
        .await;
}

#[tokio::test]
async fn a_new_policy_holds_for_the_next_message_of_an_old_connection() {
    let broker = Broker::start(|_| {}).await;
    let (username, password) = broker.login();
    let mut client = broker.user("client", &username, &password).await;
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
async fn a_suspended_organization_has_no_clients() {
    let broker = Broker::start(|_| {}).await;
    let (username, password) = broker.login();
    let mut client = broker.user("client", &username, &password).await;
    let mut elsewhere = broker.client(V, "elsewhere").await;
    let path = format!("/v2/organizations/{}", broker.org());
    broker.manage("POST", &format!("{path}/suspend"), json!({})).await;
    client.expect_disconnect(0x98).await;
    let mut refused = broker.dial().await;
    refused.send(&connect_as(V, "client", &username, &password)).await;
    refused.expect_connack(0x87).await;
    elsewhere.expect_pong().await;
    broker.manage("POST", &format!("{path}/resume"), json!({})).await;
    broker
        .user("client", &username, &password)
        .await
        .expect_pong()
        .await;
}
