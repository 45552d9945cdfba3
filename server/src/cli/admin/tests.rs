//! The management commands from the typed words to the request on the wire, and from the answer to the text.

use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use clap::Parser as _;
use serde_json::{Value, json};

use super::access::AdminAccess;
use super::request::carry_out;
use super::{Order, show};
use crate::accounts::{Command, Outcome, Secret};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{Cli, Command as Typed};

/// What the words stand for, in the organization `org_x` unless they name one.
fn order(words: &[&str]) -> Result<Value, Failure> {
    let cli =
        Cli::try_parse_from([&["cloudsignal"], words].concat()).unwrap_or_else(|error| panic!("{error}"));
    let order = match cli.command {
        Typed::Org(args) => args.action.order()?,
        Typed::User(args) => args.action.order(args.org)?,
        Typed::Key(args) => args.action.order(args.org)?,
        Typed::Token(args) => args.action.order(args.org)?,
        Typed::Acl(args) => args.action.order(args.org)?,
        Typed::Session(_)
        | Typed::Audit(_)
        | Typed::Login(_)
        | Typed::Logout(_)
        | Typed::Whoami(_)
        | Typed::Serve(_)
        | Typed::Pub(_)
        | Typed::Sub(_)
        | Typed::Quota(_)
        | Typed::Usage(_)
        | Typed::Config
        | Typed::Completions { .. } => {
            panic!("{words:?} manages nothing")
        }
    };
    let command = match order {
        Order::Global(command) => command,
        Order::InOrg(choice, command) => command(choice.org.unwrap_or_else(|| "org_x".to_owned())),
    };
    Ok(serde_json::to_value(command).unwrap())
}

#[test]
fn the_words_become_commands() {
    let check = |words: &[&str], command: Value| {
        let mut made = order(words).unwrap();
        // Options that were not given travel as null or not at all; both mean the same.
        made.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        assert_eq!(made, command, "{words:?}");
    };
    let created = json!({"command": "org_create", "name": "Acme", "preset": "own-topics"});
    check(&["org", "create", "Acme", "--preset", "own-topics"], created);
    check(&["org", "list", "--json"], json!({"command": "org_list"}));
    check(
        &["org", "delete", "org_y", "--yes"],
        json!({"command": "org_delete", "org": "org_y"}),
    );
    check(
        &["user", "create", "ada"],
        json!({"command": "user_create", "org": "org_x", "name": "ada"}),
    );
    let elsewhere = json!({"command": "user_delete", "org": "org_y", "name": "ada"});
    check(&["user", "delete", "ada", "--org", "org_y"], elsewhere);
    check(
        &["user", "list", "--after", "b"],
        json!({"command": "user_list", "org": "org_x", "after": "b"}),
    );
    let revoked = json!({"command": "key_revoke", "org": "org_x", "key_id": "key_1"});
    check(&["key", "revoke", "key_1"], revoked);
    let token = json!({
        "command": "token_create", "org": "org_x", "email": "a@b.c", "ttl_secs": 300, "replace_existing": true,
    });
    check(&["token", "create", "a@b.c", "--ttl", "300", "--replace"], token);
    check(&["acl", "get"], json!({"command": "acl_get", "org": "org_x"}));
    let preset = json!({"command": "acl_set", "org": "org_x", "preset": "blank"});
    for update in ["update", "push", "set"] {
        check(&["acl", update, "--preset", "blank"], preset.clone());
    }
    let asked = json!({
        "username": "ada", "client_id": "", "claims": {"team": "red=1"}, "topic": "a", "action": "publish", "qos": 1,
        "retain": false,
    });
    let asked = json!({"command": "acl_simulate", "org": "org_x", "question": asked});
    let words = [
        "acl",
        "simulate",
        "-u",
        "ada",
        "-a",
        "pub",
        "-t",
        "a",
        "--claim",
        "team=red=1",
        "--qos",
        "1",
    ];
    check(&words, asked);
}

#[test]
fn passwords_and_rules_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let password = file("password", "correct horse\n");
    let created = order(&["user", "create", "ada", "--password-file", &password]).unwrap();
    assert_eq!(created["password"], "correct horse");
    let rules = file("rules.json", r#"{"version": "2.1"}"#);
    let set = order(&["acl", "set", &rules]).unwrap();
    assert_eq!(set["document"], json!({"version": "2.1"}));
    let broken = file("broken.json", "{");
    let failure = order(&["acl", "set", &broken]).unwrap_err();
    assert!(failure.to_string().contains("is not JSON"), "{failure}");
}

