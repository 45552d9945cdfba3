//! A store that fails commits when it is told to.

use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use cloudsignal_broker::OrgId;

use super::{
    Commit, CommitError, Done, Entry, Key, LogRecord, Meters, Page, Prefix, Reading, Seq, Shelf, ShelfPage,
    Store, StoreError, Table, Watch,
};

/// What becomes of a commit that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing of it is there.
    Before,
    /// It is there, and nobody knows.
    After,
    /// It is turned away at the door.
    Busy,
}

/// What a commit on a shelf is refused for, for good.
pub(crate) const NEVER: &[u8] = b"never";

/// Which commits fail, counted from the first.
#[derive(Debug, Default)]
struct Plan {
    commits: usize,
    fails: Option<(RangeInclusive<usize>, Failure)>,
}

/// A store over another one.
#[derive(Debug)]
pub(crate) struct Flaky {
    inner: Arc<dyn Store>,
    plan: Mutex<Plan>,
    /// Whether shelves can be read; who reads them waits for it.
    readable: watch::Sender<bool>,
}

impl Flaky {
    /// Fails nothing until it is told to.
    pub(crate) fn working(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            plan: Mutex::default(),
            readable: watch::Sender::new(true),
        }
    }

    /// The n-th commit fails, counted from 1.
    pub(crate) fn fail(&self, number: usize, failure: Failure) {
        self.plan.lock().fails = Some((number..=number, failure));
    }

    /// Every commit fails from now on.
    pub(crate) fn break_down(&self, failure: Failure) {
        self.break_down_after(0, failure);
    }

    /// Every commit fails after so many more.
    pub(crate) fn break_down_after(&self, commits: usize, failure: Failure) {
        let mut plan = self.plan.lock();
        plan.fails = Some((plan.commits + commits + 1..=usize::MAX, failure));
    }

    /// From now on who reads a shelf waits, or does no longer.
    pub(crate) fn set_readable(&self, readable: bool) {
        self.readable.send_replace(readable);
    }

    /// How many read shelves at the moment.
    pub(crate) fn readers(&self) -> usize {
        self.readable.receiver_count()
    }

    /// No more commits fail.
    pub(crate) fn works(&self) {
        self.plan.lock().fails = None;
    }

    /// What becomes of one more commit.
    fn fate(&self) -> Option<Failure> {
        let mut plan = self.plan.lock();
        plan.commits += 1;
        let (numbers, failure) = plan.fails.as_ref()?;
        numbers.contains(&plan.commits).then_some(*failure)
    }
}

impl Store for Flaky {
    fn commit(&self, commit: Commit, done: Done) {
        if commit.holds(NEVER) {
            return done(Err(CommitError::Refused("planted".into())));
        }
        let failed = || CommitError::Failed("the disk is full".into());
        match self.fate() {
            None => self.inner.commit(commit, done),
            Some(Failure::Before) => done(Err(failed())),
            Some(Failure::After) => self.inner.commit(commit, Box::new(move |_| done(Err(failed())))),
            Some(Failure::Busy) => done(Err(CommitError::Busy)),
        }
    }

    fn get(&self, table: Table, key: &Key) -> Reading<Option<Entry>> {
        self.inner.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &Prefix, after: Option<&Key>, entries_max: usize) -> Reading<Page> {
        self.inner.scan(table, prefix, after, entries_max)
    }

    fn read(&self, org: &OrgId, from: Seq, records_max: usize) -> Reading<Vec<LogRecord>> {
        self.inner.read(org, from, records_max)
    }

    fn shelf(
        &self,
        shelf: Shelf,
        org: &OrgId,
        prefix: &[u8],
        after: Option<&[u8]>,
        entries_max: usize,
    ) -> Reading<ShelfPage> {
        let page = self.inner.shelf(shelf, org, prefix, after, entries_max);
        let mut readable = self.readable.subscribe();
        Box::pin(async move {
            let waited = readable.wait_for(|readable| *readable).await.map(drop);
            waited.map_err(|_closed| StoreError::Stopped)?;
            page.await
        })
    }

    fn watch(&self, table: Table, prefix: Prefix) -> Watch {
        self.inner.watch(table, prefix)
    }

    fn committed(&self) -> watch::Receiver<Seq> {
        self.inner.committed()
    }

    fn meters(&self) -> &Meters {
        self.inner.meters()
    }
}
