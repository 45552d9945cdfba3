//! An organization from what was stored of it.
//!
//! Hand over everything in the order sessions, subscriptions, deliveries (rising within a session), the rest; then
//! [`Restoring::finish`]. What does not fit together (a delivery of a session that is not there) is refused alone,
//! so that a damaged store costs no more than what was damaged. Bounds that were lowered meanwhile take nothing
//! away.
//!
//! Nobody is connected after a restart. To whoever was when the last one ended, it is as if the connection had been
//! lost now.

mod review;
mod unfit;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::{NonZeroU16, NonZeroU32};

use cloudsignal_core::codec::PacketId;
use cloudsignal_core::topic::TopicFilterBuf;
use cloudsignal_core::{Instant, Qos, TopicFilter};
use foldhash::quality::FixedState;
use hashbrown::HashMap;

use super::Org;
use crate::change::{PublishNumbers, Storage, Terms};
use crate::identity::Identity;
use crate::message::Message;
use crate::router::Scan;
use crate::session::queue::Facts;
use crate::session::{Numbering, Pending, Progress, Session, Subscription, Will};
use crate::timers::Timer;

pub use review::RETURN_GRACE_SECS;
pub use unfit::Unfit;

/// What was queued so shortly after a client had gone may have been sent to it all the same, as far as clocks can be
/// trusted over a restart.
const AWAY_SLACK_SECS: u32 = 1;

/// An organization that is being read back.
#[derive(Debug)]
pub struct Restoring {
    org: Org,
    /// Serial → the place of its session.
    places: HashMap<u64, u32, FixedState>,
    /// Deliveries that have begun, by the place of their session.
    begun: BTreeMap<u32, BTreeMap<PacketId, (u64, Progress)>>,
    /// Sessions whose clients were connected.
    connected: Vec<u32>,
    /// A filter that asks for `$SYS` messages.
    sys: Option<TopicFilterBuf>,
}

/// What is known of a message that stays in the store.
#[derive(Clone, Copy, Debug)]
pub struct StoredFacts {
    /// [`Message::number`].
    pub number: u64,
    /// [`Message::size`].
    pub bytes: usize,
    /// [`Message::expires_at`].
    pub expires_at: Option<Instant>,
}

impl Restoring {
    /// Reads back into `org`, which must be a new one.
    #[must_use]
    pub fn new(org: Org) -> Self {
        debug_assert!(
            org.sessions.is_empty(),
            "an organization is read back before anything else"
        );
        let mut org = org;
        org.handle_storage(Storage::Working);
        Self {
            places: HashMap::with_hasher(org.client_ids.hasher().clone()),
            org,
            begun: BTreeMap::new(),
            connected: Vec::new(),
            sys: None,
        }
    }

    /// A session: [`Change::Session`](crate::change::Change::Session).
    ///
    /// # Errors
    /// [`Unfit::Twice`], [`Unfit::OtherOrganization`], and [`Unfit::NoSession`] for serial 0.
    pub fn session(
        &mut self,
        serial: u64,
        client_id: &str,
        identity: Arc<Identity>,
        expiry_secs: u32,
        ends_at: Option<Instant>,
    ) -> Result<(), Unfit> {
        let org = &mut self.org;
        if serial == 0 {
            return Err(Unfit::NoSession);
        }
        if identity.org != org.id {
            return Err(Unfit::OtherOrganization);
        }
        if self.places.contains_key(&serial) || org.place_of_client(client_id).is_some() {
            return Err(Unfit::Twice);
        }
        let mut session = Session::new(serial, client_id, org.identities.share(identity));
        (session.expiry_secs, session.stored, session.is_restored) = (expiry_secs, true, true);
        let place = org.insert_session(session);
        org.last_serial = org.last_serial.max(serial);
        self.places.insert(serial, place);
        match ends_at {
            Some(at) => org.expire_session(place, at),
            None => self.connected.push(place),
        }
        Ok(())
    }

    /// A subscription of a session: [`Change::Subscribed`](crate::change::Change::Subscribed).
    ///
    /// # Errors
    /// [`Unfit::NoSession`], [`Unfit::Twice`], [`Unfit::BadFilter`], [`Unfit::BadOptions`].
    pub fn subscription(
        &mut self,
        serial: u64,
        filter: &str,
        options: u8,
        subscription_id: Option<u32>,
        owes_retained: bool,
    ) -> Result<(), Unfit> {
        let place = self.place(serial)?;
        let filter = TopicFilter::parse(filter).map_err(|_| Unfit::BadFilter)?;
        let id = match subscription_id {
            Some(id) => Some(NonZeroU32::new(id).ok_or(Unfit::BadOptions)?),
            None => None,
        };
        let session = &self.org.sessions[place as usize];
        if session.subscriptions.contains(filter) {
            return Err(Unfit::Twice);
        }
        let mut subscription = Subscription::new(filter, id, options).ok_or(Unfit::BadOptions)?;
        // Without a permit nothing is covered: every delivery is asked about, and mostly refused.
        let permit = session
            .grants(&self.org.policy)
            .permit_subscribe(filter, subscription.qos());
        subscription.covered = permit.is_ok_and(|permit| permit.covered());
        if owes_retained {
            let scan = Scan::new(filter, subscription.qos(), id, subscription.covered);
            let session = &mut self.org.sessions[place as usize];
            session.scans.push_back(scan);
        }
        if filter.levels().next() == Some("$SYS") {
            self.sys = Some(filter.to_owned());
        }
        self.org.add_subscription(place, &subscription);
        Ok(())
    }

