//! What administrators do, and the clients that it is about.

use std::fs;
use std::sync::Arc;

use cloudsignal_core::Version;
use cloudsignal_core::codec::ReasonCode;
use cloudsignal_tests::api::Api;
use cloudsignal_tests::broker::{Broker, Listener};
use cloudsignal_tests::client::{Got, Login};
use serde_json::{Value, json};

use crate::dial;
use crate::subject::{Clock, Subject};

/// Clients that share one secret key.
const CLIENTS_PER_KEY: u64 = 4;

/// One decision.
pub(crate) struct Edit {
    command: Command,
    /// The connections that must feel it.
    pub(crate) subjects: Vec<Arc<Subject>>,
}

enum Command {
    SetPassword(String),
    DeleteUser(String),
    DisableUser(String),
    RevokeToken(Value),
    RevokeTokensOf(String),
    RevokeKey(String),
    /// The user loses the rule for its topic.
    DropRule(String),
}

impl Edit {
    pub(crate) const fn kind(&self) -> &'static str {
        match self.command {
            Command::SetPassword(_) => "password changed",
            Command::DeleteUser(_) => "user deleted",
            Command::DisableUser(_) => "user disabled",
            Command::RevokeToken(_) => "token revoked",
            Command::RevokeTokensOf(_) => "tokens of a user revoked",
            Command::RevokeKey(_) => "key revoked",
            Command::DropRule(_) => "access rule removed",
        }
    }

    /// Whether it ends the connections.
    pub(crate) const fn closes(&self) -> bool {
        !matches!(self.command, Command::DropRule(_))
    }
}

/// Where decisions are made.
pub(crate) struct Office {
    api: Api,
    admin_token: String,
    org: String,
    /// Users that may still subscribe to their topic: the rules of the moment.
    rules: Vec<(String, String)>,
    survivors: Vec<Arc<Subject>>,
}

impl Office {
    pub(crate) fn open(broker: &Broker) -> Self {
        let file = broker.scratch().join("data/admin.json");
        let admin = fs::read_to_string(file).expect("a running broker has written it");
        let admin: Value = serde_json::from_str(&admin).expect("it is JSON");
        Self {
            api: Api::new(broker.addr(Listener::Http)),
            admin_token: admin["token"].as_str().expect("a token").to_owned(),
            org: broker.first_run().org_id,
            rules: Vec::new(),
            survivors: Vec::new(),
        }
    }

