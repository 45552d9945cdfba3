//! `cloudsignal session`: who is connected, who was, and sending clients away.

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::request::{Call, call_at, way};
use super::table::{columns, pairs};
use super::uri::{asking, named};
use super::{AdminArgs, OrgChoice, org_of};
use crate::cli::exit::Failure;
use crate::cli::output::Output;

/// What was typed after `cloudsignal session`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SessionArgs {
    /// What to do
    #[command(subcommand)]
    pub action: SessionAction,

    /// The organization
    #[command(flatten)]
    pub org: OrgChoice,

    /// The broker
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What can be done with sessions.
#[derive(Clone, Debug, Subcommand)]
pub enum SessionAction {
    /// List sessions, connected or not
    List(ListArgs),
    /// Show a session with its subscriptions and its queue
    Show {
        /// The client's id
        client_id: String,
    },
    /// Close connections; clients are told 0x98, administrative action
    Disconnect(DisconnectArgs),
    /// List connections that have ended, the latest first
    History(HistoryArgs),
}

/// Which sessions are listed.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Only with this in the client id or in the user name
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,

    /// Only of this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// Only those that are connected, or only those that are not
    #[arg(long, value_name = "STATE")]
    state: Option<State>,

    /// Which part
    #[command(flatten)]
    page: Page,
}

/// Whether a session has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    /// It has one.
    Connected,
    /// It has none.
    Away,
}

/// Whom to send away.
#[derive(Args, Clone, Debug)]
#[group(required = true)]
pub struct DisconnectArgs {
    /// These clients
    #[arg(value_name = "CLIENT_ID", conflicts_with_all = ["user", "search", "all"])]
    client_ids: Vec<String>,

    /// All clients of this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// All clients with this in the client id or in the user name
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,

    /// All clients
    #[arg(long, conflicts_with_all = ["user", "search"])]
    all: bool,

    /// End the sessions too: subscriptions and waiting messages are gone
    #[arg(long)]
    forget: bool,
}

/// Which ended connections are listed.
#[derive(Args, Clone, Debug)]
pub struct HistoryArgs {
    /// Only of this client
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,

    /// Only of this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// Only those that ended so: `takeover`, `keep_alive_timeout`, ...
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,

    /// Only those that ended for a reason of this class
    #[arg(long, value_name = "CLASS", value_parser = ["normal", "errors", "timeouts"])]
    class: Option<String>,

    /// Only those that ended then or later: 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Only those that ended before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// Which part
    #[command(flatten)]
    page: Page,
}

/// Which part of a list.
#[derive(Args, Clone, Debug)]
pub(super) struct Page {
    /// At most so many lines
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,

    /// Begin after this: what the part before has ended with
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  cloudsignal session list --state connected
  cloudsignal session list --search sensor- --json
  cloudsignal session show sensor-7
  cloudsignal session disconnect sensor-7
  cloudsignal session disconnect --user alice --forget
  cloudsignal session history --class errors --since 2026-01-31T00:00:00Z";

/// Asks the broker, and prints the answer.
pub(in crate::cli) async fn run(args: SessionArgs) -> Result<(), Failure> {
    let SessionArgs { action, org, admin } = args;
    let way = way(&admin)?;
    let org = org_of(&way, &org).await?;
    let call = Call {
        org: Some(org),
        ..action.call()
    };
    let answer: Value = call_at(&way.access(), &call).await?;
    let mut output = Output::stdout();
    if admin.json {
        let json = serde_json::to_vec_pretty(&answer).context("the answer does not fit into JSON")?;
        output.line(&json)?;
    } else {
        output.write(action.show(&answer).as_bytes())?;
    }
    output.flush()
}

impl SessionAction {
    fn call(&self) -> Call {
        match self {
            Self::List(args) => Call::get(asking(
                "/v2/sessions",
                &[
                    ("search", args.search.as_deref()),
                    ("username", args.user.as_deref()),
                    (
                        "connected",
                        args.state.map(|state| match state {
                            State::Connected => "true",
                            State::Away => "false",
                        }),
                    ),
                    ("limit", Some(&args.page.limit.to_string())),
                    ("after", args.page.after.as_deref()),
                ],
            )),
            Self::Show { client_id } => Call::get(named("/v2/sessions", client_id)),
            Self::Disconnect(args) => Call::post("/v2/sessions/disconnect", args.body()),
            Self::History(args) => Call::get(asking(
                "/v2/session-history",
                &[
                    ("client_id", args.client.as_deref()),
                    ("username", args.user.as_deref()),
                    ("reason", args.reason.as_deref()),
                    ("class", args.class.as_deref()),
                    ("since", args.since.as_deref()),
                    ("until", args.until.as_deref()),
                    ("limit", Some(&args.page.limit.to_string())),
                    ("after", args.page.after.as_deref()),
                ],
            )),
        }
    }

