//! The management commands from the typed words to the request on the wire, and from the answer to the text.

use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use clap::Parser as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::access::AdminAccess;
use super::{AdminArgs, Order, ProfileArgs, show};
use crate::accounts::{Outcome, Secret};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{Cli, Command as Typed};

/// What the words stand for.
fn order(words: &[&str]) -> Result<Order, Failure> {
    let cli =
        Cli::try_parse_from([&["cloudsignal"], words].concat()).unwrap_or_else(|error| panic!("{error}"));
    match cli.command {
        Typed::Org(args) => args.action.order(),
        Typed::User(args) => args.action.order(args.org),
        Typed::Member(args) => args.action.order(args.org),
        Typed::Key(args) => args.action.order(args.org),
        Typed::Token(args) => args.action.order(args.org),
        Typed::Provider(args) => args.action.order(args.org),
        Typed::Acl(args) => args.action.order(args.org),
        Typed::Session(_)
        | Typed::Audit(_)
        | Typed::Login(_)
        | Typed::Logout(_)
        | Typed::Whoami(_)
        | Typed::Serve(_)
        | Typed::Pub(_)
        | Typed::Sub(_)
        | Typed::Bench(_)
        | Typed::Quota(_)
        | Typed::Usage(_)
        | Typed::Store(_)
        | Typed::Backup(_)
        | Typed::Restore(_)
        | Typed::Config
        | Typed::Completions { .. } => {
            panic!("{words:?} manages nothing")
        }
    }
}

fn body(words: &[&str]) -> Value {
    order(words).unwrap().call.body.unwrap()
}

const REQUESTS: &[(&[&str], &str)] = &[
    (&["org", "list", "--json"], "GET /v2/organizations?limit=1000"),
    (
        &["org", "delete", "org_y", "--yes"],
        "DELETE /v2/organizations/org_y",
    ),
    (
        &["org", "suspend", "org_y"],
        "POST /v2/organizations/org_y/suspend",
    ),
    (
        &["user", "delete", "a/b", "--org", "org_y"],
        "DELETE /v2/users/a%2Fb",
    ),
    (
        &["user", "list", "--after", "b"],
        "GET /v2/users?limit=1000&after=b",
    ),
    (
        &["user", "disable", "ada"],
        "PATCH /v2/users/ada {\"enabled\":false}",
    ),
    (&["key", "revoke", "key_1"], "DELETE /v2/keys/key_1"),
    (
        &["key", "rotate", "key_1"],
        "POST /v2/keys/key_1/rotate {\"grace_secs\":0}",
    ),
    (&["token", "list"], "GET /v2/tokens?limit=1000"),
    (
        &["token", "revoke", "--user", "a@b.c"],
        "POST /v2/tokens/revoke {\"user_email\":\"a@b.c\"}",
    ),
    (&["member", "list"], "GET /v2/members?limit=1000"),
    (
        &["member", "role", "bob@example.com", "viewer"],
        "PATCH /v2/members/bob%40example.com {\"role\":\"viewer\"}",
    ),
    (
        &["member", "remove", "bob@example.com"],
        "DELETE /v2/members/bob%40example.com",
    ),
    (&["provider", "list"], "GET /v2/providers"),
    (&["provider", "get", "web"], "GET /v2/providers/web"),
    (&["provider", "enable", "web"], "POST /v2/providers/web/enable {}"),
    (
        &["provider", "disable", "web", "--end-connections"],
        "POST /v2/providers/web/disable {\"end_connections\":true}",
    ),
    (&["provider", "delete", "web"], "DELETE /v2/providers/web"),
    (&["acl", "get"], "GET /v2/acl"),
    (
        &["acl", "update", "--preset", "blank"],
        "PUT /v2/acl {\"preset\":\"blank\"}",
    ),
    (
        &["acl", "push", "--preset", "blank"],
        "PUT /v2/acl {\"preset\":\"blank\"}",
    ),
    (
        &["acl", "set", "--preset", "blank"],
        "PUT /v2/acl {\"preset\":\"blank\"}",
    ),
];

#[test]
fn the_words_become_requests() {
    for (words, expected) in REQUESTS {
        let call = order(words).unwrap().call;
        let body = call.body.map_or_else(String::new, |body| format!(" {body}"));
        assert_eq!(
            format!("{} {}{body}", call.method, call.path),
            *expected,
            "{words:?}"
        );
    }
}

#[test]
fn what_is_asked_for_is_in_the_body() {
    let preset = json!({ "name": "Acme", "preset": "own-topics" });
    assert_eq!(body(&["org", "create", "Acme", "--preset", "own-topics"]), preset);
    assert_eq!(
        body(&["user", "create", "ada"]),
        json!({ "username": "ada", "password": null })
    );
    assert_eq!(
        body(&["token", "create", "a@b.c", "--ttl", "300", "--replace"]),
        json!({ "user_email": "a@b.c", "ttl": 300, "replace_existing": true })
    );
    assert_eq!(
        body(&["key", "create", "k", "--scope", "users:read", "--expires", "60"]),
        json!({ "name": "k", "kind": "restricted", "scopes": ["users:read"], "expires_in_secs": 60 })
    );
    for add in ["add", "invite"] {
        let expected = json!({ "email": "bob@example.com", "role": "admin", "password": null });
        assert_eq!(
            body(&["member", add, "bob@example.com", "--role", "admin"]),
            expected
        );
    }
    let asked = json!({
        "username": "ada", "client_id": "", "claims": {"team": "red=1"}, "topic": "a", "action": "publish", "qos": 1,
        "retain": false,
    });
    let words = "acl simulate -u ada -a pub -t a --claim team=red=1 --qos 1";
    let mut made = body(&words.split(' ').collect::<Vec<_>>());
    made.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(made, asked);
    let update = order(&["acl", "update", "--preset", "blank", "--if-match", "e1"]).unwrap();
    assert_eq!(update.call.if_match.as_deref(), Some("\"e1\""));
}

