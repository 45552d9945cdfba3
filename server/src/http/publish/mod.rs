//! Publishing without an MQTT connection.
//!
//! ```text
//! request ─► who ─► rate ─► idempotency key ─► message ─► the organization ─► answer, when it is stored
//! ```
//! | file | holds |
//! |---|---|
//! | [`publisher`] | who publishes: a key, or a temporary token |
//! | [`rate`] | how often |
//! | [`idempotency`] | the same request twice is done once |
//! | [`body`] | the bytes of a request, within bounds |
//! | [`message`], [`json`], [`raw`] | one message, and the two forms in which it comes |
//! | [`submit`] | into the organization, and what became of it |
//! | [`answer`] | what the publisher is told |
#![allow(
    unused_qualifications,
    reason = "what utoipa makes of parameters is written with full paths"
)]

mod answer;
mod body;
mod idempotency;
mod json;
mod message;
mod publisher;
mod rate;
mod raw;
mod submit;

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use cloudsignal_core::Qos;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, ApiError};
use crate::clock::Clock;
use answer::{BatchAnswer, BridgeAnswer, Dialect, PublishAnswer, Reply};
use body::Asked;
use idempotency::{Fingerprint, Idempotency};
use json::{BatchRequest, PublishRequest};
use publisher::Publisher;
use rate::{Left, Rate, Rates};
use raw::RawParams;

/// How long a request waits for its answer. What it was about to do is done all the same.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);
const _: () = assert!(
    submit::RELIEF_WAIT_MAX.as_millis() < ANSWER_WAIT_MAX.as_millis(),
    "who is told that it is late has handed its messages over"
);

/// What publishing over HTTP remembers between requests.
#[derive(Debug)]
pub(super) struct Desk {
    rates: Rates,
    answered: Idempotency,
}

impl Desk {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            rates: Rates::new(clock.clone()),
            answered: Idempotency::new(clock),
        }
    }
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(publish))
        .routes(routes!(publish_v1))
        .routes(routes!(publish_short))
        .routes(routes!(publish_bridge))
        .routes(routes!(batch))
}

/// What `/publish` and its siblings do when the request does not say.
#[derive(Clone, Copy, Debug)]
struct Route {
    qos: Qos,
    dialect: Dialect,
}

const PLAIN: Route = Route {
    qos: Qos::AtLeastOnce,
    dialect: Dialect::Plain,
};
const BRIDGE: Route = Route {
    qos: Qos::AtMostOnce,
    dialect: Dialect::Bridge,
};

/// Publish a message
///
/// As JSON; or with `topic` in the query (or in the header `X-MQTT-Topic`), and then the body is the payload,
/// byte for byte. Answered when the message is as safe as a PUBACK would make it.
#[utoipa::path(post, path = "/v2/publish", tag = "Messages", params(RawParams, answer::KeyHeader),
    request_body(content((PublishRequest = "application/json"), (String = "application/octet-stream"))),
    security(("bearer" = [])),
    responses((status = 202, description = "Accepted", body = PublishAnswer)))]
pub(super) async fn publish(State(api): State<Api>, publisher: Publisher, asked: Asked) -> Response {
    one(api, publisher, asked, PLAIN).await
}

/// Publish a message
///
/// The same as `/v2/publish`.
#[utoipa::path(post, path = "/v1/publish", tag = "Messages", params(RawParams, answer::KeyHeader),
    request_body(content((PublishRequest = "application/json"), (String = "application/octet-stream"))),
    security(("bearer" = [])),
    responses((status = 202, description = "Accepted", body = PublishAnswer)))]
pub(super) async fn publish_v1(State(api): State<Api>, publisher: Publisher, asked: Asked) -> Response {
    one(api, publisher, asked, PLAIN).await
}

/// Publish a message
///
/// The same as `/v2/publish`.
#[utoipa::path(post, path = "/publish", tag = "Messages", params(RawParams, answer::KeyHeader),
    request_body(content((PublishRequest = "application/json"), (String = "application/octet-stream"))),
    security(("bearer" = [])),
    responses((status = 202, description = "Accepted", body = PublishAnswer)))]
pub(super) async fn publish_short(State(api): State<Api>, publisher: Publisher, asked: Asked) -> Response {
    one(api, publisher, asked, PLAIN).await
}

/// Publish a message, in the dialect of the REST bridge
///
/// QoS 0 unless the request says otherwise; errors say `success: false` too.
#[utoipa::path(post, path = "/api/v1/publish", tag = "Messages", params(RawParams, answer::KeyHeader),
    request_body(content((PublishRequest = "application/json"), (String = "application/octet-stream"))),
    security(("bearer" = [])),
    responses((status = 200, description = "Accepted", body = BridgeAnswer)))]
pub(super) async fn publish_bridge(
    State(api): State<Api>,
    publisher: Result<Publisher, ApiError>,
    asked: Result<Asked, ApiError>,
) -> Response {
    match (publisher, asked) {
        (Ok(publisher), Ok(asked)) => one(api, publisher, asked, BRIDGE).await,
        (Err(error), _) | (_, Err(error)) => BRIDGE.dialect.error(error),
    }
}

