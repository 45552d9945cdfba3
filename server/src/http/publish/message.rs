//! One message, checked, on its way to the organization.

use bytes::Bytes;

use cloudsignal_broker::org::Submission;
use cloudsignal_core::Qos;
use cloudsignal_core::codec::{PublishProperties, UserProperties};
use cloudsignal_core::topic::TopicNameBuf;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use crate::durable::Level;
use crate::http::ApiError;

/// Length of a text or of binary data in MQTT, bytes.
const STRING_BYTES_MAX: usize = 65_535;

/// A message that can be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnedMessage {
    pub(super) topic: TopicNameBuf,
    pub(super) payload: Bytes,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    /// What the answer has to wait for; if nothing is said, what the organization promises.
    pub(super) durability: Option<Level>,
    pub(super) properties: OwnedProperties,
}

/// The properties of a PUBLISH that are the publisher's to set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnedProperties {
    pub(super) payload_format: Option<bool>,
    pub(super) message_expiry_secs: Option<u32>,
    pub(super) content_type: Option<String>,
    pub(super) response_topic: Option<TopicNameBuf>,
    pub(super) correlation_data: Option<Vec<u8>>,
    /// As on the wire, in order.
    pub(super) user: Vec<u8>,
}

impl OwnedMessage {
    /// As the organization takes it.
    pub(super) fn submission(&self) -> Submission<'_> {
        let properties = &self.properties;
        Submission {
            topic: self.topic.as_ref(),
            payload: &self.payload,
            properties: PublishProperties {
                payload_format: properties.payload_format,
                message_expiry_secs: properties.message_expiry_secs,
                content_type: properties.content_type.as_deref(),
                response_topic: properties.response_topic.as_ref().map(TopicNameBuf::as_ref),
                correlation_data: properties.correlation_data.as_deref(),
                user_properties: UserProperties::from_wire(&properties.user)
                    .expect("invariant: written by UserProperties::push"),
                ..PublishProperties::default()
            },
            qos: self.qos,
            retain: self.retain,
        }
    }

    /// Refuses what says of itself what it is not. [MQTT-3.3.2-4]
    pub(super) fn checked(self) -> Result<Self, ApiError> {
        if self.properties.payload_format == Some(true) && std::str::from_utf8(&self.payload).is_err() {
            return Err(ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "payload_format_invalid",
                "the payload is said to be UTF-8 text, and is not",
            ));
        }
        Ok(self)
    }
}

impl OwnedProperties {
    pub(super) fn push_user(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        check_text("a user property", name)?;
        check_text("a user property", value)?;
        UserProperties::push(&mut self.user, name, value)
            .map_err(|error| ApiError::invalid_value(format!("a user property cannot be sent: {error}")))
    }

    pub(super) fn set_content_type(&mut self, text: String) -> Result<(), ApiError> {
        check_text("content_type", &text)?;
        self.content_type = Some(text);
        Ok(())
    }

    pub(super) fn set_response_topic(&mut self, text: &str) -> Result<(), ApiError> {
        self.response_topic = Some(topic("response_topic", text)?);
        Ok(())
    }

    pub(super) fn set_correlation_data(&mut self, data: Vec<u8>) -> Result<(), ApiError> {
        if data.len() > STRING_BYTES_MAX {
            let text = format!("correlation_data is longer than {STRING_BYTES_MAX} bytes");
            return Err(ApiError::invalid_value(text));
        }
        self.correlation_data = Some(data);
        Ok(())
    }
}

/// A topic name, or what is wrong with it.
pub(super) fn topic(field: &str, text: &str) -> Result<TopicNameBuf, ApiError> {
    TopicNameBuf::parse(text).map_err(|error| {
        let text = format!("{field}: {error}");
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_topic", text)
    })
}

pub(super) fn qos(number: u64) -> Result<Qos, ApiError> {
    let qos = u8::try_from(number).ok().and_then(Qos::from_bits);
    qos.ok_or_else(|| ApiError::invalid_value("qos must be 0, 1 or 2"))
}

/// Reads base64 of either alphabet, padded or not.
pub(super) fn base64(field: &str, text: &str) -> Result<Vec<u8>, ApiError> {
    let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD];
    engines
        .iter()
        .find_map(|engine| engine.decode(text).ok())
        .ok_or_else(|| ApiError::invalid_value(format!("{field} is not base64")))
}

/// MQTT texts are short and hold no NUL. [MQTT-1.5.4-2]
fn check_text(field: &str, text: &str) -> Result<(), ApiError> {
    if text.len() > STRING_BYTES_MAX || text.contains('\0') {
        let text = format!("{field} must have at most {STRING_BYTES_MAX} bytes and no NUL");
        return Err(ApiError::invalid_value(text));
    }
    Ok(())
}
