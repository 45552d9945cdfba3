//! The whole API as its own document tells it, so that what is added to it is tried here too: with a key of one's own,
//! for what is one's own and for what is somebody else's.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::bench::Source;
use crate::cast::{CLIENT_IDS, TOPICS, USERS};
use crate::judge::mark;
use crate::management::post;
use crate::spelling::spell;
use crate::world::{MESSAGES_PER_SEC, World};

/// Keys under which requests are repeated, the same in every organization.
const RETRY_KEYS: [&str; 3] = ["retry-1", "retry-2", "retry-3"];

/// An operation of the API that needs a key.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    method: String,
    /// With parameters in braces.
    path: String,
}

/// How a request names an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    Nothing,
    Query,
    Header,
}

impl World {
    /// What the API says that it can do, and that needs a key.
    pub(crate) fn read_document(&mut self) -> Vec<Route> {
        let request = Request::get("/openapi.json").body(Body::empty());
        let request = request.expect("invariant: a well-formed request");
        let answer = self.bench.request(Source::Machine, request);
        let document: Value = serde_json::from_str(&answer.body).expect("the document is JSON");
        let paths = document["paths"].as_object().expect("the document has paths");
        let mut routes = Vec::new();
        for (path, operations) in paths {
            for (method, operation) in operations.as_object().into_iter().flatten() {
                if needs_key(operation) {
                    let (method, path) = (method.to_uppercase(), path.clone());
                    routes.push(Route { method, path });
                }
            }
        }
        assert!(
            routes.len() > 5,
            "the document tells of operations that need a key"
        );
        routes
    }

    /// A question about one's own organization, which may be about things that only another one has.
    pub(crate) fn ask(&mut self, org: usize) {
        let other = self.victim(org);
        let gets: Vec<_> = self
            .routes
            .iter()
            .filter(|route| route.method == "GET")
            .cloned()
            .collect();
        let route = self.random.pick(&gets).clone();
        let by = if self.random.chance(70) { org } else { other };
        let path = self.fill(&route.path, by);
        let answer = self.call(org, &route.method, path, Naming::Nothing, "");
        self.tally.requests += 1;
        if answer >= 500 {
            self.judge
                .accuse("server error", format!("{org}: {route:?}: {answer}"));
        }
    }

