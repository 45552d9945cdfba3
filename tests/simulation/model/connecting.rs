//! CONNECT, and all the ways in which connections and sessions end.

use std::collections::{BTreeMap, BTreeSet};

use cloudsignal_broker::{CloseCause, ConnId, Identity};
use cloudsignal_core::codec::{Connect, ReasonCode};
use cloudsignal_core::{Instant, Version};

use super::Model;
use super::access::Who;
use super::session::{Conn, Session, Will};

/// What CONNACK must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) session_present: bool,
    pub(crate) session_expiry_secs: u32,
    pub(crate) keep_alive_secs: u16,
}

/// A CONNECT, and where it came from.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) conn: ConnId,
    pub(crate) connect: &'a Connect<'a>,
    pub(crate) identity: &'a Identity,
    /// The number of the will's message.
    pub(crate) will: Option<usize>,
    /// What the broker calls the client, if it let it in.
    pub(crate) assigned: Option<&'a str>,
    pub(crate) now: Instant,
}

impl Model {
    /// A client comes: the reason it must be refused with, or what it must be told.
    pub(crate) fn connect(&mut self, arrival: &Arrival<'_>) -> Result<Welcome, ReasonCode> {
        self.admit(arrival)?;
        self.admit_one_more(arrival)?;
        let connect = arrival.connect;
        let client_id = arrival
            .assigned
            .filter(|_| connect.client_id.is_empty())
            .unwrap_or(connect.client_id);
        self.end_overdue(client_id, arrival.now);
        let taken = self
            .sessions
            .get(client_id)
            .and_then(|session| session.conn.clone());
        if let Some(taken) = taken {
            self.close(taken.id, ReasonCode::SessionTakenOver, arrival.now);
        }
        if connect.clean_start {
            self.end(client_id);
        }
        let session_present = self.sessions.contains_key(client_id);
        if !session_present {
            let session = self.new_session(client_id, arrival.identity);
            self.sessions.insert(client_id.to_owned(), session);
        }
        let limits = self.limits.clone();
        let session = self.sessions.get_mut(client_id).expect("invariant: just made");
        let asked = match (connect.version.is_v5(), connect.clean_start) {
            (true, true) => connect.session_expiry_secs.unwrap_or(0),
            (true, false) => connect
                .session_expiry_secs
                .unwrap_or(limits.session_expiry_secs_default),
            (false, true) => 0,
            (false, false) => u32::MAX,
        };
        session.expiry_secs = asked.min(limits.session_expiry_secs_max);
        session.is_stored |= session.is_persistent();
        session.who.identity = arrival.identity.clone();
        session.expires_at = Instant::MAX;
        session.will = None;
        session.packet_bytes_max = connect.packet_bytes_max.map(std::num::NonZeroU32::get);
        let keep_alive_secs = keep_alive(connect, limits.keep_alive_secs_max);
        session.conn = Some(Conn {
            id: arrival.conn,
            is_v5: connect.version.is_v5(),
            heard_at: arrival.now,
            refused: (0, Instant::ZERO),
            silence_micros: u64::from(keep_alive_secs) * 1_500_000,
            ends_at: arrival.identity.expires_at.unwrap_or(Instant::MAX),
            will: arrival.will.map(|number| Will {
                number,
                delay_secs: connect.will.as_ref().map_or(0, |will| will.delay_secs),
            }),
        });
        Ok(Welcome {
            session_present,
            session_expiry_secs: session.expiry_secs,
            keep_alive_secs,
        })
    }

    fn admit(&self, arrival: &Arrival<'_>) -> Result<(), ReasonCode> {
        let connect = arrival.connect;
        if connect.client_id.is_empty() {
            let may_choose = match connect.version {
                Version::V5 => true,
                Version::V311 => connect.clean_start,
                Version::V31 => false,
            };
            if !may_choose {
                return Err(ReasonCode::ClientIdentifierNotValid);
            }
        }
        let known = self.sessions.get(connect.client_id);
        if known.is_some_and(|session| session.who.identity.principal != arrival.identity.principal) {
            return Err(ReasonCode::ClientIdentifierNotValid);
        }
        let brings_one_more = known.is_none_or(|session| session.conn.is_none());
        let connections_left = self.connections() < self.limits.connections_max as usize;
        let sessions_left = self.sessions.len() < self.limits.sessions_max as usize;
        if (brings_one_more && !connections_left) || (known.is_none() && !sessions_left) {
            return Err(ReasonCode::QuotaExceeded);
        }
        Ok(())
    }

