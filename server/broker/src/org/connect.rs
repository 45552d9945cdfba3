//! CONNECT → CONNACK: takeover, resume, and what is negotiated.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU16;

use cloudsignal_core::Instant;
use cloudsignal_core::codec::{ConnAck, Connect, ReasonCode};
use cloudsignal_core::topic::TOPIC_BYTES_MAX;

use super::auth::AuthState;
use super::{Org, numbering, rearm};
use crate::change::Storage;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::message::Publication;
use crate::session::connection::{AliasesOut, Completes};
use crate::session::{Connection, Session, Will};
use crate::sink::{ConnId, Report, Sink};
use crate::timers::Timer;
use crate::turn::Turn;

impl Org {
    /// A client that authentication let in. It is answered with CONNACK through the sink; after a
    /// refusal the sink is told to close and the machine does not know `conn`.
    pub fn handle_connect(
        &mut self,
        conn: ConnId,
        connect: &Connect<'_>,
        identity: Identity,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        self.desk.changed = false;
        let admitted = self
            .admit(connect, &identity)
            .and_then(|client_id| self.may_keep(connect, now).map(|()| client_id))
            .and_then(|client_id| self.admit_one_more(connect, now).map(|()| client_id));
        match admitted {
            Err(refusal) => self.refuse(conn, connect, refusal, now, sink),
            Ok(client_id) => self.open(conn, connect, identity, &client_id, now, sink),
        }
    }

    fn open(
        &mut self,
        id: ConnId,
        connect: &Connect<'_>,
        identity: Identity,
        client_id: &Arc<str>,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        let identity = self.identities.share(Arc::new(identity));
        let (place, session_present) = self.find_session(client_id, connect, &identity, now, sink);
        self.bind(id, place);
        self.desk.counters.connects += 1;
        let counters = &mut self.desk.counters;
        counters.connections_now += 1;
        counters.connections_peak = counters.connections_peak.max(counters.connections_now);
        let is_same = self.sessions[place as usize].identity.has_rights_of(&identity);
        self.attach(id, place, connect, client_id, &identity, now);
        self.refresh_permits(place);
        if !is_same {
            self.drop_forbidden(place, now, sink);
        }

        let session = &mut self.sessions[place as usize];
        let client_id = session.subscriptions.client_id();
        sink.report(Report::Connected {
            conn: id,
            client_id,
            username: &identity.username,
            session_present,
        });
        // One that will not outlive this connection is told of too, if the store knows it.
        if session.is_persistent() || session.stored {
            session.stored = true;
            let mut turn = Turn {
                desk: &mut self.desk,
                now,
                sink: &mut *sink,
            };
            turn.store(session.change());
            session.store_will(&mut turn);
        }
        self.send_connack(place, connect, session_present, now, sink);
        self.close_outgrown(id, now, sink);
        if let Some(place) = self.place_of(id) {
            self.pump(place, now, sink);
        }
    }

