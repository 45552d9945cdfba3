//! What the application wants to hear, and what the server has said to that.

use alloc::string::String;
use alloc::vec::Vec;

use super::journal::Journal;
use super::output::{Key, Output, Sink};
use super::packet_ids::{PacketIds, Use};
use super::record::Terms;
use crate::codec::{
    EncodeError, RetainHandling, SubAck, Subscribe, SubscribeFilter, SubscriptionIds, UnsubAck, Unsubscribe,
};
use crate::topic::{TopicFilter, TopicName};
use crate::{PacketId, Qos, ReasonCode, Version};

/// The name of a subscription; also its subscription identifier in MQTT 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u32);

/// The highest of them: it travels as a variable byte integer.
const SUBSCRIPTION_ID_MAX: u32 = 268_435_455;

/// What to subscribe to.
#[derive(Clone, Copy, Debug)]
pub struct Subscription<'a> {
    /// Which topics.
    pub filter: TopicFilter<'a>,
    /// The highest QoS that is wanted.
    pub qos: Qos,
    /// Not what this client publishes itself. MQTT 5 only.
    pub no_local: bool,
    /// Keep the retain flag as it was published. MQTT 5 only.
    pub retain_as_published: bool,
    /// Which retained messages come first. MQTT 5 only.
    pub retain_handling: RetainHandling,
}

impl<'a> Subscription<'a> {
    /// With the defaults of MQTT.
    #[must_use]
    pub const fn new(filter: TopicFilter<'a>, qos: Qos) -> Self {
        Self {
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }

    fn terms(&self) -> Terms {
        Terms {
            filter: self.filter.as_str().into(),
            qos: self.qos,
            no_local: self.no_local,
            retain_as_published: self.retain_as_published,
            retain_handling: self.retain_handling,
        }
    }
}

/// Why a subscription was not even asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// This many exist already.
    #[error("{SUBSCRIPTIONS_MAX} subscriptions exist already")]
    TooMany,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// How many subscriptions a client may have.
pub const SUBSCRIPTIONS_MAX: usize = 65_536;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The server has to be asked on the next connection, or this one.
    Wanted,
    /// It was asked on this connection.
    Asked(PacketId),
    /// It has agreed in this session.
    Granted,
    /// An earlier process has asked for it, and this one has not yet.
    Unclaimed,
    /// Not wanted any more; the server has to be told.
    Unwanted,
    /// It was told on this connection.
    Ending(PacketId),
}

#[derive(Debug)]
struct Entry {
    id: SubscriptionId,
    stage: Stage,
    terms: Terms,
}

/// What a connection offers for subscriptions.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) version: Version,
    pub(super) has_ids: bool,
    pub(super) out: &'a mut Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// Sorted by name.
    entries: Vec<Entry>,
    last_id: u32,
    /// The session was begun by an earlier process, of which nothing is known.
    is_adopted: bool,
    /// The last topic that came without names of subscriptions, and what matches it: real traffic repeats itself. Empty
    /// once a subscription has changed.
    last_topic: String,
    matching: Vec<SubscriptionId>,
}

impl Subscriptions {
    /// Adds one, or asks again for one with that filter.
    pub(super) fn add(
        &mut self,
        wanted: &Subscription<'_>,
        journal: &mut Journal,
        sink: &mut dyn Sink,
    ) -> Result<SubscriptionId, SubscribeError> {
        let terms = wanted.terms();
        self.last_topic.clear();
        if let Some(entry) = self
            .entries
            .iter_mut()
            .find(|entry| entry.terms.filter == terms.filter)
        {
            let id = entry.id;
            if entry.terms != terms || !entry.is_wanted() {
                entry.terms = terms;
                journal.put(Key::Subscription(id.0), sink, |out| entry.terms.write(out));
            }
            entry.stage = Stage::Wanted;
            return Ok(id);
        }
        if self.entries.len() >= SUBSCRIPTIONS_MAX {
            return Err(SubscribeError::TooMany);
        }
        let id = self.next_id();
        journal.put(Key::Subscription(id.0), sink, |out| terms.write(out));
        self.insert(id, Stage::Wanted, terms);
        Ok(id)
    }

    fn next_id(&mut self) -> SubscriptionId {
        loop {
            self.last_id = self.last_id % SUBSCRIPTION_ID_MAX + 1;
            let id = SubscriptionId(self.last_id);
            if self.place(id).is_err() {
                return id;
            }
        }
    }

