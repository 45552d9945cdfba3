//! Commands as requests to the HTTP API, for whoever has a key and not the server's administration token.

use hyper::Method;
use serde_json::{Value, json};

use super::audit::escape;
use super::profile::Profile;
use super::request::{Call, call_at};
use crate::accounts::command::{PageRequest, TokenGrant, TokensOf};
use crate::accounts::{Command, KeyKind, Outcome, Secret};
use crate::cli::exit::{Exit, Failure};
use crate::http::tokens::TokenResponse;

/// A request, and how its answer becomes an outcome.
struct Request {
    call: Call,
    /// Which [`Outcome`] the answer is.
    result: &'static str,
    shape: Shape,
}

/// How the fields of an answer and those of an outcome belong together.
enum Shape {
    /// They are the same.
    Same,
    /// The answer as a whole is one field.
    In(&'static str),
    /// The answer is empty; this is the outcome.
    Known(Value),
    /// A token.
    Token,
}

/// Has a command carried out as the member of a profile.
pub(super) async fn carry_out(profile: &Profile, command: &Command) -> Result<Outcome, Failure> {
    let Some(Request { call, result, shape }) = request(profile, command) else {
        let text = "only the operator may do this: run it on the server's machine, or name its --data-dir";
        return Err(Failure::because(Exit::LoginRefused, text));
    };
    let answer: Value = call_at(&profile.access(), &call).await?;
    let mut outcome = match shape {
        Shape::Token => return token(answer),
        Shape::Known(outcome) => outcome,
        Shape::Same => answer,
        Shape::In(field) => {
            let mut outcome = json!({});
            for name in ["password", "replaced_key_id", "replaced_ends_at"] {
                if let Some(value) = answer.get(name) {
                    outcome[name] = value.clone();
                }
            }
            if let Some(value) = answer.get("value") {
                outcome["secret_key"] = value.clone();
            }
            outcome[field] = answer;
            outcome
        }
    };
    // A password that was made here is shown here.
    if let Some(password) = call.body.as_ref().and_then(|body| made_here(command, body)) {
        outcome["password"] = password;
    }
    outcome["result"] = json!(result);
    serde_json::from_value(outcome).map_err(|error| {
        Failure::new(
            Exit::Failed,
            anyhow::Error::new(error).context("the broker's answer is not understood"),
        )
    })
}

fn made_here(command: &Command, body: &Value) -> Option<Value> {
    let is_ours = matches!(command, Command::UserSetPassword { password: None, .. });
    is_ours.then(|| body["password"].clone())
}

#[expect(clippy::too_many_lines, reason = "one arm for each command")]
fn request(profile: &Profile, command: &Command) -> Option<Request> {
    let ask = |method, path: String, body: Option<Value>, result, shape| {
        let call = Call { method, path, body };
        Some(Request { call, result, shape })
    };
    let get = |path: String, result, shape| ask(Method::GET, path, None, result, shape);
    let delete = |path: String, result, known| ask(Method::DELETE, path, None, result, Shape::Known(known));
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not named here is the operator's"
    )]
    match command {
        Command::OrgShow { .. } => get("/v2/organization".into(), "org", Shape::Same),
        Command::UserCreate { name, password, .. } => {
            let body = json!({ "username": name, "password": password });
            ask(
                Method::POST,
                "/v2/users".into(),
                Some(body),
                "user",
                Shape::In("user"),
            )
        }
        Command::UserList { page, .. } => get(format!("/v2/users{}", query(page)), "users", Shape::Same),
        Command::UserShow { name, .. } => get(user(name), "user", Shape::In("user")),
        Command::UserSetPassword { name, password, .. } => {
            let password = password.clone().unwrap_or_else(Secret::generate_password);
            let body = json!({ "password": password });
            ask(Method::PATCH, user(name), Some(body), "user", Shape::In("user"))
        }
        Command::UserEnable { name, enabled, .. } => {
            let body = json!({ "enabled": enabled });
            ask(Method::PATCH, user(name), Some(body), "user", Shape::In("user"))
        }
        Command::UserDelete { name, .. } => delete(user(name), "user_deleted", json!({ "name": name })),
        Command::KeyCreate { name, options, .. } => {
            let mut body = json!({ "name": name, "kind": options.kind.name() });
            if let KeyKind::Restricted { scopes } = options.kind {
                body["scopes"] = json!(scopes);
            }
            body["expires_in_secs"] = json!(options.expires_in_secs);
            ask(
                Method::POST,
                "/v2/keys".into(),
                Some(body),
                "key_created",
                Shape::In("key"),
            )
        }
        Command::KeyList { page, .. } => get(format!("/v2/keys{}", query(page)), "keys", Shape::Same),
        Command::KeyRotate {
            key_id, grace_secs, ..
        } => {
            let body = json!({ "grace_secs": grace_secs });
            let path = format!("/v2/keys/{}/rotate", escape(key_id));
            ask(Method::POST, path, Some(body), "key_rotated", Shape::In("key"))
        }
        Command::KeyRevoke { key_id, .. } => {
            let path = format!("/v2/keys/{}", escape(key_id));
            delete(path, "key_revoked", json!({ "key_id": key_id }))
        }
        Command::TokenCreate {
            email,
            ttl_secs,
            replace_existing,
            scope,
            ..
        } => {
            let body = json!({
                "organization_id": profile.organization_id, "secret_key": profile.api_key,
                "user_email": email, "ttl": ttl_secs, "replace_existing": replace_existing, "scope": scope,
            });
            ask(
                Method::POST,
                "/v2/tokens/create".into(),
                Some(body),
                "token",
                Shape::Token,
            )
        }
        Command::TokenRefresh { token_id, password } => {
            let body = json!({ "token_id": token_id, "current_token_password": password });
            ask(
                Method::POST,
                "/v2/tokens/refresh".into(),
                Some(body),
                "token",
                Shape::Token,
            )
        }
        Command::TokenList { page, .. } => get(format!("/v2/tokens{}", query(page)), "tokens", Shape::Same),
        Command::TokenRevoke { token_id, .. } => {
            let known = json!({ "token_id": token_id });
            let shape = Shape::Known(known.clone());
            ask(
                Method::POST,
                "/v2/tokens/revoke".into(),
                Some(known),
                "token_revoked",
                shape,
            )
        }
        Command::TokenRevokeAll { of, .. } => {
            let body = match of {
                TokensOf::UserEmail(email) => json!({ "user_email": email }),
                TokensOf::Provider(provider) => json!({ "provider": provider }),
            };
            let shape = Shape::Known(json!({ "of": of }));
            ask(
                Method::POST,
                "/v2/tokens/revoke".into(),
                Some(body),
                "tokens_revoked",
                shape,
            )
        }
        _ => None,
    }
}

fn user(name: &str) -> String {
    format!("/v2/users/{}", escape(name))
}

fn query(page: &PageRequest) -> String {
    let limit = page.limit.unwrap_or(crate::accounts::limits::PAGE_ENTRIES_MAX);
    let after = page
        .after
        .as_deref()
        .map(|after| format!("&after={}", escape(after)));
    format!("?limit={limit}{}", after.unwrap_or_default())
}

fn token(answer: Value) -> Result<Outcome, Failure> {
    let answer: TokenResponse = serde_json::from_value(answer).map_err(|error| {
        Failure::new(
            Exit::Failed,
            anyhow::Error::new(error).context("the answer is no token"),
        )
    })?;
    let life = core::time::Duration::from_secs(answer.expires_in);
    Ok(Outcome::Token(TokenGrant {
        token_id: answer.token_id,
        email: answer.user_email,
        provider: answer.provider,
        username: answer.mqtt_credentials.username,
        password: answer.mqtt_credentials.password,
        issued_at: answer.expires_at.before(life),
        expires_at: answer.expires_at,
        refresh_recommended_at: answer.refresh_recommended_at,
        expires_in_secs: answer.expires_in,
    }))
}
