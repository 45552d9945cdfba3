//! What the clients of one thread share.

use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Poll, Waker};
use std::sync::Arc;

use cloudsignal_core::Instant;

use super::judge::Judge;
use super::lane::Lane;
use super::latencies::Latencies;
use super::schedule::Schedule;
use crate::clock::Clock;

/// One thread's publishers, and what came of their messages.
pub(super) struct Floor {
    pub(super) clock: Clock,
    /// Number of the run, in every message.
    pub(super) run: u32,
    /// Number of the first publisher here.
    pub(super) first_publisher: u32,
    pub(super) lanes: Vec<Lane>,
    /// What came to each group of subscribers that share messages: one judge for each publisher.
    pub(super) groups: Vec<RefCell<Vec<Judge>>>,
    /// When messages are due, once the run has begun, if that is to be regular.
    pub(super) schedule: Cell<Option<Schedule>>,
    /// Room for what one connection reads.
    pub(super) scratch: RefCell<Vec<u8>>,
    pub(super) score: RefCell<Score>,
    /// What others see of the deliveries.
    progress: Arc<AtomicU64>,
    is_closing: Cell<bool>,
    drained: RefCell<Option<Waker>>,
}

/// What is counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Score {
    /// Messages that came to a subscriber, repeated ones too.
    pub(super) delivered: u64,
    /// Messages that had come before.
    pub(super) repeated: u64,
    /// Messages that came after one that was published later.
    pub(super) out_of_order: u64,
    /// Messages that this run did not publish.
    pub(super) foreign: u64,
    /// Of every delivery.
    pub(super) latencies: Latencies,
    /// Of the last delivery of each message.
    pub(super) lasts: Latencies,
}

impl Floor {
    /// Nothing is on its way yet.
    pub(super) fn new(
        clock: Clock,
        run: u32,
        first_publisher: u32,
        lanes: Vec<Lane>,
        groups: usize,
        progress: Arc<AtomicU64>,
    ) -> Self {
        let group = RefCell::new(vec![Judge::default(); lanes.len()]);
        Self {
            clock,
            run,
            first_publisher,
            lanes,
            groups: vec![group; groups],
            schedule: Cell::new(None),
            scratch: RefCell::default(),
            score: RefCell::default(),
            progress,
            is_closing: Cell::new(false),
            drained: RefCell::new(None),
        }
    }

    /// The time.
    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Whether nothing new is to be published.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// Shows others how many messages were delivered.
    pub(super) fn show(&self, delivered: u64) {
        self.progress.store(delivered, Ordering::Relaxed);
    }

    /// Wakes who waits for the end of what was on its way, if this is it.
    pub(super) fn on_change(&self) {
        if self.is_closing.get()
            && self.is_idle()
            && let Some(waker) = self.drained.take()
        {
            waker.wake();
        }
    }

    /// Publishes nothing new.
    pub(super) fn close(&self) {
        self.is_closing.set(true);
        self.on_change();
    }

    /// Waits until nothing new is published and nothing is on its way.
    pub(super) async fn drained(&self) {
        core::future::poll_fn(|cx| {
            if self.is_closing.get() && self.is_idle() {
                return Poll::Ready(());
            }
            *self.drained.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Messages that its publishers have sent.
    pub(super) fn published(&self) -> u64 {
        self.lanes.iter().map(Lane::sent).sum()
    }

    fn is_idle(&self) -> bool {
        self.lanes.iter().all(Lane::is_idle)
    }
}
