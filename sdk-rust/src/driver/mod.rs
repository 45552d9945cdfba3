//! The one task of a client: it owns the machine, the connections, the store and the timer, and waits for nobody.
//!
//! | file | holds |
//! |---|---|
//! | here | the loop: whatever can be done is done, then everything that has gathered is written |
//! | `command` | what handles ask for |
//! | `obeying` | how that is given to the machine |
//! | `hands` | what the machine asks for |
//! | `wires` | connections |
//! | `receivers` | which subscription gets which message |
//! | `tickets` | who waits for the outcome of which message |
//! | `questions` | who waits for the answer to which question |
//! | `shelf` | the store |

mod command;
mod hands;
mod obeying;
mod questions;
mod receivers;
mod shelf;
mod tickets;
mod wires;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use cloudsignal_core::Instant;
use cloudsignal_core::client::{self as core, Closed};

use crate::clock::Clock;
use crate::mail::{Letters, Mail};
use crate::state::{Event, State};
use crate::store::Store;
use crate::token::AnyProvider;

pub(crate) use command::{COMMANDS_MAX, Command, Outgoing, PUBLISHES_MAX, Patience, Publishing, Wanted};
use hands::Hands;
use questions::Questions;
use receivers::Receivers;
use shelf::{Said, Shelf};
use tickets::Tickets;
pub(crate) use wires::Route;
use wires::{Happened, Wires};

/// How often the loop goes round before other tasks get their turn.
const ROUNDS_MAX: usize = 16;

/// How many reads of one round: so much is answered by one write.
const READS_MAX: usize = 8;

/// What a driver begins with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) machine: core::Client,
    pub(crate) clock: Clock,
    pub(crate) route: Route,
    pub(crate) store: Option<Box<dyn Store>>,
    /// Messages that an earlier process has left.
    pub(crate) left: Vec<core::PublishId>,
    pub(crate) mail: Arc<Mail>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) publishes: mpsc::Receiver<Publishing>,
    pub(crate) states: watch::Sender<State>,
    pub(crate) events: broadcast::Sender<Event>,
}

#[derive(Debug)]
pub(crate) struct Driver {
    machine: core::Client,
    hands: Hands,
    clock: Clock,
    mail: Arc<Mail>,
    letters: Letters,
    commands: mpsc::Receiver<Command>,
    publishes: mpsc::Receiver<Publishing>,
    /// Taken from callers, and not accepted by the machine.
    waiting: VecDeque<Publishing>,
    batch: Vec<Publishing>,
    timer: Pin<Box<Sleep>>,
    alarm: Option<Instant>,
    closing: Vec<oneshot::Sender<()>>,
}

impl Driver {
    /// Begins to connect; goes on when it is run.
    pub(crate) fn begin(parts: Parts, provider: Option<Arc<dyn AnyProvider>>) -> Self {
        let mut tickets = Tickets::default();
        for id in parts.left {
            tickets.restore(id);
        }
        let hands = Hands {
            clock: parts.clock,
            wires: Wires::new(parts.route),
            shelf: Shelf::new(parts.store),
            receivers: Receivers::new(Arc::clone(&parts.mail)),
            tickets,
            provider,
            questions: Questions::default(),
            asked: JoinSet::new(),
            states: parts.states,
            events: parts.events,
            closed: None,
        };
        let mut driver = Self {
            machine: parts.machine,
            hands,
            clock: parts.clock,
            mail: parts.mail,
            letters: Letters::default(),
            commands: parts.commands,
            publishes: parts.publishes,
            waiting: VecDeque::new(),
            batch: Vec::new(),
            timer: Box::pin(tokio::time::sleep_until(parts.clock.moment(Instant::MAX))),
            alarm: None,
            closing: Vec::new(),
        };
        driver.machine.connect(driver.clock.now(), &mut driver.hands);
        driver
    }

    pub(crate) fn client_id(&self) -> &str {
        self.machine.client_id()
    }