async fn one(api: Api, publisher: Publisher, asked: Asked, route: Route) -> Response {
    let (rate, allowed) = spend(&api, &publisher, 1);
    let reply = match allowed {
        Ok(()) => answered_once(&api, &publisher, asked, route).await,
        Err(error) => Reply::of_error(route.dialect, error),
    };
    (rate, reply).into_response()
}

/// Takes messages off the publisher's allowance, or none at all.
fn spend(api: &Api, publisher: &Publisher, messages: usize) -> (Option<Left>, Result<(), ApiError>) {
    let (orgs, org) = (&api.0.orgs, &publisher.identity.org);
    let rate = Rate::of(&orgs.allowance(org));
    let (left, allowed) = api.0.publish.rates.spend(publisher, rate, messages);
    if allowed.is_err() {
        orgs.usage().exceeded(org, rate::QUOTA);
    }
    (left, allowed)
}

async fn answered_once(api: &Api, publisher: &Publisher, asked: Asked, route: Route) -> Reply {
    let asking = asked.key().map(|key| key.map(|key| (key, asked.fingerprint())));
    let work = {
        let (api, publisher) = (api.clone(), publisher.clone());
        async move { publish_one(&api, &publisher, &asked, route).await }
    };
    remembered(api, publisher, asking, work)
        .await
        .unwrap_or_else(|error| Reply::of_error(route.dialect, error))
}

/// Does `work`, unless the same was asked before and is answered from memory.
async fn remembered(
    api: &Api,
    publisher: &Publisher,
    asking: Result<Option<(String, Fingerprint)>, ApiError>,
    work: impl Future<Output = Reply> + Send + 'static,
) -> Result<Reply, ApiError> {
    match asking? {
        None => in_time(ANSWER_WAIT_MAX, false, async { Ok(work.await) }).await,
        Some((key, fingerprint)) => {
            let (holder, answered) = (publisher.holder(), &api.0.publish.answered);
            let answer = answered.once(&holder, &key, fingerprint, work);
            in_time(ANSWER_WAIT_MAX, true, answer).await
        }
    }
}

/// The answer, or that nobody knows it yet: a message that was handed over is stored once the store works again.
/// A request with a key goes on without its client, so that its repetition gets the answer.
async fn in_time(
    wait: Duration,
    has_key: bool,
    answer: impl Future<Output = Result<Reply, ApiError>>,
) -> Result<Reply, ApiError> {
    let answer = tokio::time::timeout(wait, answer).await;
    answer.unwrap_or_else(|_late| Err(answer::unknown(has_key)))
}

async fn publish_one(api: &Api, publisher: &Publisher, asked: &Asked, route: Route) -> Reply {
    let message = match asked.message(route.qos) {
        Ok(message) => message,
        Err(error) => return Reply::of_error(route.dialect, error),
    };
    let (mut outcomes, level) =
        match submit::submit(api, &publisher.identity, std::slice::from_ref(&message)).await {
            Ok(outcomes) => outcomes,
            Err(error) => return Reply::of_error(route.dialect, error),
        };
    let outcome = outcomes.pop().expect("invariant: one outcome for each message");
    match answer::accepted((&outcome, level), &message, publisher) {
        Ok(accepted) => Reply::accepted(route.dialect, &accepted),
        Err(error) => Reply::of_error(route.dialect, error),
    }
}

/// Publish messages in order
///
/// At most 200. Each is answered for itself; one that is refused does not keep the others back.
#[utoipa::path(post, path = "/v2/publish/batch", tag = "Messages", params(answer::KeyHeader),
    request_body = BatchRequest, security(("bearer" = [])),
    responses((status = 200, description = "What became of each, in the order of the request", body = BatchAnswer)))]
pub(super) async fn batch(State(api): State<Api>, publisher: Publisher, asked: Asked) -> Response {
    let messages = match asked.batch() {
        Ok(messages) => messages,
        Err(error) => return error.into_response(),
    };
    let (rate, allowed) = spend(&api, &publisher, messages.len());
    if let Err(error) = allowed {
        return (rate, error).into_response();
    }
    let asking = asked.key().map(|key| key.map(|key| (key, asked.fingerprint())));
    let work = {
        let (api, publisher) = (api.clone(), publisher.clone());
        async move { publish_batch(&api, &publisher, messages).await }
    };
    let reply = remembered(&api, &publisher, asking, work).await;
    (rate, reply).into_response()
}

async fn publish_batch(
    api: &Api,
    publisher: &Publisher,
    messages: Vec<Result<message::OwnedMessage, ApiError>>,
) -> Reply {
    let good: Vec<_> = messages.iter().flatten().cloned().collect();
    let (outcomes, level) = match submit::submit(api, &publisher.identity, &good).await {
        Ok(outcomes) => outcomes,
        Err(error) => return Reply::of_error(Dialect::Plain, error),
    };
    let mut outcomes = outcomes.iter();
    let results = messages.into_iter().map(|message| {
        message.and_then(|message| {
            let outcome = outcomes
                .next()
                .expect("invariant: one outcome for each good message");
            answer::accepted((outcome, level), &message, publisher)
        })
    });
    Reply::batch(&BatchAnswer::of(results))
}
