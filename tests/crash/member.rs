//! A client's life: it connects, publishes and subscribes, goes away and comes back, and connects elsewhere while it is
//! still here. When the broker is gone it waits for the next start and goes on where it was.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use cloudsignal_core::codec::{Connect, Disconnect, Packet, ReasonCode};
use cloudsignal_tests::random::Random;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::books::Ask;
use crate::connection::{Connection, NoConnection, Welcome};
use crate::judge::LAST_WORDS;
use crate::ledger::Ledger;
use crate::plan::{Constancy, Habit, MemberPlan, Plan, StreamKind};
use crate::retained::Value;
use crate::session::Session;
use crate::trace::Trace;

/// What everybody is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Where the broker is; `None` while it is gone.
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) stage: Stage,
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Everything at once.
    Load,
    /// Last words in every stream, then nothing new; everybody comes, and answers everything. Counted from 1.
    Rest(u32),
    /// The run is over.
    End,
}

/// How clients log in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Login {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

/// A client with its memory.
#[derive(Debug)]
pub(crate) struct Member {
    number: usize,
    plan: Arc<Plan>,
    login: Login,
    ledger: Ledger,
    trace: Trace,
    orders: watch::Receiver<Orders>,
    session: Session,
    dice: Random,
    /// Packets until it does something with its connection.
    until_move: u64,
    /// Packets until it gives up or makes again what it may.
    until_toggle: u64,
    /// The event before which it does not publish again.
    publishes_at: u64,
    /// The rest whose last words it has said.
    said_for: u32,
}

/// Why it is no longer connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parting {
    /// The connection ended.
    Lost,
    /// It went away by its own will, until so much has happened.
    Away {
        /// Messages that wait for it.
        behind: u64,
        /// Events of everybody.
        event: u64,
        /// Starts of the broker.
        cycle: u32,
    },
    /// It is over.
    End,
}

/// Pause before it connects again, unless there are other orders.
const RETURN_AFTER: Duration = Duration::from_millis(5);
/// After this long it thinks about its next step again.
const NEXT_STEP_AFTER: Duration = Duration::from_millis(5);
/// Silence after which it shows that it is there.
const PING_AFTER: Duration = Duration::from_secs(20);
const SESSION_EXPIRY_SECS: u32 = 86_400;
const PADDING_MAX: u64 = 200;