    fn show(&self, answer: &Value) -> String {
        match self {
            Self::List(_) => list(answer) + &more(answer),
            Self::Show { .. } => session(answer),
            Self::Disconnect(_) => disconnected(answer),
            Self::History(_) => history(answer) + &more(answer),
        }
    }
}

impl DisconnectArgs {
    fn body(&self) -> Value {
        let listed = (!self.client_ids.is_empty()).then_some(&self.client_ids);
        json!({
            "client_ids": listed,
            "username": self.user,
            "search": self.search,
            "all": self.all,
            "forget": self.forget,
        })
    }
}

/// A field as people read it.
fn field(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value[name].to_string(),
    }
}

fn rows(answer: &Value, list: &str, row: impl Fn(&Value) -> Vec<String>) -> Vec<Vec<String>> {
    answer[list].as_array().into_iter().flatten().map(row).collect()
}

fn state(session: &Value) -> &'static str {
    if session["connected"] == true {
        "connected"
    } else {
        "away"
    }
}

fn list(answer: &Value) -> String {
    let headline = [
        "client id",
        "user",
        "state",
        "since",
        "from",
        "mqtt",
        "subscriptions",
        "queue",
    ];
    let rows = rows(answer, "sessions", |session| {
        let connection = &session["connection"];
        vec![
            field(session, "client_id"),
            field(session, "username"),
            state(session).to_owned(),
            field(connection, "connected_at"),
            field(connection, "ip"),
            field(connection, "protocol"),
            field(session, "subscription_count"),
            field(session, "queue_messages"),
        ]
    });
    columns(&headline, &rows)
}

fn session(session: &Value) -> String {
    let connection = &session["connection"];
    let mut shown = vec![
        ("client id", field(session, "client_id")),
        ("user", field(session, "username")),
        ("state", state(session).to_owned()),
        ("expiry", format!("{} s", field(session, "expiry_secs"))),
        (
            "queue",
            format!(
                "{} messages, {} bytes",
                field(session, "queue_messages"),
                field(session, "queue_bytes")
            ),
        ),
        ("in flight", field(session, "in_flight")),
    ];
    if connection.is_object() {
        let from = format!("{} port {}", field(connection, "ip"), field(connection, "port"));
        let way = format!(
            "MQTT {} over {}",
            field(connection, "protocol"),
            field(connection, "transport")
        );
        let traffic = |way: &str| {
            let (messages, bytes) = (format!("messages_{way}"), format!("bytes_{way}"));
            format!(
                "{} messages, {} bytes",
                field(connection, &messages),
                field(connection, &bytes)
            )
        };
        shown.extend([
            ("connected", field(connection, "connected_at")),
            ("from", from),
            ("speaks", way),
            (
                "keep alive",
                format!("{} s", field(connection, "keep_alive_secs")),
            ),
            ("sent", traffic("in")),
            ("received", traffic("out")),
        ]);
    }
    let subscriptions = rows(session, "subscriptions", |it| {
        vec![field(it, "filter"), field(it, "qos")]
    });
    pairs(&shown) + "\n" + &columns(&["subscription", "qos"], &subscriptions)
}

