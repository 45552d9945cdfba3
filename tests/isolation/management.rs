//! What owners do through the API: accounts are made and ended, tokens issued, renewed and revoked.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request};
use cloudsignal_server::clock::WallTime;
use serde_json::{Value, json};

use crate::bench::{Answer, Source};
use crate::cast::{EMAILS, Key, Org, Sent, Token, USERS, slots};
use crate::judge::mark;
use crate::leaks::Leak;
use crate::signing::{external_token, provider};
use crate::world::World;

/// A tenth of a token's life, at the end of which it is taken for ended.
const TOKEN_TTL_SECS: u32 = 3_600;
/// Tokens that are no good any more, of which intruders try some.
const DEAD_TOKENS_KEPT: usize = 20;

impl World {
    /// Makes an organization with its users, key and tokens.
    pub(crate) fn found(&mut self, number: usize) -> Org {
        let name = format!("{} works", mark(number));
        let made = self.order(Method::POST, "/v2/organizations", &json!({ "name": name }));
        let id = text(&made, "/id");
        let uuid = text(&made, "/uuid");
        let passwords = USERS.map(|user| {
            let password = format!("{}password of {user}", mark(number));
            self.add_user(&id, user, &password);
            password
        });
        let key = self.new_key(number, &id);
        let mut org = Org {
            number,
            id,
            uuid,
            key,
            passwords,
            tokens: Vec::new(),
            dead_tokens: Vec::new(),
            slots: slots(),
            sent: Sent::default(),
        };
        let add = post("/v2/providers", Some(&org.key.secret), &provider(number));
        let answer = self.bench.request(Source::Far(0), add);
        assert_eq!(answer.status, 201, "{answer:?}");
        for email in EMAILS {
            let token = self.new_token(&org, email, false);
            org.tokens.push(token);
        }
        org
    }