    fn place(&self, id: SubscriptionId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&id, |entry| entry.id)
    }

    fn insert(&mut self, id: SubscriptionId, stage: Stage, terms: Terms) -> bool {
        self.last_topic.clear();
        match self.place(id) {
            Ok(_) => false,
            Err(at) => {
                self.entries.insert(at, Entry { id, stage, terms });
                true
            }
        }
    }

    pub(super) fn restore(&mut self, id: SubscriptionId, terms: Terms) -> bool {
        self.last_id = self.last_id.max(id.0);
        self.insert(id, Stage::Unclaimed, terms)
    }

    /// Ends one. Answers whether there was one.
    pub(super) fn remove(&mut self, id: SubscriptionId, journal: &mut Journal, sink: &mut dyn Sink) -> bool {
        let Ok(at) = self.place(id) else {
            return false;
        };
        if matches!(self.entries[at].stage, Stage::Unwanted | Stage::Ending(_)) {
            return false;
        }
        self.last_topic.clear();
        self.entries[at].stage = Stage::Unwanted;
        journal.delete(Key::Subscription(id.0), sink);
        true
    }

    /// The server has a session of which this client knows nothing.
    pub(super) const fn adopt(&mut self) {
        self.is_adopted = true;
    }

    pub(super) const fn is_adopted(&self) -> bool {
        self.is_adopted
    }

    /// What an earlier process wanted and this one does not: one by one, until `None`.
    pub(super) fn next_unclaimed(&self) -> Option<SubscriptionId> {
        let unclaimed = self.entries.iter().find(|entry| entry.stage == Stage::Unclaimed);
        unclaimed.map(|entry| entry.id)
    }

    /// A connection has ended: what it did not answer is asked again.
    pub(super) fn rewind(&mut self, ids: &mut PacketIds) {
        ids.end_requests();
        for entry in &mut self.entries {
            entry.stage = match entry.stage {
                Stage::Asked(_) => Stage::Wanted,
                Stage::Ending(_) => Stage::Unwanted,
                stage @ (Stage::Wanted | Stage::Granted | Stage::Unclaimed | Stage::Unwanted) => stage,
            };
        }
    }

    /// The server has no session: everything is asked again, and what is not wanted is gone already.
    pub(super) fn forget_session(&mut self, journal: &mut Journal, sink: &mut dyn Sink) {
        self.is_adopted = false;
        self.last_topic.clear();
        self.entries.retain_mut(|entry| match entry.stage {
            Stage::Wanted | Stage::Asked(_) => true,
            Stage::Granted => {
                entry.stage = Stage::Wanted;
                true
            }
            Stage::Unclaimed => {
                journal.delete(Key::Subscription(entry.id.0), sink);
                false
            }
            Stage::Unwanted | Stage::Ending(_) => {
                sink.output(Output::Unsubscribed { id: entry.id });
                false
            }
        });
    }

    /// Asks the server for what is wanted, and ends what is not.
    pub(super) fn pump(
        &mut self,
        line: &mut Line<'_>,
        ids: &mut PacketIds,
        journal: &mut Journal,
        sink: &mut dyn Sink,
    ) {
        let mut index = 0;
        while let Some(entry) = self.entries.get_mut(index) {
            index += 1;
            let asked = match entry.stage {
                Stage::Wanted => entry.ask(line, ids),
                Stage::Unwanted => entry.end(line, ids),
                Stage::Asked(_) | Stage::Granted | Stage::Unclaimed | Stage::Ending(_) => continue,
            };
            match asked {
                Ok(true) => {}
                Ok(false) => break, // No identifier is free; an answer will free one.
                Err(_) => {
                    let id = entry.id;
                    self.last_topic.clear();
                    index -= 1;
                    self.entries.remove(index);
                    refuse(id, ReasonCode::TopicFilterInvalid, journal, sink);
                }
            }
        }
    }

    pub(super) fn on_suback(
        &mut self,
        suback: &SubAck<'_>,
        ids: &mut PacketIds,
        journal: &mut Journal,
        sink: &mut dyn Sink,
    ) -> Result<(), Unasked> {
        let Some(Use::Subscribe(id)) = ids.get(suback.packet_id) else {
            return Err(Unasked);
        };
        ids.give_back(suback.packet_id);
        let ([reason], Ok(at)) = (&suback.reasons[..], self.place(id)) else {
            return Err(Unasked);
        };
        let entry = &mut self.entries[at];
        if entry.stage != Stage::Asked(suback.packet_id) {
            return Ok(()); // Ended or changed meanwhile: another answer will come.
        }
        if reason.is_error() {
            self.last_topic.clear();
            self.entries.remove(at);
            refuse(id, *reason, journal, sink);
            return Ok(());
        }
        entry.stage = Stage::Granted;
        let granted = Qos::from_bits(reason.byte()).unwrap_or_default();
        sink.output(Output::Subscribed { id, granted });
        Ok(())
    }

    pub(super) fn on_unsuback(
        &mut self,
        unsuback: &UnsubAck<'_>,
        ids: &mut PacketIds,
        sink: &mut dyn Sink,
    ) -> Result<(), Unasked> {
        let Some(Use::Unsubscribe(id)) = ids.get(unsuback.packet_id) else {
            return Err(Unasked);
        };
        ids.give_back(unsuback.packet_id);
        if let Ok(at) = self.place(id) {
            if self.entries[at].stage == Stage::Ending(unsuback.packet_id) {
                self.entries.remove(at);
                sink.output(Output::Unsubscribed { id });
            }
        }
        Ok(())
    }

    /// Which subscriptions a message is for, into `found`: those that the server names, or, when it names none, those
    /// that match. In a session that was adopted a name may be one that an earlier process has given to another filter.
    pub(super) fn find(
        &mut self,
        topic: TopicName<'_>,
        named: &SubscriptionIds<'_>,
        found: &mut Vec<SubscriptionId>,
    ) {
        found.clear();
        if named.is_empty() || self.is_adopted {
            if self.last_topic != topic.as_str() {
                self.match_all(topic);
            }
            found.extend_from_slice(&self.matching);
            return;
        }
        for id in named.iter().map(SubscriptionId) {
            if self.place(id).is_ok_and(|at| self.entries[at].is_wanted()) {
                found.push(id);
            }
        }
    }

    fn match_all(&mut self, topic: TopicName<'_>) {
        let entries = self.entries.iter();
        let matching = entries.filter(|entry| entry.is_wanted() && entry.matches(topic));
        self.matching.clear();
        self.matching.extend(matching.map(|entry| entry.id));
        self.last_topic.clear();
        self.last_topic.push_str(topic.as_str());
    }

    /// The filter of one.
    pub(super) fn filter(&self, id: SubscriptionId) -> Option<&str> {
        self.place(id).ok().map(|at| &*self.entries[at].terms.filter)
    }
}

