//! Users and tokens, written over the HTTP API while everything else goes on, and looked for after each start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cloudsignal_tests::http::{self, Answer};
use cloudsignal_tests::packets::connect_v5;
use cloudsignal_tests::random::Random;
use cloudsignal_tests::wire::Wire;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::fault::Kind;
use crate::ledger::Ledger;
use crate::member::{Orders, Stage};
use crate::message::{self, Name};
use crate::plan::{Plan, StreamPlan, Writer};
use crate::retained;

/// Where the API is, and the key for it.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    pub(crate) http: SocketAddr,
    pub(crate) mqtt: SocketAddr,
    pub(crate) key: String,
}

/// What was written, as far as it was answered.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    console: Option<Console>,
    users: BTreeMap<String, Standing>,
    tokens: Vec<Token>,
    made: u64,
    /// Streams that are published to over HTTP.
    streams: Vec<(usize, StreamPlan)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    There,
    Gone,
    /// The answer never came.
    Unsure,
}

#[derive(Clone, Debug)]
struct Token {
    id: String,
    username: String,
    password: String,
    standing: Standing,
}

/// Tokens that are tried after a start: the latest ones.
const TOKENS_MAX: usize = 8;
/// Pause before the next try, when there was nothing to write or nobody to write to.
const WRITE_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// Users of the harness, among others that there may be.
const PREFIX: &str = "crash-";

/// The writer: one write after the other.
#[derive(Debug)]
pub(crate) struct Directory {
    accounts: Arc<Mutex<Accounts>>,
    writer: Option<JoinHandle<()>>,
    ledger: Ledger,
}

impl Directory {
    pub(crate) fn open(plan: &Plan, ledger: &Ledger, orders: watch::Receiver<Orders>, dice: Random) -> Self {
        let streams = plan.streams.iter().enumerate();
        let own = streams.filter(|(_, stream)| stream.writer == Writer::Api);
        let accounts = Arc::new(Mutex::new(Accounts {
            streams: own.map(|(number, stream)| (number, stream.clone())).collect(),
            ..Accounts::default()
        }));
        let (shared, books) = (Arc::clone(&accounts), ledger.clone());
        let writer = thread::spawn(move || write_on(&shared, &books, &orders, dice));
        Self {
            accounts,
            writer: Some(writer),
            ledger: ledger.clone(),
        }
    }

    /// The broker is gone.
    pub(crate) fn pause(&self) {
        self.accounts().console = None;
    }

    /// The broker is back: looks for everything that was answered with success, and goes on.
    pub(crate) fn resume(&self, console: Console) {
        let mut accounts = self.accounts();
        let mut wrong = accounts.check_users(&console);
        wrong.extend(accounts.check_tokens(&console));
        accounts.console = Some(console);
        for story in wrong {
            self.ledger.with(|books| {
                let cycle = books.cycle;
                let story = || format!("{story}, after the end of cycle {cycle}");
                books.faults.add(Kind::Directory, story);
            });
        }
    }

    /// A write that is under way is waited for.
    fn accounts(&self) -> std::sync::MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Directory {
    /// The writer ends with the orders' [`Stage::End`], or with whoever gave them.
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            let _ended = writer.join();
        }
    }
}

fn write_on(accounts: &Mutex<Accounts>, ledger: &Ledger, orders: &watch::Receiver<Orders>, mut dice: Random) {
    while orders.has_changed().is_ok() && orders.borrow().stage != Stage::End {
        let written = accounts.lock().unwrap_or_else(PoisonError::into_inner).write(
            ledger,
            orders.borrow().stage,
            &mut dice,
        );
        if written == Some(()) {
            ledger.with(|books| books.tally.directory_writes += 1);
        } else {
            // sleep: the pace of a writer that has nothing to do
            thread::sleep(WRITE_AGAIN_AFTER);
        }
    }
}

impl Accounts {
    /// One write; `Some` when it was answered with success.
    fn write(&mut self, ledger: &Ledger, stage: Stage, dice: &mut Random) -> Option<()> {
        let console = self.console.clone()?;
        match dice.below(8) {
            0 => self.make_token(&console),
            1 => self.revoke_token(&console),
            2 => self.remove_user(&console, dice),
            3 => self.make_user(&console),
            _ if stage == Stage::Load => self.publish(&console, ledger, dice),
            _ => None,
        }
    }

    /// Publishes once. Without an answer nobody knows what became of it, so nobody is owed it.
    fn publish(&self, console: &Console, ledger: &Ledger, dice: &mut Random) -> Option<()> {
        let (stream, plan) = dice.pick(&self.streams);
        let number = ledger.with(|books| {
            let may = books.may_publish(*stream);
            may.then(|| books.sent(*stream, retained::Value::Number))
        })?;
        let name = Name {
            stream: *stream,
            number,
        };
        let payload = message::payload(name, 20);
        let body = json!({
            "topic": plan.topic,
            "payload": String::from_utf8_lossy(&payload),
            "qos": plan.qos.bits(),
        });
        let answered = console.answer("POST", "/v2/publish", Some(&body))?;
        ledger.with(|books| {
            if answered.status == 202 {
                books.acked(name);
            } else {
                books.refused(name);
            }
        });
        (answered.status == 202).then_some(())
    }

