//! A message whose payload is the body itself: everything else stands in the query or in headers.

use axum::extract::Query;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use bytes::Bytes;
use utoipa::IntoParams;

use cloudsignal_core::Qos;
use cloudsignal_core::topic::TopicNameBuf;

use super::message::{OwnedMessage, OwnedProperties, base64, qos, topic};
use crate::durable::Level;
use crate::http::ApiError;

/// How the headers about a message begin: `X-MQTT-Topic` says what `?topic=` says.
pub(super) const HEADER_PREFIX: &str = "x-mqtt-";

/// About a message whose payload is the body itself. Each may be sent as a header instead: `X-MQTT-Topic`,
/// `X-MQTT-QoS`, `X-MQTT-User-Property` and so on. With JSON in the body, leave them out.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by name; here for the document")]
pub(super) struct RawParams {
    /// Where it goes. Makes the body the payload.
    topic: Option<String>,
    /// 1 if absent; over `/api/v1/publish` 0.
    #[param(minimum = 0, maximum = 2)]
    qos: Option<u8>,
    /// Whether subscribers to come get it too.
    retain: Option<bool>,
    /// What the answer waits for, as in JSON.
    durability: Option<Level>,
    /// 1 says that the payload is UTF-8 text, 0 that it is bytes.
    #[param(minimum = 0, maximum = 1)]
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
    /// `name=value`; may be there several times.
    user_property: Option<String>,
}

/// Everything of a message that may stand in the query beside its topic.
const NAMES: [&str; 10] = [
    "qos",
    "retain",
    "durability",
    "payload_format_indicator",
    "message_expiry_interval",
    "content_type",
    "response_topic",
    "correlation_data",
    "correlation_data_base64",
    "user_property",
];

/// What a request says about a message beside its payload.
#[derive(Debug)]
pub(super) struct RawMessage {
    topic: TopicNameBuf,
    qos: Option<Qos>,
    retain: bool,
    durability: Option<Level>,
    properties: OwnedProperties,
}

impl RawMessage {
    /// `None`: the request names no topic outside of its body.
    pub(super) fn of(head: &Parts) -> Result<Option<Self>, ApiError> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(&head.uri);
        let Query(mut said) = query.map_err(|_| ApiError::invalid_request("the query cannot be read"))?;
        said.extend(of_headers(&head.headers)?);
        let mut topics = said.iter().filter(|(name, _)| name == "topic");
        let Some((_, name)) = topics.next() else {
            return without_topic(&said).map(|()| None);
        };
        if topics.next().is_some() {
            return Err(ApiError::invalid_value("topic is there twice"));
        }
        let mut message = Self {
            topic: topic("topic", name)?,
            qos: None,
            retain: false,
            durability: None,
            properties: OwnedProperties::default(),
        };
        for (name, value) in said {
            message.set(&name, value)?;
        }
        Ok(Some(message))
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), ApiError> {
        let properties = &mut self.properties;
        match name {
            "qos" => self.qos = Some(qos(number(name, &value)?)?),
            "retain" => self.retain = flag(name, &value)?,
            "durability" => self.durability = Some(level(name, &value)?),
            "payload_format_indicator" => properties.payload_format = Some(flag(name, &value)?),
            "message_expiry_interval" => {
                let secs = number(name, &value)?;
                let secs = u32::try_from(secs)
                    .map_err(|_| ApiError::invalid_value("message_expiry_interval must fit 32 bits"))?;
                properties.message_expiry_secs = Some(secs);
            }
            "content_type" => properties.set_content_type(value)?,
            "response_topic" => properties.set_response_topic(&value)?,
            "correlation_data" => properties.set_correlation_data(value.into_bytes())?,
            "correlation_data_base64" => properties.set_correlation_data(base64(name, &value)?)?,
            "user_property" => {
                let Some((name, value)) = value.split_once('=') else {
                    return Err(ApiError::invalid_value("user_property must be name=value"));
                };
                properties.push_user(name, value)?;
            }
            // The topic, and what is not ours.
            _ => {}
        }
        Ok(())
    }

    pub(super) fn with_payload(self, payload: Bytes, qos_default: Qos) -> Result<OwnedMessage, ApiError> {
        let message = OwnedMessage {
            topic: self.topic,
            payload,
            qos: self.qos.unwrap_or(qos_default),
            retain: self.retain,
            durability: self.durability,
            properties: self.properties,
        };
        message.checked()
    }
}

/// The body must be JSON and says everything: what stands beside it would be ignored without a word.
fn without_topic(said: &[(String, String)]) -> Result<(), ApiError> {
    match said.iter().find(|(name, _)| NAMES.contains(&name.as_str())) {
        None => Ok(()),
        Some((name, _)) => Err(ApiError::invalid_value(format!(
            "{name} stands outside of the body and the topic does not: put both there, or both into a JSON body"
        ))),
    }
}

/// What headers say, under the names of the query: `X-MQTT-User-Property` is `user_property`.
fn of_headers(headers: &HeaderMap) -> Result<Vec<(String, String)>, ApiError> {
    let mut said = Vec::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(HEADER_PREFIX) else {
            continue;
        };
        let value = std::str::from_utf8(value.as_bytes());
        let value = value.map_err(|_| {
            ApiError::invalid_value(format!("the header {HEADER_PREFIX}{name} is not UTF-8 text"))
        })?;
        said.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(said)
}

fn number(name: &str, text: &str) -> Result<u64, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid_value(format!("{name} must be a number")))
}

fn flag(name: &str, text: &str) -> Result<bool, ApiError> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(ApiError::invalid_value(format!("{name} must be true or false"))),
    }
}

fn level(name: &str, text: &str) -> Result<Level, ApiError> {
    let mut levels = Level::ALL.into_iter();
    levels
        .find(|level| level.name() == text)
        .ok_or_else(|| ApiError::invalid_value(format!("{name} must be disk, os or memory")))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn of(uri: &str, header: Option<(&str, &str)>) -> Result<Option<RawMessage>, ApiError> {
        let request = Request::post(uri);
        let request = match header {
            Some((name, value)) => request.header(name, value),
            None => request,
        };
        RawMessage::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_topic_outside_of_the_body_makes_the_body_the_payload() {
        let said = of("/v2/publish?topic=a/b&qos=2&retain=true&durability=memory", None);
        let message = said.unwrap().unwrap().with_payload(Bytes::new(), Qos::AtMostOnce);
        let message = message.unwrap();
        assert_eq!((message.qos, message.retain), (Qos::ExactlyOnce, true));
        assert_eq!(message.durability, Some(Level::Memory));
        let header = Some(("X-MQTT-Durability", "os"));
        let message = of("/v2/publish?topic=a", header).unwrap().unwrap();
        assert_eq!(message.durability, Some(Level::Os));
        assert!(of("/v2/publish?topic=a&durability=paper", None).is_err());
        assert!(of("/v2/publish?pretty=1", None).unwrap().is_none());
        assert!(of("/v2/publish?topic=a&qos=3", None).is_err());
    }

    #[test]
    fn what_would_be_ignored_beside_a_json_body_is_refused() {
        assert!(of("/v2/publish?qos=2", None).is_err());
        assert!(of("/v2/publish", Some(("X-MQTT-Retain", "true"))).is_err());
        for name in NAMES {
            assert!(of(&format!("/v2/publish?{name}=1"), None).is_err(), "{name}");
        }
    }
}
