//! Who may come in.

use alloc::format;
use alloc::sync::Arc;
use core::num::NonZeroU32;

use cloudsignal_core::codec::{ConnAck, Connect, ReasonCode};
use cloudsignal_core::{Instant, Version};

use super::Org;
use super::auth::AUTH_METHOD;
use super::connect::expiry_granted;
use super::publish::says_the_truth;
use crate::change::Storage;
use crate::identity::Identity;
use crate::quota::Quota;
use crate::session::Session;
use crate::sink::{CloseCause, ConnId, Report, Sink};
use crate::turn::Turn;

/// Assigned client ids begin so, which makes them easy to tell in lists.
const ASSIGNED_PREFIX: &str = "auto-";

/// Why a client that authentication let in does not come in all the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    reason: ReasonCode,
    why: &'static str,
    /// The quota that the client ran into, if it was one.
    quota: Option<Quota>,
}

impl Refusal {
    const fn new(reason: ReasonCode, why: &'static str) -> Self {
        Self {
            reason,
            why,
            quota: None,
        }
    }

    fn by(quota: Quota, why: &'static str) -> Self {
        let reason = quota.reason().unwrap_or(ReasonCode::QuotaExceeded);
        Self {
            reason,
            why,
            quota: Some(quota),
        }
    }
}

impl Org {
    /// The client id under which the client comes in.
    pub(super) fn admit(&mut self, connect: &Connect<'_>, identity: &Identity) -> Result<Arc<str>, Refusal> {
        debug_assert_eq!(
            identity.org, self.id,
            "the shell binds a connection to the organization of its identity"
        );
        if connect.auth_method.is_some_and(|method| method != AUTH_METHOD) {
            return Err(Refusal::new(
                ReasonCode::BadAuthenticationMethod, // [MQTT-4.12.0-1]
                "this authentication method is not supported",
            ));
        }
        if connect.client_id.len() > self.desk.limits.client_id_bytes_max {
            return Err(Refusal::new(
                ReasonCode::ClientIdentifierNotValid,
                "the client id is too long",
            ));
        }
        if connect.client_id.is_empty() {
            // [MQTT-3.1.3-8] (3.1.1): only a clean session may leave the choice to us.
            let may_choose =
                connect.version.is_v5() || (connect.version == Version::V311 && connect.clean_start);
            if !may_choose {
                return Err(Refusal::new(
                    ReasonCode::ClientIdentifierNotValid,
                    "the client id is empty",
                ));
            }
            self.room_for_one_more()?;
            return Ok(self.assign_client_id());
        }
        match self.place_of_client(connect.client_id) {
            None => self.room_for_one_more()?,
            Some(place) => self.may_return(&self.sessions[place as usize], identity)?,
        }
        Ok(connect.client_id.into())
    }

    /// May the client have the session that it asks for, as the store stands?
    pub(super) fn may_keep(&self, connect: &Connect<'_>, now: Instant) -> Result<(), Refusal> {
        if self.desk.storage != Storage::Failing || expiry_granted(connect, &self.desk.limits) == 0 {
            return Ok(());
        }
        // What ends with its connection, or has ended already, is not there to come back to.
        let is_kept = |place: u32| {
            let session = &self.sessions[place as usize];
            session.is_persistent() && session.expires_at > now
        };
        let known = self.place_of_client(connect.client_id);
        if connect.clean_start || !known.is_some_and(is_kept) {
            return Err(Refusal::new(
                ReasonCode::ServerUnavailable,
                "a session that is to last cannot be stored at the moment",
            ));
        }
        Ok(())
    }

    /// What concerns every client that may come in: its will, and last of all the rate, so that only those count
    /// that do come in.
    pub(super) fn admit_one_more(&mut self, connect: &Connect<'_>, now: Instant) -> Result<(), Refusal> {
        if let Some(will) = &connect.will {
            if will.payload.len() > self.desk.limits.payload_bytes_max as usize {
                return Err(Refusal::by(Quota::PayloadBytes, "the will is too large"));
            }
            if !says_the_truth(will.properties.payload_format, will.payload) {
                return Err(Refusal::new(
                    ReasonCode::PayloadFormatInvalid,
                    "the will is not the UTF-8 text that it is said to be",
                ));
            }
        }
        if !self.desk.meter.connect(now) {
            return Err(Refusal::by(
                Quota::Connects,
                "the organization has too many connects per second",
            ));
        }
        Ok(())
    }

    /// May this client have the session that goes by its client id?
    fn may_return(&self, session: &Session, identity: &Identity) -> Result<(), Refusal> {
        if *session.identity.principal != *identity.principal {
            return Err(Refusal::new(
                ReasonCode::ClientIdentifierNotValid,
                "the client id belongs to another user",
            ));
        }
        // Who takes over brings no connection more.
        if session.conn.is_none() {
            self.room_for_a_connection()?;
        }
        Ok(())
    }

    fn room_for_one_more(&self) -> Result<(), Refusal> {
        self.room_for_a_connection()?;
        if self.desk.counters.sessions_now >= u64::from(self.desk.limits.sessions_max) {
            return Err(Refusal::by(
                Quota::Sessions,
                "the organization has no session left",
            ));
        }
        Ok(())
    }

    fn room_for_a_connection(&self) -> Result<(), Refusal> {
        if self.desk.counters.connections_now >= u64::from(self.desk.limits.connections_max) {
            return Err(Refusal::by(
                Quota::Connections,
                "the organization has no connection left",
            ));
        }
        Ok(())
    }

    fn assign_client_id(&mut self) -> Arc<str> {
        loop {
            let id = format!("{ASSIGNED_PREFIX}{:016x}", self.random.next());
            if self.place_of_client(&id).is_none() {
                return id.into();
            }
        }
    }

    pub(super) fn refuse(
        &mut self,
        id: ConnId,
        connect: &Connect<'_>,
        refusal: Refusal,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        let Refusal { reason, why, quota } = refusal;
        self.desk.counters.connects_refused += 1;
        let mut turn = Turn {
            desk: &mut self.desk,
            now,
            sink,
        };
        let bytes_max = connect.packet_bytes_max.map_or(u32::MAX, NonZeroU32::get) as usize;
        let mut packet = ConnAck::new(reason);
        // [MQTT-3.2.2-19]: with the explanation if it fits, else without, else not at all.
        for why in [connect.request_problem_info.then_some(why), None] {
            packet.reason_string = why;
            packet
                .encode(connect.version, &mut turn.desk.scratch)
                .expect("invariant: a refusal fits a packet");
            let fits = turn.desk.scratch.len() <= bytes_max;
            if fits {
                turn.sink.send(id, &turn.desk.scratch);
            }
            turn.desk.scratch.clear();
            if fits {
                break;
            }
        }
        if let Some(quota) = quota {
            turn.exceeded(quota, connect.client_id);
        }
        turn.sink.report(Report::Fault {
            client_id: connect.client_id,
            what: why,
        });
        turn.sink.close(id, CloseCause::Refused(reason)); // [MQTT-3.2.2-7]
    }
}
