//! The bytes of a request, within bounds.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};

use cloudsignal_core::Qos;

use super::idempotency::{Fingerprint, KEY_BYTES_MAX};
use super::message::OwnedMessage;
use super::{json, raw};
use crate::http::{Api, ApiError, BODY_SECS_MAX};

/// Room in a body beside the payload, bytes: topic, properties, JSON around them.
const ENVELOPE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a body that is too large that are read all the same.
const DISCARDED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How much longer a payload may be as text than it is: base64 needs a third more, escapes more than that.
const TEXT_FACTOR: usize = 2;

/// A request to publish, read whole.
#[derive(Debug)]
pub(in crate::http) struct Asked {
    head: Parts,
    body: Bytes,
}

impl FromRequest<Api> for Asked {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let bytes_max = bytes_max(api);
        let (head, body) = request.into_parts();
        let limit = Duration::from_secs(BODY_SECS_MAX);
        let read = tokio::time::timeout(limit, read(body, bytes_max));
        let body = read.await.map_err(|_elapsed| {
            let text = "the body did not arrive in time";
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", text)
        })??;
        Ok(Self { head, body })
    }
}

/// Reads a body whole. One that is too large is read on for a while and thrown away: who is answered while still
/// sending may not hear the answer.
async fn read(mut body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    let (mut kept, mut bytes) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let unreadable = |_| ApiError::invalid_request("the body could not be read");
        let Ok(data) = frame.map_err(unreadable)?.into_data() else {
            continue;
        };
        bytes += data.len();
        if bytes <= bytes_max {
            kept.extend_from_slice(&data);
        } else {
            kept = BytesMut::new();
            if bytes > bytes_max + DISCARDED_BYTES_MAX {
                break;
            }
        }
    }
    if bytes > bytes_max {
        let text = format!("the body is larger than {bytes_max} bytes");
        return Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            text,
        ));
    }
    Ok(kept.freeze())
}

/// The largest body that can hold a message of the largest size.
fn bytes_max(api: &Api) -> usize {
    let packet_bytes_max = api.0.orgs.server_allowance().limits.packet_bytes_max as usize;
    packet_bytes_max * TEXT_FACTOR + ENVELOPE_BYTES_MAX
}

impl Asked {
    /// The one message that is asked for.
    pub(super) fn message(&self, qos_default: Qos) -> Result<OwnedMessage, ApiError> {
        let raw = raw::RawMessage::of(&self.head)?;
        match raw {
            Some(raw) => {
                // Who says JSON and sends something else has a fault that a subscriber would find much later.
                if !self.body.is_empty() && crate::http::payload::says_json(&self.head.headers) {
                    json::check(&self.body)?;
                }
                raw.with_payload(self.body.clone(), qos_default)
            }
            None => {
                self.expect_json()?;
                json::message(&self.body, qos_default)
            }
        }
    }

    /// The messages of a batch, each good or not.
    pub(super) fn batch(&self) -> Result<Vec<Result<OwnedMessage, ApiError>>, ApiError> {
        self.expect_json()?;
        json::batch(&self.body)
    }

    fn expect_json(&self) -> Result<(), ApiError> {
        if crate::http::payload::may_be_json(&self.head.headers) {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send JSON, or the payload itself with the topic as ?topic= or X-MQTT-Topic",
        ))
    }

    /// The key that makes the request repeatable, if there is one.
    pub(super) fn key(&self) -> Result<Option<String>, ApiError> {
        let Some(key) = self.head.headers.get("idempotency-key") else {
            return Ok(None);
        };
        let key = key.to_str().ok().map(str::trim);
        match key.filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX) {
            Some(key) => Ok(Some(key.to_owned())),
            None => Err(ApiError::invalid_value(format!(
                "Idempotency-Key must be 1 to {KEY_BYTES_MAX} characters of ASCII"
            ))),
        }
    }

    /// What tells this request from others: where it goes, what it says, and how that is to be read.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        };
        add(self.head.uri.path().as_bytes());
        add(self.head.uri.query().unwrap_or_default().as_bytes());
        for (name, value) in said(&self.head.headers) {
            add(name.as_bytes());
            add(value);
        }
        add(&self.body);
        hash.finalize().into()
    }
}

/// The headers that say something about the message.
fn said(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    let all = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    all.filter(|(name, _)| *name == "content-type" || name.starts_with(raw::HEADER_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(content_type: Option<&str>, body: &'static [u8]) -> Asked {
        let request = Request::post("/v2/publish?topic=a");
        let request = match content_type {
            Some(content_type) => request.header("content-type", content_type),
            None => request,
        };
        let (head, ()) = request.body(()).unwrap().into_parts();
        let body = Bytes::from_static(body);
        Asked { head, body }
    }

    #[test]
    fn a_payload_that_is_called_json_must_be_json() {
        for (content_type, body, is_taken) in [
            (Some("application/json"), &b"\0"[..], false),
            (Some("application/vnd.api+json; charset=utf-8"), b"{", false),
            (Some("application/json"), b"[1, {\"a\": null}]", true),
            (Some("application/json"), b"", true),
            (Some("image/jpeg"), b"\0", true),
            (None, b"\0", true),
        ] {
            let message = asked(content_type, body).message(Qos::AtMostOnce);
            assert_eq!(message.is_ok(), is_taken, "{content_type:?} {body:?}");
        }
    }
}