#[test]
fn a_password_that_is_made_here_is_shown() {
    let made = order(&["user", "password", "ada"]).unwrap();
    let password = made.call.body.clone().unwrap()["password"].clone();
    assert!(password.as_str().unwrap().len() >= 16);
    let user = json!({
        "name": "ada", "username": "ada@org_x", "enabled": true,
        "created_at": "2026-11-01T00:00:00Z", "password_set_at": "2026-11-02T00:00:00Z",
    });
    let Outcome::User {
        password: Some(shown),
        ..
    } = made.outcome(user).unwrap()
    else {
        panic!()
    };
    assert_eq!(json!(shown), password);
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
    let created = body(&["user", "create", "ada", "--password-file", &password]);
    assert_eq!(created["password"], "correct horse");
    let rules = file("rules.json", r#"{"version": "2.1"}"#);
    assert_eq!(body(&["acl", "set", &rules]), json!({"version": "2.1"}));
    let added = order(&["provider", "create", &rules]).unwrap().call;
    assert_eq!(
        (added.path.as_str(), added.body),
        ("/v2/providers", Some(json!({"version": "2.1"})))
    );
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

/// A broker that gives one answer to whoever has the token, and names the organization.
async fn administration(data_dir: &Path, status: StatusCode, answer: &'static str) {
    let respond = move |headers: HeaderMap| async move {
        let is = |name: &str, value: &str| headers.get(name).is_some_and(|shown| shown == value);
        if is("authorization", "Bearer adm_x") && is("x-organization-id", "org_x") {
            (status, answer)
        } else {
            (StatusCode::UNAUTHORIZED, "{}")
        }
    };
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v2/keys", get(respond));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let access = AdminAccess {
        url,
        token: Secret::new("adm_x".to_owned()),
        ca_file: None,
        pid: 1,
    };
    access.write(data_dir).unwrap();
}

/// A data folder, and a folder of profiles: whoever runs the tests may be logged in somewhere.
struct Home {
    data: TempDir,
    profiles: TempDir,
}

impl Home {
    fn new() -> Self {
        let [data, profiles] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        Self { data, profiles }
    }

    fn args(&self, profile: Option<&str>) -> AdminArgs {
        AdminArgs {
            data_dir: self.data.path().to_owned(),
            profile: ProfileArgs {
                profile: profile.map(str::to_owned),
                profile_dir: Some(self.profiles.path().to_owned()),
            },
            json: false,
        }
    }

    async fn list(&self, profile: Option<&str>) -> Result<Outcome, Failure> {
        let list = order(&["key", "list", "--org", "org_x"]).unwrap();
        list.carry_out(&self.args(profile)).await
    }

    fn profile(&self, name: &str, url: &str) {
        let profile = json!({
            "url": url, "api_key": "rk_x", "expires_at": null, "organization_id": "org_x", "email": "ada@example.com",
        });
        std::fs::write(
            self.profiles.path().join(format!("{name}.json")),
            profile.to_string(),
        )
        .unwrap();
    }
}

#[tokio::test]
async fn a_command_reaches_the_broker_and_its_answer_comes_back() {
    let home = Home::new();
    administration(home.data.path(), StatusCode::OK, r#"{"keys": [], "next": null}"#).await;
    let outcome = home.list(None).await.unwrap();
    assert!(matches!(outcome, Outcome::Keys { keys, .. } if keys.is_empty()));
}

#[tokio::test]
async fn a_refusal_says_why() {
    let cases = [
        (
            StatusCode::NOT_FOUND,
            r#"{"error": "organization_not_found", "message": "there is no such organization"}"#,
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
        let home = Home::new();
        administration(home.data.path(), status, answer).await;
        let failure = home.list(None).await.unwrap_err();
        assert!(failure.to_string().contains(expected), "{failure}");
        assert_eq!(failure.exit(), Exit::Failed);
    }
}

/// The address of nobody.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn without_a_broker_the_error_says_how_to_start_one() {
    let home = Home::new();
    let failure = home.list(None).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Unreachable);
    assert!(failure.to_string().contains("cloudsignal serve"), "{failure}");

    // A broker that was killed leaves its file behind.
    let access = AdminAccess {
        url: nowhere(),
        token: Secret::new("adm_x".to_owned()),
        ca_file: None,
        pid: 4711,
    };
    access.write(home.data.path()).unwrap();
    let failure = home.list(None).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Unreachable);
    assert!(failure.to_string().contains("4711"), "{failure}");
}

#[tokio::test]
async fn a_profile_that_is_named_comes_before_a_broker_here_and_the_usual_one_after_it() {
    let home = Home::new();
    let usual = nowhere();
    home.profile("default", &usual);
    let failure = home.list(None).await.unwrap_err().to_string();
    assert!(failure.contains(&usual), "nothing else is there: {failure}");
    administration(home.data.path(), StatusCode::OK, r#"{"keys": [], "next": null}"#).await;
    home.list(None).await.unwrap();
    home.list(Some("")).await.unwrap();
    let failure = home.list(Some("default")).await.unwrap_err().to_string();
    assert!(failure.contains(&usual), "{failure}");
    let failure = home.list(Some("work")).await.unwrap_err().to_string();
    assert!(failure.contains("cloudsignal login --profile work"), "{failure}");
}
