//! The broker, the proxy before it, and somebody else who publishes and listens.

use std::path::PathBuf;
use std::time::Duration;

use cloudsignal::{Client, Message, Qos, Subscription, TokenIssuer};
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::proxy::Proxy;
use cloudsignal_tests::wait;
use serde_json::{Value, json};
use tokio::time::timeout;

/// Whom the runner's tokens are for.
const USER: &str = "ada@example.com";
/// How long they are good at the broker, whatever the scenario lets the runner believe.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

pub(crate) struct Stage {
    broker: Broker,
    listener: Listener,
    proxy: Proxy,
    issuer: TokenIssuer,
    other: Client,
    heard: Subscription,
    wills: Subscription,
}

impl Stage {
    pub(crate) async fn set(listener: Listener) -> Self {
        let broker = BrokerOptions::default().start();
        let first_run = broker.first_run();
        let proxy = Proxy::to(broker.addr(listener)).await;
        let issuer = TokenIssuer::new(broker.url(Listener::Https), first_run.secret_key.clone());
        let other = Client::builder(broker.url(Listener::Mqtts))
            .ca_file(&first_run.ca_file)
            .password(first_run.username, first_run.password)
            .connect()
            .await
            .expect("the broker accepts its own user");
        let listen = async |filter| {
            let subscribing = other.subscribe(filter).qos(Qos::ExactlyOnce);
            subscribing.await.expect("everything is allowed")
        };
        Self {
            listener,
            proxy,
            issuer: issuer.ca_file(first_run.ca_file),
            heard: listen("scenario/out/#").await,
            wills: listen("scenario/will").await,
            other,
            broker,
        }
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.broker.first_run().ca_file
    }

    /// A command with what only the stage knows.
    pub(crate) async fn complete(&self, command: &Value) -> Value {
        let mut command = command.clone();
        if command["do"] == "open" {
            // By name, so that the certificate is checked; the proxy passes everything on as it is.
            let (scheme, port) = (self.listener.scheme(), self.proxy.port());
            command["url"] = format!("{scheme}://localhost:{port}").into();
            command["ca_file"] = self.ca_file().to_str().expect("a plain path").into();
        }
        if command["do"] == "token" {
            let order = self.issuer.order(USER).lifetime(TOKEN_LIFETIME);
            let token = order.create().await.expect("the broker makes tokens");
            command["password"] = token.access_token.into();
        }
        command
    }

    pub(crate) async fn act(&self, action: &Value) {
        match action["do"].as_str() {
            Some("publish") => self.publish(action).await,
            Some("cut") => self.cut(),
            Some("retained") => self.expect_retained(action).await,
            _ => panic!("nobody knows {action}"),
        }
    }

    fn cut(&self) {
        assert!(self.proxy.cut() > 0, "the runner has no connection to cut");
    }

    async fn publish(&self, action: &Value) {
        let count = action["count"].as_u64();
        let mut tickets = Vec::new();
        for number in 0..count.unwrap_or(1) {
            if action["cut"] == true && Some(number) == count.map(|count| count / 2) {
                self.cut();
            }
            let mut payload = text(action, "payload").to_owned();
            if count.is_some() {
                payload += &format!("-{number}");
            }
            let publish = self.other.publish(text(action, "topic"), payload.as_str());
            let mut publish = publish.qos(qos(action));
            if action["retain"] == true {
                publish = publish.retain();
            }
            tickets.push(publish.send().await.expect("it can be published"));
        }
        for ticket in tickets {
            ticket.await.expect("the broker takes it");
        }
    }

    async fn expect_retained(&self, action: &Value) {
        let mut later = self
            .other
            .subscribe(text(action, "topic"))
            .await
            .expect("everything is allowed");
        let message = next(&mut later, "a retained message").await;
        assert!(message.is_retained());
        assert_eq!(message.text(), Ok(text(action, "payload")));
    }

    /// Waits for what others hear of the runner: these messages, and no others before them.
    pub(crate) async fn expect(&mut self, title: &str, expected: &[Value]) {
        for wanted in expected {
            let is_will = wanted["topic"] == "scenario/will";
            let from = if is_will { &mut self.wills } else { &mut self.heard };
            let message = next(from, title).await;
            let heard = json!({
                "topic": message.topic(),
                "payload": message.text().expect("payloads are text"),
                "qos": message.qos().bits(),
            });
            assert_eq!(heard, *wanted, "{title}");
        }
    }
}

async fn next(subscription: &mut Subscription, title: &str) -> Message {
    let message = timeout(wait::DEADLINE, subscription.recv()).await;
    let message = message.unwrap_or_else(|_| panic!("{title}: nothing is heard"));
    message.expect("the subscription goes on")
}

fn text<'a>(action: &'a Value, name: &str) -> &'a str {
    action[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {action}"))
}

fn qos(action: &Value) -> Qos {
    let number = action["qos"]
        .as_u64()
        .and_then(|number| u8::try_from(number).ok());
    number
        .and_then(Qos::from_bits)
        .unwrap_or_else(|| panic!("no qos in {action}"))
}
