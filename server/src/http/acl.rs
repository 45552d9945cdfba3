//! Access rules: read, replaced, checked and tried out.
//!
//! A document is sent as it is written: JSON, or lines with `Content-Type: text/plain`.

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderName};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::payload::AnyPayload;
use super::{Api, ApiError, Caller, Payload};
use crate::accounts::acl::{AclReport, AclView, Preset, Question, Verdict};
use crate::accounts::command::PolicySource;
use crate::accounts::{Command, Outcome, Scope};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(get, put))
        .routes(routes!(validate))
        .routes(routes!(simulate))
        .routes(routes!(presets))
}

/// A document as it is written.
#[derive(Debug)]
pub struct Written(Value);

impl<S: Send + Sync> FromRequest<S> for Written {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let content_type = request.headers().get(CONTENT_TYPE);
        let content_type = content_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("text/plain") {
            let AnyPayload(document) = AnyPayload::from_request(request, state).await?;
            return Ok(Self(document));
        }
        let body = super::payload::read(request, state).await?;
        let text = String::from_utf8(body.into());
        let text = text.map_err(|_| ApiError::invalid_request("the body is not UTF-8"))?;
        Ok(Self(text.into()))
    }
}

/// A policy with its etag in a header too.
type Shown = ([(HeaderName, String); 1], Json<AclView>);

fn shown(outcome: Outcome) -> Result<Shown, ApiError> {
    let Outcome::Acl(view) = outcome else {
        return Err(ApiError::internal(
            "a policy was asked for, and something else answered",
        ));
    };
    Ok(([(ETAG, format!("\"{}\"", view.etag))], Json(view)))
}

/// Show the policy
#[utoipa::path(get, path = "/v2/acl", tag = "Access rules", security(("bearer" = [])), responses(
    (status = 200, description = "The document as it was given", body = AclView,
        headers(("ETag" = String, description = "Changes whenever the document does"))),
))]
pub(super) async fn get(State(api): State<Api>, caller: Caller) -> Result<Shown, ApiError> {
    let org = caller.require(Scope::AclRead)?.to_string();
    shown(api.execute(&caller, Command::AclGet { org }).await?)
}

/// Replace the policy
///
/// Open connections feel it at once. The body is a document in any of the formats, or
/// `{"preset": "chat-channels"}`. With `If-Match` only if the policy is still the one with that ETag.
#[utoipa::path(put, path = "/v2/acl", tag = "Access rules", security(("bearer" = [])),
    params(("If-Match" = Option<String>, Header, description = "The ETag of the policy that is replaced")),
    request_body(content((Value = "application/json"), (String = "text/plain"))),
    responses(
        (status = 200, description = "It is in force", body = AclView,
            headers(("ETag" = String, description = "Changes whenever the document does"))),
        (status = 412, description = "Somebody else changed the policy; read it again"),
))]
pub(super) async fn put(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Written(document): Written,
) -> Result<Shown, ApiError> {
    let org = caller.require(Scope::AclWrite)?.to_string();
    let command = Command::AclSet {
        org,
        policy: source_of(document)?,
        if_match: etags(&headers)?,
    };
    shown(api.execute(&caller, command).await?)
}

/// Check a document
///
/// Nothing changes. The document is in any of the formats; what is wrong with it is the answer.
#[utoipa::path(post, path = "/v2/acl/validate", tag = "Access rules", security(("bearer" = [])),
    request_body(content((Value = "application/json"), (String = "text/plain"))),
    responses((status = 200, description = "What is wrong with it, if anything", body = AclReport)),
)]
pub(super) async fn validate(
    State(api): State<Api>,
    caller: Caller,
    Written(document): Written,
) -> Result<Json<AclReport>, ApiError> {
    let org = caller.require(Scope::AclRead)?.to_string();
    let outcome = api
        .execute(&caller, Command::AclValidate { org, document })
        .await?;
    let Outcome::AclReport(report) = outcome else {
        return Err(ApiError::internal(
            "a report was asked for, and something else answered",
        ));
    };
    Ok(Json(report))
}

/// Try out the policy, or another one
///
/// Nothing changes. Says whether a user may do something, and which rule decides.
#[utoipa::path(post, path = "/v2/acl/simulate", tag = "Access rules", security(("bearer" = [])),
    request_body = Question,
    responses((status = 200, description = "Yes or no, and why", body = Verdict)),
)]
pub(super) async fn simulate(
    State(api): State<Api>,
    caller: Caller,
    Payload(question): Payload<Question>,
) -> Result<Json<Verdict>, ApiError> {
    let org = caller.require(Scope::AclRead)?.to_string();
    let outcome = api
        .execute(&caller, Command::AclSimulate { org, question })
        .await?;
    let Outcome::AclVerdict(verdict) = outcome else {
        return Err(ApiError::internal(
            "a verdict was asked for, and something else answered",
        ));
    };
    Ok(Json(verdict))
}

/// A policy to start from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PresetView {
    /// Its name: `chat-channels`.
    pub name: Preset,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    /// The document.
    #[schema(value_type = Value)]
    pub policy: Value,
}

/// Every policy to start from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PresetList {
    /// All of them.
    pub presets: Vec<PresetView>,
}

/// List policies to start from
#[utoipa::path(get, path = "/v2/acl/presets", tag = "Access rules", security(("bearer" = [])), responses(
    (status = 200, description = "All of them, with their documents", body = PresetList),
))]
pub(super) async fn presets(caller: Caller) -> Result<Json<PresetList>, ApiError> {
    caller.require(Scope::AclRead)?;
    let view = |preset: &Preset| PresetView {
        name: *preset,
        meaning: preset.meaning(),
        policy: preset.document(),
    };
    Ok(Json(PresetList {
        presets: Preset::ALL.iter().map(view).collect(),
    }))
}

/// A document, or a preset by its name.
fn source_of(document: Value) -> Result<PolicySource, ApiError> {
    match document
        .as_object()
        .filter(|document| document.len() == 1)
        .and_then(|it| it.get("preset"))
    {
        None => Ok(PolicySource::Document(document)),
        Some(preset) => serde_json::from_value(preset.clone())
            .map(PolicySource::Preset)
            .map_err(|error| ApiError::invalid_value(error.to_string())),
    }
}

/// What `If-Match` asks for; `*` is satisfied by any policy, and there always is one.
fn etags(headers: &HeaderMap) -> Result<Option<Vec<String>>, ApiError> {
    let mut etags = Vec::new();
    for value in headers.get_all(IF_MATCH) {
        let text = value.to_str();
        let text = text.map_err(|_| ApiError::invalid_request("If-Match cannot be read"))?;
        for etag in text.split(',').map(str::trim) {
            if etag == "*" {
                return Ok(None);
            }
            etags.push(etag.trim_start_matches("W/").trim_matches('"').to_owned());
        }
    }
    Ok(Some(etags).filter(|etags| !etags.is_empty()))
}
