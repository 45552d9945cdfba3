//! The broker and its first organization, with providers, exchanges and logins.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::first_run::FirstRun;
use cloudsignal_tests::http::{self, Answer};
use cloudsignal_tests::packets::connect_v5;
use cloudsignal_tests::wire::Wire;

/// Whom good tokens are for.
pub(crate) const AUDIENCE: &str = "the-app";
/// Whose they are.
pub(crate) const EMAIL: &str = "john@example.com";
/// The user name that belongs to the address.
pub(crate) const NAME: &str = "john_example_com";

/// CONNACK: success; bad user name or password; not authorized; server unavailable.
pub(crate) const LET_IN: u8 = 0x00;
pub(crate) const BAD_LOGIN: u8 = 0x86;
pub(crate) const NOT_AUTHORIZED: u8 = 0x87;
pub(crate) const UNAVAILABLE: u8 = 0x88;

pub(crate) struct Bench {
    pub(crate) broker: Broker,
    pub(crate) first: FirstRun,
}

impl Bench {
    /// A broker that asks key servers on this machine.
    pub(crate) fn start(options: BrokerOptions) -> Self {
        let broker = options.with_text("IDENTITY_HOSTS", "development").start();
        let first = broker.first_run();
        Self { broker, first }
    }

    /// With the organization's secret key.
    pub(crate) fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.api_as(Some(&self.first.secret_key), method, path, body)
    }

    pub(crate) fn api_as(&self, key: Option<&str>, method: &str, path: &str, body: Option<&Value>) -> Answer {
        http::ask(self.broker.addr(Listener::Http), method, path, key, body).expect("the API answers")
    }

    /// A provider whose tokens are good as MQTT passwords too.
    pub(crate) fn add_provider(&self, name: &str, trust: &Value) {
        let settings = json!({ "name": name, "trust": trust, "mqtt_password": true, "claims": ["role"] });
        let answer = self.api("POST", "/v2/providers", Some(&settings));
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// An OpenID Connect provider with its keys at an address.
    pub(crate) fn add_oidc(&self, name: &str, issuer: &str, jwks_url: &str) {
        let trust =
            json!({ "type": "oidc", "issuer": issuer, "audiences": [AUDIENCE], "jwks_url": jwks_url });
        self.add_provider(name, &trust);
    }

    /// As clients exchange: the organization in the body and no key.
    pub(crate) fn exchange(&self, token: &str) -> Answer {
        let body = json!({ "organization_id": self.first.org_id, "token": token });
        self.api_as(None, "POST", "/v2/tokens/exchange", Some(&body))
    }

    pub(crate) fn username(&self) -> String {
        format!("{NAME}@{}", self.first.org_id)
    }

    /// Logs in over MQTT with the token as password; answers the reason code and the connection.
    pub(crate) fn log_in(&self, password: &str) -> (u8, Wire) {
        self.log_in_as(&self.username(), password)
    }

    pub(crate) fn log_in_as(&self, username: &str, password: &str) -> (u8, Wire) {
        let mut wire = Wire::connect(self.broker.addr(Listener::Mqtt));
        wire.send(&connect_v5("john", Some((username, password))));
        let connack = wire.packet();
        assert_eq!(connack[0], 0x20, "a CONNACK");
        (connack[3], wire)
    }
}

/// What a good token says.
pub(crate) fn claims(issuer: &str) -> Value {
    let now = now_secs();
    json!({
        "iss": issuer, "aud": AUDIENCE, "sub": "user-7", "email": EMAIL, "role": "editor",
        "iat": now, "exp": now + 600,
    })
}

/// The same with one claim changed; null removes it.
pub(crate) fn claims_but(issuer: &str, name: &str, value: Value) -> Value {
    let mut claims = claims(issuer);
    let fields = claims.as_object_mut().expect("claims are an object");
    if value.is_null() {
        fields.remove(name);
    } else {
        fields.insert(name.into(), value);
    }
    claims
}

#[expect(
    clippy::disallowed_methods,
    reason = "tokens are made by the clock that the broker checks them with"
)]
pub(crate) fn now_secs() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_secs()
}

/// Whether the connection answers a ping.
pub(crate) fn is_alive(wire: &mut Wire) -> bool {
    wire.send(&[0xC0, 0x00]);
    wire.packet_or_end() == Some(vec![0xD0, 0x00])
}

/// The reason of the DISCONNECT that comes next.
pub(crate) fn reason_of_end(wire: &mut Wire) -> u8 {
    let packet = wire.packet();
    assert_eq!(packet[0], 0xE0, "a DISCONNECT, not {packet:02X?}");
    packet[2]
}
