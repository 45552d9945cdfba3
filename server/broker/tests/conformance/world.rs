//! A small world for stories: one organization, clients in memory, a clock that only tests move, and a
//! store that answers at once unless it is told to wait.
//!
//! Clients speak bytes: what they send is encoded and decoded by the codec, and so is what they get. After
//! every step the world ends the turn as a shell does, fires what is due, and checks the invariants.
//! A byte for a connection that is closed fails the test wherever it happens. [MQTT-3.14.4-1]

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use cloudsignal_broker::change::Change;
use cloudsignal_broker::sink::DropReason;
use cloudsignal_broker::{
    Access, CloseCause, ConnId, Credential, Fetch, Identity, Limits, Message, Org, OrgId, Policy, Report,
    Sink, Storage, Ticket, Unreadable,
};
use cloudsignal_core::codec::{Decoded, PACKET_BYTES_MAX};
use cloudsignal_core::{Decoder, Instant, Packet, TopicName, Version};

/// The sender of a client's packets and the reader of what it gets; see `client.rs`.
pub(crate) use crate::client::{Client, Connecting};
use crate::disk::Disk;

/// Seed of every organization here; nothing in the stories depends on it.
const SEED: u64 = 7;
/// Timers that may be due at one moment before a story counts as endless.
const TURNS_MAX: usize = 10_000;

/// One organization and everything around it.
#[derive(Clone)]
pub(crate) struct World(Rc<RefCell<Inner>>);

pub(crate) struct Inner {
    pub(crate) org: Org,
    policy: Policy,
    /// Which run it is, where messages are numbered; else 0.
    run: u64,
    pub(crate) now: Instant,
    pub(crate) tape: Tape,
    stores: Stores,
    reading: Reading,
    /// Groups of changes that are not stored yet.
    unstored: VecDeque<(Ticket, Vec<Change>)>,
    pub(crate) disk: Disk,
}

/// When the store answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stores {
    AtOnce,
    WhenAsked,
}

/// Whether the store can be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Works,
    Fails,
}

/// The sink of the world: it records everything.
#[derive(Default)]
pub(crate) struct Tape {
    /// Every connection that ever was, in the order they were opened.
    pub(crate) lines: Vec<Line>,
    /// Connection number → its line, while it is open.
    open: BTreeMap<ConnId, usize>,
    /// Connections that the machine closed and whose end the world has not announced yet.
    closing: Vec<ConnId>,
    /// Tokens that the machine wants to be checked.
    pub(crate) asked: Vec<(ConnId, Vec<u8>)>,
    /// Connections are not read.
    pub(crate) is_deaf: bool,
    /// Until when a connection is not to be read. The stories read on unless they ask.
    pub(crate) rests: BTreeMap<ConnId, Instant>,
    /// What the store is to be asked for.
    pub(crate) fetches: Vec<Fetch>,
    pub(crate) changes: Vec<Change>,
    /// Those of the turn at work.
    pub(crate) unsealed: Vec<Change>,
    pub(crate) reports: Vec<String>,
    pub(crate) forwarded: Vec<Arc<Message>>,
}

/// What one connection was sent.
pub(crate) struct Line {
    pub(crate) conn: ConnId,
    pub(crate) version: Version,
    pub(crate) server: Decoder,
    /// What the client has begun to read. It lives on: stories are short.
    unread: &'static [u8],
    /// What came after that.
    bytes: Vec<u8>,
    pub(crate) closed: Option<CloseCause>,
    /// Whether its reader sleeps, so that everything it is sent waits in the output.
    pub(crate) is_stalled: bool,
    waiting: usize,
}

impl World {
    /// An organization with default limits where everything is allowed.
    pub(crate) fn new() -> Self {
        Self::with(Limits::default(), Policy::permit_all())
    }

    pub(crate) fn with_limits(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::with(limits, Policy::permit_all())
    }

    pub(crate) fn with_policy(policy: Policy) -> Self {
        Self::with(Limits::default(), policy)
    }

