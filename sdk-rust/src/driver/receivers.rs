//! Which subscription gets which message.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use cloudsignal_core::client::{Closed, Message as Arrived, SubscriptionId};
use cloudsignal_core::{Qos, ReasonCode};

use super::command::Wanted;
use crate::buffer::{BUFFER_MESSAGES_DEFAULT, Buffer};
use crate::mail::Mail;
use crate::message::{Content, Message, Receipt};
use crate::properties::Properties;
use crate::subscription::{Attached, Ended, Grant};

/// Everybody who hears one subscription of the machine.
#[derive(Debug)]
struct Audience {
    buffers: Vec<Arc<Buffer>>,
    /// What has come in the present call, and no buffer has yet.
    fresh: Vec<Message>,
    /// Where messages wait for a subscription that an earlier process has made.
    held: Option<Buffer>,
    grant: watch::Sender<Grant>,
    leaving: Vec<oneshot::Sender<()>>,
}

impl Audience {
    fn new() -> Self {
        Self {
            buffers: Vec::new(),
            fresh: Vec::new(),
            held: None,
            grant: watch::Sender::new(Grant::Awaited),
            leaving: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Receivers {
    audiences: BTreeMap<SubscriptionId, Audience>,
    /// Whose messages are [`fresh`](Audience::fresh).
    stirred: Vec<SubscriptionId>,
    mail: Arc<Mail>,
    /// The topic of the last message: many messages have the same.
    last_topic: Arc<str>,
}

impl Receivers {
    pub(super) fn new(mail: Arc<Mail>) -> Self {
        Self {
            audiences: BTreeMap::new(),
            stirred: Vec::new(),
            mail,
            last_topic: "".into(),
        }
    }

    /// Somebody has subscribed: gets what was held for the subscription so far.
    pub(super) fn attach(&mut self, id: SubscriptionId, wanted: Wanted) -> Attached {
        let audience = self.audiences.entry(id).or_insert_with(Audience::new);
        let buffer = Arc::new(Buffer::new(wanted.buffer_messages_max));
        if let Some(held) = audience.held.take() {
            held.pour_into(&buffer);
        }
        audience.buffers.push(Arc::clone(&buffer));
        for reply in audience.leaving.drain(..) {
            let _nobody_listens = reply.send(());
        }
        audience.grant.send_replace(Grant::Awaited);
        Attached {
            id,
            filter: wanted.filter,
            buffer,
            grant: audience.grant.subscribe(),
            mail: Arc::clone(&self.mail),
        }
    }

    /// Somebody is gone. Answers whether nobody hears the subscription any more.
    pub(super) fn detach(&mut self, id: SubscriptionId, buffer: &Arc<Buffer>) -> bool {
        buffer.end(Ended::Unsubscribed);
        buffer.clear();
        let Some(audience) = self.audiences.get_mut(&id) else {
            return false;
        };
        let before = audience.buffers.len();
        audience.buffers.retain(|it| !Arc::ptr_eq(it, buffer));
        audience.buffers.is_empty() && before > 0
    }

    /// Somebody wants to know when the server has heard that it is over. It is now when somebody else still hears it.
    pub(super) fn await_end(&mut self, id: SubscriptionId, reply: oneshot::Sender<()>) {
        match self.audiences.get_mut(&id) {
            Some(audience) if audience.buffers.is_empty() => audience.leaving.push(reply),
            Some(_) | None => {
                let _nobody_listens = reply.send(());
            }
        }
    }

    /// A message of its own memory.
    pub(super) fn own(&mut self, arrived: &Arrived<'_>) -> Message {
        if *self.last_topic != *arrived.topic.as_str() {
            self.last_topic = arrived.topic.as_str().into();
        }
        let receipt = arrived
            .delivery
            .map(|delivery| Receipt::new(delivery, Arc::clone(&self.mail)));
        Message::new(Arc::new(Content {
            topic: Arc::clone(&self.last_topic),
            payload: Bytes::copy_from_slice(arrived.payload),
            qos: arrived.qos,
            is_retained: arrived.retain,
            is_duplicate: arrived.dup,
            properties: Properties::of_packet(arrived.properties),
            receipt,
        }))
    }

    /// A message, for those who want it: they have it after [`hand_over`](Self::hand_over). What nobody hears yet is held if
    /// the server waits for its acknowledgement.
    pub(super) fn deliver(&mut self, arrived: &Arrived<'_>) {
        let message = self.own(arrived);
        let Some((last, others)) = arrived.subscriptions.split_last() else {
            // Of a subscription that has ended: what nobody takes counts as done with.
            return;
        };
        for id in others {
            self.gather(*id, message.clone());
        }
        self.gather(*last, message);
    }

    fn gather(&mut self, id: SubscriptionId, message: Message) {
        match self.audiences.get_mut(&id) {
            Some(audience) if !audience.buffers.is_empty() => {
                if audience.fresh.is_empty() {
                    self.stirred.push(id);
                }
                audience.fresh.push(message);
            }
            Some(_) | None if message.is_awaited() => self.hold(id, message),
            Some(_) | None => {}
        }
    }

    /// At the end of every call that may have brought messages, and before who hears what changes.
    pub(super) fn hand_over(&mut self) {
        for id in self.stirred.drain(..) {
            let Some(Audience { buffers, fresh, .. }) = self.audiences.get_mut(&id) else {
                continue;
            };
            if let Some((last, others)) = buffers.split_last() {
                for buffer in others {
                    buffer.push(fresh.iter().cloned());
                }
                last.push(fresh.drain(..));
            }
        }
    }

    fn hold(&mut self, id: SubscriptionId, message: Message) {
        let audience = self.audiences.entry(id).or_insert_with(Audience::new);
        let held = audience
            .held
            .get_or_insert_with(|| Buffer::new(BUFFER_MESSAGES_DEFAULT));
        held.push([message]);
    }

    pub(super) fn granted(&mut self, id: SubscriptionId, qos: Qos) {
        if let Some(audience) = self.audiences.get(&id) {
            audience.grant.send_replace(Grant::Granted(qos));
        }
    }

    pub(super) fn refused(&mut self, id: SubscriptionId, reason: ReasonCode) {
        self.hand_over();
        if let Some(audience) = self.audiences.remove(&id) {
            audience.grant.send_replace(Grant::Refused(reason));
            audience.end(Ended::Refused(reason));
        }
    }

    /// The server has heard that it is over, or nobody has ever asked for it again. Somebody may have meanwhile.
    pub(super) fn ended(&mut self, id: SubscriptionId) {
        self.hand_over();
        if self.audiences.get(&id).is_some_and(|it| it.buffers.is_empty())
            && let Some(audience) = self.audiences.remove(&id)
        {
            audience.end(Ended::Unsubscribed);
        }
    }

    /// The server has lost the session.
    pub(super) fn lose_session(&mut self) {
        self.hand_over();
        for audience in self.audiences.values() {
            let held = audience.held.iter();
            let buffers = audience.buffers.iter().map(Arc::as_ref).chain(held);
            buffers.for_each(Buffer::lose_session);
        }
    }

    pub(super) fn close(&mut self, why: Closed) {
        self.hand_over();
        for audience in std::mem::take(&mut self.audiences).into_values() {
            audience.end(Ended::Closed(why));
        }
    }
}

impl Audience {
    fn end(self, why: Ended) {
        for buffer in &self.buffers {
            buffer.end(why);
        }
        for reply in self.leaving {
            let _nobody_listens = reply.send(());
        }
    }
}