fn disconnected(answer: &Value) -> String {
    let mut text = format!(
        "{} connections closed, {} sessions ended\n",
        field(answer, "disconnected"),
        field(answer, "forgotten")
    );
    for client_id in answer["not_found"].as_array().into_iter().flatten() {
        text += &format!("no session: {}\n", client_id.as_str().unwrap_or_default());
    }
    if answer["next"].is_string() {
        text += "there may be more: say it again\n";
    }
    text
}

fn history(answer: &Value) -> String {
    let headline = [
        "ended",
        "client id",
        "user",
        "reason",
        "lasted",
        "from",
        "in",
        "out",
    ];
    let rows = rows(answer, "connections", |ended| {
        vec![
            field(ended, "disconnected_at"),
            field(ended, "client_id"),
            field(ended, "username"),
            field(ended, "reason"),
            format!("{} s", field(ended, "duration_secs")),
            field(ended, "address"),
            field(ended, "messages_in"),
            field(ended, "messages_out"),
        ]
    });
    columns(&headline, &rows)
}

fn more(answer: &Value) -> String {
    answer["next"]
        .as_str()
        .map_or_else(String::new, |next| format!("more: --after {next}\n"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn call(words: &[&str]) -> Call {
        let words = [&["cloudsignal", "session"], words].concat();
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        let Command::Session(args) = cli.command else {
            panic!("{words:?}", words = cli.command)
        };
        args.action.call()
    }

    #[test]
    fn words_become_requests() {
        for (words, path) in [
            (&["list"][..], "/v2/sessions?limit=100"),
            (
                &[
                    "list", "--search", "a b", "--state", "away", "--limit", "7", "--after", "9",
                ],
                "/v2/sessions?search=a%20b&connected=false&limit=7&after=9",
            ),
            (&["show", "a/b?é"], "/v2/sessions/a%2Fb%3F%C3%A9"),
            (
                &["history", "--class", "errors", "--client", "c"],
                "/v2/session-history?client_id=c&class=errors&limit=100",
            ),
        ] {
            assert_eq!(call(words).path, path, "{words:?}");
        }
        let listed = call(&["disconnect", "a", "b", "--forget"]).body.unwrap();
        assert_eq!(
            (&listed["client_ids"], &listed["forget"]),
            (&json!(["a", "b"]), &json!(true))
        );
        let all = call(&["disconnect", "--all"]).body.unwrap();
        assert_eq!((&all["client_ids"], &all["all"]), (&json!(null), &json!(true)));
    }

    #[test]
    fn whom_to_disconnect_must_be_said_once() {
        for words in [
            &["disconnect"][..],
            &["disconnect", "a", "--all"],
            &["disconnect", "--all", "--user", "ada"],
        ] {
            let words = [&["cloudsignal", "session"], words].concat();
            assert!(Cli::try_parse_from(&words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn answers_become_lines() {
        let answer = json!({ "sessions": [
            { "client_id": "a", "username": "ada", "connected": true, "subscription_count": 2, "queue_messages": 0,
              "connection": { "connected_at": "2026-01-01T00:00:00Z", "ip": "192.0.2.1", "protocol": "5.0" } },
            { "client_id": "b", "username": "bo", "connected": false, "subscription_count": 0, "queue_messages": 3,
              "connection": null },
        ], "next": "17" });
        let text = list(&answer) + &more(&answer);
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[1].starts_with("a          ada   connected  2026-01-01T00:00:00Z  192.0.2.1  5.0"),
            "{text}"
        );
        assert!(lines[2].starts_with("b          bo    away       -"), "{text}");
        assert_eq!(lines[3], "more: --after 17");
    }
}
