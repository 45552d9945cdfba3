//! While the store fails: what would have to be stored is refused before anything of it happens, and everything else
//! goes on.
//!
//! What was accepted before waits for the store, and its acknowledgements with it. Wills are published all the same:
//! whoever left one cannot publish it again.

use alloc::vec::Vec;

use cloudsignal_core::codec::ReasonCode;
use cloudsignal_core::{Instant, Qos, TopicFilter};

use super::Org;
use super::stopped::Stopped;
use crate::authz::PublishPermit;
use crate::change::{Change, Storage};
use crate::message::Publication;
use crate::sink::{ConnId, DropReason, Sink, Ticket};

const FAILING: Stopped = Stopped::without_quota(ReasonCode::QuotaExceeded, DropReason::StoreFailing);

/// What a client reads whose packet cannot be stored, ever.
const NEVER_STORED: &str = "what was sent cannot be stored";

impl Org {
    /// The store has begun to fail, or works again.
    ///
    /// | while it fails | is told |
    /// |---|---|
    /// | PUBLISH that sets or clears a retained message, or that a lasting session is to get at QoS 1 or 2 | v5: 0x97; before v5: nothing, so that the client sends it again |
    /// | QoS 2 PUBLISH from a lasting session | the same |
    /// | SUBSCRIBE from a lasting session | 0x97 (v3.1.1: 0x80) for each filter |
    /// | UNSUBSCRIBE from a lasting session | v5: 0x83 for each filter that it has, and nothing changes; before v5, whose UNSUBACK knows no no: nothing until it is stored |
    /// | CONNECT that needs a new lasting session | 0x88 (v3.1.1: 3) |
    /// | submission that would have to be stored | 0x88 |
    pub const fn handle_storage(&mut self, storage: Storage) {
        self.desk.storage = storage;
    }

    /// From now on there is a store, which holds nothing yet: everything that would have to be stored belongs to this
    /// turn's group. See [`Org::snapshot`] for what is told.
    pub fn begin_storing(&mut self, tell: &mut impl FnMut(Change)) {
        let Self { sessions, desk, .. } = self;
        desk.storage = Storage::Working;
        desk.unsealed = true;
        for (_, session) in sessions.iter_mut().filter(|(_, it)| it.is_persistent()) {
            session.outbound.queue.store_anew(desk.ticket);
            session.note_spilling(desk);
        }
        self.snapshot(tell);
    }

    /// Whether only the store has some of what waits for clients. What it has is not stored anew: without the store it
    /// would be gone.
    #[must_use]
    pub fn needs_store(&self) -> bool {
        let mut sessions = self.sessions.iter();
        sessions.any(|(_, session)| session.outbound.queue.has_spilled())
    }

    /// Something of what waits up to `ticket` can never be stored. Connections that wait for it and whose session `is_meant`
    /// names by its serial never get an acknowledgement: they are closed (v5: 0x97), and may try something else. Call it
    /// before [`Org::handle_stored`] with the same ticket.
    pub fn handle_refused(
        &mut self,
        ticket: Ticket,
        is_meant: impl Fn(u64) -> bool,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        self.desk.changed = false;
        let waiting = self.desk.waiting.iter();
        let waiting = waiting.take_while(|(awaited, _)| *awaited <= ticket);
        let conns: Vec<ConnId> = waiting.map(|(_, conn)| *conn).collect();
        for conn in conns {
            let Some(place) = self.place_of(conn) else {
                continue;
            };
            if is_meant(self.sessions[place as usize].serial) {
                self.close_connection(place, ReasonCode::QuotaExceeded, NEVER_STORED, now, sink);
            }
        }
    }

    /// Whether a subscription stays because its end cannot be stored, and the client can be told so. It would come back
    /// with a restart.
    pub(super) fn refuses_unsubscribe(&self, place: u32, filter: TopicFilter<'_>) -> bool {
        let session = &self.sessions[place as usize];
        let can_be_told = session.conn.as_deref().is_some_and(|conn| conn.version.is_v5());
        self.desk.storage == Storage::Failing
            && can_be_told
            && session.is_persistent()
            && session.subscriptions.contains(filter)
    }

    /// A QoS 2 exchange with a session that is to last has to be stored.
    pub(super) fn check_exchange(&self, place: u32, publication: &Publication<'_>) -> Result<(), Stopped> {
        let is_exchange =
            publication.qos == Qos::ExactlyOnce && self.sessions[place as usize].is_persistent();
        if self.desk.storage == Storage::Failing && is_exchange {
            return Err(FAILING);
        }
        Ok(())
    }

    /// A message that has to be stored goes nowhere while the store fails.
    pub(super) fn check_storage(
        &mut self,
        permit: &PublishPermit<'_>,
        publication: &Publication<'_>,
    ) -> Result<(), Stopped> {
        let fails = self.desk.storage == Storage::Failing;
        if fails && self.must_store(permit, publication) {
            return Err(FAILING);
        }
        Ok(())
    }

    fn must_store(&mut self, permit: &PublishPermit<'_>, publication: &Publication<'_>) -> bool {
        let topic = permit.topic();
        let changes_retained = !publication.payload.is_empty() || self.retained.get(topic).is_some();
        if publication.retain && changes_retained {
            return true;
        }
        if publication.qos == Qos::AtMostOnce {
            return false;
        }
        let Self {
            trie,
            cache,
            groups,
            sessions,
            policy,
            ..
        } = self;
        let matches = cache.lookup(trie, groups, topic, |place| {
            sessions[place as usize].grants(policy).allows_delivery(topic)
        });
        let keeps = |place: u32, qos: Qos| qos > Qos::AtMostOnce && sessions[place as usize].is_persistent();
        matches
            .sessions
            .iter()
            .any(|found| keeps(found.session, found.qos))
            || matches.groups.iter().any(|found| {
                let mut members = groups.members(found.key).iter();
                members.any(|member| keeps(member.session, member.qos))
            })
    }

    /// What the publisher of a message that was stopped is told, if anything.
    pub(super) fn told_of(&self, place: u32, stopped: Stopped) -> Option<ReasonCode> {
        let conn = self.sessions[place as usize].conn.as_deref()?;
        // Before v5 an acknowledgement is always a yes.
        let is_silent = stopped.dropped == DropReason::StoreFailing && !conn.version.is_v5();
        (!is_silent).then_some(stopped.reason)
    }
}