    fn make_user(&mut self, console: &Console) -> Option<()> {
        self.made += 1;
        let name = format!("{PREFIX}{:06}", self.made);
        self.users.insert(name.clone(), Standing::Unsure);
        let body = json!({ "username": name });
        console.ask("POST", "/v2/users", Some(&body))?;
        self.users.insert(name, Standing::There);
        Some(())
    }

    fn remove_user(&mut self, console: &Console, dice: &mut Random) -> Option<()> {
        let there: Vec<_> = self
            .users
            .iter()
            .filter(|(_, standing)| **standing == Standing::There)
            .map(|(name, _)| name.clone())
            .collect();
        if there.is_empty() {
            return self.make_user(console);
        }
        let name = dice.pick(&there);
        self.users.insert(name.clone(), Standing::Unsure);
        console.ask("DELETE", &format!("/v2/users/{name}"), None)?;
        self.users.insert(name.clone(), Standing::Gone);
        Some(())
    }

    fn make_token(&mut self, console: &Console) -> Option<()> {
        self.made += 1;
        let body = json!({ "user_id": format!("{PREFIX}{}@example.com", self.made) });
        let made = console.ask("POST", "/v2/tokens", Some(&body))?;
        let field = |name: &str| {
            made[name]
                .as_str()
                .expect("a token of POST /v2/tokens")
                .to_owned()
        };
        self.tokens.push(Token {
            id: field("token_id"),
            username: field("mqtt_username"),
            password: field("token"),
            standing: Standing::There,
        });
        let over = self.tokens.len().saturating_sub(TOKENS_MAX);
        self.tokens.drain(..over);
        Some(())
    }

    fn revoke_token(&mut self, console: &Console) -> Option<()> {
        let mut good = self.tokens.iter_mut().filter(|it| it.standing == Standing::There);
        let Some(token) = good.next_back() else {
            return self.make_token(console);
        };
        token.standing = Standing::Unsure;
        let body = json!({ "token_id": token.id });
        console.ask("POST", "/v2/tokens/revoke", Some(&body))?;
        token.standing = Standing::Gone;
        Some(())
    }

    /// Compares with the list of users; what was unsure is now known.
    fn check_users(&mut self, console: &Console) -> Vec<String> {
        let listed = console.users();
        let mut wrong = Vec::new();
        for (name, standing) in &mut self.users {
            let found = if listed.contains(name) {
                Standing::There
            } else {
                Standing::Gone
            };
            if *standing != Standing::Unsure && *standing != found {
                wrong.push(format!("user {name} should be {standing:?} and is {found:?}"));
            }
            *standing = found;
        }
        wrong
    }

    /// Logs in with each token.
    fn check_tokens(&mut self, console: &Console) -> Vec<String> {
        let mut wrong = Vec::new();
        for token in &mut self.tokens {
            let code = console.log_in(token);
            let found = if code == 0 {
                Standing::There
            } else {
                Standing::Gone
            };
            if token.standing != Standing::Unsure && token.standing != found {
                let (id, standing) = (&token.id, token.standing);
                wrong.push(format!("token {id} should be {standing:?} and gets {code:#04x}"));
            }
            token.standing = found;
        }
        wrong
    }
}

impl Console {
    /// The answer's body, if it came and says success.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Value> {
        let answer = self.answer(method, path, body)?;
        let is_success = (200..300).contains(&answer.status);
        is_success.then(|| serde_json::from_str(&answer.body).unwrap_or(Value::Null))
    }

    /// Whatever was answered; `None` when nothing was.
    fn answer(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        http::ask(self.http, method, path, Some(&self.key), body).ok()
    }

    fn users(&self) -> Vec<String> {
        let mut users = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/v2/users?limit=1000&prefix={PREFIX}{after}");
            let answer = http::ask(self.http, "GET", &path, Some(&self.key), None);
            let page = answer.expect("the API answers after a start");
            assert_eq!(page.status, 200, "{page:?}");
            let page = Answer::json(&page);
            let names = page["users"].as_array().expect("a list of users").iter();
            users.extend(names.map(|user| user["name"].as_str().expect("a user has a name").to_owned()));
            match page["next"].as_str() {
                None => return users,
                Some(next) => after = format!("&after={next}"),
            }
        }
    }

    /// The code of CONNACK.
    fn log_in(&self, token: &Token) -> u8 {
        let mut wire = Wire::connect(self.mqtt);
        // A client id of its own: one that is known belongs to whoever had it first.
        let client_id = format!("{PREFIX}{}", token.id);
        let login = (token.username.as_str(), token.password.as_str());
        wire.send(&connect_v5(&client_id, Some(login)));
        let answer = wire.packet();
        assert_eq!(answer[0], 0x20, "CONNACK, not {answer:?}");
        answer[3]
    }
}
