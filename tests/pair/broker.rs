//! The organization, its store, and its ends of the wires.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cloudsignal_broker::change::Change;
use cloudsignal_broker::{
    CloseCause, ConnId, Fetch, Identity, Limits, Message, Org, OrgId, Policy, Report, Sink, Ticket,
};
use cloudsignal_core::Instant;
use cloudsignal_core::codec::{ConnAck, Connect, Decoded, Packet, ReasonCode};

use crate::disk::Disk;
use crate::wire::Wire;

/// Names a wire: whose it is, and which of his.
pub(crate) type WireKey = (usize, u64);

/// What a call into the organization asked for.
#[derive(Debug, Default)]
struct Tape {
    sent: Vec<(ConnId, Vec<u8>)>,
    closed: Vec<ConnId>,
    asked: Vec<(ConnId, Vec<u8>)>,
    changes: Vec<Change>,
    fetches: Vec<Fetch>,
}

impl Sink for Tape {
    fn send(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        self.sent.push((conn, bytes.to_vec()));
        0
    }

    fn send_shared(&mut self, conn: ConnId, head: &[u8], message: &Arc<Message>) -> usize {
        self.sent.push((conn, [head, message.payload()].concat()));
        0
    }

    fn close(&mut self, conn: ConnId, _cause: CloseCause) {
        self.closed.push(conn);
    }

    fn verify(&mut self, conn: ConnId, token: &[u8]) {
        self.asked.push((conn, token.to_vec()));
    }

    fn store(&mut self, change: Change) {
        self.changes.push(change);
    }

    fn fetch(&mut self, fetch: Fetch) {
        self.fetches.push(fetch);
    }

