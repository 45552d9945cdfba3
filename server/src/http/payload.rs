//! JSON bodies, read with a bound on bytes and time, and refused in our own words.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;

use super::{ApiError, BODY_SECS_MAX, Peer};

/// A JSON object as body. Its content type may be left out; one that says something else is refused.
#[derive(Clone, Debug)]
pub struct Payload<T>(pub T);

/// A JSON object as body, or no body at all, which says nothing. Otherwise as [`Payload`].
#[derive(Clone, Debug)]
pub struct MaybePayload<T>(pub T);

/// Any JSON, for documents that may be lists. Otherwise as [`Payload`].
#[derive(Clone, Debug)]
pub struct AnyPayload(pub Value);

impl<T, S> FromRequest<S> for Payload<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        parse_object(&read(request, state).await?).map(Self)
    }
}

impl<T, S> FromRequest<S> for MaybePayload<T>
where
    T: DeserializeOwned + Default,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = require_json(request.headers());
        let body = read(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        is_json?;
        parse_object(&body).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for AnyPayload {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        parse(&read(request, state).await?).map(Self)
    }
}

/// A body, within its bounds on bytes and time.
pub(super) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let limit = Duration::from_secs(BODY_SECS_MAX);
    let body = tokio::time::timeout(limit, Bytes::from_request(request, state));
    let body = body.await.map_err(|_elapsed| {
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "the body did not arrive in time",
        )
    })?;
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            "the body is too large",
        ),
        _ => ApiError::invalid_request("the body could not be read"),
    })
}

fn parse_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // A derived reader takes a list for an object whose names are left out.
    if body.trim_ascii_start().starts_with(b"[") {
        parse::<Value>(body)?;
        return Err(ApiError::invalid_value(
            "the body must be a JSON object, not a list",
        ));
    }
    parse(body)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => ApiError::invalid_value(error.to_string()),
        Category::Syntax | Category::Eof | Category::Io => {
            ApiError::invalid_request(format!("the body is not JSON: {error}"))
        }
    })
}

fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    if may_be_json(headers) {
        return Ok(());
    }
    let text = "send JSON, with Content-Type: application/json";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(ApiError::new(status, "unsupported_media_type", text))
}

/// Whether the content type is JSON's, or is left out.
pub(super) fn may_be_json(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let essence = content_type.to_str().unwrap_or_default();
    let essence = essence.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Whether the body is said to be JSON in so many words.
pub(super) fn says_json(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_TYPE) && may_be_json(headers)
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parts
            .extensions
            .get::<Self>()
            .copied()
            .ok_or_else(|| ApiError::internal("a listener does not say where its requests come from"))
    }
}
