//! A message as the command line handles it: owned, and able to travel as one line of JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use cloudsignal_core::codec::{Packet, PacketId, Publish, PublishProperties, UserProperties};
use cloudsignal_core::topic::TopicName;
use cloudsignal_core::{EncodeError, Qos};

/// A message, received or to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Message {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) dup: bool,
    /// Of a received QoS 1 or 2 message.
    pub(super) packet_id: Option<PacketId>,
    pub(super) properties: Properties,
}

/// The properties of a message, as the JSON lines of `sub` and `pub` name them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Properties {
    /// 0: bytes, 1: UTF-8 text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payload_format_indicator: Option<u8>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_expiry_interval: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) correlation_data_base64: Option<String>,
    /// Only on received messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) subscription_identifiers: Vec<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) user_properties: Vec<(String, String)>,
}

/// One line of `sub --json` and `pub --json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonLine {
    topic: String,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    dup: bool,
    /// The payload when it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    /// The payload when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    properties: Properties,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

fn is_default(properties: &Properties) -> bool {
    *properties == Properties::default()
}

impl Message {
    /// A message that arrived.
    pub(super) fn received(publish: &Publish<'_>) -> Self {
        Self {
            topic: publish
                .topic
                .map(|topic| topic.as_str().to_owned())
                .unwrap_or_default(),
            payload: publish.payload.to_vec(),
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            packet_id: publish.packet_id,
            properties: Properties::received(&publish.properties),
        }
    }

    /// The message as one line of JSON, without the line break.
    pub(super) fn to_json(&self) -> String {
        let text = core::str::from_utf8(&self.payload).ok();
        let line = JsonLine {
            topic: self.topic.clone(),
            qos: self.qos.bits(),
            retain: self.retain,
            dup: self.dup,
            payload: text.map(str::to_owned),
            payload_base64: text.is_none().then(|| BASE64.encode(&self.payload)),
            properties: self.properties.clone(),
        };
        serde_json::to_string(&line).expect("text, numbers and lists always become JSON")
    }

    /// Reads one line of JSON.
    ///
    /// # Errors
    /// What is wrong with it, for the person who wrote it.
    pub(super) fn from_json(line: &str) -> Result<Self, String> {
        let line: JsonLine = serde_json::from_str(line).map_err(|error| error.to_string())?;
        TopicName::parse(&line.topic).map_err(|error| format!("the topic {error}"))?;
        let payload = match (line.payload, line.payload_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => decode_base64("payload_base64", &text)?,
            (None, None) => Vec::new(),
            (Some(_), Some(_)) => return Err("give payload or payload_base64, not both".to_owned()),
        };
        if let Some(data) = &line.properties.correlation_data_base64 {
            decode_base64("correlation_data_base64", data)?;
        }
        Ok(Self {
            topic: line.topic,
            payload,
            qos: Qos::from_bits(line.qos).ok_or("qos is 0, 1 or 2")?,
            retain: line.retain,
            dup: false,
            packet_id: None,
            properties: line.properties,
        })
    }

