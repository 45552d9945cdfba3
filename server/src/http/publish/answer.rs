//! What the publisher is told.

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use cloudsignal_broker::Quota;
use cloudsignal_broker::org::Submitted;
use cloudsignal_core::codec::ReasonCode;

use super::message::OwnedMessage;
use super::publisher::Publisher;
use crate::durable::Level;
use crate::http::ApiError;

/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Seconds after which a request without an answer may be repeated.
const UNKNOWN_RETRY_SECS: u32 = 5;
/// Seconds after which a quota may be tried again.
const QUOTA_RETRY_SECS: u32 = 1;

/// The header that makes a request repeatable.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read from the headers; here for the document")]
pub(super) struct KeyHeader {
    /// Any text of the client's, at most 255 bytes: the same request with the same key is done once, within a day.
    #[param(rename = "Idempotency-Key", max_length = 255)]
    key: Option<String>,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Plain,
    /// Of the REST bridge: 200, and `success` in every answer.
    Bridge,
}

/// A message that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct PublishAnswer {
    /// Always true.
    success: bool,
    /// Names this publish; nothing else knows it.
    message_id: String,
    /// Where it went.
    topic: String,
    /// The QoS it was published at.
    #[schema(minimum = 0, maximum = 2)]
    qos: u8,
    /// How many sessions it was given to, connected or not.
    subscribers: usize,
    /// What it survives, as far as it had to be stored.
    durability: Level,
}

/// A message that was accepted, in the dialect of the REST bridge.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct BridgeAnswer {
    /// Always true.
    success: bool,
    /// Names this publish; nothing else knows it.
    message_id: String,
}

/// What became of each message of a batch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct BatchAnswer {
    /// How many were accepted.
    accepted: usize,
    /// How many were refused.
    refused: usize,
    /// In the order of the request.
    results: Vec<BatchResult>,
}

/// What became of one message of a batch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct BatchResult {
    /// The status that the message would have been answered with alone.
    status: u16,
    /// The answer, or the error.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    body: Map<String, Value>,
}

impl BatchAnswer {
    pub(super) fn of(results: impl Iterator<Item = Result<PublishAnswer, ApiError>>) -> Self {
        let results: Vec<_> = results.map(BatchResult::of).collect();
        let accepted = results
            .iter()
            .filter(|result| result.status == StatusCode::ACCEPTED)
            .count();
        Self {
            accepted,
            refused: results.len() - accepted,
            results,
        }
    }
}

#[cfg(test)]
impl BatchAnswer {
    /// That one message was accepted.
    pub(super) fn of_one() -> Self {
        let answer = PublishAnswer {
            success: true,
            message_id: "msg_1".into(),
            topic: "x".into(),
            qos: 1,
            subscribers: 0,
            durability: Level::Disk,
        };
        Self::of(std::iter::once(Ok(answer)))
    }
}

impl BatchResult {
    fn of(result: Result<PublishAnswer, ApiError>) -> Self {
        match result {
            Ok(answer) => Self {
                status: StatusCode::ACCEPTED.as_u16(),
                body: object(&answer),
            },
            Err(error) => {
                let (status, mut body) = error.into_parts();
                body.insert("success".into(), json!(false));
                Self {
                    status: status.as_u16(),
                    body,
                }
            }
        }
    }
}

/// An answer that can be given again.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: StatusCode,
    body: Body,
    is_replayed: bool,
}

#[derive(Clone, Debug)]
enum Body {
    /// It published something.
    Done(Bytes),
    /// It published nothing, and says so for each message.
    Nothing(Bytes),
    /// It did not.
    Refused(Dialect, Box<ApiError>),
}

impl Reply {
    pub(super) fn accepted(dialect: Dialect, answer: &PublishAnswer) -> Self {
        let (status, text) = match dialect {
            Dialect::Plain => (StatusCode::ACCEPTED, text(answer)),
            Dialect::Bridge => {
                let bridge = BridgeAnswer {
                    success: true,
                    message_id: answer.message_id.clone(),
                };
                (StatusCode::OK, text(&bridge))
            }
        };
        Self::done(status, text)
    }

    pub(super) fn batch(answer: &BatchAnswer) -> Self {
        let text = text(answer);
        Self {
            status: StatusCode::OK,
            body: if answer.accepted > 0 {
                Body::Done(text)
            } else {
                Body::Nothing(text)
            },
            is_replayed: false,
        }
    }