impl Entry {
    const fn is_wanted(&self) -> bool {
        !matches!(self.stage, Stage::Unwanted | Stage::Ending(_))
    }

    fn matches(&self, topic: TopicName<'_>) -> bool {
        TopicFilter::parse(&self.terms.filter).is_ok_and(|filter| filter.matches(topic))
    }

    fn ask(&mut self, line: &mut Line<'_>, ids: &mut PacketIds) -> Result<bool, EncodeError> {
        let Some(packet_id) = ids.take(Use::Subscribe(self.id)) else {
            return Ok(false);
        };
        let filter = SubscribeFilter {
            filter: TopicFilter::parse(&self.terms.filter),
            qos: self.terms.qos,
            no_local: self.terms.no_local && line.version.is_v5(),
            retain_as_published: self.terms.retain_as_published,
            retain_handling: self.terms.retain_handling,
        };
        let mut packet = Subscribe::new(packet_id, [filter].into());
        packet.subscription_id = (line.version.is_v5() && line.has_ids).then_some(self.id.0);
        packet
            .encode(line.version, line.out)
            .inspect_err(|_| ids.give_back(packet_id))?;
        self.stage = Stage::Asked(packet_id);
        Ok(true)
    }

    fn end(&mut self, line: &mut Line<'_>, ids: &mut PacketIds) -> Result<bool, EncodeError> {
        let Some(packet_id) = ids.take(Use::Unsubscribe(self.id)) else {
            return Ok(false);
        };
        let filter = TopicFilter::parse(&self.terms.filter);
        Unsubscribe::new(packet_id, [filter].into())
            .encode(line.version, line.out)
            .inspect_err(|_| ids.give_back(packet_id))?;
        self.stage = Stage::Ending(packet_id);
        Ok(true)
    }
}

fn refuse(id: SubscriptionId, reason: ReasonCode, journal: &mut Journal, sink: &mut dyn Sink) {
    journal.delete(Key::Subscription(id.0), sink);
    sink.output(Output::SubscribeRefused { id, reason });
}

/// The server has answered what was not asked.
#[derive(Debug)]
pub(super) struct Unasked;
