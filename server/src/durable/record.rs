//! Bytes of stored state. The first byte of every record is the version of the layout; an unknown one is refused.
//!
//! Numbers are big-endian. A text or a run of bytes has its length in front, as u32. Moments are those of the wall
//! clock, in microseconds since 1970, 0 for none: [`Instant`] means nothing in another process.

use std::sync::Arc;

use bytes::{Buf, TryGetError};

use cloudsignal_broker::change::{Keeping, Terms};
use cloudsignal_broker::message::StoredMessage;
use cloudsignal_broker::policy::Actions;
use cloudsignal_broker::{Access, Credential, Identity, Message, OrgId, Scope, ScopePart};
use cloudsignal_core::topic::{TopicFilterBuf, TopicName};
use cloudsignal_core::{Instant, Qos};

use crate::clock::{Clock, WallTime};

/// The layout that this program writes.
pub(super) const FORMAT_VERSION: u8 = 1;

/// Kinds of deliveries. Stored: never change a number. Those that are undated are read and not written any more.
const INLINE_UNDATED: u8 = 1;
const SHARED_UNDATED: u8 = 2;
const RELEASED: u8 = 3;
const INLINE: u8 = 4;
const SHARED: u8 = 5;

/// Why a record cannot be used. It is never guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    /// A newer program wrote it.
    #[error("stored in format {0}, and this program knows format {FORMAT_VERSION}")]
    UnknownVersion(u8),
    /// Fewer bytes than the layout has.
    #[error("it ends too soon")]
    Short,
    /// More bytes than the layout has.
    #[error("bytes follow its end")]
    Long,
    /// A value that the layout does not have.
    #[error("{0} is not valid")]
    Bad(&'static str),
}

impl From<TryGetError> for Damage {
    fn from(_: TryGetError) -> Self {
        Self::Short
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionRecord {
    pub(super) client_id: Arc<str>,
    pub(super) identity: Arc<Identity>,
    pub(super) expiry_secs: u32,
    pub(super) ends_at: Option<Instant>,
}

/// A subscription, beside its filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SubscriptionRecord {
    pub(super) options: u8,
    pub(super) subscription_id: Option<u32>,
    pub(super) owes_retained: bool,
}

/// A will.
#[derive(Clone, Debug)]
pub(super) struct WillRecord {
    pub(super) message: Arc<Message>,
    pub(super) expiry_secs: Option<u32>,
    pub(super) delay_secs: u32,
    pub(super) due_at: Option<Instant>,
}

/// A delivery.
#[derive(Clone, Debug)]
pub(super) enum DeliveryRecord<M> {
    /// It is waiting, or being sent.
    Queued {
        message: M,
        terms: Terms,
        packet_id: Option<u16>,
    },
    /// Only PUBREL remains to be sent.
    Released { packet_id: u16 },
}

/// Where the message of a delivery is.
#[derive(Clone, Debug)]
pub(super) enum MessagePlace {
    /// In the delivery's own record.
    Inline(Arc<Message>),
    /// On the shelf of messages, under its number.
    Shared(u64),
}

/// The number of the message that a delivery shares with others, if it does.
pub(super) fn shared_message(value: &[u8], clock: &Clock) -> Option<u64> {
    match Reader::new(value, clock).ok()?.delivery().ok()? {
        DeliveryRecord::Queued {
            message: MessagePlace::Shared(number),
            ..
        } => Some(number),
        DeliveryRecord::Queued {
            message: MessagePlace::Inline(_),
            ..
        }
        | DeliveryRecord::Released { .. } => None,
    }
}

/// Writes records, on a clock.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub(super) bytes: &'a mut Vec<u8>,
    pub(super) clock: &'a Clock,
}