    pub(crate) fn with(limits: Limits, policy: Policy) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            org: Org::new(OrgId::new("org_test"), limits, policy.clone(), SEED),
            policy,
            run: 0,
            now: Instant::from_micros(1_000_000),
            tape: Tape::default(),
            stores: Stores::AtOnce,
            reading: Reading::Works,
            unstored: VecDeque::new(),
            disk: Disk::default(),
        })))
    }

    /// An organization that numbers messages for whoever asks.
    pub(crate) fn numbering() -> Self {
        Self::numbering_with(Limits::default(), Policy::permit_all())
    }

    pub(crate) fn numbering_with(limits: Limits, policy: Policy) -> Self {
        let world = Self::with(limits, policy);
        let inner = &mut *world.inner();
        inner.run = 1;
        inner.org.number_messages(1);
        world.clone()
    }

    /// Begins a CONNECT: MQTT 5, clean start, no extras; the last word is `go` or `refused`.
    pub(crate) fn connect(&self, client_id: &str) -> Connecting {
        Connecting::new(self.clone(), client_id)
    }

    /// A plain MQTT 5 client that is in.
    pub(crate) fn client(&self, client_id: &str) -> Client {
        self.connect(client_id).go()
    }

    /// The same, and its session outlives its connection by 1 000 seconds; it goes on with one that is there.
    pub(crate) fn lasting(&self, client_id: &str) -> Client {
        self.connect(client_id).resume().expiry(1_000).go()
    }

    pub(crate) fn inner(&self) -> RefMut<'_, Inner> {
        self.0.borrow_mut()
    }

    /// Does something to the organization and ends the turn.
    pub(crate) fn step<R>(&self, act: impl FnOnce(&mut Org, Instant, &mut Tape) -> R) -> R {
        let inner = &mut *self.inner();
        let result = act(&mut inner.org, inner.now, &mut inner.tape);
        inner.end_turn();
        result
    }

    /// Time passes; everything that is due on the way happens at its moment.
    pub(crate) fn advance_secs(&self, secs: u32) {
        let until = self.inner().now.after_secs(secs);
        self.advance_to(until);
    }

    pub(crate) fn advance_micros(&self, micros: u64) {
        let until = Instant::from_micros(self.inner().now.as_micros() + micros);
        self.advance_to(until);
    }

    fn advance_to(&self, until: Instant) {
        let inner = &mut *self.inner();
        while let Some(at) = inner.org.poll_timeout().filter(|&at| at <= until) {
            inner.now = inner.now.max(at);
            inner.end_turn();
        }
        inner.now = until;
        inner.end_turn();
    }

    /// Time passes and nobody looks at the timers: as if the shell were late.
    pub(crate) fn advance_unnoticed(&self, secs: u32) {
        let inner = &mut *self.inner();
        inner.now = inner.now.after_secs(secs);
    }

    /// There is a store: what is stored may leave the memory.
    pub(crate) fn begin_spilling(&self) {
        self.inner().org.handle_storage(Storage::Working);
    }

    /// From here on the store cannot be read.
    pub(crate) fn break_reading(&self) {
        self.inner().reading = Reading::Fails;
    }

    /// It can be read again.
    pub(crate) fn mend_reading(&self) {
        self.inner().reading = Reading::Works;
    }

    /// From here on the store answers only when it is asked to.
    pub(crate) fn withhold_store(&self) {
        self.inner().stores = Stores::WhenAsked;
    }

    /// The store answers for the oldest group of changes that waits. Answers whether one waited.
    pub(crate) fn store_one(&self) -> bool {
        let inner = &mut *self.inner();
        let is_one = inner.store_oldest();
        inner.end_turn();
        is_one
    }

    /// Everything that can be stored is.
    pub(crate) fn settle(&self) {
        while self.store_one() {}
    }

    /// Whether a group of changes waits for the store.
    pub(crate) fn is_unstored(&self) -> bool {
        !self.inner().unstored.is_empty()
    }

    /// The process dies and is started again: what was not stored is lost, and every connection with it.
    pub(crate) fn crash(&self) {
        let policy = self.inner().policy.clone();
        self.crash_under(policy);
    }

    /// The same, and the access rules are others from then on.
    pub(crate) fn crash_under(&self, policy: Policy) {
        let inner = &mut *self.inner();
        inner.policy = policy.clone();
        let mut org = Org::new(OrgId::new("org_test"), inner.org.limits().clone(), policy, SEED);
        if inner.run > 0 {
            inner.run += 1;
            org.number_messages(inner.run);
        }
        inner.org = inner.disk.restore(org, inner.now);
        inner.unstored.clear();
        inner.tape.unsealed.clear();
        inner.tape.closing.clear();
        inner.tape.asked.clear();
        inner.tape.fetches.clear();
        for (_, line) in core::mem::take(&mut inner.tape.open) {
            inner.tape.lines[line].closed.get_or_insert(CloseCause::Transport);
        }
        inner.end_turn();
    }

    /// Everything that is worth storing, as the organization tells it.
    pub(crate) fn snapshot(&self) -> Disk {
        let mut disk = Disk::default();
        let inner = self.inner();
        inner
            .org
            .snapshot(&mut |change| disk.apply(&change).expect("a snapshot is in order"));
        disk.add_spilled(&inner.disk, &inner.org)
            .expect("what is spilled is stored");
        disk
    }

    /// Everything that was to be stored since the last look.
    pub(crate) fn take_changes(&self) -> Vec<Change> {
        core::mem::take(&mut self.inner().tape.changes)
    }

    /// Everything that was reported since the last look, as `Debug` prints it.
    pub(crate) fn take_reports(&self) -> Vec<String> {
        core::mem::take(&mut self.inner().tape.reports)
    }

    /// Whether there is a retained message, and its payload.
    pub(crate) fn retained(&self, topic: &str) -> Option<Vec<u8>> {
        let inner = self.inner();
        let topic = TopicName::parse(topic).expect("a topic");
        inner
            .org
            .retained(topic)
            .map(|message| message.payload().to_vec())
    }

    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.inner().org.counters().dropped[reason.index()]
    }

    pub(crate) fn counters(&self) -> cloudsignal_broker::counters::Counters {
        self.inner().org.counters().clone()
    }

    /// What an operator sees of a session: `(connected, expiry, subscriptions, queued, unacknowledged)`.
    pub(crate) fn session(&self, client_id: &str) -> Option<(bool, u32, usize, usize, usize)> {
        let inner = self.inner();
        let view = inner.org.sessions().find(|view| view.client_id == client_id)?;
        Some((
            view.connected,
            view.expiry_secs,
            view.subscriptions,
            view.queue_messages,
            view.unacknowledged,
        ))
    }
}