    /// A request of the operator's about the organization, which has to succeed.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let named = format!("{path}?organization_id={}", self.org);
        let (status, answer) = self.api.ask(method, &named, Some(&self.admin_token), body).await;
        assert!((200..300).contains(&status), "{method} {path}: {answer}");
        answer
    }

    /// Brings clients in, and answers what will be decided about them.
    pub(crate) async fn hire(&mut self, broker: &Broker, count: u64, clock: Clock) -> Vec<Edit> {
        self.rules = (0..count)
            .filter(|number| number % 4 == 3)
            .map(|number| (format!("a{number}"), format!("own/{number}")))
            .collect();
        self.set_rules().await;
        let mut edits = Vec::new();
        for number in 0..count {
            let edit = match number % 4 {
                0 => self.hire_user(broker, number, clock).await,
                1 => self.hire_token(broker, number, clock).await,
                2 if number / 4 % CLIENTS_PER_KEY == 0 => self.hire_key(broker, number, clock).await,
                2 => continue,
                _ => self.hire_ruled(broker, number, clock).await,
            };
            edits.push(edit);
        }
        edits
    }

    async fn hire_user(&self, broker: &Broker, number: u64, clock: Clock) -> Edit {
        let name = format!("u{number}");
        let topic = format!("free/{number}");
        let subjects = vec![self.user(broker, number, &name, &topic, clock).await];
        let command = match number / 4 % 3 {
            0 => Command::SetPassword(name),
            1 => Command::DeleteUser(name),
            _ => Command::DisableUser(name),
        };
        Edit { command, subjects }
    }

    async fn hire_token(&self, broker: &Broker, number: u64, clock: Clock) -> Edit {
        let email = format!("t{number}@example.com");
        let grant = self
            .ask(
                "POST",
                "/v2/tokens/create",
                &json!({"user_email": email, "ttl": 86_400}),
            )
            .await;
        let login = (
            text(&grant["mqtt_credentials"]["username"]),
            text(&grant["access_token"]),
        );
        let subjects = vec![enter(broker, number, &login, &format!("free/{number}"), clock).await];
        let command = if (number / 4).is_multiple_of(2) {
            Command::RevokeToken(grant["token_id"].clone())
        } else {
            Command::RevokeTokensOf(email)
        };
        Edit { command, subjects }
    }

    async fn hire_key(&self, broker: &Broker, first: u64, clock: Clock) -> Edit {
        let key = self
            .ask("POST", "/v2/keys", &json!({"name": format!("key {first}")}))
            .await;
        let login = (format!("server@{}", self.org), text(&key["value"]));
        let mut subjects = Vec::new();
        for at in 0..CLIENTS_PER_KEY {
            let number = first + 4 * at;
            subjects.push(enter(broker, number, &login, &format!("free/{number}"), clock).await);
        }
        let command = Command::RevokeKey(text(&key["id"]));
        Edit { command, subjects }
    }

    async fn hire_ruled(&mut self, broker: &Broker, number: u64, clock: Clock) -> Edit {
        let name = format!("a{number}");
        let topic = format!("own/{number}");
        let subject = self.user(broker, number, &name, &topic, clock).await;
        self.survivors.push(Arc::clone(&subject));
        Edit {
            command: Command::DropRule(name),
            subjects: vec![subject],
        }
    }

    /// A client that nothing is decided about.
    pub(crate) async fn witness(&self, broker: &Broker, clock: Clock) -> Arc<Subject> {
        self.user(broker, 1_000_000, "witness", "free/witness", clock)
            .await
    }

    async fn user(
        &self,
        broker: &Broker,
        number: u64,
        name: &str,
        topic: &str,
        clock: Clock,
    ) -> Arc<Subject> {
        let password = format!("long enough {number}");
        self.ask(
            "POST",
            "/v2/users",
            &json!({"username": name, "password": password}),
        )
        .await;
        let login = (format!("{name}@{}", self.org), password);
        enter(broker, number, &login, topic, clock).await
    }

    /// Carries an edit out; it is in force when this returns.
    pub(crate) async fn run(&self, edit: &Edit) {
        let user = |name: &str| format!("/v2/users/{name}");
        let nothing = json!({});
        let (method, path, body) = match &edit.command {
            Command::SetPassword(name) => ("PATCH", user(name), json!({"password": "another one"})),
            Command::DeleteUser(name) => ("DELETE", user(name), nothing),
            Command::DisableUser(name) => ("PATCH", user(name), json!({"enabled": false})),
            Command::RevokeToken(id) => ("POST", "/v2/tokens/revoke".to_owned(), json!({"token_id": id})),
            Command::RevokeTokensOf(email) => (
                "POST",
                "/v2/tokens/revoke".to_owned(),
                json!({"user_email": email}),
            ),
            Command::RevokeKey(id) => ("DELETE", format!("/v2/keys/{id}"), nothing),
            Command::DropRule(name) => ("PUT", "/v2/acl".to_owned(), self.rules_without(Some(name))),
        };
        self.ask(method, &path, &body).await;
    }

    /// Remembers that a rule is gone.
    pub(crate) fn forget(&mut self, edit: &Edit) {
        if let Command::DropRule(gone) = &edit.command {
            self.rules.retain(|(name, _)| name != gone);
        }
    }

    async fn set_rules(&self) {
        self.ask("PUT", "/v2/acl", &self.rules_without(None)).await;
    }

    fn rules_without(&self, gone: Option<&str>) -> Value {
        let mut rules = vec![json!({"user": "*", "topic": "free/#", "action": "sub"})];
        let left = self.rules.iter().filter(|(name, _)| Some(&**name) != gone);
        rules.extend(left.map(|(name, topic)| json!({"user": name, "topic": topic, "action": "sub"})));
        json!({"version": "2.1", "default": "deny", "rules": rules})
    }

    /// Clients that lost a rule and nothing else.
    pub(crate) fn survivors(&self) -> &[Arc<Subject>] {
        &self.survivors
    }
}

async fn enter(
    broker: &Broker,
    number: u64,
    login: &(String, String),
    topic: &str,
    clock: Clock,
) -> Arc<Subject> {
    let version = if (number / 4).is_multiple_of(2) {
        Version::V5
    } else {
        Version::V311
    };
    let mut client = dial(broker, version).await;
    let name = format!("client-{number}");
    let connack = client.connect(&name, Login::Password(&login.0, &login.1)).await;
    assert_eq!(connack, Got::ConnAck(ReasonCode::Success), "{name}");
    client.subscribe(topic).await;
    Subject::watch(client, &name, topic, version, clock)
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}