    fn report(&mut self, _report: Report<'_>) {}
}

/// The broker of a run.
#[derive(Debug)]
pub(crate) struct Broker {
    org: Org,
    tape: Tape,
    disk: Disk,
    unstored: VecDeque<(Ticket, Vec<Change>)>,
    conns: BTreeMap<ConnId, WireKey>,
    /// Whether it knows tokens that are renewed in band.
    pub(crate) has_method: bool,
    /// Its process: what an earlier one asked of the store is not answered.
    pub(crate) life: u64,
    seed: u64,
}

/// Every wire of the run.
pub(crate) type Wires = BTreeMap<WireKey, Wire>;

impl Broker {
    pub(crate) fn new(seed: u64, has_method: bool) -> Self {
        Self {
            org: org(seed, 1),
            tape: Tape::default(),
            disk: Disk::default(),
            unstored: VecDeque::new(),
            conns: BTreeMap::new(),
            has_method,
            life: 0,
            seed,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.org.poll_timeout()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, wires: &mut Wires) -> Option<Ticket> {
        self.org.handle_timeout(now, &mut self.tape);
        self.finish(now, wires)
    }

    /// Bytes of a client have arrived.
    pub(crate) fn read(
        &mut self,
        key: WireKey,
        bytes: &[u8],
        now: Instant,
        wires: &mut Wires,
    ) -> Option<Ticket> {
        let wire = wires.get_mut(&key)?;
        let mut inbox = std::mem::take(&mut wire.inbox);
        inbox.extend_from_slice(bytes);
        let mut rest = &inbox[..];
        while let Some(wire) = wires.get_mut(&key).filter(|wire| !wire.broker_is_gone) {
            let decoded = wire.decoder.decode(rest).expect("our client speaks MQTT");
            let Decoded::Packet { packet, bytes } = decoded else {
                break;
            };
            let (frame, behind) = rest.split_at(bytes);
            rest = behind;
            let conn = wire.conn;
            match (conn, &packet) {
                (None, Packet::Connect(connect)) => self.admit(key, connect, now, wires),
                (None, other) => panic!("{:?} before CONNECT", other.packet_type()),
                (Some(conn), packet) => {
                    self.org.handle_framed(conn, packet, frame, now, &mut self.tape);
                }
            }
            self.carry(now, wires);
        }
        let rest = rest.to_vec();
        if let Some(wire) = wires.get_mut(&key) {
            wire.inbox = rest;
        }
        self.finish(now, wires)
    }

    fn admit(&mut self, key: WireKey, connect: &Connect<'_>, now: Instant, wires: &mut Wires) {
        let Some(wire) = wires.get_mut(&key) else { return };
        let refused = if connect.auth_method.is_some() && !self.has_method {
            Some(ReasonCode::BadAuthenticationMethod)
        } else {
            None
        };
        if let Some(reason) = refused {
            let mut bytes = Vec::new();
            let connack = ConnAck::new(reason);
            connack.encode(connect.version, &mut bytes).expect("encodes");
            wire.down.extend(bytes);
            wire.broker_is_gone = true;
            return;
        }
        let free = (0..).map(ConnId).find(|conn| !self.conns.contains_key(conn));
        let conn = free.expect("numbers outlast a run");
        self.conns.insert(conn, key);
        wire.conn = Some(conn);
        let token = connect.auth_data.or(connect.password).unwrap_or_default();
        let identity = identity(key.0, token);
        self.org
            .handle_connect(conn, connect, identity, now, &mut self.tape);
    }

    /// The client of a wire is gone.
    pub(crate) fn lost(&mut self, key: WireKey, now: Instant, wires: &mut Wires) -> Option<Ticket> {
        let conn = wires.get_mut(&key)?.conn.take()?;
        if self.conns.remove(&conn).is_some() {
            self.org.handle_closed(conn, now, &mut self.tape);
        }
        self.finish(now, wires)
    }

    /// The store has everything up to this ticket.
    pub(crate) fn stored(&mut self, ticket: Ticket, now: Instant, wires: &mut Wires) -> Option<Ticket> {
        while let Some((_, changes)) = self.unstored.pop_front_if(|(sealed, _)| *sealed <= ticket) {
            for change in changes {
                self.disk.apply(&change).expect("changes of what is there");
            }
        }
        self.org.handle_stored(ticket, now, &mut self.tape);
        self.finish(now, wires)
    }

    /// The process dies, with everything that is not stored, and another one begins.
    pub(crate) fn crash(&mut self, now: Instant) {
        self.life += 1;
        self.unstored.clear();
        self.conns.clear();
        self.tape = Tape::default();
        let fresh = org(self.seed ^ self.life << 32, self.life + 1);
        self.org = self.disk.restore(fresh, now);
    }

    /// What a call asked for is done. Answers the ticket that the store has to answer.
    fn finish(&mut self, now: Instant, wires: &mut Wires) -> Option<Ticket> {
        self.carry(now, wires);
        self.org.invariants();
        let ticket = self.org.seal()?;
        let changes = std::mem::take(&mut self.tape.changes);
        self.unstored.push_back((ticket, changes));
        Some(ticket)
    }

    fn carry(&mut self, now: Instant, wires: &mut Wires) {
        for (conn, bytes) in self.tape.sent.drain(..) {
            let wire = self.conns.get(&conn).and_then(|key| wires.get_mut(key));
            if let Some(wire) = wire.filter(|wire| !wire.broker_is_gone) {
                wire.down.extend(bytes);
            }
        }
        while let Some(conn) = self.tape.closed.pop() {
            if let Some(wire) = self.conns.remove(&conn).and_then(|key| wires.get_mut(&key)) {
                wire.broker_is_gone = true;
                wire.conn = None;
            }
            self.org.handle_closed(conn, now, &mut self.tape);
        }
        if self.answer(now) {
            self.carry(now, wires);
        }
    }

    /// Tokens are checked and queues are read. Answers whether there was anything to do.
    fn answer(&mut self, now: Instant) -> bool {
        let Tape { asked, fetches, .. } = &mut self.tape;
        let (asked, fetches) = (std::mem::take(asked), std::mem::take(fetches));
        let was_busy = !asked.is_empty() || !fetches.is_empty() || !self.tape.sent.is_empty();
        for (conn, token) in asked {
            if let Some((peer, _)) = self.conns.get(&conn) {
                let identity = identity(*peer, &token);
                self.org.handle_verified(conn, Ok(identity), now, &mut self.tape);
            }
        }
        for fetch in fetches {
            let fetched = self.disk.fetch(&fetch);
            self.org.handle_fetched(&fetch, Ok(fetched), now, &mut self.tape);
        }
        was_busy
    }
}

fn org(seed: u64, run: u64) -> Org {
    let limits = Limits {
        receive_max: 20,
        inflight_max: 20,
        topic_alias_max: 4,
        topic_alias_out_max: 4,
        ..Limits::default()
    };
    let mut org = Org::new(OrgId::new("org_pair"), limits, Policy::permit_all(), seed);
    org.number_messages(run);
    org
}

/// A token is the moment of its end, in microseconds, as text; anything else has none.
fn identity(peer: usize, token: &[u8]) -> Identity {
    let mut identity = Identity::anonymous(OrgId::new("org_pair"), &format!("p{peer}"));
    let text = std::str::from_utf8(token).unwrap_or_default();
    identity.expires_at = text.parse().ok().map(Instant::from_micros);
    identity
}
