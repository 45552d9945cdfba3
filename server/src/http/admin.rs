//! Management, for the command line: one path that takes every [`Command`] and answers its [`Outcome`].
//!
//! Allowed with the administration token that a running server leaves in its data folder, and only over
//! TLS or from this machine: on any other way the token could be read.

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;

use super::payload::Payload;
use super::{Api, ApiError, Peer, caller};
use crate::accounts::secret::SecretDigest;
use crate::accounts::{Command, Outcome};

/// Proof that the sender may administrate.
#[derive(Clone, Copy, Debug)]
pub struct Administrator;

impl axum::extract::FromRequestParts<Api> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        Peer::from_request_parts(parts, api).await?.require_encryption()?;
        let shown = caller::shown(&parts.headers).map(|token| SecretDigest::of(token.as_bytes()));
        match shown {
            Some(shown) if shown.matches(&api.0.admin_token) => Ok(Self),
            Some(_) | None => {
                let text = "send the administration token of this server as Authorization: Bearer";
                Err(ApiError::unauthorized(text))
            }
        }
    }
}

pub(super) async fn command(
    State(api): State<Api>,
    _: Administrator,
    Payload(command): Payload<Command>,
) -> Result<Json<Outcome>, ApiError> {
    let outcome = api.0.directory.execute(command).await;
    outcome.map(Json).map_err(|error| ApiError::of_command(&error))
}
