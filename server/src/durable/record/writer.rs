//! From state to bytes.

use cloudsignal_broker::change::{PublishNumbers, Terms};
use cloudsignal_broker::{Access, Credential, Identity, Message};
use cloudsignal_core::Instant;

use super::{
    DeliveryRecord, FORMAT_VERSION, INLINE, MessagePlace, RELEASED, SHARED, SessionRecord,
    SubscriptionRecord, WillRecord,
};
use crate::clock::Clock;

/// Writes records, on a clock.
#[derive(Debug)]
pub(in crate::durable) struct Writer<'a> {
    pub(in crate::durable) bytes: &'a mut Vec<u8>,
    pub(in crate::durable) clock: &'a Clock,
}

impl Writer<'_> {
    pub(in crate::durable) fn session(mut self, record: &SessionRecord) {
        self.version();
        self.text(&record.client_id);
        self.u32(record.expiry_secs);
        self.moment(record.ends_at);
        self.identity(&record.identity);
    }

    pub(in crate::durable) fn subscription(mut self, filter: &str, record: SubscriptionRecord) {
        self.version();
        self.text(filter);
        self.u8(record.options);
        self.optional_u32(record.subscription_id);
        self.u8(u8::from(record.owes_retained));
    }

    pub(in crate::durable) fn will(mut self, record: &WillRecord) {
        self.version();
        self.optional_u32(record.expiry_secs);
        self.u32(record.delay_secs);
        self.moment(record.due_at);
        self.message_body(&record.message);
    }

    pub(in crate::durable) fn packet_id(mut self, packet_id: u16) {
        self.version();
        self.bytes.extend_from_slice(&packet_id.to_be_bytes());
    }

    pub(in crate::durable) fn numbers(mut self, numbers: &PublishNumbers) {
        self.version();
        self.u64(numbers.epoch);
        self.u64(numbers.through);
        self.length(numbers.refused.len());
        for refused in &numbers.refused {
            self.bytes.extend_from_slice(&refused.packet_id.to_be_bytes());
            self.u64(refused.sequence);
        }
    }

    /// Which deliveries of a block are left.
    pub(in crate::durable) fn left(mut self, left: u64) {
        self.version();
        self.u64(left);
    }

    /// A record of nothing but its key.
    pub(in crate::durable) fn mark(mut self) {
        self.version();
    }

    pub(in crate::durable) fn delivery(mut self, record: &DeliveryRecord<MessagePlace>) {
        self.version();
        let (kind, packet_id) = match record {
            DeliveryRecord::Queued {
                message: MessagePlace::Inline(_),
                packet_id,
                ..
            } => (INLINE, packet_id.unwrap_or(0)),
            DeliveryRecord::Queued {
                message: MessagePlace::Shared(_),
                packet_id,
                ..
            } => (SHARED, packet_id.unwrap_or(0)),
            DeliveryRecord::Released { packet_id } => (RELEASED, *packet_id),
        };
        self.u8(kind);
        self.bytes.extend_from_slice(&packet_id.to_be_bytes());
        if let DeliveryRecord::Queued { message, terms, .. } = record {
            self.moment(Some(terms.queued_at));
            self.terms(terms);
            match message {
                MessagePlace::Inline(message) => self.message_body(message),
                MessagePlace::Shared(number) => self.u64(*number),
            }
        }
    }

    pub(in crate::durable) fn message(mut self, message: &Message) {
        self.version();
        self.message_body(message);
    }

    fn terms(&mut self, terms: &Terms) {
        self.u8(terms.qos.bits() | u8::from(terms.retain) << 2);
        self.length(terms.subscription_ids.len());
        for id in &terms.subscription_ids {
            self.u32(*id);
        }
        self.optional_text(terms.group.as_deref());
    }

    fn message_body(&mut self, message: &Message) {
        self.u64(message.number());
        self.u64(message.publisher());
        self.moment(message.expires_at());
        self.u8(message.qos().bits() | u8::from(message.retain()) << 2);
        self.u8(match message.payload_format() {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        });
        self.text(message.topic().as_str());
        self.optional_text(message.content_type());
        self.optional_text(message.response_topic().as_ref().map(|topic| topic.as_str()));
        self.optional(message.correlation_data(), Self::run);
        self.run(message.user_properties());
        self.run(message.payload());
    }

    fn identity(&mut self, identity: &Identity) {
        self.text(&identity.username);
        self.text(&identity.principal);
        let (kind, id) = match &identity.credential {
            Credential::Anonymous => (0, ""),
            Credential::Password { user } => (1, &**user),
            Credential::Token { id } => (2, &**id),
            Credential::Certificate { id } => (3, &**id),
            Credential::Key { id } => (4, &**id),
        };
        self.u8(kind);
        self.text(id);
        self.moment(identity.expires_at);
        self.u8(match identity.access {
            Access::Policy => 0,
            Access::Full => 1,
        });
        self.length(identity.claims.len());
        for (name, value) in &identity.claims {
            self.text(name);
            self.text(value);
        }
        self.optional(identity.scope.as_deref(), |writer, scope| {
            writer.length(scope.parts.len());
            for part in &scope.parts {
                writer.u8(u8::from(part.actions.publish) | u8::from(part.actions.subscribe) << 1);
                writer.text(part.filter.as_str());
            }
        });
    }

    fn version(&mut self) {
        self.u8(FORMAT_VERSION);
    }

    fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn length(&mut self, length: usize) {
        self.u32(u32::try_from(length).expect("invariant: packets are far smaller"));
    }

    fn run(&mut self, run: &[u8]) {
        self.length(run.len());
        self.bytes.extend_from_slice(run);
    }

    fn text(&mut self, text: &str) {
        self.run(text.as_bytes());
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn optional_text(&mut self, text: Option<&str>) {
        self.optional(text, Self::text);
    }

    fn optional_u32(&mut self, value: Option<u32>) {
        self.optional(value, Self::u32);
    }

    fn moment(&mut self, at: Option<Instant>) {
        // 0 is none, also on a clock that stands there.
        let micros = at.map_or(0, |at| self.clock.wall_of(at).unix_micros().max(1));
        self.u64(micros);
    }
}