    /// Any operation, in another organization.
    pub(crate) fn ask_elsewhere(&mut self, org: usize) {
        let other = self.victim(org);
        let named = spell(&mut self.random, &self.orgs[other].id, &self.orgs[other].uuid);
        let route = self.random.pick(&self.routes).clone();
        let path = self.fill(&route.path, other);
        // What cannot be a header or a query is no question.
        let text = if named
            .text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"#%&+{}".contains(&byte))
        {
            named.text
        } else {
            self.orgs[other].id.clone()
        };
        let naming = *self.random.pick(&[Naming::Query, Naming::Header]);
        let status = self.call(org, &route.method, path, naming, &text);
        self.tally.foreign_requests += 1;
        if !text.is_empty() && !(400..500).contains(&status) {
            let what = format!("{org}: {route:?} in {other} named {text:?}: {status}");
            self.judge.accuse("let in", what);
        }
    }

    /// Publishes over HTTP, sometimes with a key under which every organization asks for the very same.
    pub(crate) fn publish_over_http(&mut self, org: usize) {
        let path = *self
            .random
            .pick(&["/v1/publish", "/v2/publish", "/publish", "/api/v1/publish"]);
        let own = mark(org);
        let (path, key, topic, payload) = match self.random.below(8) {
            at @ 0..3 => (
                "/v2/publish",
                Some(RETRY_KEYS[at as usize]),
                "jobs/1",
                String::new(),
            ),
            _ => (path, None, *self.random.pick(&TOPICS), format!("{own}over HTTP")),
        };
        let sent = &mut self.orgs[org].sent;
        sent.messages += 1;
        sent.messages_at_once += 1;
        sent.bytes += payload.len() as u64;
        let is_over = sent.messages_at_once > u64::from(MESSAGES_PER_SEC);
        let secret = self.orgs[org].key.secret.clone();
        let body = json!({ "topic": topic, "payload": payload, "qos": 1 });
        let mut request = post(path, Some(&secret), &body);
        if let Some(key) = key {
            let key = HeaderValue::from_static(key);
            request.headers_mut().insert("Idempotency-Key", key);
        }
        let before = self.received(org);
        let answer = self.bench.request(Source::Far(self.random.next()), request);
        self.answered(org, &answer.body);
        self.tally.http_publishes += 1;
        let is_first = key.is_none_or(|key| self.retried.insert((org, key)));
        match answer.status {
            429 if is_over => {}
            200..300 if is_first && self.received(org) == before => {
                let what = format!("{org}: {body} was answered and not published: {answer:?}");
                self.judge.accuse("retried for another", what);
            }
            200..300 => {}
            _ => self
                .judge
                .accuse("refused", format!("{org}: {path} {body}: {answer:?}")),
        }
    }

    /// Messages that an organization has counted.
    fn received(&self, org: usize) -> u64 {
        let counters = self.bench.broker.counters(&self.ids[org]);
        counters.map_or(0, |counters| counters.messages_received.iter().sum())
    }

    /// One request with the key of `org`; answers its status.
    fn call(&mut self, org: usize, method: &str, path: String, naming: Naming, named: &str) -> u16 {
        let path = match naming {
            Naming::Query => format!("{path}?organization_id={named}"),
            Naming::Nothing | Naming::Header => path,
        };
        let key = &self.orgs[org].key.secret;
        let mut request = Request::builder()
            .method(method)
            .uri(&path)
            .header(CONTENT_TYPE, "application/json");
        request = match self.random.below(3) {
            0 => request.header("X-API-Key", key),
            1 => request.header("X-Secret-Key", key),
            _ => request.header(AUTHORIZATION, format!("Bearer {key}")),
        };
        if naming == Naming::Header {
            request = request.header("X-Organization-Id", named);
        }
        let body = match method {
            "GET" => "",
            _ if path.contains("/publish") => r#"{"topic":"a","payload":""}"#,
            _ if path.contains("/sessions/disconnect") => r#"{"all":true}"#,
            _ => "{}",
        };
        let request = request
            .body(Body::from(body))
            .expect("invariant: a well-formed request");
        let source = Source::Far(self.random.next());
        let answer = self.bench.request(source, request);
        self.answered(org, &answer.body);
        answer.status
    }

    /// A path with something of `org` in place of its parameters.
    fn fill(&mut self, path: &str, org: usize) -> String {
        let levels = path.split('/').map(|level| {
            let Some(parameter) = level.strip_prefix('{') else {
                return level.to_owned();
            };
            let org = &self.orgs[org];
            if parameter.contains("client") {
                (*self.random.pick(&CLIENT_IDS)).to_owned()
            } else if parameter.contains("token") {
                org.tokens[0].id.clone()
            } else if parameter.contains("org") {
                org.id.clone()
            } else if parameter.contains("id") {
                org.key.id.clone()
            } else {
                (*self.random.pick(&USERS)).to_owned()
            }
        });
        levels.collect::<Vec<_>>().join("/")
    }

    /// An answer of the API to somebody of `org`: no mark and no id of another organization is in it.
    pub(crate) fn answered(&mut self, org: usize, body: &str) {
        self.judge.answered(org, body);
        for (at, _) in body.match_indices("org_") {
            let id = body.get(at..at + 16).unwrap_or_default();
            if let Some(other) = self
                .orgs
                .iter()
                .find(|other| other.id == id && other.number != org)
            {
                let other = other.number;
                self.judge
                    .accuse("foreign answer", format!("{org} reads the id of {other}: {body}"));
            }
        }
    }
}

/// Whether nobody may do it without a key.
fn needs_key(operation: &Value) -> bool {
    let ways = operation["security"].as_array();
    ways.is_some_and(|ways| {
        !ways.is_empty()
            && ways
                .iter()
                .all(|way| way.as_object().is_some_and(|way| !way.is_empty()))
    })
}