impl Member {
    pub(crate) fn new(
        number: usize,
        plan: &Arc<Plan>,
        login: Login,
        trace: &Trace,
        ledger: &Ledger,
        orders: watch::Receiver<Orders>,
    ) -> Self {
        let mut dice = Random::new(plan.seed ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9));
        Self {
            number,
            plan: Arc::clone(plan),
            login,
            ledger: ledger.clone(),
            trace: trace.of(&plan.members[number].client_id),
            orders,
            session: Session::new(number, plan, ledger),
            until_move: dice.between(50, 2_000),
            until_toggle: dice.between(50, 500),
            dice,
            publishes_at: 0,
            said_for: 0,
        }
    }

    fn own(&self) -> &MemberPlan {
        &self.plan.members[self.number]
    }

    /// Lives until the run is over.
    pub(crate) async fn live(mut self) {
        loop {
            let orders = *self.orders.borrow_and_update();
            let parting = match orders {
                Orders {
                    stage: Stage::End, ..
                } => return,
                Orders { addr: None, .. } => {
                    self.say("waits for the broker");
                    if self.orders.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Orders { addr: Some(addr), .. } => self.visit(addr).await,
            };
            match parting {
                Parting::Lost => _ = timeout(RETURN_AFTER, self.orders.changed()).await,
                Parting::Away { behind, event, cycle } => self.stay_away(behind, event, cycle).await,
                Parting::End => return,
            }
        }
    }

    fn say(&self, doing: &str) {
        let text = format!("{doing}; {}", self.session.doing());
        self.ledger.with(|books| books.sessions[self.number].doing = text);
    }

    async fn stay_away(&mut self, behind: u64, event: u64, cycle: u32) {
        self.say("is away");
        let mut pages = self.ledger.pages();
        loop {
            pages.mark_unchanged();
            let is_load = self.orders.borrow().stage == Stage::Load;
            let is_time = self.ledger.look(|books| {
                books.now >= event || books.cycle >= cycle || books.behind(self.number) >= behind
            });
            if !is_load || is_time {
                return;
            }
            tokio::select! {
                _ = pages.changed() => {}
                _ = self.orders.changed() => {}
            }
        }
    }

    /// One stay with the broker, over as many connections as it takes.
    async fn visit(&mut self, addr: SocketAddr) -> Parting {
        let (mut connection, mut welcome) = match self.connect(addr).await {
            Ok(opened) => opened,
            Err(parting) => return parting,
        };
        loop {
            match self.stay(&mut connection, welcome).await {
                Leaving::Parting(parting) => return parting,
                Leaving::Takeover => {
                    // The old connection stays open until the new one is there; what it still brings is not read.
                    self.ledger.with(|books| books.tally.takeovers += 1);
                    (connection, welcome) = match self.connect(addr).await {
                        Ok(opened) => opened,
                        Err(parting) => return parting,
                    };
                }
            }
        }
    }

    async fn connect(&mut self, addr: SocketAddr) -> Result<(Connection, Welcome), Parting> {
        self.say("connects");
        let own = self.own();
        let mut connect = Connect::new(own.version, &own.client_id);
        connect.clean_start = false;
        connect.username = self.login.username.as_deref();
        connect.password = self.login.password.as_deref().map(str::as_bytes);
        if own.version.is_v5() {
            connect.session_expiry_secs = Some(SESSION_EXPIRY_SECS);
            connect.receive_max = NonZeroU16::new(own.receive_max);
        }
        match Connection::open(addr, connect, self.trace.clone()).await {
            Ok((connection, welcome)) => {
                self.session.handle_connected(welcome.present);
                Ok((connection, welcome))
            }
            Err(error) => {
                match error {
                    NoConnection::Network(error) => self.say(&format!("cannot connect: {error}")),
                    NoConnection::Refused(reason) => self.say(&format!("is refused: {reason:?}")),
                    NoConnection::Protocol(story) => {
                        self.ledger.with(|books| books.wrong(self.number, || story));
                    }
                }
                Err(Parting::Lost)
            }
        }
    }

    /// One connection, until it ends or is left.
    async fn stay(&mut self, connection: &mut Connection, welcome: Welcome) -> Leaving {
        loop {
            let stage = self.orders.borrow_and_update().stage;
            let may_do_more = match stage {
                Stage::Load => self.load(connection, welcome),
                Stage::Rest(number) => self.rest(number, connection, welcome),
                Stage::End => return Leaving::Parting(Parting::End),
            };
            if connection.flush().await.is_err() {
                return Leaving::Parting(Parting::Lost);
            }
            if stage == Stage::Load
                && let Some(leaving) = self.leave(connection).await
            {
                return leaving;
            }
            let look = match may_do_more {
                Outlook::Later => NEXT_STEP_AFTER,
                Outlook::Nothing => PING_AFTER,
            };
            tokio::select! {
                filled = connection.fill() => {
                    if filled.is_err() || self.take(connection).is_err() {
                        return Leaving::Parting(Parting::Lost);
                    }
                }
                _ = self.orders.changed() => {}
                // sleep: the pace of its steps, or of its pings
                () = sleep(look) => {
                    if may_do_more == Outlook::Nothing {
                        connection.send(&Packet::PingReq);
                    }
                }
            }
        }
    }

    /// Everything that has come. The error means that the connection is good for nothing any more.
    fn take(&mut self, connection: &mut Connection) -> Result<(), ()> {
        loop {
            let handled = match connection.next() {
                Ok(None) => return Ok(()),
                Ok(Some(got)) => {
                    self.until_move = self.until_move.saturating_sub(1);
                    self.until_toggle = self.until_toggle.saturating_sub(1);
                    self.session.handle(got)
                }
                Err(story) => {
                    self.ledger.with(|books| books.wrong(self.number, || story));
                    return Err(());
                }
            };
            if let Err(story) = handled {
                self.ledger.with(|books| books.wrong(self.number, || story));
            }
        }
    }

    /// Publishes as much as it may, answers, changes its mind.
    fn load(&mut self, connection: &mut Connection, welcome: Welcome) -> Outlook {
        let held_max = self.own().held_max;
        self.heal();
        self.session.send_due(held_max, connection);
        if self.until_toggle == 0 {
            self.until_toggle = self.dice.between(50, 500);
            self.toggle();
        }
        let window = self.own().window.min(welcome.receive_max);
        while self.session.outgoing() < window && !self.own().streams.is_empty() {
            let streams = &self.plan.members[self.number].streams;
            let stream = *self.dice.pick(streams);
            let at = self.publishes_at;
            if !self
                .ledger
                .with(|books| books.now >= at && books.may_publish(stream))
            {
                return Outlook::Later;
            }
            let pace = self.own().pace;
            self.publishes_at = self.ledger.with(|books| books.now + pace);
            self.publish(stream, connection);
        }
        // Who has given something up may want it again although nothing comes.
        if self.fickle().is_some() {
            self.until_toggle = self.until_toggle.saturating_sub(1);
            return Outlook::Later;
        }
        Outlook::Nothing
    }

    fn publish(&mut self, stream: usize, connection: &mut Connection) {
        let is_clear = self.plan.streams[stream].kind == StreamKind::Retained && self.dice.chance(15);
        let value = if is_clear { Value::Clear } else { Value::Number };
        let padding = self.dice.below(PADDING_MAX) as usize;
        self.until_move = self.until_move.saturating_sub(1);
        self.session.publish(stream, value, padding, connection);
    }

    /// Makes again what the reckoning has found to be gone.
    fn heal(&mut self) {
        let own = self.number;
        let to_heal = self
            .ledger
            .with(|books| std::mem::take(&mut books.sessions[own].to_heal));
        to_heal.into_iter().for_each(|it| self.session.heal(it));
    }

    /// The subscription that it gives up now and then.
    fn fickle(&self) -> Option<usize> {
        let mut own = self.own().subscriptions.iter().copied();
        own.find(|&it| self.plan.subscriptions[it].constancy == Constancy::Fickle)
    }

    fn toggle(&mut self) {
        if let Some(subscription) = self.fickle() {
            let ask = *self.dice.pick(&[Ask::Subscribe, Ask::Unsubscribe]);
            self.session.toggle(subscription, ask);
        }
    }

    /// Says its last words, answers everything, takes back what it gave up, and tells when nothing is left to do.
    fn rest(&mut self, number: u32, connection: &mut Connection, welcome: Welcome) -> Outlook {
        if let Some(subscription) = self.fickle() {
            self.session.toggle(subscription, Ask::Subscribe);
        }
        self.heal();
        self.session.send_due(0, connection);
        if !self.session.is_at_rest() {
            self.say("comes to rest");
            return Outlook::Later;
        }
        let own = self.number;
        if self.said_for < number {
            // Subscribers must have what they want before anybody says the last words.
            let all_there = self.ledger.with(|books| {
                books.sessions[own].rested_for = books.sessions[own].rested_for.max(2 * number - 1);
                books.sessions.iter().all(|it| it.rested_for >= 2 * number - 1)
            });
            if all_there {
                self.said_for = number;
                self.last_words(connection, welcome);
            }
            self.say("waits to say its last words");
            return Outlook::Later;
        }
        self.ledger
            .with(|books| books.sessions[own].rested_for = 2 * number);
        self.say("rests");
        Outlook::Later
    }

    fn last_words(&mut self, connection: &mut Connection, welcome: Welcome) {
        let streams = self.own().streams.clone();
        let room = welcome.receive_max.saturating_sub(self.session.outgoing());
        // Brokers that take fewer at once than these are not known.
        for stream in streams
            .iter()
            .cycle()
            .take((streams.len() * LAST_WORDS).min(room))
        {
            self.publish(*stream, connection);
        }
    }

    /// Perhaps it leaves: by another connection, without a word, or with one.
    async fn leave(&mut self, connection: &mut Connection) -> Option<Leaving> {
        if self.until_move > 0 {
            return None;
        }
        let (now, cycle) = self.ledger.with(|books| (books.now, books.cycle));
        let (until_move, away, cycles) = match self.own().habit {
            Habit::Present => ((300, 3_000), (10, 300), u32::MAX),
            Habit::Absent => ((20, 400), (1_000, 20_000), u32::MAX),
            Habit::Hermit => ((1, 50), (u64::MAX / 2, u64::MAX / 2), 3),
        };
        self.until_move = self.dice.between(until_move.0, until_move.1);
        if self.dice.chance(40) {
            return Some(Leaving::Takeover);
        }
        if self.dice.chance(50) {
            connection.send(&Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
            // What is not taken any more is lost: the client leaves all the same.
            let _lost = connection.flush().await;
        }
        Some(Leaving::Parting(Parting::Away {
            behind: self.dice.between(20, 300),
            event: now.saturating_add(self.dice.between(away.0, away.1)),
            cycle: cycle
                .saturating_add(u32::try_from(self.dice.between(1, cycles.into())).unwrap_or(u32::MAX)),
        }))
    }
}

/// How a connection is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// Another one of the same client comes in its place.
    Takeover,
    Parting(Parting),
}

/// Whether a look at the books can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlook {
    Later,
    /// Only the broker, or new orders, can.
    Nothing,
}