    /// Hands `send` the PUBLISH with this packet id.
    ///
    /// # Errors
    /// What in the message MQTT cannot express.
    pub(super) fn with_packet<T>(
        &self,
        packet_id: Option<PacketId>,
        send: impl FnOnce(&Packet<'_>) -> T,
    ) -> Result<T, String> {
        let topic = TopicName::parse(&self.topic).map_err(|error| format!("the topic {error}"))?;
        let properties = &self.properties;
        let user_properties = properties
            .user_properties_wire()
            .map_err(|error| error.to_string())?;
        let correlation_data = properties.correlation_data_base64.as_deref();
        let correlation_data = correlation_data
            .map(|text| decode_base64("correlation_data_base64", text))
            .transpose()?;
        let response_topic = properties
            .response_topic
            .as_deref()
            .map(TopicName::parse)
            .transpose();
        let publish = Publish {
            qos: self.qos,
            retain: self.retain,
            packet_id,
            properties: PublishProperties {
                payload_format: properties.payload_format_indicator.map(|format| format == 1),
                message_expiry_secs: properties.message_expiry_interval,
                response_topic: response_topic.map_err(|error| format!("the response topic {error}"))?,
                correlation_data: correlation_data.as_deref(),
                content_type: properties.content_type.as_deref(),
                user_properties: UserProperties::from_wire(&user_properties)
                    .map_err(|error| error.to_string())?,
                ..PublishProperties::default()
            },
            ..Publish::new(topic, &self.payload)
        };
        Ok(send(&Packet::Publish(publish)))
    }
}

impl Properties {
    fn received(properties: &PublishProperties<'_>) -> Self {
        Self {
            payload_format_indicator: properties.payload_format.map(u8::from),
            message_expiry_interval: properties.message_expiry_secs,
            content_type: properties.content_type.map(str::to_owned),
            response_topic: properties.response_topic.map(|topic| topic.as_str().to_owned()),
            correlation_data_base64: properties.correlation_data.map(|data| BASE64.encode(data)),
            subscription_identifiers: properties.subscription_ids.iter().collect(),
            user_properties: owned(properties.user_properties),
        }
    }

    /// Bytes as JSON carries them.
    pub(super) fn encode_data(data: &str) -> String {
        BASE64.encode(data)
    }

    fn user_properties_wire(&self) -> Result<Vec<u8>, EncodeError> {
        let mut wire = Vec::new();
        for (name, value) in &self.user_properties {
            UserProperties::push(&mut wire, name, value)?;
        }
        Ok(wire)
    }
}

fn owned(properties: UserProperties<'_>) -> Vec<(String, String)> {
    properties
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn decode_base64(field: &str, text: &str) -> Result<Vec<u8>, String> {
    BASE64.decode(text).map_err(|error| format!("{field}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json_says_everything_and_reads_back() {
        let message = Message {
            topic: "a/b".to_owned(),
            payload: b"caf\xc3\xa9 \"x\"".to_vec(),
            qos: Qos::AtLeastOnce,
            retain: true,
            properties: Properties {
                payload_format_indicator: Some(1),
                message_expiry_interval: Some(60),
                user_properties: vec![("k".to_owned(), "1".to_owned()), ("k".to_owned(), "2".to_owned())],
                ..Properties::default()
            },
            ..Message::default()
        };
        let line = message.to_json();
        assert_eq!(
            line,
            concat!(
                r#"{"topic":"a/b","qos":1,"retain":true,"payload":"café \"x\"","properties":"#,
                r#"{"payload_format_indicator":1,"message_expiry_interval":60,"#,
                r#""user_properties":[["k","1"],["k","2"]]}}"#,
            )
        );
        assert_eq!(Message::from_json(&line), Ok(message));
    }

    #[test]
    fn a_payload_that_is_no_text_travels_as_base64() {
        let message = Message {
            topic: "a".to_owned(),
            payload: vec![0xff, 0x00],
            ..Message::default()
        };
        let line = message.to_json();
        assert_eq!(
            line,
            r#"{"topic":"a","qos":0,"retain":false,"payload_base64":"/wA="}"#
        );
        assert_eq!(Message::from_json(&line), Ok(message));
    }

    #[test]
    fn a_wrong_line_says_what_is_wrong() {
        let wrong = |line: &str| Message::from_json(line).unwrap_err();
        assert!(wrong("hello").contains("expected"));
        assert!(wrong(r#"{"payload":"x"}"#).contains("missing field `topic`"));
        assert!(wrong(r#"{"topic":"a","payloud":"x"}"#).contains("payloud"));
        assert!(wrong(r#"{"topic":"a/#"}"#).contains("wildcard"));
        assert!(wrong(r#"{"topic":"a","qos":3}"#).contains("qos is 0, 1 or 2"));
        assert!(wrong(r#"{"topic":"a","payload":"x","payload_base64":"eA=="}"#).contains("not both"));
        assert!(wrong(r#"{"topic":"a","payload_base64":"?"}"#).contains("payload_base64"));
    }
}