impl Inner {
    /// Opens a line under the smallest free connection number, as a shell would.
    pub(crate) fn open_line(&mut self, version: Version) -> (usize, ConnId) {
        let free = (0..).map(ConnId).find(|id| !self.tape.open.contains_key(id));
        let conn = free.expect("numbers do not end");
        let packet_bytes_max = self.org.limits().packet_bytes_max;
        self.tape.lines.push(Line {
            conn,
            version,
            server: Decoder::new(packet_bytes_max),
            unread: &[],
            bytes: Vec::new(),
            closed: None,
            is_stalled: false,
            waiting: 0,
        });
        let line = self.tape.lines.len() - 1;
        self.tape.open.insert(conn, line);
        (line, conn)
    }

    /// What a shell does after it handed something over: announces the connections that ended, seals, lets
    /// the store answer, fires timers; and then, for the stories, everything is checked.
    pub(crate) fn end_turn(&mut self) {
        for _ in 0..TURNS_MAX {
            for conn in core::mem::take(&mut self.tape.closing) {
                self.tape.open.remove(&conn);
                self.org.handle_closed(conn, self.now, &mut self.tape);
            }
            self.org.invariants();
            let changes = core::mem::take(&mut self.tape.unsealed);
            match self.org.seal() {
                Some(ticket) => self.unstored.push_back((ticket, changes)),
                None => assert!(changes.is_empty(), "what is to be stored has a ticket"),
            }
            for fetch in core::mem::take(&mut self.tape.fetches) {
                let answer = match self.reading {
                    Reading::Works => Ok(self.disk.fetch(&fetch)),
                    Reading::Fails => Err(Unreadable),
                };
                self.org.handle_fetched(&fetch, answer, self.now, &mut self.tape);
            }
            let is_due = self.org.poll_timeout().is_some_and(|at| at <= self.now);
            if self.stores == Stores::AtOnce && self.store_oldest() {
                // What waited for it has been sent.
            } else if is_due {
                self.org.handle_timeout(self.now, &mut self.tape);
            } else if self.tape.closing.is_empty() {
                return;
            }
        }
        panic!("the turn does not end");
    }

    fn store_oldest(&mut self) -> bool {
        let Some((ticket, changes)) = self.unstored.pop_front() else {
            return false;
        };
        for change in changes {
            self.disk.apply(&change).expect("changes are in order");
        }
        self.org.handle_stored(ticket, self.now, &mut self.tape);
        true
    }