    pub(super) fn of_error(dialect: Dialect, error: ApiError) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR, // The error has its own.
            body: Body::Refused(dialect, Box::new(error)),
            is_replayed: false,
        }
    }

    pub(super) fn of_panic() -> Self {
        Self::of_error(Dialect::Plain, ApiError::internal("publishing panicked"))
    }

    const fn done(status: StatusCode, text: Bytes) -> Self {
        Self {
            status,
            body: Body::Done(text),
            is_replayed: false,
        }
    }

    pub(super) const fn replayed(mut self) -> Self {
        self.is_replayed = true;
        self
    }

    /// Whether doing the same again would publish something twice.
    pub(super) const fn is_worth_remembering(&self) -> bool {
        matches!(self.body, Body::Done(_))
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.body {
            Body::Done(text) | Body::Nothing(text) => text.len(),
            Body::Refused(..) => 0,
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Body::Done(text) | Body::Nothing(text) => (self.status, json_header(), text).into_response(),
            Body::Refused(dialect, error) => dialect.error(*error),
        };
        if self.is_replayed {
            response
                .headers_mut()
                .insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

impl Dialect {
    /// An error as this dialect says it.
    pub(super) fn error(self, error: ApiError) -> Response {
        match self {
            Self::Plain => error.into_response(),
            Self::Bridge => error.with_fact("success", json!(false)).into_response(),
        }
    }
}

/// The answer about one message.
///
/// # Errors
/// Why it was not published.
pub(super) fn accepted(
    (outcome, promised): (&Submitted, Level),
    message: &OwnedMessage,
    publisher: &Publisher,
) -> Result<PublishAnswer, ApiError> {
    if outcome.reason.is_error() {
        return Err(refusal(outcome, message, publisher));
    }
    Ok(PublishAnswer {
        success: true,
        message_id: format!("msg_{}", Uuid::new_v4().simple()),
        topic: message.topic.as_ref().as_str().into(),
        qos: message.qos.bits(),
        subscribers: outcome.reached,
        // Whoever asked for more is told what there is; whoever asked for less, but waited, got it.
        durability: if message.durability == Some(Level::Memory) {
            Level::Memory
        } else {
            promised
        },
    })
}

fn refusal(outcome: &Submitted, message: &OwnedMessage, publisher: &Publisher) -> ApiError {
    let topic = message.topic.as_ref();
    if outcome.reason == ReasonCode::NotAuthorized {
        let text = format!("{} may not publish to {topic}", publisher.identity.username);
        let error = ApiError::new(StatusCode::FORBIDDEN, "not_authorized", text);
        return match &outcome.denied_by {
            Some(rule) if publisher.sees_rules => error.with_fact("rule", json!(rule)),
            Some(_) | None => error,
        };
    }
    let error = match outcome.quota {
        Some(Quota::PacketBytes | Quota::PayloadBytes) => {
            let text = "the message is larger than the organization takes";
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", text)
        }
        None if outcome.reason == ReasonCode::TopicNameInvalid => {
            let text = "topic: it has too many levels";
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_topic", text)
        }
        None if outcome.reason == ReasonCode::ServerUnavailable => {
            let text = "the message cannot be stored at the moment";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", text)
                .retry_after(QUOTA_RETRY_SECS)
        }
        Some(_) | None => {
            let text = format!("the organization takes no more for now: {}", outcome.reason);
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", text).retry_after(QUOTA_RETRY_SECS)
        }
    };
    let error = error.with_fact("reason_code", json!(outcome.reason.byte()));
    match outcome.quota {
        Some(quota) => error.with_fact("quota", json!(quota.name())),
        None => error,
    }
}

/// Whether anything was published is not known yet.
pub(super) fn unknown(has_key: bool) -> ApiError {
    let text = if has_key {
        "the outcome is unknown: what was handed over is not stored yet, and may be delivered. Send the request again \
         with the same Idempotency-Key: as long as the server runs it is done once, and answered when it is stored"
    } else {
        "the outcome is unknown: what was handed over is not stored yet, and may be delivered. Sent again, it may be \
         published twice; a request with an Idempotency-Key can be repeated safely"
    };
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "outcome_unknown", text).retry_after(UNKNOWN_RETRY_SECS)
}

fn json_header() -> [(HeaderName, HeaderValue); 1] {
    let json = HeaderValue::from_static("application/json");
    [(axum::http::header::CONTENT_TYPE, json)]
}

fn text<T: Serialize>(answer: &T) -> Bytes {
    Bytes::from(serde_json::to_vec(answer).expect("invariant: our answers are plain JSON"))
}

fn object<T: Serialize>(answer: &T) -> Map<String, Value> {
    match serde_json::to_value(answer) {
        Ok(Value::Object(object)) => object,
        Ok(_) | Err(_) => Map::new(),
    }
}