    /// A delivery that is not finished: [`Change::Queued`](crate::change::Change::Queued), with the packet id that it or
    /// [`Change::Sent`](crate::change::Change::Sent) named.
    ///
    /// # Errors
    /// [`Unfit::NoSession`], [`Unfit::BadQos`], [`Unfit::BadPacketId`], [`Unfit::OutOfOrder`], and [`Unfit::Twice`]
    /// for a packet id that another delivery has.
    pub fn delivery(
        &mut self,
        serial: u64,
        order: u64,
        message: Arc<Message>,
        terms: Terms,
        packet_id: Option<u16>,
    ) -> Result<(), Unfit> {
        let place = self.place(serial)?;
        if terms.qos == Qos::AtMostOnce {
            return Err(Unfit::BadQos);
        }
        let outbound = &self.org.sessions[place as usize].outbound;
        if order <= outbound.last_order() {
            return Err(Unfit::OutOfOrder);
        }
        if let Some(packet_id) = packet_id {
            self.begin(place, order, packet_id, Progress::Sent)?;
        }
        self.org.note_message(&message);
        let Org {
            sessions,
            groups,
            desk,
            ..
        } = &mut self.org;
        let session = &mut sessions[place as usize];
        let may_have_left = session.may_have_sent(terms.queued_at);
        let pending = Pending::restored(message, order, terms, groups);
        let outbound = &mut session.outbound;
        if may_have_left {
            outbound.note_repeat(order);
        }
        outbound.queue.push(desk, pending);
        outbound.skip_orders(order);
        desk.keep_bounds(outbound);
        Ok(())
    }

    /// A delivery that waits and has not begun, and neither has any after it: as [`Restoring::delivery`], and nothing
    /// of it is kept in memory. Its message has so many bytes by [`Message::size`], its number and its expiry.
    ///
    /// # Errors
    /// The same.
    pub fn waiting(
        &mut self,
        serial: u64,
        order: u64,
        terms: &Terms,
        message: &StoredFacts,
    ) -> Result<(), Unfit> {
        let place = self.place(serial)?;
        if terms.qos == Qos::AtMostOnce {
            return Err(Unfit::BadQos);
        }
        let Org { sessions, desk, .. } = &mut self.org;
        let session = &mut sessions[place as usize];
        let may_have_left = session.may_have_sent(terms.queued_at);
        let outbound = &mut session.outbound;
        if order <= outbound.last_order() {
            return Err(Unfit::OutOfOrder);
        }
        if may_have_left {
            outbound.note_repeat(order);
        }
        desk.skip_messages(message.number);
        desk.counters.queue_messages_now += 1;
        desk.counters.queue_bytes_now += message.bytes as u64;
        outbound.queue.add_spilled(&Facts {
            order,
            bytes: message.bytes,
            expires_at: message.expires_at,
            queued_at: terms.queued_at,
            is_shared: terms.group.is_some(),
        });
        outbound.skip_orders(order);
        desk.keep_bounds(outbound);
        Ok(())
    }

    /// A QoS 2 delivery of which only PUBREL remains: [`Change::Released`](crate::change::Change::Released). The message
    /// may have been handed over.
    ///
    /// # Errors
    /// [`Unfit::NoSession`], [`Unfit::BadPacketId`], and [`Unfit::Twice`] for a packet id that another delivery has.
    pub fn released(&mut self, serial: u64, order: u64, packet_id: u16) -> Result<(), Unfit> {
        let place = self.place(serial)?;
        self.begin(place, order, packet_id, Progress::Released)?;
        self.org.sessions[place as usize].outbound.skip_orders(order);
        Ok(())
    }

    /// A QoS 2 publish from the client that waits for PUBREL: [`Change::Received`](crate::change::Change::Received).
    ///
    /// # Errors
    /// [`Unfit::NoSession`], [`Unfit::BadPacketId`], [`Unfit::Twice`].
    pub fn received(&mut self, serial: u64, packet_id: u16) -> Result<(), Unfit> {
        let place = self.place(serial)?;
        if packet_id == 0 {
            return Err(Unfit::BadPacketId);
        }
        let is_new = self.org.sessions[place as usize].received.insert(packet_id);
        if is_new { Ok(()) } else { Err(Unfit::Twice) }
    }