#[test]
fn validation_ends_with_0_for_warnings_and_with_1_for_errors() {
    let folder = tempfile::tempdir().unwrap();
    let validated = |text: &str| {
        let path = folder.path().join("rules");
        std::fs::write(&path, text).unwrap();
        let words = [
            "cloudsignal",
            "acl",
            "validate",
            "--local-only",
            path.to_str().unwrap(),
        ];
        crate::cli::run(Cli::try_parse_from(words).unwrap())
    };
    assert_eq!(validated("topic read public/#"), Exit::Done);
    let warned = r#"{"version": "2.1", "rules": [{"topic": "rooms/{channel}", "action": "pub"}]}"#;
    assert_eq!(validated(warned), Exit::Done);
    for broken in ["{", r#"{"version": "2.1", "rules": [{}]}"#, "allow everything"] {
        assert_eq!(validated(broken), Exit::Failed, "{broken}");
    }
    let words = ["cloudsignal", "acl", "validate", "--local-only", "no such file"];
    assert_eq!(crate::cli::run(Cli::try_parse_from(words).unwrap()), Exit::Failed);
}

#[test]
fn removing_an_organization_needs_a_yes() {
    let failure = order(&["org", "delete", "org_y"]).unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage);
}

#[test]
fn answers_are_shown_for_people() {
    let outcome = |json: Value| show::outcome(&serde_json::from_value::<Outcome>(json).unwrap());
    let user = json!({
        "name": "ada", "username": "ada@org_x", "enabled": true,
        "created_at": "2026-11-01T00:00:00Z", "password_set_at": "2026-11-02T00:00:00Z",
    });
    let made = outcome(json!({"result": "user", "user": user, "password": "p4ss"}));
    assert_eq!(
        made,
        "username  ada@org_x\npassword  p4ss\nKeep the secret now: it is not shown again.\n"
    );
    let listed = outcome(json!({"result": "users", "users": [user], "next": "ada"}));
    let mut lines = listed.lines();
    assert_eq!(lines.next(), Some("NAME  USERNAME   PASSWORD SINCE"));
    assert!(lines.next().unwrap().starts_with("ada   ada@org_x  2026-11-02"));
    assert_eq!(lines.next(), Some("There are more: add --after ada"));
    let report = json!({
        "result": "acl_report", "valid": true, "errors": [], "rules": 3, "global": 1, "publishers": 0,
        "warnings": [{"path": "rules[1]", "problem": "channel binding without require_grant", "advice": "it is open"}],
    });
    assert_eq!(
        outcome(report),
        "✓ Policy is valid (3 rules, 1 global rule, 0 publishers)\n  \
         warning: rules[1] - channel binding without require_grant (it is open)\n"
    );
}

/// A broker's administration that gives one answer to whoever has the token.
async fn administration(data_dir: &Path, status: StatusCode, answer: &'static str) {
    let respond = move |headers: HeaderMap, body: String| async move {
        let allowed = headers
            .get("authorization")
            .is_some_and(|value| value == "Bearer adm_x");
        let understood = serde_json::from_str::<Command>(&body).is_ok();
        if allowed && understood {
            (status, answer)
        } else {
            (StatusCode::UNAUTHORIZED, "{}")
        }
    };
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v2/admin/command", post(respond));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let access = AdminAccess {
        url,
        token: Secret::new("adm_x".to_owned()),
        ca_file: None,
        pid: 1,
    };
    access.write(data_dir).unwrap();
}

fn list() -> Command {
    Command::KeyList {
        org: "org_x".to_owned(),
        page: crate::accounts::command::PageRequest::default(),
    }
}

#[tokio::test]
async fn a_command_reaches_the_broker_and_its_answer_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    administration(folder.path(), StatusCode::OK, r#"{"result": "keys", "keys": []}"#).await;
    let outcome = carry_out(folder.path(), &list()).await.unwrap();
    assert!(matches!(outcome, Outcome::Keys { keys, .. } if keys.is_empty()));
}

#[tokio::test]
async fn a_refusal_says_why() {
    let cases = [
        (
            StatusCode::NOT_FOUND,
            r#"{"error": "not_found", "what": "organization"}"#,
            "no such organization",
        ),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            r#"{"error": "policy", "faults": [{"path": "rules[3].topic", "problem": "is empty", "advice": "write one"}]}"#,
            "rules[3].topic: is empty; write one",
        ),
        (StatusCode::BAD_GATEWAY, "<html>", "502"),
        (
            StatusCode::BAD_REQUEST,
            r#"{"error": "x", "message": "the reason"}"#,
            "the reason",
        ),
        (StatusCode::OK, "{}", "of another version"),
    ];
    for (status, answer, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        administration(folder.path(), status, answer).await;
        let failure = carry_out(folder.path(), &list()).await.unwrap_err();
        assert!(failure.to_string().contains(expected), "{failure}");
        assert_eq!(failure.exit(), Exit::Failed);
    }
}

#[tokio::test]
async fn without_a_broker_the_error_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let failure = carry_out(folder.path(), &list()).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Unreachable);
    assert!(failure.to_string().contains("cloudsignal serve"), "{failure}");

    // A broker that was killed leaves its file behind.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let access = AdminAccess {
        url: format!("http://{}", listener.local_addr().unwrap()),
        token: Secret::new("adm_x".to_owned()),
        ca_file: None,
        pid: 4711,
    };
    drop(listener);
    access.write(folder.path()).unwrap();
    let failure = carry_out(folder.path(), &list()).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Unreachable);
    assert!(failure.to_string().contains("4711"), "{failure}");
}
