//! Queues are read back by counting them. In memory are only deliveries that had begun when the last run ended, those
//! in front of them, and a few that other members of a shared group may be given.
//!
//! Which of the deliveries of a session had begun is known when its last one was read: of each session a bounded
//! number waits for that.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use cloudsignal_broker::change::Terms;
use cloudsignal_broker::{Message, StoredFacts, Unfit};
use cloudsignal_core::Qos;

use super::super::keys::KeyBytes;
use super::super::known::DeliveryName;
use super::super::record::{DeliveryRecord, MessagePlace, Reader};
use super::{Fault, Reading, RestoreError};
use crate::store::Shelf;

/// Deliveries of a session of which it is not known yet whether they have begun: there are no more packet ids.
const UNDECIDED_MAX: usize = u16::MAX as usize;
/// Bytes of them.
const UNDECIDED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Deliveries of one session that have begun if a later one has.
#[derive(Default)]
pub(super) struct Undecided {
    serial: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Whether there were too many to wait.
    has_overflowed: bool,
    /// Those in memory that came through a shared group.
    shared: usize,
}

struct Entry {
    order: u64,
    terms: Terms,
    message: MessagePlace,
    key: Bytes,
    value: Bytes,
}

/// What an entry is charged beside its bytes.
const ENTRY_BYTES: usize = 128;

pub(super) fn facts_of(message: &Message) -> StoredFacts {
    StoredFacts {
        number: message.number(),
        bytes: message.size(),
        expires_at: message.expires_at(),
    }
}

impl Reading<'_> {
    /// A delivery is stored.
    pub(super) async fn delivery(
        &mut self,
        name @ (serial, order): DeliveryName,
        key: &Bytes,
        value: &Bytes,
    ) -> Result<Result<(), Fault>, RestoreError> {
        if !self.sessions.contains(&serial) {
            // Its message may be gone already.
            return Ok(Err(Unfit::NoSession.into()));
        }
        if serial != self.undecided.serial {
            self.none_has_begun(serial).await?;
        }
        let record = Reader::new(value, self.clock()).and_then(Reader::delivery);
        let outcome = match record {
            Ok(DeliveryRecord::Queued {
                message,
                terms,
                packet_id,
            }) => {
                let sent = self.progress.get(&name).copied().or(packet_id);
                let entry = Entry {
                    order,
                    terms,
                    message,
                    key: key.clone(),
                    value: value.clone(),
                };
                self.queued(entry, sent).await?
            }
            Ok(DeliveryRecord::Released { packet_id }) => {
                self.all_have_begun().await?;
                let fits = self.restoring.released(serial, order, packet_id);
                fits.map_err(Fault::from)
            }
            Err(damage) => Err(damage.into()),
        };
        if outcome.is_ok() {
            if self.progress.remove(&name).is_some() {
                self.known.note_progress(name);
            }
            self.totals.deliveries += 1;
        }
        Ok(outcome)
    }

    async fn queued(&mut self, entry: Entry, sent: Option<u16>) -> Result<Result<(), Fault>, RestoreError> {
        if let MessagePlace::Shared(number) = entry.message {
            let Some(shared) = self.messages.get_mut(&number) else {
                return Ok(Err(Fault::NoMessage));
            };
            shared.deliveries += 1;
            self.known.refer(number);
        }
        // At QoS 1 a packet id is no more than a hint. What waits in front of it goes first.
        let keeps_id = entry.terms.qos == Qos::ExactlyOnce || !self.undecided.has_overflowed;
        if let Some(sent) = sent.filter(|_| keeps_id) {
            self.all_have_begun().await?;
            return self.resident(&entry, Some(sent)).await;
        }
        self.undecided.bytes += ENTRY_BYTES + entry.value.len();
        self.undecided.entries.push_back(entry);
        while self.undecided.entries.len() > UNDECIDED_MAX || self.undecided.bytes > UNDECIDED_BYTES_MAX {
            self.undecided.has_overflowed = true;
            self.first_waits().await?;
        }
        Ok(Ok(()))
    }

    /// One that comes later has begun.
    async fn all_have_begun(&mut self) -> Result<(), RestoreError> {
        self.undecided.bytes = 0;
        for entry in std::mem::take(&mut self.undecided.entries) {
            if let Err(fault) = self.resident(&entry, None).await? {
                self.set_aside(Shelf::Queue, &entry.key, &entry.value, &fault);
            }
        }
        Ok(())
    }

    /// Nothing more is stored of a session: those of `serial` come next.
    pub(super) async fn none_has_begun(&mut self, serial: u64) -> Result<(), RestoreError> {
        while !self.undecided.entries.is_empty() {
            self.first_waits().await?;
        }
        self.undecided = Undecided {
            serial,
            ..Undecided::default()
        };
        Ok(())
    }

    /// The first one has not begun: it stays where it is, unless others may be given it.
    async fn first_waits(&mut self) -> Result<(), RestoreError> {
        let Some(entry) = self.undecided.entries.pop_front() else {
            return Ok(());
        };
        self.undecided.bytes -= ENTRY_BYTES + entry.value.len();
        let is_shared = entry.terms.group.is_some();
        let outcome = if is_shared && self.undecided.shared < self.shared_messages_max {
            self.undecided.shared += 1;
            self.resident(&entry, None).await?
        } else {
            self.waiting(&entry)
        };
        if let Err(fault) = outcome {
            self.set_aside(Shelf::Queue, &entry.key, &entry.value, &fault);
        }
        Ok(())
    }

    fn waiting(&mut self, entry: &Entry) -> Result<(), Fault> {
        let facts = match &entry.message {
            MessagePlace::Inline(message) => facts_of(message),
            MessagePlace::Shared(number) => self.messages.get(number).ok_or(Fault::NoMessage)?.facts,
        };
        let serial = self.undecided.serial;
        self.restoring
            .waiting(serial, entry.order, &entry.terms, &facts)?;
        Ok(())
    }

    async fn resident(
        &mut self,
        entry: &Entry,
        packet_id: Option<u16>,
    ) -> Result<Result<(), Fault>, RestoreError> {
        let message = match &entry.message {
            MessagePlace::Inline(message) => Some(Arc::clone(message)),
            MessagePlace::Shared(number) => self.shared_message(*number).await?,
        };
        let Some(message) = message else {
            return Ok(Err(Fault::NoMessage));
        };
        let serial = self.undecided.serial;
        let terms = entry.terms.clone();
        let fits = self
            .restoring
            .delivery(serial, entry.order, message, terms, packet_id);
        Ok(fits.map_err(Fault::from))
    }

    /// A message that deliveries share, read again: mostly the same as the last time.
    async fn shared_message(&mut self, number: u64) -> Result<Option<Arc<Message>>, RestoreError> {
        if let Some(message) = self.last_message.as_ref().filter(|it| it.number() == number) {
            return Ok(Some(Arc::clone(message)));
        }
        let mut key = KeyBytes::default();
        let store = &self.durability.store;
        let page = store.shelf(Shelf::Message, &self.id, key.number(number), None, 1);
        let page = page.await?;
        let value = page.entries.first().map(|(_, value)| value);
        let message = value.and_then(|value| Reader::new(value, self.clock()).ok()?.message().ok());
        self.last_message.clone_from(&message);
        Ok(message)
    }
}
