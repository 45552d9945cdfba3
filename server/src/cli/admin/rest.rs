//! What the broker is asked over its HTTP API, and how the answer becomes what is shown.

use anyhow::Context as _;
use hyper::Method;
use serde_json::{Value, json};

use super::request::{Call, Way, call_at};
use super::uri::asking;
use super::{AdminArgs, OrgChoice, org_of, request};
use crate::accounts::Outcome;
use crate::accounts::command::TokenGrant;
use crate::accounts::limits::PAGE_ENTRIES_MAX;
use crate::cli::exit::Failure;
use crate::http::tokens::TokenResponse;

/// A request, as far as the command line says it.
#[derive(Debug)]
pub(in crate::cli) struct Order {
    whose: Whose,
    pub(super) call: Call,
    /// Which [`Outcome`] the answer is.
    result: &'static str,
    shape: Shape,
    /// What of the outcome is known without the answer.
    known: Value,
}

/// Where a request belongs.
#[derive(Debug)]
enum Whose {
    /// To the server as a whole.
    Server,
    /// To one organization.
    Org(OrgChoice),
}

/// How the fields of an answer and those of an outcome belong together.
#[derive(Debug)]
pub(super) enum Shape {
    /// They are the same.
    Same,
    /// The answer as a whole is one field.
    In(&'static str),
    /// One field has another name in the answer.
    Renamed(&'static str, &'static str),
    /// The answer is empty.
    Empty,
    /// A token.
    Token,
}

impl Order {
    /// About one organization.
    pub(super) const fn in_org(org: OrgChoice, call: Call, result: &'static str, shape: Shape) -> Self {
        Self {
            whose: Whose::Org(org),
            call,
            result,
            shape,
            known: Value::Null,
        }
    }

    /// About the server, or about what says itself where it belongs.
    pub(super) const fn of_server(call: Call, result: &'static str, shape: Shape) -> Self {
        Self {
            whose: Whose::Server,
            call,
            result,
            shape,
            known: Value::Null,
        }
    }

    /// With fields of the outcome that the answer does not have.
    pub(super) fn knowing(mut self, known: Value) -> Self {
        self.known = known;
        self
    }

    /// Has the broker do it.
    pub(super) async fn carry_out(&self, admin: &AdminArgs) -> Result<Outcome, Failure> {
        let way = request::way(admin)?;
        let org = match &self.whose {
            Whose::Server => None,
            Whose::Org(choice) => Some(org_of(&way, choice).await?),
        };
        self.carry_out_by(&way, org).await
    }

    async fn carry_out_by(&self, way: &Way, org: Option<String>) -> Result<Outcome, Failure> {
        let call = Call {
            org,
            ..self.call.clone()
        };
        let answer: Value = call_at(&way.access(), &call).await?;
        self.outcome(answer)
    }

    pub(super) fn outcome(&self, answer: Value) -> Result<Outcome, Failure> {
        let mut outcome = match &self.shape {
            Shape::Token => return token(answer),
            Shape::Empty => json!({}),
            Shape::Same => answer,
            Shape::Renamed(from, to) => {
                let mut outcome = answer;
                outcome[to] = outcome[from].take();
                outcome
            }
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
        for (name, value) in self.known.as_object().into_iter().flatten() {
            outcome[name] = value.clone();
        }
        outcome["result"] = json!(self.result);
        let outcome = serde_json::from_value(outcome);
        Ok(outcome.context("the broker's answer is not understood: is it of another version?")?)
    }
}

impl Call {
    pub(super) fn new(method: Method, path: String, body: Value) -> Self {
        Self {
            method,
            body: Some(body),
            ..Self::get(path)
        }
    }

    pub(super) fn post(path: &str, body: Value) -> Self {
        Self::new(Method::POST, path.to_owned(), body)
    }

    pub(super) fn delete(path: String) -> Self {
        Self {
            method: Method::DELETE,
            ..Self::get(path)
        }
    }

    /// A page of a list, as long as may be.
    pub(super) fn page(path: &str, after: Option<&str>) -> Self {
        let parameters = [("limit", Some(&*PAGE_ENTRIES_MAX.to_string())), ("after", after)];
        Self::get(asking(path, &parameters))
    }
}

fn token(answer: Value) -> Result<Outcome, Failure> {
    let answer: TokenResponse = serde_json::from_value(answer).context("the answer is no token")?;
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
