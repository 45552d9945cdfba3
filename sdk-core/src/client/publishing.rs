//! A message from the application: past the queue, or into it.

use super::frame::Frame;
use super::{Accepted, Client, Publication, PublishError, PublishId, Sink, Stage, State};
use crate::Qos;
use crate::codec::{Publish, SubscriptionIds};
use crate::time::Instant;

impl Client {
    /// Publishes a message, now or as soon as there is a connection.
    ///
    /// # Errors
    /// Why it is not accepted; nothing is kept of it then.
    pub fn publish(
        &mut self,
        publication: &Publication<'_>,
        now: Instant,
        sink: &mut dyn Sink,
    ) -> Result<Accepted, PublishError> {
        if let State::Closed { .. } = self.state {
            return Err(PublishError::Closed);
        }
        self.check_offered(publication)?;
        if publication.qos == Qos::AtMostOnce && self.send_at_once(publication, now)? {
            self.flush(now, sink);
            return Ok(Accepted::Sent);
        }
        let id = self.enqueue(publication, now, sink)?;
        self.pump(now, sink);
        self.flush(now, sink);
        Ok(Accepted::Queued(id))
    }

    fn check_offered(&self, publication: &Publication<'_>) -> Result<(), PublishError> {
        let Some(wire) = self.wire.as_ref().filter(|wire| wire.is_live()) else {
            return Ok(());
        };
        if publication.qos > wire.terms.qos_max {
            return Err(PublishError::NotOffered("this QoS")); // [MQTT-3.2.2-11]
        }
        if publication.retain && !wire.terms.has_retain {
            return Err(PublishError::NotOffered("retained messages")); // [MQTT-3.2.2-14]
        }
        Ok(())
    }

    /// QoS 0 goes past the queue when nothing waits there: nobody will ask for it again.
    fn send_at_once(&mut self, publication: &Publication<'_>, now: Instant) -> Result<bool, PublishError> {
        let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_live()) else {
            return Ok(false);
        };
        let is_ceding = self
            .successor
            .as_ref()
            .is_some_and(|it| it.stage == Stage::Greeting);
        if is_ceding || !self.outbound.is_drained() {
            return Ok(false);
        }
        let mut packet = Publish::new(publication.topic, publication.payload);
        packet.retain = publication.retain;
        packet.properties = publication.properties.clone();
        packet.properties.subscription_ids = SubscriptionIds::EMPTY;
        packet.properties.topic_alias = None;
        if let Some((alias, is_known)) = wire.abbreviate(publication.topic.as_str()) {
            packet.properties.topic_alias = Some(alias);
            packet.topic = (!is_known).then_some(publication.topic);
        }
        let start = wire.out.len();
        packet.encode(wire.version, &mut wire.out)?;
        let bytes = wire.out.len() - start;
        if bytes > wire.terms.packet_bytes_max as usize {
            wire.out.truncate(start);
            let was_new = packet.properties.topic_alias.is_some() && packet.topic.is_some();
            wire.forget_abbreviation(was_new);
            let max = wire.terms.packet_bytes_max;
            return Err(PublishError::TooLarge { bytes, max }); // [MQTT-3.2.2-15]
        }
        wire.pulse.sent(now);
        Ok(true)
    }

    fn enqueue(
        &mut self,
        publication: &Publication<'_>,
        now: Instant,
        sink: &mut dyn Sink,
    ) -> Result<PublishId, PublishError> {
        let frame = Frame::new(publication, self.form, self.outbound.next_order())?;
        if let Some(wire) = self.wire.as_ref().filter(|wire| wire.is_live()) {
            let (bytes, max) = (frame.bytes.len(), wire.terms.packet_bytes_max);
            if bytes > max as usize {
                return Err(PublishError::TooLarge { bytes, max });
            }
        }
        let room = (self.options.queue_messages_max, self.options.queue_bytes_max);
        if !self.outbound.has_room(frame.bytes.len(), room) {
            self.outbound.expire(now, &mut self.ids, &mut self.journal, sink);
            if !self.outbound.has_room(frame.bytes.len(), room) {
                return Err(PublishError::QueueFull);
            }
        }
        self.reserve_orders(sink);
        let unix_at_zero = self.unix_at_zero;
        let Self {
            outbound, journal, ..
        } = self;
        Ok(outbound.push(frame, now, journal, unix_at_zero, sink))
    }
}
