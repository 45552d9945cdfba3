//! The store, beside the driver: one batch is written while the next one gathers.

use std::collections::BTreeMap;
use std::io;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use tokio::task::{JoinHandle, spawn_blocking};

use cloudsignal_core::client::{Key, Ticket};

use crate::store::{Change, RecordKey, Store};

type Written = (Box<dyn Store>, io::Result<()>);

/// What has to be told to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Stored(Ticket),
    Failed,
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// `None`: it is at work, or has failed, or there is none.
    store: Option<Box<dyn Store>>,
    /// The last word on each record counts.
    batch: BTreeMap<RecordKey, Option<Box<[u8]>>>,
    /// What the batch is good for.
    ticket: Option<Ticket>,
    at_work: Option<(Ticket, JoinHandle<Written>)>,
}

impl Shelf {
    pub(super) fn new(store: Option<Box<dyn Store>>) -> Self {
        Self {
            store,
            ..Self::default()
        }
    }

    pub(super) fn put(&mut self, key: Key, record: &[u8]) {
        self.batch.insert(RecordKey::new(key), Some(record.into()));
    }

    pub(super) fn delete(&mut self, key: Key) {
        self.batch.insert(RecordKey::new(key), None);
    }

    pub(super) const fn sync(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
    }

    /// Whether everything is written that can be.
    pub(super) const fn is_idle(&self) -> bool {
        self.at_work.is_none() && (self.ticket.is_none() || self.store.is_none())
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Said> {
        let said = self.poll_work(cx);
        if self.at_work.is_none() {
            self.begin();
            if self.at_work.is_some() && said.is_none() {
                return self.poll_work(cx);
            }
        }
        said
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Option<Said> {
        let (ticket, work) = self.at_work.as_mut()?;
        let ticket = *ticket;
        let Poll::Ready(end) = work.poll_unpin(cx) else {
            return None;
        };
        self.at_work = None;
        match end {
            Ok((store, Ok(()))) => {
                self.store = Some(store);
                Some(Said::Stored(ticket))
            }
            Ok((_, Err(error))) => {
                tracing::error!(%error, "the store has failed");
                Some(Said::Failed)
            }
            Err(_panicked_or_stopping) => Some(Said::Failed),
        }
    }

    fn begin(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let Some(mut store) = self.store.take() else {
            return;
        };
        self.ticket = None;
        let batch = std::mem::take(&mut self.batch);
        let work = spawn_blocking(move || {
            let changes: Vec<_> = batch
                .into_iter()
                .map(|(key, record)| Change { key, record })
                .collect();
            let written = store.apply(&changes);
            (store, written)
        });
        self.at_work = Some((ticket, work));
    }
}
