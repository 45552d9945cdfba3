//! How an MQTT client thinks: one machine for every language.
//!
//! It holds no socket, clock, file or thread. The caller tells it what has happened (`handle_*`, always with the time) and
//! what the application wants; it answers through a [`Sink`] with a closed list of requests, [`Output`], and says with
//! [`Client::poll_timeout`] when it wants to be woken.
//!
//! ```text
//!              connect()                 CONNACK
//!     Idle ──────────────► Connecting ─────────────► Connected
//!                            ▲    │ failed                │ lost
//!                      until │    ▼                       │
//!                          Waiting ◄──────────────────────┘
//!     suspend(): any ──► Suspended ── connect() ──► Connecting
//!     close(), or a refusal that will be repeated: any ──► Closed
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `options`, `output`, `state`, `message` | the words that the caller needs |
//! | `connecting` | dialing, waiting, giving up |
//! | `greeting` | CONNECT and CONNACK; whether the session goes on |
//! | `publishing` | a message from the application, past the queue or into it |
//! | `packets` | what arrives on a connection |
//! | `renewal` | a new token for a living connection |
//! | `outbound`, `frame` | messages to the server: window, order, sending again |
//! | `inbound` | messages from it: which are new, and their acknowledgements |
//! | `requests` | questions to others, and their answers |
//! | `subscriptions` | what is wanted, and what the server has granted |
//! | `wire`, `pulse` | one connection; whether it is alive |
//! | `token`, `backoff`, `verdict` | when to ask for a token, when to try again, and when not to |
//! | `timeout` | when it wants to be woken, and what it does then |
//! | `journal`, `record`, `restore` | what the store is told, and what comes back from it |
//! | `packet_ids`, `random` | identifiers; dice |

mod backoff;
mod connecting;
mod frame;
mod greeting;
mod inbound;
mod journal;
mod message;
mod options;
mod outbound;
mod output;
mod packet_ids;
mod packets;
mod publishing;
mod pulse;
mod random;
mod record;
mod renewal;
mod requests;
mod restore;
mod state;
mod subscriptions;
#[cfg(test)]
mod tests;
mod timeout;
mod token;
mod verdict;
mod wire;

use alloc::boxed::Box;
use alloc::vec::{IntoIter, Vec};
use core::fmt;

use backoff::Backoff;
use frame::Form;
use inbound::Inbound;
use journal::Journal;
use outbound::{Lane, Outbound};
use packet_ids::{PacketIds, Use};
use pulse::Beat;
use random::Random;
use requests::Requests;
use subscriptions::{Line, Subscriptions};
use token::Keeper;
use wire::{Renewal, Stage, Wire};

pub use message::{Accepted, DeliveryId, Message, Outcome, Publication, PublishError, PublishId};
pub use options::{Acknowledge, Login, Options, Patience, Protocol, Reconnect, Storage, WillMessage};
pub use output::{Key, Output, Server, Sink, Ticket, WireId};
pub use record::BadRecord;
pub use requests::{RequestId, Unanswered};
pub use state::{Closed, Continuity, Lost, State, Warning};
pub use subscriptions::{SUBSCRIPTIONS_MAX, SubscribeError, Subscription, SubscriptionId};
pub use token::{AskId, Token, TokenError, TokenReason};

use crate::time::Instant;
use crate::{TopicNameBuf, Version};

/// A client.
pub struct Client {
    options: Options,
    random: Random,
    /// Microseconds since 1970 at [`Instant::ZERO`].
    unix_at_zero: u64,
    identity: record::Identity,
    ids: PacketIds,
    outbound: Outbound,
    inbound: Inbound,
    subscriptions: Subscriptions,
    journal: Journal,
    requests: Requests,
    state: State,
    /// The connection that is used, or is being made.
    wire: Option<Wire>,
    /// One that is being made with a renewed token, to take over from it.
    successor: Option<Wire>,
    wires: u32,
    token: Keeper,
    backoff: Backoff,
    version: Version,
    /// The encoding that the last server needed.
    form: Form,
    /// Where the server has sent the client, and how often in a row.
    referred: Option<Box<str>>,
    referrals: u8,
    /// The server does not know [`AUTH_METHOD`].
    has_no_method: bool,
    /// Until then a CONNECT of this client that was given up may still reach the server, and take the session over.
    ghost_until: Instant,
    /// There was a connection in this process.
    was_connected: bool,
    /// When subscriptions of an earlier process end, and messages for them.
    unclaimed_at: Option<Instant>,
    /// Messages of an adopted session that nobody wants so far, in the order of arrival; a topic, because an alias may stand
    /// for another one by now. They are not acknowledged, so the server sends no more than [`Options::receive_max`].
    unheard: Vec<(DeliveryId, TopicNameBuf)>,
    unheard_packets: Vec<u8>,
    /// Those that arrive once more.
    again: IntoIter<(DeliveryId, TopicNameBuf)>,
    found: Vec<SubscriptionId>,
}