    /// Runs until the client is closed, or nobody holds it any more.
    pub(crate) async fn run(mut self) {
        let why = poll_fn(|cx| self.poll(cx)).await;
        self.hands.close(why);
        for reply in self.closing.drain(..) {
            let _nobody_listens = reply.send(());
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        for _ in 0..ROUNDS_MAX {
            let mut has_acted = self.poll_wires(cx);
            has_acted |= self.poll_mail(cx);
            has_acted |= self.poll_commands(cx);
            has_acted |= self.poll_publishes(cx);
            has_acted |= self.poll_tokens(cx);
            has_acted |= self.poll_store(cx);
            has_acted |= self.poll_timer(cx);
            let was_clogged = self.hands.wires.are_clogged();
            self.hands.wires.write(cx);
            has_acted |= was_clogged && !self.hands.wires.are_clogged();
            self.hands.tickets.tell_flushed(self.hands.wires.are_written());
            if let Some(why) = self.hands.closed
                && self.poll_end(why, cx).is_ready()
            {
                return Poll::Ready(why);
            }
            if !has_acted {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nothing more is promised to anybody; the goodbye leaves, and the store gets what is left.
    fn poll_end(&mut self, why: Closed, cx: &mut Context<'_>) -> Poll<()> {
        self.publishes.close();
        self.waiting.clear();
        self.hands.tickets.close(why);
        let is_gone = self.hands.wires.poll_gone(cx).is_ready();
        if is_gone && self.hands.shelf.is_idle() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn poll_wires(&mut self, cx: &mut Context<'_>) -> bool {
        for reads in 0..READS_MAX {
            let Poll::Ready((wire, happened)) = self.hands.wires.poll(cx) else {
                return reads > 0;
            };
            let now = self.clock.now();
            match happened {
                Happened::Opened => self.machine.handle_opened(wire, now, &mut self.hands),
                Happened::Bytes(bytes) => {
                    // The space goes with the connections, which the machine writes to.
                    let space = self.hands.wires.lend_space();
                    let read = space.get(..bytes).unwrap_or_default();
                    self.machine.handle_bytes(wire, read, now, &mut self.hands);
                    self.hands.wires.give_back_space(space);
                }
                Happened::Frame(payload) => {
                    self.machine.handle_bytes(wire, &payload, now, &mut self.hands);
                }
                Happened::Closed(error) => {
                    tracing::debug!(%error, "connection closed");
                    if self.machine.state() == core::State::Connecting {
                        let problem = error.to_string();
                        self.hands.tell(Event::Unreachable { problem });
                    }
                    self.machine.handle_closed(wire, now, &mut self.hands);
                }
            }
            self.hands.receivers.hand_over();
        }
        true
    }

    fn poll_mail(&mut self, cx: &Context<'_>) -> bool {
        self.mail.collect(&mut self.letters, cx);
        if self.letters.is_empty() {
            return false;
        }
        self.read_letters();
        true
    }

    fn poll_tokens(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready((ask, answer)) = self.hands.poll_token(cx) else {
            return false;
        };
        let now = self.clock.now();
        self.machine.handle_token(ask, answer, now, &mut self.hands);
        true
    }

    fn poll_store(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(said) = self.hands.shelf.poll(cx) else {
            return false;
        };
        let now = self.clock.now();
        match said {
            Said::Stored(ticket) => self.machine.handle_stored(ticket, now, &mut self.hands),
            Said::Failed => self.machine.handle_store_failed(now, &mut self.hands),
        }
        true
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let alarm = self.machine.poll_timeout();
        if alarm != self.alarm {
            self.alarm = alarm;
            let moment = self.clock.moment(alarm.unwrap_or(Instant::MAX));
            self.timer.as_mut().reset(moment);
        }
        if alarm.is_none() || self.timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.alarm = None;
        self.machine.handle_timeout(self.clock.now(), &mut self.hands);
        true
    }
}

impl Drop for Driver {
    /// Also when the runtime ends: nobody waits for ever.
    fn drop(&mut self) {
        let why = self.hands.closed.unwrap_or(Closed::ByCaller);
        self.hands.close(why);
    }
}