impl Writer<'_> {
    pub(super) fn session(mut self, record: &SessionRecord) {
        self.version();
        self.text(&record.client_id);
        self.u32(record.expiry_secs);
        self.moment(record.ends_at);
        self.identity(&record.identity);
    }

    pub(super) fn subscription(mut self, filter: &str, record: SubscriptionRecord) {
        self.version();
        self.text(filter);
        self.u8(record.options);
        self.optional_u32(record.subscription_id);
        self.u8(u8::from(record.owes_retained));
    }

    pub(super) fn will(mut self, record: &WillRecord) {
        self.version();
        self.optional_u32(record.expiry_secs);
        self.u32(record.delay_secs);
        self.moment(record.due_at);
        self.message_body(&record.message);
    }

    pub(super) fn packet_id(mut self, packet_id: u16) {
        self.version();
        self.bytes.extend_from_slice(&packet_id.to_be_bytes());
    }

    /// A record of nothing but its key.
    pub(super) fn mark(mut self) {
        self.version();
    }

    pub(super) fn delivery(mut self, record: &DeliveryRecord<MessagePlace>) {
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

    pub(super) fn message(mut self, message: &Message) {
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

/// Reads one record, on a clock.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    clock: &'a Clock,
}

impl<'a> Reader<'a> {
    /// Checks the version.
    pub(super) fn new(bytes: &'a [u8], clock: &'a Clock) -> Result<Self, Damage> {
        let mut reader = Self { bytes, clock };
        match reader.u8()? {
            FORMAT_VERSION => Ok(reader),
            other => Err(Damage::UnknownVersion(other)),
        }
    }

    pub(super) fn session(mut self, org: &OrgId) -> Result<SessionRecord, Damage> {
        let record = SessionRecord {
            client_id: self.text("the client id")?.into(),
            expiry_secs: self.bytes.try_get_u32()?,
            ends_at: self.moment()?,
            identity: Arc::new(self.identity(org)?),
        };
        self.end(record)
    }

    /// Its filter, and the rest.
    pub(super) fn subscription(mut self) -> Result<(&'a str, SubscriptionRecord), Damage> {
        let filter = self.text("a filter")?;
        let record = SubscriptionRecord {
            options: self.u8()?,
            subscription_id: self.optional_u32()?,
            owes_retained: self.flag("what is owed")?,
        };
        self.end((filter, record))
    }

    pub(super) fn will(mut self) -> Result<WillRecord, Damage> {
        let (expiry_secs, delay_secs) = (self.optional_u32()?, self.bytes.try_get_u32()?);
        let record = WillRecord {
            expiry_secs,
            delay_secs,
            due_at: self.moment()?,
            message: self.message_body()?,
        };
        self.end(record)
    }

    pub(super) fn packet_id(mut self) -> Result<u16, Damage> {
        let packet_id = self.bytes.try_get_u16()?;
        self.end(packet_id)
    }

    pub(super) fn delivery(mut self) -> Result<DeliveryRecord<MessagePlace>, Damage> {
        let (kind, packet_id) = (self.u8()?, self.bytes.try_get_u16()?);
        if kind == RELEASED {
            return self.end(DeliveryRecord::Released { packet_id });
        }
        let queued_at = match kind {
            INLINE_UNDATED | SHARED_UNDATED => self.clock.now(),
            _ => self.past_moment()?,
        };
        let keeping = match kind {
            INLINE | INLINE_UNDATED => Keeping::Apart,
            SHARED | SHARED_UNDATED => Keeping::Together,
            _ => return Err(Damage::Bad("the kind of delivery")),
        };
        let terms = self.terms(queued_at, keeping)?;
        let message = match keeping {
            Keeping::Apart => MessagePlace::Inline(self.message_body()?),
            Keeping::Together => MessagePlace::Shared(self.bytes.try_get_u64()?),
        };
        self.end(DeliveryRecord::Queued {
            message,
            terms,
            packet_id: (packet_id != 0).then_some(packet_id),
        })
    }

    pub(super) fn message(mut self) -> Result<Arc<Message>, Damage> {
        let message = self.message_body()?;
        self.end(message)
    }

    fn terms(&mut self, queued_at: Instant, keeping: Keeping) -> Result<Terms, Damage> {
        let (qos, retain) = self.flags()?;
        let ids = self.length()?;
        // No more than there can be is set aside at once.
        let mut subscription_ids = Vec::with_capacity(ids.min(self.bytes.len() / 4));
        for _ in 0..ids {
            subscription_ids.push(self.bytes.try_get_u32()?);
        }
        Ok(Terms {
            qos,
            retain,
            subscription_ids: subscription_ids.into(),
            group: self.optional_text("the shared group")?.map(Arc::from),
            queued_at,
            keeping,
        })
    }

    fn message_body(&mut self) -> Result<Arc<Message>, Damage> {
        let (number, publisher) = (self.bytes.try_get_u64()?, self.bytes.try_get_u64()?);
        let expires_at = self.moment()?;
        let (qos, retain) = self.flags()?;
        let payload_format = match self.u8()? {
            0 => None,
            1 => Some(false),
            2 => Some(true),
            _ => return Err(Damage::Bad("the payload format")),
        };
        let topic = self.topic()?;
        let content_type = self.optional_text("the content type")?;
        let response_topic = if self.flag("a mark")? {
            Some(self.topic()?)
        } else {
            None
        };
        let correlation_data = if self.flag("a mark")? {
            Some(self.run()?)
        } else {
            None
        };
        let stored = StoredMessage {
            number,
            publisher,
            topic,
            content_type,
            response_topic,
            correlation_data,
            payload_format,
            user_properties: self.run()?,
            payload: self.run()?,
            qos,
            retain,
            expires_at,
        };
        Message::restored(&stored).map_err(|_| Damage::Bad("a user property"))
    }

    fn identity(&mut self, org: &OrgId) -> Result<Identity, Damage> {
        let username = self.text("the user name")?.into();
        let principal = self.text("the principal")?.into();
        let (kind, id) = (self.u8()?, self.text("the credential")?);
        let credential = match kind {
            0 => Credential::Anonymous,
            1 => Credential::Password { user: id.into() },
            2 => Credential::Token { id: id.into() },
            3 => Credential::Certificate { id: id.into() },
            4 => Credential::Key { id: id.into() },
            _ => return Err(Damage::Bad("the kind of credential")),
        };
        let expires_at = self.moment()?;
        let access = match self.u8()? {
            0 => Access::Policy,
            1 => Access::Full,
            _ => return Err(Damage::Bad("the access")),
        };
        let mut claims = Vec::new();
        for _ in 0..self.length()? {
            claims.push((self.text("a claim")?.into(), self.text("a claim")?.into()));
        }
        Ok(Identity {
            org: org.clone(),
            username,
            principal,
            credential,
            claims,
            expires_at,
            access,
            scope: self.scope()?,
        })
    }

    fn scope(&mut self) -> Result<Option<Arc<Scope>>, Damage> {
        if !self.flag("a mark")? {
            return Ok(None);
        }
        let mut parts = Vec::new();
        for _ in 0..self.length()? {
            let actions = self.u8()?;
            let filter = TopicFilterBuf::parse(self.text("a filter")?);
            parts.push(ScopePart {
                filter: filter.map_err(|_| Damage::Bad("a filter"))?,
                actions: Actions {
                    publish: actions & 1 != 0,
                    subscribe: actions & 2 != 0,
                },
            });
        }
        let parts = parts.into();
        Ok(Some(Arc::new(Scope { parts })))
    }

    fn flags(&mut self) -> Result<(Qos, bool), Damage> {
        let flags = self.u8()?;
        let qos = Qos::from_bits(flags & 3).ok_or(Damage::Bad("the QoS"))?;
        Ok((qos, flags & 4 != 0))
    }

    fn end<T>(self, record: T) -> Result<T, Damage> {
        if self.bytes.is_empty() {
            Ok(record)
        } else {
            Err(Damage::Long)
        }
    }

    fn u8(&mut self) -> Result<u8, Damage> {
        Ok(self.bytes.try_get_u8()?)
    }

    fn flag(&mut self, what: &'static str) -> Result<bool, Damage> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damage::Bad(what)),
        }
    }

    fn length(&mut self) -> Result<usize, Damage> {
        Ok(self.bytes.try_get_u32()? as usize)
    }

    fn run(&mut self) -> Result<&'a [u8], Damage> {
        let length = self.length()?;
        let (run, rest) = self.bytes.split_at_checked(length).ok_or(Damage::Short)?;
        self.bytes = rest;
        Ok(run)
    }

    fn text(&mut self, what: &'static str) -> Result<&'a str, Damage> {
        std::str::from_utf8(self.run()?).map_err(|_| Damage::Bad(what))
    }

    fn topic(&mut self) -> Result<TopicName<'a>, Damage> {
        TopicName::parse(self.text("the topic")?).map_err(|_| Damage::Bad("the topic"))
    }

    fn optional_text(&mut self, what: &'static str) -> Result<Option<&'a str>, Damage> {
        Ok(if self.flag("a mark")? {
            Some(self.text(what)?)
        } else {
            None
        })
    }

    fn optional_u32(&mut self) -> Result<Option<u32>, Damage> {
        Ok(if self.flag("a mark")? {
            Some(self.bytes.try_get_u32()?)
        } else {
            None
        })
    }

    /// A moment that may have passed.
    fn past_moment(&mut self) -> Result<Instant, Damage> {
        let wall = WallTime::from_unix_micros(self.bytes.try_get_u64()?);
        Ok(self.clock.moment_of(wall))
    }

    /// A moment of the past is now.
    fn moment(&mut self) -> Result<Option<Instant>, Damage> {
        let micros = self.bytes.try_get_u64()?;
        let wall = WallTime::from_unix_micros(micros);
        Ok((micros != 0).then(|| self.clock.instant_of(wall)))
    }
}
