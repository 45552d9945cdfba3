//! Errors, in the one shape that every known client reads.
//!
//! ```json
//! { "error": "token_expired", "error_description": "…", "detail": "…", "message": "…" }
//! ```
//! Some read `error` to decide what to do; the text is looked for under three different names.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::accounts::command::CredentialFault;
use crate::accounts::{CommandError, Scope};
use crate::identity::IdentityFault;
use crate::identity::fault::Requirement;
use crate::usage::calls::TooManyCalls;

/// Seconds after which a busy server should be asked again.
const RETRY_SECS: u32 = 1;
/// Seconds after which a source that guessed may ask again.
const GUESSER_RETRY_SECS: u32 = crate::authn::throttle::WINDOW_SECS;

/// Seconds after which an identity provider that could not be asked may be there again.
const PROVIDER_RETRY_SECS: u32 = 10;

/// The body of every answer that is not a success. More fields may follow, as facts about the error.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "error": "not_found", "error_description": "there is no such user",
    "detail": "there is no such user", "message": "there is no such user",
}))]
pub struct ErrorBody {
    /// For programs: one word of a closed list.
    pub error: String,
    /// For people.
    pub error_description: String,
    /// The same text.
    pub detail: String,
    /// The same text.
    pub message: String,
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    /// For programs.
    code: &'static str,
    /// For people.
    text: String,
    /// More for programs.
    facts: Box<Map<String, Value>>,
    retry_after_secs: Option<u32>,
}

impl ApiError {
    /// An error with a status, a code for programs and a text for people.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            code,
            text: text.into(),
            facts: Box::default(),
            retry_after_secs: None,
        }
    }

    /// Something in the request cannot be used.
    #[must_use]
    pub fn invalid_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", text)
    }

    /// The request is understood, but its values cannot be.
    #[must_use]
    pub fn invalid_value(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_value", text)
    }

    /// No key, or one that is not good.
    #[must_use]
    pub fn unauthorized(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", text)
    }

    /// The key does not reach that far.
    #[must_use]
    pub fn insufficient_scope(scope: Scope) -> Self {
        let text = format!("this key lacks the scope {scope}");
        let mut error = Self::new(StatusCode::FORBIDDEN, "insufficient_scope", text);
        error.facts.insert("scope".into(), json!(scope));
        error
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        CommandError::NotFound { what: what.into() }.into()
    }

    /// Our mistake, which is in the log.
    #[must_use]
    pub fn internal(mistake: &'static str) -> Self {
        tracing::error!(mistake, "a request cannot be answered");
        let text = "the server made a mistake";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
    }

    /// This source failed too often.
    #[must_use]
    pub fn too_many_failures() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "too many failed attempts; try again later",
        )
        .retry_after(GUESSER_RETRY_SECS)
    }

    /// Says one thing more, for programs.
    #[must_use]
    pub fn with_fact(mut self, name: &str, value: Value) -> Self {
        self.facts.insert(name.into(), value);
        self
    }

    /// The status and the body that it is answered with.
    #[must_use]
    pub fn into_parts(self) -> (StatusCode, Map<String, Value>) {
        let mut body = *self.facts;
        body.entry("error").or_insert_with(|| json!(self.code));
        for field in ["error_description", "detail", "message"] {
            body.insert(field.into(), json!(self.text));
        }
        (self.status, body)
    }

    /// The quota of calls is used up.
    #[must_use]
    pub(crate) fn too_many_calls(exceeded: TooManyCalls) -> Self {
        let TooManyCalls { retry_secs, quota } = exceeded;
        let text = format!("too many calls per second: the quota {quota} is used up");
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", text);
        error.facts.insert("quota".into(), json!(quota));
        error.retry_after(retry_secs)
    }

    /// Says when to come back.
    #[must_use]
    pub const fn retry_after(mut self, secs: u32) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// The answer to a command that was refused, with the facts about it.
    #[must_use]
    pub fn of_command(error: &CommandError) -> Self {
        let mut answer = Self::from(error.clone());
        if let Ok(Value::Object(mut facts)) = serde_json::to_value(error) {
            // Commands have words of their own for errors.
            facts.remove("error");
            answer.facts = Box::new(facts);
        }
        answer
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        let text = error.to_string();
        match error {
            CommandError::Invalid { .. } => Self::invalid_value(text),
            CommandError::Policy { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "policy", text),
            CommandError::NotFound { what } if what == "organization" => {
                Self::new(StatusCode::NOT_FOUND, "organization_not_found", text)
            }
            CommandError::NotFound { what } if what == "provider" => {
                Self::new(StatusCode::NOT_FOUND, "provider_not_found", text)
            }
            CommandError::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "not_found", text),
            CommandError::Stale { .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", text)
            }
            CommandError::Exists { .. } => Self::new(StatusCode::CONFLICT, "exists", text),
            CommandError::InsufficientRole => Self::new(StatusCode::FORBIDDEN, "insufficient_role", text),
            CommandError::Refused { credential } => credential.into(),
            CommandError::Limit { .. } => Self::new(StatusCode::TOO_MANY_REQUESTS, "limit_reached", text),
            CommandError::Busy => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", text).retry_after(RETRY_SECS)
            }
            CommandError::Storage => Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage", text),
        }
    }
}

