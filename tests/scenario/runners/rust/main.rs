//! The scenario's commands, carried out by our Rust SDK: see `../../README.md`.
#![expect(clippy::print_stdout, reason = "a runner prints what happens")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloudsignal::{
    AskToken, Client, Continuity, Event, Events, Outcome, Qos, Reconnect, State, Ticket, Token, TokenError,
    TokenReason,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tokio::sync::{Mutex, Notify, mpsc};

/// How many tokens, and outcomes, wait to be told.
const WAITING_MAX: usize = 1_024;

struct Runner {
    client: Client,
    outcomes: mpsc::Sender<(String, Ticket)>,
    subscriptions: BTreeMap<String, Arc<Notify>>,
}

fn tell(event: &Value) {
    println!("{event}");
}

fn text<'a>(command: &'a Value, name: &str) -> &'a str {
    command[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {command}"))
}

fn qos(command: &Value) -> Qos {
    let number = command["qos"]
        .as_u64()
        .and_then(|number| u8::try_from(number).ok());
    number
        .and_then(Qos::from_bits)
        .unwrap_or_else(|| panic!("no qos in {command}"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (tokens, answers) = mpsc::channel(WAITING_MAX);
    let answers = Arc::new(Mutex::new(answers));
    let mut runner = None;
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await.expect("stdin can be read") {
        let command: Value = serde_json::from_str(&line).expect("a command is JSON");
        match (text(&command, "do"), runner.as_mut()) {
            ("open", _) => runner = Some(open(&command, Arc::clone(&answers)).await),
            ("token", _) => tokens.send(command).await.expect("somebody asks for tokens"),
            ("close", Some(Runner { client, .. })) => {
                client.close().await;
                tell(&json!({ "event": "closed" }));
                return;
            }
            (_, Some(runner)) => runner.obey(&command).await,
            (_, None) => panic!("{command} before a client was opened"),
        }
    }
}

async fn open(command: &Value, answers: Arc<Mutex<mpsc::Receiver<Value>>>) -> Runner {
    let will = &command["will"];
    let provider = move |ask: AskToken| {
        let answers = Arc::clone(&answers);
        async move {
            let reason = match ask.reason {
                TokenReason::Initial => "initial",
                TokenReason::Expiring => "expiring",
                TokenReason::Rejected => "rejected",
            };
            tell(&json!({ "event": "token_wanted", "reason": reason }));
            let answer = answers.lock().await.recv().await.ok_or(TokenError::Failed)?;
            let lifetime = answer["lifetime_ms"].as_u64().expect("a token has a lifetime");
            Ok(Token::new(text(&answer, "password")).lifetime(Duration::from_millis(lifetime)))
        }
    };
    let pause = Duration::from_millis(100);
    let client = Client::builder(text(command, "url"))
        .ca_file(text(command, "ca_file"))
        .client_id(text(command, "client_id"))
        .will(
            text(will, "topic"),
            text(will, "payload"),
            qos(will),
            Duration::ZERO,
        )
        .reconnect(Reconnect {
            first: pause,
            most: pause,
            ..Reconnect::default()
        })
        .token_provider(provider)
        .start()
        .await
        .expect("the command makes sense");
    let (outcomes, told) = mpsc::channel(WAITING_MAX);
    tokio::spawn(tell_sessions(client.events()));
    tokio::spawn(tell_suspended(client.clone()));
    tokio::spawn(tell_outcomes(told));
    Runner {
        client,
        outcomes,
        subscriptions: BTreeMap::new(),
    }
}

async fn tell_sessions(mut events: Events) {
    while let Some(event) = events.recv().await {
        if let Event::Connected { continuity } = event {
            let continuity = match continuity {
                Continuity::New => "new",
                Continuity::Resumed => "resumed",
                Continuity::Adopted => "adopted",
                Continuity::Lost => "lost",
            };
            tell(&json!({ "event": "session", "continuity": continuity }));
        }
    }
}

async fn tell_suspended(client: Client) {
    let mut states = client.states();
    drop(client);
    while states.changed().await.is_ok() {
        if *states.borrow_and_update() == State::Suspended {
            tell(&json!({ "event": "suspended" }));
        }
    }
}

async fn tell_outcomes(mut tickets: mpsc::Receiver<(String, Ticket)>) {
    while let Some((payload, ticket)) = tickets.recv().await {
        let outcome = match ticket.await {
            Ok(Outcome::Sent) => "sent",
            Ok(Outcome::Acknowledged(_)) => "acknowledged",
            other => panic!("{payload}: {other:?}"),
        };
        tell(&json!({ "event": "published", "payload": payload, "outcome": outcome }));
    }
}

impl Runner {
    async fn obey(&mut self, command: &Value) {
        match text(command, "do") {
            "subscribe" => self.subscribe(command).await,
            "unsubscribe" => {
                let leaving = self.subscriptions.remove(text(command, "filter"));
                leaving.expect("it is subscribed").notify_one();
            }
            "publish" => self.publish(command).await,
            "suspend" => self.client.suspend().await,
            "resume" => self.client.resume().await,
            _ => panic!("nobody knows {command}"),
        }
    }

    async fn subscribe(&mut self, command: &Value) {
        let filter = text(command, "filter").to_owned();
        let subscribing = self.client.subscribe(filter.as_str()).qos(qos(command));
        let mut subscription = subscribing.begin().await.expect("it is a filter");
        let leave = Arc::new(Notify::new());
        self.subscriptions.insert(filter.clone(), Arc::clone(&leave));
        let (grant, granted) = (subscription.grant(), filter.clone());
        tokio::spawn(async move {
            let qos = grant.await.expect("it is granted").bits();
            tell(&json!({ "event": "subscribed", "filter": granted, "qos": qos }));
        });
        tokio::spawn(async move {
            loop {
                let message = tokio::select! {
                    () = leave.notified() => break,
                    message = subscription.recv() => message,
                };
                let Some(message) = message else { return };
                tell(&json!({
                    "event": "message",
                    "topic": message.topic(),
                    "payload": message.text().expect("payloads are text"),
                    "qos": message.qos().bits(),
                    "retained": message.is_retained(),
                }));
            }
            subscription.unsubscribe().await;
            tell(&json!({ "event": "unsubscribed", "filter": filter }));
        });
    }

    async fn publish(&self, command: &Value) {
        let count = command["count"].as_u64();
        for number in 0..count.unwrap_or(1) {
            let mut payload = text(command, "payload").to_owned();
            if count.is_some() {
                payload += &format!("-{number}");
            }
            let publish = self.client.publish(text(command, "topic"), payload.as_str());
            let mut publish = publish.qos(qos(command));
            if command["retain"] == true {
                publish = publish.retain();
            }
            let ticket = publish.send().await.expect("it can be published");
            let told = self.outcomes.send((payload, ticket)).await;
            told.expect("outcomes are told");
        }
    }
}