/// The authentication method by which a token is renewed on a living connection: its data is the token.
pub const AUTH_METHOD: &str = "cloudsignal-token";

/// Which of two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Main,
    Successor,
}

/// How a client is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server keeps the session for as long as it was asked to.
    KeepSession,
    /// The server forgets the session, and so does the store.
    ForgetSession,
}

/// Something that the device has noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The network is back, the page is visible again, the device has slept: what looked like a connection may be dead,
    /// and what could not be reached may be there.
    Now,
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client")
            .field("client_id", &self.identity.client_id)
            .field("state", &self.state)
            .field("queued", &self.outbound.len())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client that does nothing yet. `seed` makes its dice and, without a store, its identity: it must be
    /// different for each client. `unix_micros` is the time of day at `now`, microseconds since 1970.
    #[must_use]
    pub fn new(options: Options, seed: u64, now: Instant, unix_micros: u64) -> Self {
        let mut random = Random::new(seed);
        let identity = record::Identity {
            client_id: options.client_id.clone().unwrap_or_default(),
            epoch: random.next(),
            reserved: 0,
            has_session: false,
        };
        let version = match options.protocol {
            Protocol::Best => Version::V5,
            Protocol::Only(version) => version,
        };
        Self {
            journal: Journal::new(options.storage),
            options,
            random,
            unix_at_zero: unix_micros.saturating_sub(now.as_micros()),
            identity,
            ids: PacketIds::default(),
            outbound: Outbound::new(),
            inbound: Inbound::new(),
            subscriptions: Subscriptions::default(),
            requests: Requests::default(),
            state: State::Idle,
            wire: None,
            successor: None,
            wires: 0,
            token: Keeper::default(),
            backoff: Backoff::default(),
            version,
            form: Form {
                version,
                is_sequenced: false,
            },
            referred: None,
            referrals: 0,
            has_no_method: false,
            ghost_until: Instant::ZERO,
            was_connected: false,
            unclaimed_at: None,
            unheard: Vec::new(),
            unheard_packets: Vec::new(),
            again: Vec::new().into_iter(),
            found: Vec::new(),
        }
    }

    /// What it is doing.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Its client identifier; empty until [`connect`](Self::connect) when none was given.
    #[must_use]
    pub const fn client_id(&self) -> &str {
        &self.identity.client_id
    }

    /// How many messages wait to be sent or acknowledged.
    #[must_use]
    pub const fn queued_messages(&self) -> usize {
        self.outbound.len()
    }

    /// How many bytes they have.
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.outbound.bytes()
    }

    /// The filter of a subscription, also of one that an earlier process left.
    #[must_use]
    pub fn filter(&self, id: SubscriptionId) -> Option<&str> {
        self.subscriptions.filter(id)
    }

    /// Subscribes, now or as soon as there is a connection. A filter that is subscribed to already is asked for
    /// again, which brings its retained messages again.
    ///
    /// # Errors
    /// Why not.
    pub fn subscribe(
        &mut self,
        wanted: &Subscription<'_>,
        now: Instant,
        sink: &mut dyn Sink,
    ) -> Result<SubscriptionId, SubscribeError> {
        if let State::Closed { .. } = self.state {
            return Err(SubscribeError::Closed);
        }
        let id = self.subscriptions.add(wanted, &mut self.journal, sink)?;
        self.hear(now, sink);
        self.pump_subscriptions(sink);
        self.flush(now, sink);
        Ok(id)
    }

    /// Ends a subscription; [`Output::Unsubscribed`] follows when the server has heard. Answers whether there was one.
    pub fn unsubscribe(&mut self, id: SubscriptionId, now: Instant, sink: &mut dyn Sink) -> bool {
        let existed = self.subscriptions.remove(id, &mut self.journal, sink);
        self.pump_subscriptions(sink);
        self.flush(now, sink);
        existed
    }

    /// The application is done with a received message. Answers whether that was awaited.
    pub fn acknowledge(&mut self, delivery: DeliveryId, now: Instant, sink: &mut dyn Sink) -> bool {
        let was_awaited = self.inbound.acknowledge(delivery);
        self.settle(sink);
        self.flush(now, sink);
        was_awaited
    }

    /// Gives up a QoS 1 message that was sent on an earlier connection and not answered, such as one that is
    /// [`Stuck`](Warning::Stuck): it ends as [`Outcome::Indeterminate`]. Answers whether there was one, and it is not on
    /// its way just now. At QoS 2 there is none: the server may know it.
    pub fn give_up_message(&mut self, id: PublishId, now: Instant, sink: &mut dyn Sink) -> bool {
        let existed = self.outbound.give_up(id, &mut self.ids, &mut self.journal, sink);
        self.pump(now, sink);
        self.flush(now, sink);
        existed
    }

    /// The store has everything up to [`Output::Sync`] with this ticket.
    pub fn handle_stored(&mut self, ticket: Ticket, now: Instant, sink: &mut dyn Sink) {
        self.journal.handle_stored(ticket);
        self.after_storing(now, sink);
    }

    /// The store has failed for good: the client goes on without it.
    pub fn handle_store_failed(&mut self, now: Instant, sink: &mut dyn Sink) {
        self.journal.give_up();
        sink.output(Output::Warning(Warning::StoreFailed));
        self.after_storing(now, sink);
    }

    fn after_storing(&mut self, now: Instant, sink: &mut dyn Sink) {
        self.outbound.tell_stored(&self.journal, sink);
        self.pump(now, sink);
        self.settle(sink);
        self.flush(now, sink);
    }

    /// Sends what waits, as far as the connection takes it.
    fn pump(&mut self, now: Instant, sink: &mut dyn Sink) {
        let is_ceding = self
            .successor
            .as_ref()
            .is_some_and(|it| it.stage == Stage::Greeting);
        let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_live() && !is_ceding) else {
            return;
        };
        let mut lane = lane(wire, &self.options, now);
        let (ids, journal) = (&mut self.ids, &mut self.journal);
        self.outbound
            .pump(&mut lane, ids, journal, self.unix_at_zero, sink);
    }

    fn pump_subscriptions(&mut self, sink: &mut dyn Sink) {
        let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_live()) else {
            return;
        };
        let mut line = Line {
            version: wire.version,
            has_ids: wire.terms.has_subscription_ids,
            out: &mut wire.out,
        };
        self.subscriptions
            .pump(&mut line, &mut self.ids, &mut self.journal, sink);
    }

    /// Acknowledges what is done with; what cannot be acknowledged now is at least remembered.
    fn settle(&mut self, sink: &mut dyn Sink) {
        match self.wire.as_mut().filter(|wire| wire.is_live()) {
            Some(wire) => self
                .inbound
                .settle(wire.version, &mut wire.out, &mut self.journal, sink),
            None => self.inbound.keep(&mut self.journal, sink),
        }
    }

    /// Numbers of messages are reserved in the store before they are used.
    fn reserve_orders(&mut self, sink: &mut dyn Sink) {
        if self.journal.is_durable() && self.outbound.reserve(&self.journal) {
            self.name_itself();
            let ticket = self.keep_identity(sink);
            self.outbound.reserved_by(ticket);
        }
    }

    fn keep_identity(&mut self, sink: &mut dyn Sink) -> Ticket {
        self.identity.reserved = self.outbound.reserved();
        let identity = &self.identity;
        self.journal.put(Key::Identity, sink, |out| identity.write(out))
    }

    /// At the end of every call: what has gathered goes out.
    fn flush(&mut self, now: Instant, sink: &mut dyn Sink) {
        for (id, outcome) in self.outbound.take_failed() {
            self.requests.on_published(id, outcome, sink);
        }
        self.journal.seal(sink);
        for wire in [&mut self.wire, &mut self.successor].into_iter().flatten() {
            wire.flush(now, sink);
        }
    }

    const fn wire_mut(&mut self, which: Which) -> Option<&mut Wire> {
        match which {
            Which::Main => self.wire.as_mut(),
            Which::Successor => self.successor.as_mut(),
        }
    }

    fn which(&self, id: WireId) -> Option<Which> {
        let is = |wire: &Option<Wire>| wire.as_ref().is_some_and(|wire| wire.id == id);
        if is(&self.wire) {
            Some(Which::Main)
        } else if is(&self.successor) {
            Some(Which::Successor)
        } else {
            None
        }
    }

    fn set_state(&mut self, state: State, sink: &mut dyn Sink) {
        if self.state != state {
            self.state = state;
            sink.output(Output::State(state));
        }
    }
}

fn lane<'a>(wire: &'a mut Wire, options: &Options, now: Instant) -> Lane<'a> {
    Lane {
        form: wire.form(),
        window: usize::from(options.inflight_max.min(wire.terms.receive_max)),
        packet_bytes_max: wire.terms.packet_bytes_max,
        out: &mut wire.out,
        now,
    }
}