    /// What concerns everybody who may come in; only who does come in counts for the rate.
    fn admit_one_more(&mut self, arrival: &Arrival<'_>) -> Result<(), ReasonCode> {
        let will = arrival.connect.will.as_ref();
        let payload_bytes_max = self.limits.payload_bytes_max as usize;
        if will.is_some_and(|will| will.payload.len() > payload_bytes_max) {
            return Err(ReasonCode::QuotaExceeded);
        }
        if self.connects.spend(arrival.now) {
            Ok(())
        } else {
            Err(ReasonCode::ConnectionRateExceeded)
        }
    }

    fn new_session(&mut self, client_id: &str, identity: &Identity) -> Session {
        Session {
            key: self.next_key(),
            who: Who {
                identity: identity.clone(),
                client_id: client_id.to_owned(),
            },
            expiry_secs: 0,
            is_stored: false,
            subscriptions: BTreeMap::new(),
            received: BTreeSet::new(),
            conn: None,
            expires_at: Instant::MAX,
            will: None,
            packet_bytes_max: None,
        }
    }

    /// What was due before the client came back happens before it.
    fn end_overdue(&mut self, client_id: &str, now: Instant) {
        let Some(session) = self.sessions.get_mut(client_id) else {
            return;
        };
        let due = session.will.take_if(|(at, _)| *at <= now);
        if let Some((_, will)) = due {
            let from = session.clone();
            self.events.wills.push((from, will));
        }
        if self.sessions[client_id].expires_at <= now {
            self.end(client_id);
        }
    }

    /// A session ends, and everything it held; its will is published now.
    pub(crate) fn end(&mut self, client_id: &str) {
        let Some(mut session) = self.sessions.remove(client_id) else {
            return;
        };
        if let Some((_, will)) = session.will.take() {
            self.events.wills.push((session.clone(), will));
        }
        self.events.ended.push(session.key);
    }

    /// The broker closes a connection.
    pub(crate) fn close(&mut self, conn: ConnId, reason: ReasonCode, now: Instant) {
        if self.session_of(conn).is_some() {
            self.events.closes.push((conn, CloseCause::Server(reason)));
            self.detach(conn, true, now);
        }
    }

    /// A connection is gone; `leaves_will` unless its client said goodbye.
    pub(crate) fn detach(&mut self, conn: ConnId, leaves_will: bool, now: Instant) {
        let Some(session) = self.session_of_mut(conn) else {
            return;
        };
        let will = session.conn.take().and_then(|conn| conn.will);
        let mut immediate = None;
        if let Some(will) = will.filter(|_| leaves_will) {
            match will.delay_secs.min(session.expiry_secs) {
                0 => immediate = Some((session.clone(), will)),
                secs => session.will = Some((now.after_secs(secs), will)),
            }
        }
        let client_id = session.who.client_id.clone();
        let ends_now = session.expiry_secs == 0;
        session.expires_at = match session.expiry_secs {
            u32::MAX => Instant::MAX,
            secs => now.after_secs(secs),
        };
        self.events.wills.extend(immediate);
        if ends_now {
            self.end(&client_id);
        }
    }

    /// Time passed, and the broker was told.
    pub(crate) fn time_out(&mut self, now: Instant) {
        let open: Vec<_> = self
            .sessions
            .values()
            .filter_map(|session| session.conn.as_ref())
            .map(|conn| (conn.id, conn.silent_at(), conn.ends_at))
            .collect();
        for (conn, silent_at, ends_at) in open {
            if silent_at <= now {
                if ends_at <= now {
                    self.events.either.push(conn);
                }
                self.close(conn, ReasonCode::KeepAliveTimeout, now);
            } else if ends_at <= now {
                self.close(conn, ReasonCode::MaximumConnectTime, now);
            }
        }
        let away: Vec<_> = self.sessions.keys().cloned().collect();
        for client_id in away {
            let session = self.sessions.get_mut(&client_id).expect("invariant: just listed");
            if let Some((_, will)) = session.will.take_if(|(at, _)| *at <= now) {
                let from = session.clone();
                self.events.wills.push((from, will));
            }
            if self.sessions[&client_id].expires_at <= now {
                self.end(&client_id);
            }
        }
        for kept in self.retained.values_mut() {
            for keep in &mut kept.now {
                keep.take_if(|keep| keep.expires_at <= now);
            }
        }
    }
}

fn keep_alive(connect: &Connect<'_>, secs_max: u16) -> u16 {
    let asked = connect.keep_alive_secs;
    let is_capped = connect.version.is_v5() && secs_max > 0;
    if is_capped && (asked == 0 || asked > secs_max) {
        secs_max
    } else {
        asked
    }
}
