//! JSON bodies, read with a bound on bytes and time, and refused in our own words.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::{ApiError, BODY_SECS_MAX, Peer};

/// A JSON body. Its content type does not matter.
#[derive(Clone, Debug)]
pub struct Payload<T>(pub T);

impl<T, S> FromRequest<S> for Payload<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let limit = Duration::from_secs(BODY_SECS_MAX);
        let body = tokio::time::timeout(limit, Bytes::from_request(request, state));
        let body = body.await.map_err(|_elapsed| {
            ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                "the body did not arrive in time",
            )
        })?;
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                "the body is too large",
            ),
            _ => ApiError::invalid_request("the body could not be read"),
        })?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| match error.classify() {
                Category::Data => ApiError::invalid_request(error.to_string()),
                Category::Syntax | Category::Eof | Category::Io => {
                    let text = format!("the body is not JSON: {error}");
                    ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", text)
                }
            })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().copied().ok_or_else(|| {
            tracing::error!("a listener does not say where its requests come from");
            ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the server made a mistake",
            )
        })
    }
}