    /// How far numbered publishes of the client have come: [`Change::Numbered`](crate::change::Change::Numbered).
    ///
    /// # Errors
    /// [`Unfit::NoSession`], [`Unfit::Twice`].
    pub fn numbered(&mut self, serial: u64, numbers: PublishNumbers) -> Result<(), Unfit> {
        let place = self.place(serial)?;
        let numbering = &mut self.org.sessions[place as usize].numbering;
        if numbering.is_some() {
            return Err(Unfit::Twice);
        }
        *numbering = Some(Box::new(Numbering::restored(numbers)));
        Ok(())
    }

    /// A will: [`Change::Will`](crate::change::Change::Will).
    ///
    /// # Errors
    /// [`Unfit::NoSession`], [`Unfit::Twice`].
    pub fn will(
        &mut self,
        serial: u64,
        message: Arc<Message>,
        expiry_secs: Option<u32>,
        delay_secs: u32,
        due_at: Option<Instant>,
    ) -> Result<(), Unfit> {
        let place = self.place(serial)?;
        if self.org.sessions[place as usize].will.is_some() {
            return Err(Unfit::Twice);
        }
        self.org.note_message(&message);
        let will = Will {
            message,
            expiry_secs,
            delay_secs,
            due_at: Instant::MAX,
        };
        let session = &mut self.org.sessions[place as usize];
        (session.will, session.will_stored) = (Some(Box::new(will)), true);
        if let Some(at) = due_at {
            self.org.delay_will(place, at);
        }
        Ok(())
    }

    /// A retained message: [`Change::Retained`](crate::change::Change::Retained).
    ///
    /// # Errors
    /// [`Unfit::Twice`] if its topic has one, [`Unfit::Empty`].
    pub fn retained(&mut self, message: Arc<Message>) -> Result<(), Unfit> {
        if message.payload().is_empty() {
            return Err(Unfit::Empty);
        }
        if self.org.retained.get(message.topic()).is_some() {
            return Err(Unfit::Twice);
        }
        self.org.note_message(&message);
        let kept = self.org.retained.set(message, usize::MAX, usize::MAX);
        debug_assert_eq!(kept, Ok(()), "there is room for everything");
        Ok(())
    }

    /// Everything was handed over. Call [`Org::handle_timeout`] next: what was due while nobody looked happens then.
    #[must_use]
    pub fn finish(self, now: Instant) -> Org {
        let Self {
            mut org,
            places: _,
            begun,
            connected,
            sys,
        } = self;
        for (place, begun) in begun {
            let Org { sessions, desk, .. } = &mut org;
            let outbound = &mut sessions[place as usize].outbound;
            outbound.resume(desk, begun);
            desk.keep_bounds(outbound);
        }
        for (_, session) in &mut org.sessions {
            session.leave_memory(&mut org.desk);
            session.outbound.rest(&org.desk);
            session.outbound.skip_orders(org.desk.order_floor);
        }
        for place in connected {
            org.disconnect_restored(place, now);
        }
        let Org { sessions, desk, .. } = &mut org;
        for (_, session) in sessions.iter().filter(|(_, it)| !it.outbound.queue.is_empty()) {
            desk.await_sweep(now);
            if session.outbound.queue.resident_len() > 0 {
                desk.timers.arm(now, Timer::Restored(session.place));
            }
        }
        if let Some(filter) = sys {
            org.start_sys(filter.as_ref(), now);
        }
        org.count_retained();
        org
    }

    fn place(&self, serial: u64) -> Result<u32, Unfit> {
        self.places.get(&serial).copied().ok_or(Unfit::NoSession)
    }

    fn begin(&mut self, place: u32, order: u64, packet_id: u16, progress: Progress) -> Result<(), Unfit> {
        let packet_id = NonZeroU16::new(packet_id).ok_or(Unfit::BadPacketId)?;
        let begun = self.begun.entry(place).or_default();
        if begun.get(&packet_id).is_some_and(|(known, _)| *known != order) {
            return Err(Unfit::Twice);
        }
        begun.insert(packet_id, (order, progress));
        Ok(())
    }
}

impl Org {
    /// Numbers go on above those that are in use.
    fn note_message(&mut self, message: &Message) {
        self.desk.skip_messages(message.number());
        self.last_serial = self.last_serial.max(message.publisher());
    }
}

impl Session {
    /// Whether a delivery that began to wait at `queued_at` may have been sent before the restart. The client of a
    /// session that has an end lost its connection so long before that end; of another one it is not known.
    fn may_have_sent(&self, queued_at: Instant) -> bool {
        if self.expires_at == Instant::MAX {
            return true;
        }
        let lasts_micros = u64::from(self.expiry_secs.saturating_sub(AWAY_SLACK_SECS)) * 1_000_000;
        queued_at.as_micros() <= self.expires_at.as_micros().saturating_sub(lasts_micros)
    }
}