impl From<IdentityFault> for ApiError {
    fn from(fault: IdentityFault) -> Self {
        let text = fault.to_string();
        let unauthorized = |reason: &str| {
            let mut error = Self::new(StatusCode::UNAUTHORIZED, "invalid_token", text.clone());
            error.facts.insert("reason".into(), json!(reason));
            error
        };
        let unprocessable = |code| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, text.clone());
        match fault {
            IdentityFault::NoProvider => Self::new(StatusCode::NOT_FOUND, "provider_not_found", text),
            IdentityFault::Malformed => unauthorized("malformed"),
            IdentityFault::Algorithm => unauthorized("algorithm"),
            IdentityFault::UnknownKey => unauthorized("unknown_key"),
            IdentityFault::Signature => unauthorized("signature"),
            IdentityFault::Issuer => unauthorized("issuer"),
            IdentityFault::Audience => unauthorized("audience"),
            IdentityFault::NotYet => unauthorized("not_yet"),
            IdentityFault::Expired => Self::new(StatusCode::UNAUTHORIZED, "token_expired", text),
            IdentityFault::Claim(Requirement::Email) => unprocessable("email_missing"),
            IdentityFault::Claim(_) => unauthorized("claim"),
            IdentityFault::EmailNotVerified => unprocessable("email_not_verified"),
            IdentityFault::TooManyClaims => unprocessable("claims_too_large"),
            IdentityFault::Unreachable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "provider_unreachable", text)
                    .retry_after(PROVIDER_RETRY_SECS)
            }
        }
    }
}

impl From<CredentialFault> for ApiError {
    fn from(fault: CredentialFault) -> Self {
        let (status, code) = match fault {
            CredentialFault::Unknown => (StatusCode::UNAUTHORIZED, "invalid_credentials"),
            CredentialFault::Expired => (StatusCode::UNAUTHORIZED, "token_expired"),
            CredentialFault::Revoked => (StatusCode::UNAUTHORIZED, "token_revoked"),
            CredentialFault::Suspended => (StatusCode::FORBIDDEN, "organization_suspended"),
        };
        Self::new(status, code, fault.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let retry = self
            .retry_after_secs
            .map(|secs| [(RETRY_AFTER, secs.to_string())]);
        let (status, body) = self.into_parts();
        let challenge = (status == StatusCode::UNAUTHORIZED).then_some([(WWW_AUTHENTICATE, "Bearer")]);
        (status, retry, challenge, Json(body)).into_response()
    }
}

/// The answer for paths that we do not have.
pub(super) async fn not_found() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this path",
    )
}

/// The answer for methods that a path does not have.
pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path wants another method",
    )
}
