//! What a client's bytes do: decoded as the shell decodes them, handed to the organization, and judged.

use cloudsignal_broker::change::Change;
use cloudsignal_broker::{CloseCause, ConnId};
use cloudsignal_core::Qos;
use cloudsignal_core::codec::{
    Ack, Connect, Decoded, Disconnect, Packet, ReasonCode, Subscribe, Unsubscribe,
};

use crate::host::{Called, Host, Links};
use crate::ledger::Ledger;
use crate::ledger::window::Acknowledged;
use crate::link::{Expected, Phase, Reply};
use crate::model::connecting::Arrival;
use crate::recorder::Effect;
use crate::scene::Scene;

impl Host {
    /// Bytes arrived on a link.
    pub(crate) fn upload(&mut self, number: u32, bytes: &[u8], links: &mut Links, scene: &mut Scene) {
        let Some(link) = links.get_mut(&number) else {
            return;
        };
        let mut inbox = std::mem::take(&mut link.broker_end.inbox);
        let mut decoder = link.broker_end.decoder;
        inbox.extend_from_slice(bytes);
        let mut read = 0;
        loop {
            match decoder.decode(&inbox[read..]) {
                Ok(Decoded::Packet { packet, bytes }) => {
                    let frame = &inbox[read..read + bytes];
                    read += bytes;
                    self.packet(number, &packet, frame, links, scene);
                }
                Ok(Decoded::Incomplete { .. }) => break,
                Err(error) => {
                    scene
                        .verdict
                        .fail(|| format!("codec: link {number}: a client's bytes: {error}"));
                    break;
                }
            }
        }
        inbox.drain(..read);
        if let Some(link) = links.get_mut(&number) {
            link.broker_end.inbox = inbox;
            link.broker_end.decoder = decoder;
        }
    }

    fn packet(
        &mut self,
        number: u32,
        packet: &Packet<'_>,
        frame: &[u8],
        links: &mut Links,
        scene: &mut Scene,
    ) {
        let Some(link) = links.get_mut(&number) else {
            return;
        };
        scene.log.note(format_args!(
            "org {} link {number}: receives {}",
            self.number,
            packet.name()
        ));
        let publication = match packet {
            Packet::Publish(_) => link.published.pop_front(),
            _ => None,
        };
        match link.broker_end.phase {
            Phase::Fresh => match packet {
                Packet::Connect(connect) => self.connect(number, connect, links, scene),
                _ => scene
                    .verdict
                    .fail(|| format!("codec: link {number}: {} came first", packet.name())),
            },
            Phase::Open => self.open_packet(number, packet, frame, publication, links, scene),
            Phase::Closing(_) => self.late_packet(number, packet, links, scene),
            Phase::Gone => {}
        }
    }

    /// A packet behind the end of its connection: a shell that works in batches may hand it over. It must do nothing.
    fn late_packet(&mut self, number: u32, packet: &Packet<'_>, links: &mut Links, scene: &mut Scene) {
        let conn = links[&number].conn;
        let now = scene.now;
        let called = self.call(|org, sink| org.handle_packet(conn, packet, now, sink));
        scene.verdict.require(called.effects.is_empty(), || {
            format!("after the end: link {number}: {} did something", packet.name())
        });
        self.finish(called, links, scene);
    }

    fn connect(&mut self, number: u32, connect: &Connect<'_>, links: &mut Links, scene: &mut Scene) {
        let conn = self.admit(number);
        let link = links.get_mut(&number).expect("invariant: at work on it");
        link.conn = conn;
        link.broker_end.phase = Phase::Open;
        let (identity, will) = (link.identity.clone(), link.will);
        let now = scene.now;
        let called = self.call(|org, sink| org.handle_connect(conn, connect, identity.clone(), now, sink));
        let assigned = called.effects.iter().find_map(|effect| match effect {
            Effect::Connected {
                conn: of, client_id, ..
            } if *of == conn => Some(client_id.as_str()),
            _ => None,
        });
        let rights_changed = self.model.sessions.get(connect.client_id).is_some_and(|session| {
            session.who.identity.claims != identity.claims || session.who.identity.access != identity.access
        });
        let answer = self.model.connect(&Arrival {
            conn,
            connect,
            identity: &identity,
            will,
            assigned,
            now,
        });
        let ticket = self.ticket(&called);
        let reply = match answer {
            Ok(welcome) => {
                let session = self.model.session_of(conn).expect("invariant: just let in");
                link.tap.session = Some(session.key);
                let is_told = !session.is_persistent()
                    || called.changes().any(
                        |change| matches!(change, Change::Session { session: stored, .. } if *stored.client_id == *session.who.client_id),
                    );
                scene.verdict.require(is_told, || {
                    format!("changes: link {number}: the store does not know of the session")
                });
                Reply::Welcome(welcome)
            }
            Err(reason) => {
                let refused = CloseCause::Refused(reason);
                self.model.events.closes.push((conn, refused));
                Reply::Refusal(reason)
            }
        };
        link.tap.expected.push_back(Expected { reply, ticket });
        if rights_changed {
            self.ledger.forget_denied(&self.model);
        }
        self.finish(called, links, scene);
    }