    /// The client's transport is gone, without a word.
    pub(crate) fn cut(&mut self, line: usize) {
        let conn = self.tape.lines[line].conn;
        if self.tape.lines[line].closed.is_none() {
            self.tape.lines[line].closed = Some(CloseCause::Transport);
            self.tape.open.remove(&conn);
            self.org.handle_closed(conn, self.now, &mut self.tape);
        }
        self.end_turn();
    }

    /// Bytes arrive from a client: as many packets as there are, each handed over like a shell does.
    pub(crate) fn receive(&mut self, line: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.tape.lines[line].closed.is_none() {
            let (conn, now) = (self.tape.lines[line].conn, self.now);
            let mut decoder = self.tape.lines[line].server;
            match decoder.decode(bytes) {
                Ok(Decoded::Packet { packet, bytes: taken }) => {
                    let (frame, rest) = bytes.split_at(taken);
                    self.org.handle_framed(conn, &packet, frame, now, &mut self.tape);
                    bytes = rest;
                }
                Ok(Decoded::Incomplete { .. }) => panic!("half a packet"),
                Err(error) => {
                    self.org.handle_decode_error(conn, &error, now, &mut self.tape);
                    bytes = &[];
                }
            }
            self.tape.lines[line].server = decoder;
        }
        self.end_turn();
    }

    /// Whoever reads the connection has caught up.
    pub(crate) fn drained(&mut self, line: usize) {
        let conn = self.tape.lines[line].conn;
        self.tape.lines[line].waiting = 0;
        self.org.handle_writable(conn, self.now, &mut self.tape);
        self.end_turn();
    }
}

impl Line {
    /// The next packet the client reads.
    pub(crate) fn read(&mut self) -> Option<Packet<'static>> {
        if self.unread.is_empty() {
            self.unread = core::mem::take(&mut self.bytes).leak();
        }
        if self.unread.is_empty() {
            return None;
        }
        let mut decoder = Decoder::with_version(self.version, PACKET_BYTES_MAX);
        match decoder.decode(self.unread).expect("the broker sends MQTT") {
            Decoded::Packet { packet, bytes } => {
                self.unread = self.unread.get(bytes..).expect("a packet ends within the bytes");
                Some(packet)
            }
            Decoded::Incomplete { .. } => panic!("the broker sent half a packet"),
        }
    }
}

impl Tape {
    fn append(&mut self, conn: ConnId, bytes: &[&[u8]]) -> usize {
        let line = self.open.get(&conn).map(|&line| &mut self.lines[line]);
        let line = line.expect("bytes for a connection that does not exist");
        assert_eq!(line.closed, None, "bytes for a connection that is closed");
        for part in bytes {
            line.bytes.extend_from_slice(part);
            line.waiting += part.len();
        }
        if !line.is_stalled {
            line.waiting = 0;
        }
        line.waiting
    }
}

impl Sink for Tape {
    fn send(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        self.append(conn, &[bytes])
    }

    fn send_shared(&mut self, conn: ConnId, head: &[u8], message: &Arc<Message>) -> usize {
        self.append(conn, &[head, message.payload()])
    }

    fn close(&mut self, conn: ConnId, cause: CloseCause) {
        let line = &mut self.lines[self.open[&conn]];
        assert_eq!(line.closed, None, "a connection is closed once");
        line.closed = Some(cause);
        self.closing.push(conn);
    }

    fn verify(&mut self, conn: ConnId, token: &[u8]) {
        self.asked.push((conn, token.to_vec()));
    }

    fn listens(&self, _conn: ConnId) -> bool {
        !self.is_deaf
    }

    fn rest(&mut self, conn: ConnId, until: Instant) {
        self.rests.insert(conn, until);
    }

    fn store(&mut self, change: Change) {
        self.unsealed.push(change.clone());
        self.changes.push(change);
    }

    fn fetch(&mut self, fetch: Fetch) {
        self.fetches.push(fetch);
    }

    fn report(&mut self, report: Report<'_>) {
        self.reports.push(format!("{report:?}"));
    }

    fn forward(&mut self, message: &Arc<Message>) {
        self.forwarded.push(Arc::clone(message));
    }
}

/// Who everybody in the stories is unless they say otherwise.
pub(crate) fn identity(username: &str) -> Identity {
    Identity {
        org: OrgId::new("org_test"),
        username: username.into(),
        principal: format!("user:{username}").into(),
        credential: Credential::Password {
            user: username.into(),
        },
        claims: Vec::new(),
        expires_at: None,
        access: Access::Policy,
        scope: None,
    }
}
