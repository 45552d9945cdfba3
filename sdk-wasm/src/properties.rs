//! Message properties as bytes, both ways.

use alloc::vec::Vec;

use cloudsignal_core::codec::{PublishProperties, UserProperties};
use cloudsignal_core::topic::TopicName;

use crate::fields::{Fields, number, push, text};
use crate::layout::{CONTENT_TYPE, CORRELATION, EXPIRY, IS_TEXT, RESPONSE_TOPIC, USER};

/// Adds the properties of a received message to an event.
pub(crate) fn write(properties: &PublishProperties<'_>, out: &mut Vec<u8>) {
    if let Some(secs) = properties.message_expiry_secs {
        push(out, EXPIRY, &[&secs.to_le_bytes()]);
    }
    if let Some(topic) = properties.response_topic {
        push(out, RESPONSE_TOPIC, &[topic.as_str().as_bytes()]);
    }
    if let Some(data) = properties.correlation_data {
        push(out, CORRELATION, &[data]);
    }
    if let Some(kind) = properties.content_type {
        push(out, CONTENT_TYPE, &[kind.as_bytes()]);
    }
    if let Some(is_text) = properties.payload_format {
        push(out, IS_TEXT, &[&[u8::from(is_text)]]);
    }
    for (name, value) in properties.user_properties.iter() {
        let name_bytes = u16::try_from(name.len()).unwrap_or(u16::MAX);
        push(
            out,
            USER,
            &[&name_bytes.to_le_bytes(), name.as_bytes(), value.as_bytes()],
        );
    }
}

/// Reads the properties of a publication; user properties are encoded into `user`. `None`: they cannot be said in MQTT.
pub(crate) fn read<'a>(bytes: &'a [u8], user: &'a mut Vec<u8>) -> Option<PublishProperties<'a>> {
    let mut properties = PublishProperties::default();
    user.clear();
    for (which, value) in Fields::new(bytes) {
        match which {
            EXPIRY => properties.message_expiry_secs = Some(number(value)),
            RESPONSE_TOPIC => properties.response_topic = Some(TopicName::parse(text(value)?).ok()?),
            CORRELATION => properties.correlation_data = Some(value),
            CONTENT_TYPE => properties.content_type = Some(text(value)?),
            IS_TEXT => properties.payload_format = Some(number(value) != 0),
            USER => {
                let (name_bytes, rest) = value.split_first_chunk()?;
                let name_bytes = usize::from(u16::from_le_bytes(*name_bytes));
                let (name, value) = rest.split_at_checked(name_bytes)?;
                UserProperties::push(user, text(name)?, text(value)?).ok()?;
            }
            _ => return None,
        }
    }
    properties.user_properties = UserProperties::from_wire(user).ok()?;
    Some(properties)
}
