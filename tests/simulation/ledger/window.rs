//! Packet ids towards clients: which exchange each one belongs to, from the first PUBLISH to the last
//! acknowledgement that the broker got.

use std::collections::{BTreeMap, BTreeSet};

use cloudsignal_core::Qos;

use super::{Claim, Tag};
use crate::model::SessionKey;

/// One exchange.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub(crate) claim: Claim,
    pub(crate) tag: Tag,
    pub(crate) qos: Qos,
    /// The connection it was sent on last.
    pub(crate) link: u32,
    /// Counts exchanges of the session: the order in which they must be repeated.
    pub(crate) serial: u64,
    /// The broker got PUBREC: only PUBREL may be sent.
    pub(crate) is_released: bool,
    /// The client's largest packet may be smaller.
    pub(crate) is_large: bool,
    /// After a crash: at QoS 1 the message may be sent again under another packet id.
    pub(crate) may_be_forgotten: bool,
}

/// The exchanges of all sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Windows {
    open: BTreeMap<SessionKey, BTreeMap<u16, InFlight>>,
    /// Those of sessions that have ended, which a crash may undo.
    ended: BTreeMap<SessionKey, BTreeMap<u16, InFlight>>,
    last_serial: u64,
    /// The serial of the exchange repeated last, by connection.
    repeated: BTreeMap<u32, u64>,
}

/// What an acknowledgement from a client did.
#[derive(Debug)]
pub(crate) enum Acknowledged {
    /// The broker got PUBREC; it has to answer with PUBREL.
    Released,
    /// The exchange is over.
    Done(Claim),
    /// Nothing has this packet id.
    Unknown,
}

impl Windows {
    pub(crate) fn forget(&mut self, session: SessionKey) {
        if let Some(window) = self.open.remove(&session) {
            self.ended.insert(session, window);
        }
    }

    /// The broker has died: exchanges are as far as they were `then`, and those at QoS 2 that have begun since were
    /// stored before they began.
    pub(crate) fn crash(&mut self, then: &Self, restored: &BTreeSet<SessionKey>) {
        let mut open = BTreeMap::new();
        for &session in restored {
            let mut window = then.open.get(&session).cloned().unwrap_or_default();
            let ended = self.ended.remove(&session);
            let begun = self.open.remove(&session).or(ended);
            for (packet_id, entry) in begun.unwrap_or_default() {
                let known = window.get(&packet_id);
                if entry.qos == Qos::ExactlyOnce && known.is_none_or(|known| known.may_be_forgotten) {
                    let is_released = false;
                    window.insert(packet_id, InFlight { is_released, ..entry });
                }
            }
            for entry in window.values_mut() {
                entry.may_be_forgotten |= entry.qos == Qos::AtLeastOnce;
            }
            open.insert(session, window);
        }
        (self.open, self.ended) = (open, BTreeMap::new());
    }

    pub(crate) fn get(&self, session: SessionKey, packet_id: u16) -> Option<&InFlight> {
        self.open.get(&session)?.get(&packet_id)
    }

    /// A PUBLISH was sent for the first time. Answers what was under its packet id before.
    pub(crate) fn open(
        &mut self,
        session: SessionKey,
        packet_id: u16,
        mut entry: InFlight,
    ) -> Option<InFlight> {
        self.last_serial += 1;
        entry.serial = self.last_serial;
        self.open.entry(session).or_default().insert(packet_id, entry)
    }

    /// A PUBLISH was repeated on `link`. Answers whether the order holds.
    pub(crate) fn repeat(&mut self, session: SessionKey, packet_id: u16, link: u32) -> bool {
        let entry = self
            .open
            .get_mut(&session)
            .and_then(|window| window.get_mut(&packet_id));
        let Some(entry) = entry else { return false };
        entry.link = link;
        let last = self.repeated.insert(link, entry.serial);
        last.is_none_or(|last| last < entry.serial)
    }

    /// How many PUBLISH packets of `link` the broker has no final acknowledgement of.
    pub(crate) fn unacknowledged(&self, session: SessionKey, link: u32) -> usize {
        let window = self.open.get(&session).into_iter().flatten();
        window.filter(|(_, entry)| entry.link == link).count()
    }

    pub(crate) fn puback(&mut self, session: SessionKey, packet_id: u16) -> Acknowledged {
        self.close(session, packet_id)
    }

    pub(crate) fn pubrec(&mut self, session: SessionKey, packet_id: u16, is_error: bool) -> Acknowledged {
        if is_error {
            return self.close(session, packet_id);
        }
        let entry = self
            .open
            .get_mut(&session)
            .and_then(|window| window.get_mut(&packet_id));
        entry.map_or(Acknowledged::Unknown, |entry| {
            entry.is_released = true;
            Acknowledged::Released
        })
    }

    pub(crate) fn pubcomp(&mut self, session: SessionKey, packet_id: u16) -> Acknowledged {
        self.close(session, packet_id)
    }

    fn close(&mut self, session: SessionKey, packet_id: u16) -> Acknowledged {
        let entry = self
            .open
            .get_mut(&session)
            .and_then(|window| window.remove(&packet_id));
        entry.map_or(Acknowledged::Unknown, |entry| Acknowledged::Done(entry.claim))
    }

    /// Everything that is still open, for the end of a run.
    pub(crate) fn all(&self) -> impl Iterator<Item = (SessionKey, u16, &InFlight)> {
        self.open
            .iter()
            .flat_map(|(&session, window)| window.iter().map(move |(&id, entry)| (session, id, entry)))
    }
}
