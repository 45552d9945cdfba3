//! From bytes to state, whatever the bytes are.

use std::sync::Arc;

use bytes::Buf;

use cloudsignal_broker::change::{Keeping, PublishNumbers, RefusedPublish, Terms};
use cloudsignal_broker::message::StoredMessage;
use cloudsignal_broker::policy::Actions;
use cloudsignal_broker::{Access, Credential, Identity, Message, OrgId, Scope, ScopePart};
use cloudsignal_core::topic::{TopicFilterBuf, TopicName};
use cloudsignal_core::{Instant, Qos};

use super::{
    Damage, DeliveryRecord, FORMAT_VERSION, INLINE, INLINE_UNDATED, MessagePlace, RELEASED, SHARED,
    SHARED_UNDATED, SessionRecord, SubscriptionRecord, WillRecord,
};
use crate::clock::{Clock, WallTime};

/// Reads one record, on a clock.
#[derive(Debug)]
pub(in crate::durable) struct Reader<'a> {
    bytes: &'a [u8],
    clock: &'a Clock,
}

impl<'a> Reader<'a> {
    /// Checks the version.
    pub(in crate::durable) fn new(bytes: &'a [u8], clock: &'a Clock) -> Result<Self, Damage> {
        let mut reader = Self { bytes, clock };
        match reader.u8()? {
            FORMAT_VERSION => Ok(reader),
            other => Err(Damage::UnknownVersion(other)),
        }
    }

    pub(in crate::durable) fn session(mut self, org: &OrgId) -> Result<SessionRecord, Damage> {
        let record = SessionRecord {
            client_id: self.text("the client id")?.into(),
            expiry_secs: self.bytes.try_get_u32()?,
            ends_at: self.moment()?,
            identity: Arc::new(self.identity(org)?),
        };
        self.end(record)
    }

    /// Its filter, and the rest.
    pub(in crate::durable) fn subscription(mut self) -> Result<(&'a str, SubscriptionRecord), Damage> {
        let filter = self.text("a filter")?;
        let record = SubscriptionRecord {
            options: self.u8()?,
            subscription_id: self.optional_u32()?,
            owes_retained: self.flag("what is owed")?,
        };
        self.end((filter, record))
    }

    pub(in crate::durable) fn will(mut self) -> Result<WillRecord, Damage> {
        let (expiry_secs, delay_secs) = (self.optional_u32()?, self.bytes.try_get_u32()?);
        let record = WillRecord {
            expiry_secs,
            delay_secs,
            due_at: self.moment()?,
            message: self.message_body()?,
        };
        self.end(record)
    }

    pub(in crate::durable) fn packet_id(mut self) -> Result<u16, Damage> {
        let packet_id = self.bytes.try_get_u16()?;
        self.end(packet_id)
    }

    pub(in crate::durable) fn left(mut self) -> Result<u64, Damage> {
        let left = self.bytes.try_get_u64()?;
        self.end(left)
    }

    pub(in crate::durable) fn numbers(mut self) -> Result<PublishNumbers, Damage> {
        let (epoch, through) = (self.bytes.try_get_u64()?, self.bytes.try_get_u64()?);
        let count = self.length()?;
        let mut refused = Vec::with_capacity(count.min(self.bytes.len() / 10));
        for _ in 0..count {
            refused.push(RefusedPublish {
                packet_id: self.bytes.try_get_u16()?,
                sequence: self.bytes.try_get_u64()?,
            });
        }
        self.end(PublishNumbers {
            epoch,
            through,
            refused,
        })
    }

    pub(in crate::durable) fn delivery(mut self) -> Result<DeliveryRecord<MessagePlace>, Damage> {
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

    pub(in crate::durable) fn message(mut self) -> Result<Arc<Message>, Damage> {
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