    /// A request of the operator, which has to succeed.
    fn order(&mut self, method: Method, path: &str, body: &Value) -> Value {
        let answer = self.ask_operator(method, path, body);
        assert!((200..300).contains(&answer.status), "{path} {body}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap_or_default()
    }

    /// A request of the operator about an organization, which has to succeed.
    fn order_in(&mut self, org: &str, method: Method, path: &str, body: &Value) -> Value {
        self.order(method, &format!("{path}?organization_id={org}"), body)
    }

    fn ask_operator(&mut self, method: Method, path: &str, body: &Value) -> Answer {
        let token = self.bench.broker.admin_token().expose().to_owned();
        let mut request = post(path, Some(&token), body);
        *request.method_mut() = method;
        self.bench.request(Source::Machine, request)
    }

    fn add_user(&mut self, org: &str, name: &str, password: &str) {
        let user = json!({ "username": name, "password": password });
        self.order_in(org, Method::POST, "/v2/users", &user);
    }

    fn new_key(&mut self, number: usize, org: &str) -> Key {
        let name = format!("{}key", mark(number));
        let made = self.order_in(org, Method::POST, "/v2/keys", &json!({ "name": name }));
        Key {
            id: text(&made, "/id"),
            secret: text(&made, "/value"),
        }
    }

    fn new_token(&mut self, org: &Org, email: &str, replaces: bool) -> Token {
        let named = if self.random.chance(50) {
            &org.id
        } else {
            &org.uuid
        };
        let body = json!({
            "organization_id": named,
            "secret_key": org.key.secret,
            "user_email": email,
            "replace_existing": replaces,
            "ttl": TOKEN_TTL_SECS,
        });
        let made = self.tokens(org.number, "/v2/tokens/create", &body);
        token(&made)
    }

    /// A request of one organization about its own tokens, which has to succeed.
    fn tokens(&mut self, org: usize, path: &str, body: &Value) -> Value {
        let source = Source::Far(self.random.next());
        let answer = self.bench.request(source, post(path, None, body));
        self.tally.requests += 1;
        self.answered(org, &answer.body);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        serde_json::from_str(&answer.body).expect("an answer is JSON")
    }

    /// Gets a new token in place of one that has ended.
    pub(crate) fn renew_if_ended(&mut self, org: usize, at: usize) {
        if self.orgs[org].tokens[at].expires_at <= self.bench.clock.wall() {
            self.issue(org, at, false);
        }
    }

    fn issue(&mut self, org: usize, at: usize, replaces: bool) {
        let fresh = self.with_org(org, |world, org| world.new_token(org, EMAILS[at], replaces));
        let old = std::mem::replace(&mut self.orgs[org].tokens[at], fresh);
        if replaces {
            self.bury(org, old);
        }
    }

    fn bury(&mut self, org: usize, token: Token) {
        let dead = &mut self.orgs[org].dead_tokens;
        if dead.len() >= DEAD_TOKENS_KEPT {
            dead.remove(0);
        }
        dead.push(token);
    }

    /// Lends an organization out of the list.
    fn with_org<R>(&mut self, org: usize, act: impl FnOnce(&mut Self, &Org) -> R) -> R {
        let orgs = std::mem::take(&mut self.orgs);
        let answer = act(self, &orgs[org]);
        self.orgs = orgs;
        answer
    }

    /// Everything about the accounts of an organization.
    pub(crate) fn accounts_of(&mut self, org: usize) -> Vec<String> {
        let id = self.orgs[org].id.clone();
        let paths = ["/v2/organization", "/v2/users", "/v2/keys", "/v2/acl"];
        let answers = paths.map(|path| {
            let path = format!("{path}?organization_id={id}");
            self.ask_operator(Method::GET, &path, &Value::Null)
        });
        for answer in &answers {
            self.answered(org, &answer.body);
        }
        answers.map(|answer| answer.body).to_vec()
    }

    /// One of the things that owners do.
    pub(crate) fn manage(&mut self, org: usize) {
        let id = self.orgs[org].id.clone();
        let at = self.random.index(EMAILS.len());
        let user = self.random.index(USERS.len());
        match self.random.below(10) {
            0 => self.issue(org, at, false),
            1 => self.issue(org, at, true),
            2 => self.refresh(org, at),
            3 => {
                let token_id = self.orgs[org].tokens[at].id.clone();
                self.order_in(
                    &id,
                    Method::POST,
                    "/v2/tokens/revoke",
                    &json!({ "token_id": token_id }),
                );
                let dead = self.orgs[org].tokens[at].clone();
                self.bury(org, dead);
                self.issue(org, at, false);
            }
            4 => {
                let password = format!("{}new password {:x}", mark(org), self.random.next());
                let path = format!("/v2/users/{}", USERS[user]);
                self.order_in(&id, Method::PATCH, &path, &json!({ "password": password }));
                self.orgs[org].passwords[user] = password;
            }
            5 => {
                let fresh = self.new_key(org, &id);
                let old = std::mem::replace(&mut self.orgs[org].key, fresh);
                self.order_in(&id, Method::DELETE, &format!("/v2/keys/{}", old.id), &Value::Null);
            }
            6 => {
                let path = format!("/v2/users/{}", USERS[user]);
                self.order_in(&id, Method::DELETE, &path, &Value::Null);
                let password = self.orgs[org].passwords[user].clone();
                self.add_user(&id, USERS[user], &password);
            }
            8 => {
                let body = json!({ "user_email": EMAILS[at] });
                self.revoke(org, &body);
                let dead = self.orgs[org].tokens[at].clone();
                self.bury(org, dead);
                self.issue(org, at, false);
            }
            7 => {
                // Whatever is of the second in which an owner's tokens were revoked is revoked with them.
                self.bench.clock.advance(Duration::from_secs(1));
                let external = external_token(org, EMAILS[at], self.bench.clock.wall());
                let body = json!({ "organization_id": id, "token": external });
                let made = self.tokens(org, "/v2/tokens/exchange", &body);
                self.orgs[org].tokens[at] = token(&made);
            }
            _ => {
                for how in ["suspend", "resume"] {
                    let path = format!("/v2/organizations/{id}/{how}");
                    self.order(Method::POST, &path, &Value::Null);
                    self.settle();
                }
            }
        }
        self.leak_answer(org);
    }

    /// Ends tokens, as their organization may.
    fn revoke(&mut self, org: usize, body: &Value) {
        let key = self.orgs[org].key.secret.clone();
        let request = post("/v2/tokens/revoke", Some(&key), body);
        let answer = self.bench.request(Source::Far(org as u64), request);
        self.tally.requests += 1;
        self.answered(org, &answer.body);
        assert_eq!(answer.status, 204, "{body}: {answer:?}");
    }

    fn refresh(&mut self, org: usize, at: usize) {
        self.renew_if_ended(org, at);
        let old = &self.orgs[org].tokens[at];
        let body = json!({ "token_id": old.id, "current_token_password": old.password });
        let fresh = self.tokens(org, "/v2/tokens/refresh", &body);
        self.orgs[org].tokens[at] = token(&fresh);
    }

    /// A planted leak: an answer is about another organization.
    fn leak_answer(&mut self, org: usize) {
        if self.leaks(Leak::Answer, 20) {
            let other = self.orgs[(org + 1) % self.orgs.len()].id.clone();
            let path = format!("/v2/organizations/{other}");
            let answer = self.ask_operator(Method::GET, &path, &Value::Null);
            self.answered(org, &answer.body);
        }
    }

    /// A planted leak: a sleeping organization gets a user.
    pub(crate) fn leak_accounts(&mut self) {
        let first = self.sleepers.first().copied();
        if let Some(org) = first.filter(|_| self.leaks(Leak::Accounts, 5)) {
            let name = format!("user-{:x}", self.random.next());
            let org = self.orgs[org].id.clone();
            self.order_in(&org, Method::POST, "/v2/users", &json!({ "username": name }));
        }
    }
}

/// A POST request with a JSON body.
pub(crate) fn post(path: &str, key: Option<&str>, body: &Value) -> Request<Body> {
    let mut request = Request::post(path).header(CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header(AUTHORIZATION, format!("Bearer {key}"));
    }
    request
        .body(Body::from(body.to_string()))
        .expect("invariant: a well-formed request")
}

fn text(answer: &Value, pointer: &str) -> String {
    let text = answer.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("no {pointer} in {answer}"))
        .to_owned()
}

fn token(answer: &Value) -> Token {
    let end = text(answer, "/expires_at");
    Token {
        id: text(answer, "/token_id"),
        username: text(answer, "/mqtt_credentials/username"),
        password: text(answer, "/access_token"),
        expires_at: WallTime::parse_rfc3339(&end).expect("a time"),
    }
}
