//! Who waits for the outcome of which message.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use cloudsignal_core::client::{Closed, Outcome, PublishId};

use crate::error::PublishError;
use crate::promise::Promise;

#[derive(Debug)]
struct Entry {
    id: PublishId,
    /// `None`: an earlier process has published it.
    promise: Option<Promise>,
    is_over: bool,
}

/// Messages without an outcome, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    entries: VecDeque<Entry>,
    /// Outcomes of messages that are not known here yet: those of the present call.
    early: Vec<(PublishId, Outcome)>,
    flushes: VecDeque<(Option<PublishId>, oneshot::Sender<()>)>,
}

impl Tickets {
    /// One that an earlier process has left; in any order.
    pub(super) fn restore(&mut self, id: PublishId) {
        let at = self.entries.partition_point(|entry| entry.id < id);
        self.entries.insert(
            at,
            Entry {
                id,
                promise: None,
                is_over: false,
            },
        );
    }

    /// A message that was accepted just now.
    pub(super) fn add(&mut self, id: PublishId, promise: Promise) {
        if let Some((_, outcome)) = self.early.drain(..).find(|(early, _)| *early == id) {
            promise.end(Ok(outcome));
            return;
        }
        self.entries.push_back(Entry {
            id,
            promise: Some(promise),
            is_over: false,
        });
    }

    fn entry(&mut self, id: PublishId) -> Option<&mut Entry> {
        let at = self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        self.entries.get_mut(at)
    }

    pub(super) fn stored(&mut self, id: PublishId) {
        if let Some(promise) = self.entry(id).and_then(|entry| entry.promise.as_ref()) {
            promise.stored();
        }
    }

    pub(super) fn ended(&mut self, id: PublishId, outcome: Outcome) {
        let Some(entry) = self.entry(id) else {
            self.early.push((id, outcome));
            return;
        };
        entry.is_over = true;
        if let Some(promise) = entry.promise.take() {
            promise.end(Ok(outcome));
        }
        while self.entries.front().is_some_and(|entry| entry.is_over) {
            self.entries.pop_front();
        }
    }

    /// Wants to know when everything that is here now is over.
    pub(super) fn flush(&mut self, reply: oneshot::Sender<()>) {
        let last = self.entries.back().map(|entry| entry.id);
        self.flushes.push_back((last, reply));
    }

    /// Tells those for whom everything is over, as long as nothing that was given to the connection waits to be written.
    pub(super) fn tell_flushed(&mut self, is_written: bool) {
        self.early.clear();
        let first = self.entries.front().map(|entry| entry.id);
        while let Some((last, _)) = self.flushes.front() {
            let is_over = last.is_none_or(|last| first.is_none_or(|first| first > last));
            if !is_over || !is_written {
                break;
            }
            if let Some((_, reply)) = self.flushes.pop_front() {
                let _nobody_listens = reply.send(());
            }
        }
    }

    /// Nothing more will be known.
    pub(super) fn close(&mut self, why: Closed) {
        for promise in self.entries.drain(..).filter_map(|entry| entry.promise) {
            promise.end(Err(PublishError::Closed(why)));
        }
        self.flushes.clear();
    }
}
