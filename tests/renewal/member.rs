//! One client: its token, and how it gets the next one.

use cloudsignal_core::Version;
use cloudsignal_core::codec::{PacketId, ReasonCode};
use cloudsignal_tests::client::{Client, Got, Login};
use serde_json::{Value, json};

use super::TOKEN_SECS;
use crate::side::Side;

/// How a client renews its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// By HTTP: the token's deadline moves.
    ByRefresh(Version),
    /// By AUTH: another token.
    ByAuth,
}

pub(crate) struct Member {
    pub(crate) number: usize,
    pub(crate) renewal: Renewal,
    pub(crate) renewals: u64,
    client: Client,
    token_id: Value,
    password: Value,
    renew_at: u64,
    /// An AUTH was sent and is not answered yet.
    is_asking: bool,
}

impl Member {
    pub(crate) async fn join(side: &mut Side, number: usize, renewal: Renewal) -> Self {
        let grant = create(side, number).await;
        let version = match renewal {
            Renewal::ByRefresh(version) => version,
            Renewal::ByAuth => Version::V5,
        };
        let mut client = Client::new(side.open().await, version);
        let (username, password) = (
            &grant["mqtt_credentials"]["username"],
            &grant["mqtt_credentials"]["password"],
        );
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let login = match renewal {
            Renewal::ByRefresh(_) => Login::Password(&text(username), &text(password)),
            Renewal::ByAuth => Login::Method(&text(password)),
        };
        let connack = client.connect(&format!("member-{number}"), login).await;
        assert_eq!(connack, Got::ConnAck(ReasonCode::Success));
        client.subscribe(&format!("down/{number}")).await;
        Self {
            number,
            renewal,
            renewals: 0,
            client,
            token_id: grant["token_id"].clone(),
            password: password.clone(),
            renew_at: next_renewal(number, 0, 0),
            is_asking: false,
        }
    }

    /// Renews when half to nine tenths of the token's life have passed, each client at its own times.
    pub(crate) async fn renew_if_due(&mut self, side: &mut Side, second: u64) {
        if second < self.renew_at {
            return;
        }
        match self.renewal {
            Renewal::ByRefresh(_) => {
                let body = json!({
                    "token_id": self.token_id,
                    "current_token_password": self.password,
                });
                let grant = side.post("/v2/tokens/refresh", &body).await;
                self.password = grant["mqtt_credentials"]["password"].clone();
            }
            Renewal::ByAuth => {
                let grant = create(side, self.number).await;
                let token = grant["access_token"].as_str().expect("a token");
                self.client.reauthenticate(token).await;
                self.is_asking = true;
            }
        }
        self.renewals += 1;
        self.renew_at = next_renewal(self.number, self.renewals, second);
    }

    /// The next message says this; the answer to AUTH may come before or after it.
    pub(crate) async fn expect_message(&mut self, payload: &str) {
        let mut is_awaited = true;
        while is_awaited || self.is_asking {
            match self.client.next().await {
                Got::Auth(ReasonCode::Success) if self.is_asking => self.is_asking = false,
                Got::Message {
                    payload: heard,
                    packet_id: Some(packet_id),
                    ..
                } if is_awaited && heard == payload.as_bytes() => {
                    self.client.acknowledge(packet_id).await;
                    is_awaited = false;
                }
                other => panic!("client {} awaits {payload} and got {other:?}", self.number),
            }
        }
    }

    pub(crate) async fn say(&mut self, payload: &str) {
        let topic = format!("up/{}", self.number);
        self.client
            .publish(&topic, payload.as_bytes(), PacketId::MIN)
            .await;
        let acknowledged = Got::PubAck(PacketId::MIN, ReasonCode::Success);
        assert_eq!(self.client.next().await, acknowledged, "client {}", self.number);
    }

    /// The token was not renewed and has ended.
    pub(crate) async fn expect_time_is_up(&mut self) {
        if self.renewal != Renewal::ByRefresh(Version::V311) {
            let goodbye = Got::Disconnect(ReasonCode::MaximumConnectTime);
            assert_eq!(self.client.next().await, goodbye);
        }
        assert_eq!(self.client.next().await, Got::End);
    }
}

async fn create(side: &mut Side, number: usize) -> Value {
    let body = json!({
        "organization_id": side.org,
        "secret_key": side.secret_key,
        "user_email": format!("member{number}@example.com"),
        "ttl": TOKEN_SECS,
    });
    side.post("/v2/tokens/create", &body).await
}

fn next_renewal(number: usize, renewals: u64, now: u64) -> u64 {
    let spread = TOKEN_SECS * 4 / 10;
    now + TOKEN_SECS / 2 + (number as u64 * 7 + renewals * 3) % spread
}
