//! A broker's life: it says how it is, and lets its clients go when it stops.

use cloudsignal_core::{Qos, Version};
use cloudsignal_server::server::Kind;

use crate::broker::{Broker, Client, dial, in_time, publish};

impl Broker {
    /// One plain request; the whole answer.
    async fn get(&self, kind: Kind, path: &str) -> String {
        let mut client = Client::new(dial(self.addr(kind)).await);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        client.send(request.as_bytes()).await;
        String::from_utf8(client.rest().await).unwrap()
    }

    /// One series, as Prometheus reads it.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.get(Kind::Metrics, "/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        let value = line.unwrap_or_else(|| panic!("no {series} in {text}"));
        value.trim().parse().unwrap()
    }
}

#[tokio::test]
async fn health_and_metrics_are_told() {
    let broker = Broker::start(|_| {}).await;
    for (kind, path) in [
        (Kind::Http, "/healthz"),
        (Kind::Http, "/readyz"),
        (Kind::Metrics, "/readyz"),
    ] {
        let answer = broker.get(kind, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let v = Version::V311;
    let mut subscriber = broker.client(v, "subscriber").await;
    subscriber.subscribe(v, "m", Qos::AtMostOnce).await;
    let mut publisher = broker.client(v, "publisher").await;
    let message = publish(v, "m", Qos::AtMostOnce, 0, b"12345");
    publisher.send(&message).await;
    subscriber.expect(&message).await;
    let org = crate::broker::ORG;
    for (series, wanted) in [
        ("cloudsignal_connections{transport=\"tcp\"}".to_owned(), 2.0),
        (
            "cloudsignal_connections_accepted_total{listener=\"mqtt\"}".to_owned(),
            2.0,
        ),
        (format!("cloudsignal_org_sessions{{org=\"{org}\"}}"), 2.0),
        (format!("cloudsignal_org_subscriptions{{org=\"{org}\"}}"), 1.0),
        (
            format!("cloudsignal_org_received_messages_total{{org=\"{org}\",qos=\"0\"}}"),
            1.0,
        ),
        (
            format!("cloudsignal_org_sent_messages_total{{org=\"{org}\",qos=\"0\"}}"),
            1.0,
        ),
        (
            format!("cloudsignal_org_received_payload_bytes_total{{org=\"{org}\"}}"),
            5.0,
        ),
    ] {
        assert_eq!(broker.metric(&series).await, wanted, "{series}");
    }
    assert!(
        broker
            .metric("cloudsignal_sent_bytes_total{transport=\"tcp\"}")
            .await
            >= message.len() as f64
    );
}

#[tokio::test]
async fn a_broker_that_stops_says_so_and_is_gone() {
    let broker = Broker::start(|config| config.shutdown.spread_millis = 100).await;
    let mut modern = Vec::new();
    for name in 0..20 {
        modern.push(broker.client(Version::V5, &format!("modern-{name}")).await);
    }
    let mut old = broker.client(Version::V311, "old").await;
    let mut opening = broker.dial().await;
    let addr = broker.addr(Kind::Mqtt);
    let Broker { server, folder } = broker;
    let stopped = tokio::spawn(server.stop());
    for client in &mut modern {
        let disconnect = client.packet().await;
        assert_eq!((disconnect[0], disconnect[2]), (0xE0, 0x8B), "{disconnect:02x?}");
        client.expect_end().await;
    }
    old.expect_end().await;
    opening.expect_end().await;
    // Clients close as well, and so the broker need not wait.
    drop((modern, old, opening));
    in_time(stopped).await.unwrap();
    assert!(
        tokio::net::TcpStream::connect(addr).await.is_err(),
        "the port is closed"
    );
    assert!(
        !folder.path().join("data/admin.json").exists(),
        "nothing is left to administrate"
    );
}

#[tokio::test]
async fn a_broker_finds_its_accounts_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut logins = Vec::new();
    for _ in 0..2 {
        let config = cloudsignal_server::config::Config::loopback(folder.path().join("data"));
        let server = cloudsignal_server::server::Server::start(config).await.unwrap();
        let json = std::fs::read_to_string(folder.path().join("data/first-run.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        logins.push((json["username"].clone(), json["password"].clone()));
        let mut client = Client::new(dial(server.address(Kind::Mqtt).unwrap()).await);
        let (username, password) = (
            json["username"].as_str().unwrap(),
            json["password"].as_str().unwrap(),
        );
        client
            .send(&crate::broker::connect_as(
                Version::V5,
                "again",
                username,
                password,
            ))
            .await;
        client.expect_connack(0).await;
        let stopped = tokio::spawn(server.stop());
        client.rest().await;
        drop(client);
        in_time(stopped).await.unwrap();
    }
    assert_eq!(logins[0], logins[1]);
}
