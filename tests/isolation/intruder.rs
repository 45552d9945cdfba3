//! Credentials of one organization, tried on another one, and on their own one in every spelling.

use axum::http::Method;
use cloudsignal_core::Version;
use serde_json::{Value, json};

use crate::bench::Source;
use crate::cast::{CLIENT_IDS, EMAILS, Org, USERS, Who};
use crate::client::{Client, Expects};
use crate::leaks::Leak;
use crate::management::post;
use crate::signing::external_token;
use crate::spelling::spell;
use crate::traffic::Attempt;
use crate::world::World;

pub(crate) const EVERYBODY: [Who; 6] = [
    Who::User(0),
    Who::User(1),
    Who::User(2),
    Who::Token(0),
    Who::Token(1),
    Who::Server,
];
const VERSIONS: [Version; 3] = [Version::V5, Version::V311, Version::V31];

impl World {
    /// An organization that is not this one; half of the time one that sleeps.
    pub(crate) fn victim(&mut self, org: usize) -> usize {
        let sleepers: Vec<_> = self.sleepers.iter().copied().collect();
        if self.random.chance(50) && !sleepers.is_empty() {
            return *self.random.pick(&sleepers);
        }
        (org + 1 + self.random.index(self.orgs.len() - 1)) % self.orgs.len()
    }

    /// A login with a credential of `org`.
    pub(crate) fn intrude(&mut self, org: usize) {
        let victim = self.victim(org);
        let who = *self.random.pick(&EVERYBODY);
        if let Who::Token(token) = who {
            self.renew_if_ended(org, token);
        }
        let mine = spell(&mut self.random, &self.orgs[org].id, &self.orgs[org].uuid);
        let theirs = spell(&mut self.random, &self.orgs[victim].id, &self.orgs[victim].uuid);
        let way = self.random.below(6);
        let (attacker, victim) = (&self.orgs[org], &self.orgs[victim]);
        let (name, password) = attacker.login(who, "");
        let name = name.trim_end_matches('@');
        let mut expects = Expects::Refusal;
        let mut password = password;
        let username = match way {
            // At home, whichever way that is written.
            0 => {
                self.tally.other_spellings += 1;
                if mine.is_right {
                    expects = Expects::Welcome;
                }
                format!("{name}@{}", mine.text)
            }
            // Both organizations, in both orders.
            1 => format!("{name}@{}@{}", theirs.text, attacker.id),
            2 => format!("{name}@{}@{}", attacker.id, theirs.text),
            // What was a token once.
            3 if !attacker.dead_tokens.is_empty() => {
                let dead = self.random.pick(&attacker.dead_tokens);
                password.clone_from(&dead.password);
                dead.username.clone()
            }
            // What a provider of one's own vouches for.
            4 => {
                password = external_token(org, EMAILS[0], self.bench.clock.wall());
                format!("ada_example_com@{}", theirs.text)
            }
            _ => format!("{name}@{}", theirs.text),
        };
        if way > 4 && theirs.is_right && self.leak == Some(Leak::Credential) {
            password = victim.login(who, "").1;
        }
        self.tally.intrusions += u64::from(expects == Expects::Refusal);
        self.try_login(org, &username, &password, expects);
    }

    fn try_login(&mut self, org: usize, username: &str, password: &str, expects: Expects) {
        let client_id = match expects {
            Expects::Refusal => (*self.random.pick(&CLIENT_IDS)).to_owned(),
            // Sessions belong to whoever made them: a visitor has one of its own.
            Expects::Welcome => format!("visitor-{}", username.split('@').next().unwrap_or_default()),
        };
        let attempt = Attempt {
            version: *self.random.pick(&VERSIONS),
            client_id: &client_id,
            username,
            password,
            is_token: password.starts_with("tkn_"),
        };
        let client = Client::new(org, None, attempt.version, false, expects);
        let wire = self.log_in(client, &attempt);
        self.settle();
        // Welcome or not, it leaves.
        if self.clients[wire]
            .as_ref()
            .is_some_and(|client| client.slot.is_none())
        {
            self.clients[wire] = None;
            self.bench.unplug(wire);
        }
    }

    /// A request about another organization with a credential of `org`.
    pub(crate) fn trespass(&mut self, org: usize) {
        self.leak_accounts();
        let victim = self.victim(org);
        let theirs = spell(&mut self.random, &self.orgs[victim].id, &self.orgs[victim].uuid);
        let at = self.random.index(EMAILS.len());
        let (attacker, victim) = (&self.orgs[org], &self.orgs[victim]);
        let (method, path, key, body) = match self.random.below(6) {
            5 => {
                // Whatever is answered: it ends nothing there.
                let body = json!({ "token_id": victim.tokens[at].id });
                (
                    Method::POST,
                    "/v2/tokens/revoke".to_owned(),
                    Some(attacker.key.secret.clone()),
                    body,
                )
            }
            4 => {
                let external = external_token(org, EMAILS[at], self.bench.clock.wall());
                let body = json!({ "organization_id": theirs.text, "token": external });
                (Method::POST, "/v2/tokens/exchange".to_owned(), None, body)
            }
            0 | 1 => {
                let body = create(attacker, &theirs.text, at);
                (Method::POST, "/v2/tokens/create".to_owned(), None, body)
            }
            2 => {
                let (mine, their) = (&attacker.tokens[at], &victim.tokens[at]);
                let swapped = json!({ "token_id": their.id, "current_token_password": mine.password });
                (Method::POST, "/v2/tokens/refresh".to_owned(), None, swapped)
            }
            _ => {
                let key = attacker.key.secret.clone();
                let (method, path, body) = administrate(self.random.below(5), &theirs.text);
                (method, path, Some(key), body)
            }
        };
        let source = Source::Far(self.random.next());
        let mut request = post(&path, key.as_deref(), &body);
        *request.method_mut() = method;
        let answer = self.bench.request(source, request);
        self.tally.foreign_requests += 1;
        self.answered(org, &answer.body);
        if path != "/v2/tokens/revoke" && !(400..500).contains(&answer.status) {
            self.judge
                .accuse("let in", format!("{org}: {path} {body}: {answer:?}"));
        }
    }
}

fn create(attacker: &Org, named: &str, email: usize) -> Value {
    json!({
        "organization_id": named,
        "secret_key": attacker.key.secret,
        "user_email": EMAILS[email],
        "replace_existing": true,
    })
}

/// What only operators and those of the other organization may, tried with a secret key.
fn administrate(which: u64, org: &str) -> (Method, String, Value) {
    let query = format!("?organization_id={}", escaped(org));
    match which {
        0 => (Method::GET, format!("/v2/users{query}"), Value::Null),
        1 => (
            Method::DELETE,
            format!("/v2/users/{}{query}", USERS[0]),
            Value::Null,
        ),
        2 => {
            let path = format!("/v2/organizations/{}/suspend", escaped(org));
            (Method::POST, path, Value::Null)
        }
        3 => (Method::GET, "/v2/organizations".to_owned(), Value::Null),
        _ => {
            let key = json!({ "name": "mine" });
            (Method::POST, format!("/v2/keys{query}"), key)
        }
    }
}

/// Every byte of a name, as a path and a query may hold it.
fn escaped(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
