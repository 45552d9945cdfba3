//! Topic aliases from a client: numbers that stand for a topic as long as the connection lives.

use cloudsignal_core::codec::{Publish, ReasonCode};
use cloudsignal_core::topic::{TopicName, TopicNameBuf};

use super::packet::Fault;
use crate::session::Connection;

/// A topic alias, and its topic while the message passes.
pub(super) enum Alias {
    None,
    At(usize, TopicNameBuf),
}

impl Alias {
    /// Finds the topic that an alias stands for, or learns it.
    pub(super) fn resolve(conn: &mut Connection, publish: &Publish<'_>) -> Result<Self, Fault> {
        let Some(alias) = publish.properties.topic_alias else {
            return Ok(Self::None);
        };
        if alias.get() > conn.alias_max {
            let what = "a topic alias above our Topic Alias Maximum";
            return Err(Fault {
                reason: ReasonCode::TopicAliasInvalid,
                what,
            }); // [MQTT-3.3.2-9]
        }
        let at = usize::from(alias.get()) - 1;
        if conn.aliases_in.len() <= at {
            conn.aliases_in.resize(at + 1, None);
        }
        if let Some(topic) = publish.topic {
            conn.aliases_in[at] = Some(topic.to_owned());
            return Ok(Self::None);
        }
        Ok(conn.aliases_in[at]
            .take()
            .map_or(Self::None, |topic| Self::At(at, topic)))
    }

    pub(super) fn topic(&self) -> Option<TopicName<'_>> {
        match self {
            Self::None => None,
            Self::At(_, topic) => Some(topic.as_ref()),
        }
    }

    /// Gives the topic back once the message has passed.
    pub(super) fn put_back(self, conn: &mut Connection) {
        if let Self::At(at, topic) = self {
            conn.aliases_in[at] = Some(topic);
        }
    }
}
