//! Management, for the command line: one path that takes every [`Command`] and answers its [`Outcome`].
//!
//! Allowed with the administration token that a running server leaves in its data folder, and only over
//! TLS or from this machine: on any other way the token could be read.

use axum::Json;
use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};

use super::payload::Payload;
use super::{Api, ApiError, Peer, Wire};
use crate::accounts::secret::SecretDigest;
use crate::accounts::{Command, Outcome};

/// Proof that the sender may administrate.
#[derive(Clone, Copy, Debug)]
pub struct Administrator;

impl axum::extract::FromRequestParts<Api> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let peer = Peer::from_request_parts(parts, api).await?;
        let local = peer.address.ip().to_canonical().is_loopback();
        match peer.wire {
            Wire::Tls => {}
            Wire::Plain if local => {}
            Wire::Plain => {
                let text = "management needs HTTPS, or a connection from the server's own machine";
                return Err(ApiError::new(StatusCode::FORBIDDEN, "encryption_required", text));
            }
        }
        let shown = bearer(&parts.headers).map(|token| SecretDigest::of(token.as_bytes()));
        match shown {
            Some(shown) if shown.matches(&api.0.admin_token) => Ok(Self),
            Some(_) | None => {
                let text = "send the administration token of this server as Authorization: Bearer";
                Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", text))
            }
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub(super) async fn command(
    State(api): State<Api>,
    _: Administrator,
    Payload(command): Payload<Command>,
) -> Result<Json<Outcome>, ApiError> {
    let outcome = api.0.directory.execute(command).await;
    outcome.map(Json).map_err(|error| ApiError::of_command(&error))
}
