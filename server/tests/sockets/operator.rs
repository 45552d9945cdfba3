//! What tests have the operator do, over the HTTP API of the broker; and clients that log in with what is made there.

use cloudsignal_core::Version;
use cloudsignal_server::server::Kind;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::broker::{Broker, Client, connect_as, dial};

/// What a client logs in with.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: String,
}

/// A temporary token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) login: Login,
    pub(crate) id: Value,
}

/// A secret key, and how a client logs in with it.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) login: Login,
    /// `/v2/keys/…`
    pub(crate) path: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

impl Token {
    /// As the API answers it.
    pub(crate) fn of(answer: &Value) -> Self {
        let credentials = &answer["mqtt_credentials"];
        Self {
            login: Login {
                username: text(&credentials["username"]),
                password: text(&credentials["password"]),
            },
            id: answer["token_id"].clone(),
        }
    }
}

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

    /// The first organization.
    pub(crate) fn org(&self) -> String {
        let (username, _) = self.login();
        username.split_once('@').unwrap().1.to_owned()
    }

    /// The login of the first user.
    pub(crate) fn first_user(&self) -> Login {
        let (username, password) = self.login();
        Login { username, password }
    }

    /// A new user.
    pub(crate) async fn user(&self, name: &str, password: &str) -> Login {
        let user = json!({"username": name, "password": password});
        self.manage("POST", "/v2/users", user).await;
        Login {
            username: format!("{name}@{}", self.org()),
            password: password.to_owned(),
        }
    }

    /// A new token.
    pub(crate) async fn token(&self, email: &str) -> Token {
        let order = json!({"user_email": email});
        Token::of(&self.manage("POST", "/v2/tokens/create", order).await)
    }

    /// Ends tokens.
    pub(crate) async fn revoke(&self, which: Value) {
        self.manage("POST", "/v2/tokens/revoke", which).await;
    }

    /// A new secret key.
    pub(crate) async fn key(&self) -> Key {
        let key = self.manage("POST", "/v2/keys", json!({"name": "backend"})).await;
        Key {
            login: Login {
                username: format!("server@{}", self.org()),
                password: text(&key["value"]),
            },
            path: format!("/v2/keys/{}", text(&key["id"])),
        }
    }

    /// The code with which a client is let in or refused, and the client.
    pub(crate) async fn knock(
        &self,
        version: Version,
        client_id: &str,
        login: &Login,
    ) -> (u8, Client<TcpStream>) {
        let mut client = self.dial().await;
        let connect = connect_as(version, client_id, &login.username, &login.password);
        client.send(&connect).await;
        let connack = client.packet().await;
        assert_eq!(connack[0], 0x20, "{connack:02x?}");
        (connack[3], client)
    }

    /// A client that has logged in.
    pub(crate) async fn enter(&self, version: Version, client_id: &str, login: &Login) -> Client<TcpStream> {
        let (code, client) = self.knock(version, client_id, login).await;
        assert_eq!(code, 0, "{client_id} is let in");
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
