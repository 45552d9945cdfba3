//! The command line as a member of an organization uses it, from a machine without the broker's data folder.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::{http, programs};

use crate::admin_token;

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";

struct Member {
    broker: Broker,
    folder: PathBuf,
    org: String,
}

impl Member {
    /// Signs an owner up.
    fn new() -> Self {
        let broker = BrokerOptions::default().start();
        let folder = broker.scratch().join("member");
        fs::create_dir_all(&folder).expect("the scratch folder takes folders");
        fs::write(folder.join("password"), format!("{PASSWORD}\n")).expect("a file can be written");
        let token = admin_token(&broker.data_dir());
        let body = json!({ "organization_name": "Workshop", "email": EMAIL, "password": PASSWORD });
        let address = broker.addr(Listener::Http);
        let answer =
            http::ask(address, "POST", "/v2/signup", Some(&token), Some(&body)).expect("an answer comes");
        assert_eq!(answer.status, 201, "{answer:?}");
        let org = answer.json()["organization"]["id"]
            .as_str()
            .expect("it has an id")
            .to_owned();
        Self { broker, folder, org }
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(programs::broker());
        command
            .args(words)
            .env_remove("CLOUDSIGNAL_ORG")
            .env_remove("CLOUDSIGNAL_PROFILE");
        command.env("CLOUDSIGNAL_PROFILES", self.folder.join("profiles"));
        command.env("CLOUDSIGNAL_DATA_DIR", self.folder.join("nothing"));
        command.output().expect("the program starts")
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.run(&[words, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{words:?}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(&said)
            .unwrap_or_else(|error| panic!("{words:?} prints no JSON ({error}): {said}"))
    }

    fn login(&self, password_file: &str) -> Output {
        self.login_with(password_file, &[])
    }

    fn login_with(&self, password_file: &str, more: &[&str]) -> Output {
        let file = self.folder.join(password_file);
        let (url, file) = (
            self.broker.url(Listener::Http),
            file.to_string_lossy().into_owned(),
        );
        let words: &[&str] = &[
            "login",
            "--json",
            "--url",
            &url,
            "--email",
            EMAIL,
            "--password-file",
            &file,
        ];
        self.run(&[words, more].concat())
    }

    fn code(&self, words: &[&str]) -> Option<i32> {
        self.run(words).status.code()
    }
}

#[test]
fn a_member_logs_in_manages_and_logs_out() {
    let member = Member::new();
    let login = member.login("password");
    let said = String::from_utf8_lossy(&login.stdout);
    assert!(
        login.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&login.stderr)
    );
    assert!(!said.contains("rk_"), "the key stays in its file: {said}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let profile = fs::metadata(member.folder.join("profiles/default.json")).expect("the profile is kept");
        assert_eq!(profile.permissions().mode() & 0o777, 0o600);
    }
    let who = member.json(&["whoami"]);
    assert_eq!(
        (&who["actor"], &who["role"]),
        (&json!(format!("member:{EMAIL}")), &json!("owner"))
    );
    assert_eq!(member.json(&["org", "show", &member.org])["id"], member.org);

    let made = member.json(&["user", "create", "bob"]);
    assert_eq!(made["user"]["username"], format!("bob@{}", member.org));
    assert!(made["password"].is_string());
    assert!(member.json(&["user", "password", "bob"])["password"].is_string());
    assert_eq!(member.json(&["user", "disable", "bob"])["user"]["enabled"], false);
    assert_eq!(member.json(&["user", "list"])["users"][0]["name"], "bob");
    assert_eq!(member.json(&["user", "delete", "bob"])["name"], "bob");

    let key = member.json(&["key", "create", "reports", "--scope", "users:read"]);
    assert!(
        key["secret_key"]
            .as_str()
            .is_some_and(|value| value.starts_with("rk_")),
        "{key}"
    );
    let id = key["key"]["id"].as_str().expect("a key has an id");
    let rotated = member.json(&["key", "rotate", id, "--grace", "60"]);
    assert_eq!(rotated["replaced_key_id"], id);
    assert_eq!(member.json(&["key", "revoke", id])["key_id"], id);
    assert!(
        member.json(&["key", "list"])["keys"]
            .as_array()
            .is_some_and(|keys| keys.len() >= 2)
    );

    let token = member.json(&["token", "create", "eve@example.com", "--ttl", "60"]);
    let id = token["token_id"].as_str().expect("a token has an id");
    assert_eq!(member.json(&["token", "list"])["tokens"][0]["token_id"], id);
    assert_eq!(member.json(&["token", "revoke", id])["token_id"], id);

    let trail = member.json(&["audit", "--action", "user_created"]);
    assert_eq!(trail["entries"][0]["actor"], format!("member:{EMAIL}"));
    assert_eq!(trail["entries"][0]["entity_id"], "bob");
    assert_eq!(member.code(&["org", "list"]), Some(4), "the operator's");

    member.json(&["logout"]);
    assert!(!member.folder.join("profiles/default.json").exists());
    assert_eq!(
        member.code(&["whoami"]),
        Some(3),
        "nobody is logged in and no broker is here"
    );
}

#[test]
fn a_wrong_password_and_a_made_up_profile_are_refused() {
    let member = Member::new();
    fs::write(member.folder.join("wrong"), "another horse\n").expect("a file can be written");
    assert_eq!(member.login("wrong").status.code(), Some(4));
    assert_eq!(member.code(&["logout"]), Some(1));
    assert_eq!(
        member.code(&["key", "create", "x", "--scope", "users:eat"]),
        Some(2)
    );
}

#[test]
fn the_operator_reads_the_audit_trail_of_every_organization() {
    let member = Member::new();
    let output = member.broker.cli(&["audit", "--json"]);
    let trail: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!(trail["entries"][0]["action"], "organization_signed_up");
    assert_eq!(trail["entries"][0]["entity_id"], member.org);
    let output = member.broker.cli(&["audit", "--org", &member.org]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("organization_signed_up"));
}

#[test]
fn people_and_providers_are_managed_by_whoever_may() {
    let member = Member::new();
    assert!(member.login("password").status.success());
    let bob = "bob@example.com";
    let made = member.json(&["member", "add", bob, "--role", "admin"]);
    assert_eq!(made["member"]["role"], "admin");
    assert!(made["password"].is_string(), "{made}");
    assert_eq!(
        member.json(&["member", "role", bob, "viewer"])["member"]["role"],
        "viewer"
    );
    let people = member.json(&["member", "list"]);
    assert_eq!(people["members"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        member.code(&["member", "role", EMAIL, "admin"]),
        Some(1),
        "the last owner"
    );
    assert_eq!(member.json(&["member", "remove", bob])["email"], bob);

    let describe = |claims: &Value| {
        let trust = json!({ "type": "firebase", "project_id": "shop-12ab3" });
        let described = json!({ "name": "web", "trust": trust, "claims": claims });
        let file = member.folder.join("web.json");
        fs::write(&file, described.to_string()).expect("a file can be written");
        file.to_string_lossy().into_owned()
    };
    let file = describe(&json!([]));
    assert_eq!(member.json(&["provider", "set", &file])["enabled"], true);
    assert_eq!(
        member.code(&["provider", "create", &file]),
        Some(1),
        "it is there"
    );
    let changed = member.json(&["provider", "set", &describe(&json!(["role"]))]);
    assert_eq!(changed["claims"], json!(["role"]));
    assert_eq!(member.json(&["provider", "disable", "web"])["enabled"], false);
    assert_eq!(member.json(&["provider", "enable", "web"])["enabled"], true);
    assert_eq!(
        member.json(&["provider", "get", "web"])["trust"]["type"],
        "firebase"
    );

    // As the operator, from the broker's own machine, over the same routes.
    let list = ["provider", "list", "--org", &member.org, "--json"];
    let listed: Value = serde_json::from_slice(&member.broker.cli(&list).stdout).expect("it prints JSON");
    assert_eq!(listed["providers"][0]["name"], "web");
    assert_eq!(member.json(&["provider", "delete", "web"])["name"], "web");
    assert_eq!(member.json(&["provider", "list"])["providers"], json!([]));
}

#[test]
fn a_profile_that_is_named_is_the_one_that_is_used() {
    let member = Member::new();
    assert!(member.login("password").status.success());
    let login = member.login_with("password", &["--profile", "work"]);
    let said: Value = serde_json::from_slice(&login.stdout).expect("--json prints JSON");
    assert_eq!(said["profile"], "work");
    member.json(&["logout"]);
    assert_eq!(member.code(&["user", "list"]), Some(3), "the usual one is gone");
    assert!(member.json(&["user", "list", "--profile", "work"])["users"].is_array());
    assert!(member.json(&["quota", "show", "--profile", "work"])["quotas"].is_array());
    assert!(member.json(&["session", "list", "--profile", "work"])["sessions"].is_array());
    assert_eq!(member.code(&["user", "list", "--profile", "home"]), Some(1));
    let other = ["user", "list", "--profile", "work", "--org", "org_k7xm4pqr2n5t"];
    assert_eq!(
        member.code(&other),
        Some(1),
        "another organization's are not shown"
    );
}