    /// The session the client gets: the one it left, if it wants it, or a new one. [MQTT-3.1.2-4]
    fn find_session(
        &mut self,
        client_id: &Arc<str>,
        connect: &Connect<'_>,
        identity: &Arc<Identity>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> (u32, bool) {
        self.end_overdue(client_id, now, sink);
        if let Some(place) = self.place_of_client(client_id)
            && self.sessions[place as usize].conn.is_some()
        {
            self.desk.counters.takeovers += 1;
            let why = "another connection came with this client id";
            self.close_connection(place, ReasonCode::SessionTakenOver, why, now, sink); // [MQTT-3.1.4-3]
        }
        if let Some(place) = self.place_of_client(client_id) {
            if !connect.clean_start {
                self.cancel_will(place); // [MQTT-3.1.3-9]
                return (place, true);
            }
            self.end_session(place, now, sink);
        }
        self.last_serial += 1;
        let session = Session::new(self.last_serial, client_id, Arc::clone(identity));
        (self.insert_session(session), false)
    }

    /// Answers its place.
    pub(super) fn insert_session(&mut self, session: Session) -> u32 {
        let place = u32::try_from(self.sessions.insert(session)).expect("invariant: limits count in 32 bits");
        self.sessions[place as usize].place = place;
        self.client_ids.enter(&self.sessions, place);
        self.desk.counters.sessions_now += 1;
        place
    }

    /// What was due before the client came back happens before it, also when the timers are late.
    fn end_overdue(&mut self, client_id: &Arc<str>, now: Instant, sink: &mut impl Sink) {
        let Some(place) = self.place_of_client(client_id) else {
            return;
        };
        self.review_restored(place, now, sink);
        let session = &self.sessions[place as usize];
        let expires_at = session.expires_at;
        if session.will.as_ref().is_some_and(|will| will.due_at <= now) {
            self.publish_due_will(place, now, sink); // [MQTT-3.1.2-8]
        }
        if expires_at <= now {
            self.end_session(place, now, sink); // [MQTT-4.1.0-2]
        }
    }

    /// Binds the connection to its session and arms its timers.
    fn attach(
        &mut self,
        id: ConnId,
        place: u32,
        connect: &Connect<'_>,
        client_id: &Arc<str>,
        identity: &Arc<Identity>,
        now: Instant,
    ) {
        let limits = &self.desk.limits;
        let keep_alive_secs = keep_alive_granted(connect, limits.keep_alive_secs_max);
        let session = &mut self.sessions[place as usize];
        session.identity = Arc::clone(identity);
        session.expiry_secs = expiry_granted(connect, limits);

        let ends_at = identity.expires_at.unwrap_or(Instant::MAX);
        let mut conn = Box::new(Connection::new(
            id,
            connect.version,
            Arc::clone(client_id),
            Arc::clone(identity),
            now,
        ));
        if connect.auth_method.is_some() {
            conn.auth = AuthState::Settled;
        }
        conn.problem_info = connect.request_problem_info;
        conn.clean_start = connect.clean_start;
        conn.is_numbered = session.count_under(self.desk.numbers_of(connect));
        conn.will = connect
            .will
            .as_ref()
            .map(|will| Box::new(keep_will(will, session.serial, self.desk.next_message())));
        conn.silence_max_micros = u64::from(keep_alive_secs) * 1_500_000;
        conn.packet_bytes_max = connect
            .packet_bytes_max
            .map_or(usize::MAX, |max| max.get() as usize);
        let limits = &self.desk.limits;
        conn.receive_max = limits.receive_max;
        conn.alias_max = limits.topic_alias_max;
        conn.quota = connect
            .receive_max
            .map_or(u16::MAX, NonZeroU16::get)
            .min(limits.inflight_max);
        conn.aliases_out = AliasesOut::new(connect.topic_alias_max.min(limits.topic_alias_out_max));
        conn.unsent = session.outbound.mark_unsent();

        rearm(
            &mut self.desk,
            &mut session.expires_at,
            Instant::MAX,
            Timer::SessionExpiry(place),
        );
        rearm(
            &mut self.desk,
            &mut conn.ends_at,
            ends_at,
            Timer::CredentialEnd(place),
        );
        let silent_at = conn.silent_at();
        rearm(
            &mut self.desk,
            &mut conn.keep_alive_at,
            silent_at,
            Timer::KeepAlive(place),
        );
        session.conn = Some(conn);
        self.owners.enter(place, identity);
    }

    fn send_connack(
        &mut self,
        place: u32,
        connect: &Connect<'_>,
        session_present: bool,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        let Self { sessions, desk, .. } = self;
        let session = &mut sessions[place as usize];
        let Some(conn) = session.conn.as_deref_mut() else {
            return;
        };
        let limits = &desk.limits;
        let keep_alive_secs = keep_alive_granted(connect, limits.keep_alive_secs_max);
        let mut packet = ConnAck::new(ReasonCode::Success);
        packet.session_present = session_present;
        packet.auth_method = connect.auth_method; // [MQTT-4.12.0-5]
        packet.assigned_client_id = connect
            .client_id
            .is_empty()
            .then_some(session.subscriptions.client_id()); // [MQTT-3.2.2-16]
        packet.session_expiry_secs =
            (session.expiry_secs != connect.session_expiry_secs.unwrap_or(0)).then_some(session.expiry_secs);
        packet.server_keep_alive_secs =
            (keep_alive_secs != connect.keep_alive_secs).then_some(keep_alive_secs);
        packet.receive_max = NonZeroU16::new(limits.receive_max);
        packet.packet_bytes_max = Some(limits.packet_bytes_max);
        packet.topic_alias_max = Some(limits.topic_alias_max);
        let response: Option<String> = connect
            .request_response_info
            .then(|| format!("response/{}", session.subscriptions.client_id()))
            .filter(|topic| topic.len() <= TOPIC_BYTES_MAX);
        packet.response_information = response.as_deref();
        let mut user = Vec::new();
        numbering::tell(&mut packet, conn, session.outbound.last_order(), &mut user);
        let version = connect.version;
        let mut turn = Turn { desk, now, sink };
        // Who comes back while the store fails does not wait for it: what the session is, is stored.
        if turn.desk.storage == Storage::Failing && turn.desk.changed {
            turn.desk.changed = false;
            turn.desk.wait(conn);
        }
        conn.opening = turn.desk.changed;
        conn.reply(&mut turn, Completes::Nothing, |out| packet.encode(version, out));
        conn.opening |= conn.outgrown;
    }
}

/// The keep alive that holds: the client's, or ours where the client's is longer or missing. Before v5
/// a client cannot be told, so its own holds. [MQTT-3.2.2-22]
const fn keep_alive_granted(connect: &Connect<'_>, secs_max: u16) -> u16 {
    let asked_secs = connect.keep_alive_secs;
    let is_longer = asked_secs == 0 || asked_secs > secs_max;
    if secs_max > 0 && is_longer && connect.version.is_v5() {
        secs_max
    } else {
        asked_secs
    }
}

/// How long the session may outlive the connection: as long as the client wants, within the bound.
pub(super) fn expiry_granted(connect: &Connect<'_>, limits: &Limits) -> u32 {
    let asked_secs = match (connect.version.is_v5(), connect.clean_start) {
        (true, true) => connect.session_expiry_secs.unwrap_or(0),
        (true, false) => connect
            .session_expiry_secs
            .unwrap_or(limits.session_expiry_secs_default),
        (false, true) => 0,
        (false, false) => u32::MAX,
    };
    asked_secs.min(limits.session_expiry_secs_max)
}

fn keep_will(will: &cloudsignal_core::codec::Will<'_>, publisher: u64, number: u64) -> Will {
    let mut properties = will.properties.clone();
    properties.message_expiry_secs = None;
    let publication = Publication {
        topic: will.topic,
        payload: will.payload,
        properties,
        qos: will.qos,
        retain: will.retain,
        expires_at: None,
        publisher,
        is_numbered: false,
        wire: None,
    };
    Will {
        message: publication.keep(number),
        expiry_secs: will.properties.message_expiry_secs,
        delay_secs: will.delay_secs,
        due_at: Instant::MAX,
    }
}