    fn open_packet(
        &mut self,
        number: u32,
        packet: &Packet<'_>,
        frame: &[u8],
        publication: Option<usize>,
        links: &mut Links,
        scene: &mut Scene,
    ) {
        let conn = links[&number].conn;
        let now = scene.now;
        let called = self.call(|org, sink| org.handle_framed(conn, packet, frame, now, sink));
        if let Some(session) = self.model.session_of_mut(conn)
            && let Some(open) = &mut session.conn
        {
            open.heard_at = now;
        }
        let reply = match packet {
            Packet::Publish(publish) => {
                let publication = publication.expect("invariant: noted when it was written");
                self.publish(conn, publish, publication, &called, scene)
            }
            Packet::PubAck(ack) => {
                self.acknowledged(conn, |ledger, session| {
                    ledger.windows.puback(session, ack.packet_id.get())
                });
                None
            }
            Packet::PubRec(ack) => {
                self.pubrec(number, ack, &called, links, scene);
                None
            }
            Packet::PubComp(ack) => {
                self.acknowledged(conn, |ledger, session| {
                    ledger.windows.pubcomp(session, ack.packet_id.get())
                });
                None
            }
            Packet::PubRel(ack) => Some(self.pubrel(conn, ack, &called, scene)),
            Packet::Subscribe(subscribe) => Some(self.subscribe(conn, subscribe, &called, scene)),
            Packet::Unsubscribe(unsubscribe) => Some(self.unsubscribe(conn, unsubscribe, &called, scene)),
            Packet::PingReq => Some(Reply::PingResp),
            Packet::Disconnect(disconnect) => {
                self.disconnect(conn, disconnect, scene);
                None
            }
            Packet::Auth(_) => {
                let is_asked = |effect: &Effect| matches!(effect, Effect::Verify(of, _) if *of == conn);
                scene.verdict.require(called.effects.iter().any(is_asked), || {
                    format!("reply: link {number}: nobody is asked about AUTH")
                });
                None
            }
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => None,
        };
        if let Some(reply) = reply {
            // What else a call stored that ended the connection came after the reply.
            let is_closed = self.model.events.closes.iter().any(|(closed, _)| *closed == conn);
            let ticket = self.ticket(&called).filter(|_| !is_closed);
            let link = links.get_mut(&number).expect("invariant: at work on it");
            link.tap.expected.push_back(Expected { reply, ticket });
        }
        self.finish(called, links, scene);
    }

    fn acknowledged(
        &mut self,
        conn: ConnId,
        act: impl FnOnce(&mut Ledger, u64) -> Acknowledged,
    ) -> Acknowledged {
        let Some(session) = self.model.session_of(conn) else {
            return Acknowledged::Unknown;
        };
        let key = session.key;
        let outcome = act(&mut self.ledger, key);
        if let Acknowledged::Done(claim) = &outcome {
            self.ledger.done(key, claim);
        }
        outcome
    }

    fn pubrec(&mut self, number: u32, ack: &Ack<'_>, called: &Called, links: &mut Links, scene: &mut Scene) {
        let packet_id = ack.packet_id.get();
        let link = links.get_mut(&number).expect("invariant: at work on it");
        let outcome = self.acknowledged(link.conn, |ledger, session| {
            ledger.windows.pubrec(session, packet_id, ack.reason.is_error())
        });
        let Acknowledged::Released = outcome else { return };
        let is_persistent = self
            .model
            .session_of(link.conn)
            .is_some_and(crate::model::session::Session::is_persistent);
        let is_told = called
            .changes()
            .any(|change| matches!(change, Change::Released { packet_id: id, .. } if *id == packet_id));
        scene.verdict.require(is_told || !is_persistent, || {
            format!("changes: link {number}: nothing was stored for PUBREC {packet_id}")
        });
        link.tap.releases.push((packet_id, self.ticket(called)));
    }

