//! A message as JSON.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use cloudsignal_core::Qos;

use super::message::{OwnedMessage, OwnedProperties, base64, qos, topic};
use crate::durable::Level;
use crate::http::ApiError;

/// Messages in a batch.
const BATCH_MESSAGES_MAX: usize = 200;

/// A message to publish. Fields that we do not know are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({
    "topic": "notify/ada", "payload": { "text": "hello" }, "qos": 1,
    "properties": { "content_type": "application/json", "user_properties": { "trace": "7" } },
}))]
pub(in crate::http) struct PublishRequest {
    /// Where it goes; no wildcards.
    #[schema(min_length = 1, max_length = 65_535)]
    topic: String,
    /// What it says. A string is sent as its text (or, with `encoding` base64, as the bytes it stands for),
    /// anything else as the JSON that stands here, byte for byte; null as nothing.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    payload: Option<Box<RawValue>>,
    /// What it says, in base64; instead of `payload`.
    payload_base64: Option<String>,
    /// How a string in `payload` is to be read.
    #[serde(default)]
    encoding: Encoding,
    /// 1 if absent; over `/api/v1/publish` 0.
    #[schema(minimum = 0, maximum = 2)]
    qos: Option<u64>,
    /// Whether subscribers to come get it too; with an empty payload, that they no longer do.
    #[serde(default)]
    retain: bool,
    /// What the answer waits for: `memory` for nothing, `os` or `disk` for what the organization promises at most. The
    /// answer says what it was.
    durability: Option<Level>,
    /// MQTT 5 properties.
    #[serde(default)]
    properties: Option<JsonProperties>,
}

/// How a string in `payload` is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum Encoding {
    /// As text.
    #[default]
    #[serde(alias = "utf8", alias = "json", alias = "text")]
    Plain,
    /// As bytes in base64.
    Base64,
}

/// MQTT 5 properties of a message; subscribers get them unaltered.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(in crate::http) struct JsonProperties {
    /// 1 says that the payload is UTF-8 text, 0 that it is bytes.
    #[schema(minimum = 0, maximum = 1)]
    payload_format_indicator: Option<u8>,
    /// Seconds after which it is not delivered any more.
    message_expiry_interval: Option<u32>,
    /// What the payload is.
    content_type: Option<String>,
    /// Where an answer is awaited.
    response_topic: Option<String>,
    /// Tells the asker which request is answered: text.
    correlation_data: Option<String>,
    /// The same for bytes, in base64.
    correlation_data_base64: Option<String>,
    /// Pairs of texts in order: `{"name": "value"}`, `{"name": ["first", "second"]}` or `[["name", "value"]]`.
    #[serde(default)]
    #[schema(value_type = Object)]
    user_properties: UserPairs,
}

/// Messages to publish, in order.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct BatchRequest {
    /// At most 200.
    #[schema(value_type = Vec<PublishRequest>, min_items = 1, max_items = 200)]
    messages: Vec<Box<RawValue>>,
}

/// Pairs of texts, in the order in which they stand.
#[derive(Debug, Default)]
struct UserPairs(Vec<(String, String)>);

/// One message.
pub(super) fn message(body: &Bytes, qos_default: Qos) -> Result<OwnedMessage, ApiError> {
    parse::<PublishRequest>(body)?.check(qos_default)
}

/// Messages, each good or not.
pub(super) fn batch(body: &Bytes) -> Result<Vec<Result<OwnedMessage, ApiError>>, ApiError> {
    let request: BatchRequest = parse(body)?;
    if !(1..=BATCH_MESSAGES_MAX).contains(&request.messages.len()) {
        let text = format!("a batch has 1 to {BATCH_MESSAGES_MAX} messages");
        return Err(ApiError::invalid_value(text));
    }
    let messages = request.messages.into_iter().map(|raw| {
        let request: PublishRequest = parse(raw.get().as_bytes())?;
        request.check(Qos::AtLeastOnce)
    });
    Ok(messages.collect())
}

