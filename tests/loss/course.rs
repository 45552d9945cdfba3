//! One client and its counterpart, from the beginning to the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Barrier, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::book::Book;
use crate::contestant::{Contestant, Order, Told};
use crate::counterpart::Counterpart;
use crate::plan::Plan;

/// Between two attempts to tell a client that nothing comes any more.
const END_AGAIN: Duration = Duration::from_secs(1);

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Breaking,
    After,
}

/// One client and its counterpart.
pub(crate) struct Course {
    book: Book,
    contestant: Contestant,
    counterpart: Counterpart,
    /// What the counterpart has been given to publish.
    published: u64,
    /// When nothing has come for so long, nothing will.
    patience: Duration,
}

impl Course {
    pub(crate) const fn new(
        book: Book,
        contestant: Contestant,
        counterpart: Counterpart,
        patience: Duration,
    ) -> Self {
        Self {
            patience,
            book,
            contestant,
            counterpart,
            published: 0,
        }
    }

    /// Runs it, together with all others: it begins when everybody is `ready`, and ends after everything that breaks.
    pub(crate) async fn run(
        mut self,
        plan: Plan,
        ready: Arc<Barrier>,
        mut moment: watch::Receiver<Moment>,
    ) -> Book {
        while self.contestant.told.recv().await.map(|told| self.note(told)) != Some(Told::Ready) {}
        ready.wait().await;
        self.order(Order::Go).await;
        self.publish(&plan).await;
        loop {
            tokio::select! {
                _ = moment.wait_for(|moment| *moment == Moment::After) => break,
                () = self.step(0) => {}
            }
        }
        // What the library says nothing of until then, it never will.
        self.until(Book::is_answered, 0).await;
        self.order(Order::Finish).await;
        self.until(Book::has_ended, plan.messages() + 1).await;
        self.book
    }

    fn note(&mut self, told: Told) -> Told {
        self.book.told(told.clone());
        told
    }

    async fn order(&self, order: Order) {
        let sent = self.contestant.orders.send(order).await;
        sent.unwrap_or_else(|_| panic!("{} is gone", self.book.name));
    }

    /// Publishes every number when it is due, and listens meanwhile.
    async fn publish(&mut self, plan: &Plan) {
        let mut ticks = interval(Duration::from_secs(1) / u32::try_from(plan.rate).expect("few"));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut due = 0;
        while self.published < plan.messages() {
            tokio::select! {
                _ = ticks.tick(), if due < plan.messages() => due += 1,
                () = self.step(due) => {}
            }
        }
    }

    /// Awaits one thing: a word of somebody, or room for a number that is due. Nothing is lost when the wait is given up.
    async fn step(&mut self, due: u64) {
        tokio::select! {
            told = self.contestant.told.recv() => {
                self.book.told(told.unwrap_or_else(|| panic!("{} has ended", self.book.name)));
            }
            heard = self.counterpart.heard.recv() => {
                self.book.heard(heard.unwrap_or_else(|| panic!("the counterpart of {} has ended", self.book.name)));
            }
            room = self.counterpart.publish.reserve(), if self.published < due => {
                room.expect("the counterpart works").send(self.published);
                self.published += 1;
            }
        }
    }

    /// Listens until it is `done`, or nothing comes any more. Everything below `due` is published; when that is more than
    /// there is, the last number is said again and again, until it has come: a client that has lost its session misses some.
    async fn until(&mut self, done: fn(&Book) -> bool, due: u64) {
        let mut again = interval(END_AGAIN);
        let mut over = Instant::now() + self.patience;
        let mut progress = self.book.progress();
        while !done(&self.book) {
            tokio::select! {
                _ = again.tick(), if due > 0 && !self.book.has_ended_down => self.published = self.published.min(due - 1),
                stepped = timeout_at(over, self.step(due)) => if stepped.is_err() {
                    return;
                }
            }
            if progress != self.book.progress() {
                progress = self.book.progress();
                over = Instant::now() + self.patience;
            }
        }
    }
}