    fn pubrel(&mut self, conn: ConnId, ack: &Ack<'_>, called: &Called, scene: &mut Scene) -> Reply {
        let packet_id = ack.packet_id.get();
        let session = self.model.session_of_mut(conn).expect("invariant: it is open");
        let is_known = session.received.remove(&packet_id);
        let is_told = called
            .changes()
            .any(|change| matches!(change, Change::Completed { packet_id: id, .. } if *id == packet_id));
        let needs_store = is_known && session.is_persistent();
        scene.verdict.require(is_told || !needs_store, || {
            format!("changes: nothing was stored for PUBREL {packet_id}")
        });
        let reason = if is_known {
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        Reply::PubComp(packet_id, reason)
    }

    fn subscribe(
        &mut self,
        conn: ConnId,
        subscribe: &Subscribe<'_>,
        called: &Called,
        scene: &mut Scene,
    ) -> Reply {
        let done = self.model.subscribe(conn, subscribe);
        for filter in &done.stored {
            let is_told = called.changes().any(
                |change| matches!(change, Change::Subscribed { filter: stored, .. } if **stored == **filter),
            );
            scene.verdict.require(is_told, || {
                format!("changes: nothing was stored for SUBSCRIBE {filter}")
            });
        }
        let session = self.model.session_of(conn).expect("invariant: it is open");
        let (key, has_bound) = (session.key, session.packet_bytes_max.is_some());
        for wanted in &subscribe.filters {
            let Ok(filter) = wanted.filter else { continue };
            let granted = session.subscriptions.get(filter.as_str());
            let is_weak = granted.is_some_and(|sub| has_bound || sub.qos == Qos::AtMostOnce);
            if filter.share().is_some() && is_weak {
                self.ledger.group_weakened(filter.as_str());
            }
        }
        for filter in &done.restarted {
            self.ledger.end_handout(key, filter);
        }
        let topics_denied = |topic: &String| !session.may_receive(&self.model.policy, topic);
        for mut handout in done.handouts {
            handout.due.retain(|topic, _| !topics_denied(topic));
            scene.log.note(format_args!(
                "org {}: session {key:x} is owed what is retained for {} at {:?} as Handout({})",
                self.number,
                handout.filter,
                handout.qos,
                self.ledger.handouts.len()
            ));
            self.ledger.owe_retained(handout);
        }
        Reply::SubAck(subscribe.packet_id.get(), done.reasons)
    }

    fn unsubscribe(
        &mut self,
        conn: ConnId,
        unsubscribe: &Unsubscribe<'_>,
        called: &Called,
        scene: &mut Scene,
    ) -> Reply {
        let (reasons, gone) = self.model.unsubscribe(conn, unsubscribe);
        let session = self.model.session_of(conn).expect("invariant: it is open");
        for filter in &gone {
            self.ledger.end_handout(session.key, filter);
            self.ledger.forget_unsubscribed(session.key, filter);
            let mut others = self.model.sessions.values();
            if !others.any(|other| other.subscriptions.contains_key(filter)) {
                self.ledger.group_weakened(filter);
            }
            let is_told = called.changes().any(
                |change| matches!(change, Change::Unsubscribed { filter: stored, .. } if **stored == **filter),
            );
            scene.verdict.require(is_told || !session.is_persistent(), || {
                format!("changes: nothing was stored for UNSUBSCRIBE {filter}")
            });
        }
        Reply::UnsubAck(unsubscribe.packet_id.get(), reasons)
    }

    fn disconnect(&mut self, conn: ConnId, disconnect: &Disconnect<'_>, scene: &Scene) {
        let expiry_secs_max = self.model.limits.session_expiry_secs_max;
        let session = self.model.session_of_mut(conn).expect("invariant: it is open");
        if let Some(secs) = disconnect.session_expiry_secs {
            session.expiry_secs = secs.min(expiry_secs_max);
        }
        let says_goodbye = disconnect.reason == ReasonCode::Success;
        let cause = if says_goodbye {
            CloseCause::Client
        } else {
            CloseCause::ClientWithWill
        };
        self.model.events.closes.push((conn, cause));
        self.model.detach(conn, !says_goodbye, scene.now);
    }

    /// The transport ended: the organization is told, and the number is free.
    pub(crate) fn hang_up(&mut self, number: u32, links: &mut Links, scene: &mut Scene) {
        let Some(link) = links.get_mut(&number) else {
            return;
        };
        scene
            .log
            .note(format_args!("org {} link {number}: hung up", self.number));
        let (conn, now) = (link.conn, scene.now);
        link.broker_end.phase = Phase::Gone;
        link.down.end();
        link.tap.expected.clear();
        link.tap.releases.clear();
        self.ledger
            .link_ended(number, link.tap.session, &self.model, scene.now);
        if !self.conns.contains_key(&conn) {
            return; // CONNECT never came.
        }
        let called = self.call(|org, sink| org.handle_closed(conn, now, sink));
        self.model.detach(conn, true, now);
        self.finish(called, links, scene);
        self.conns.remove(&conn);
        self.asked.retain(|(of, _)| *of != conn);
        self.recorder.waiting.remove(&conn);
    }
}