/// Whether a payload is the JSON that it is said to be.
pub(super) fn check(payload: &[u8]) -> Result<(), ApiError> {
    parse::<IgnoredAny>(payload).map(|_| ())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => ApiError::invalid_value(error.to_string()),
        Category::Syntax | Category::Eof | Category::Io => {
            ApiError::invalid_request(format!("the body is not JSON: {error}"))
        }
    })
}

impl PublishRequest {
    fn check(self, qos_default: Qos) -> Result<OwnedMessage, ApiError> {
        let message = OwnedMessage {
            topic: topic("topic", &self.topic)?,
            payload: payload(
                self.payload.as_deref(),
                self.payload_base64.as_deref(),
                self.encoding,
            )?,
            qos: self.qos.map_or(Ok(qos_default), qos)?,
            retain: self.retain,
            durability: self.durability,
            properties: self.properties.unwrap_or_default().check()?,
        };
        message.checked()
    }
}

fn payload(raw: Option<&RawValue>, base: Option<&str>, encoding: Encoding) -> Result<Bytes, ApiError> {
    let raw = match (raw.map(RawValue::get), base) {
        (None, Some(text)) => return base64("payload_base64", text).map(Bytes::from),
        (Some(raw), None) => raw,
        (None, None) => return Err(ApiError::invalid_value("payload is missing")),
        (Some(_), Some(_)) => {
            let text = "send payload or payload_base64, not both";
            return Err(ApiError::invalid_value(text));
        }
    };
    if raw == "null" {
        return Ok(Bytes::new());
    }
    match (raw.starts_with('"'), encoding) {
        (true, _) => {
            let text: String = serde_json::from_str(raw)
                .map_err(|error| ApiError::invalid_value(format!("payload: {error}")))?;
            match encoding {
                Encoding::Plain => Ok(text.into()),
                Encoding::Base64 => base64("payload", &text).map(Bytes::from),
            }
        }
        (false, Encoding::Plain) => Ok(Bytes::copy_from_slice(raw.as_bytes())),
        (false, Encoding::Base64) => Err(ApiError::invalid_value(
            "with encoding base64, payload must be a string",
        )),
    }
}

impl JsonProperties {
    fn check(self) -> Result<OwnedProperties, ApiError> {
        let mut checked = OwnedProperties {
            payload_format: match self.payload_format_indicator {
                None => None,
                Some(0) => Some(false),
                Some(1) => Some(true),
                Some(_) => return Err(ApiError::invalid_value("payload_format_indicator must be 0 or 1")),
            },
            message_expiry_secs: self.message_expiry_interval,
            ..OwnedProperties::default()
        };
        if let Some(text) = self.content_type {
            checked.set_content_type(text)?;
        }
        if let Some(text) = self.response_topic {
            checked.set_response_topic(&text)?;
        }
        match (self.correlation_data, self.correlation_data_base64) {
            (None, None) => {}
            (Some(text), None) => checked.set_correlation_data(text.into_bytes())?,
            (None, Some(text)) => {
                checked.set_correlation_data(base64("correlation_data_base64", &text)?)?;
            }
            (Some(_), Some(_)) => {
                let text = "send correlation_data or correlation_data_base64, not both";
                return Err(ApiError::invalid_value(text));
            }
        }
        for (name, value) in &self.user_properties.0 {
            checked.push_user(name, value)?;
        }
        Ok(checked)
    }
}

/// A field that is there, also when it is null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for UserPairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor)
    }
}

struct PairsVisitor;

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = UserPairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts, or a list of pairs of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UserPairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, OneOrMany>()? {
            match value {
                OneOrMany::One(value) => pairs.push((name, value)),
                OneOrMany::Many(values) => {
                    pairs.extend(values.into_iter().map(|value| (name.clone(), value)));
                }
            }
        }
        Ok(UserPairs(pairs))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<UserPairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = seq.next_element::<(String, String)>()? {
            pairs.push(pair);
        }
        Ok(UserPairs(pairs))
    }

    fn visit_unit<E>(self) -> Result<UserPairs, E> {
        Ok(UserPairs::default())
    }
}

#[cfg(test)]
mod tests;
