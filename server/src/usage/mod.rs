//! What organizations use: by day and by month, kept over restarts.
//!
//! | file | holds |
//! |---|---|
//! | [`tally`] | what was used in a stretch of time |
//! | [`calendar`] | days and months, in UTC |
//! | [`calls`] | calls of the HTTP API, and how many there may be |
//!
//! Organizations count in plain numbers under their own lock. Every [`WRITE_SECS`] seconds, when somebody asks and
//! when the server stops, what they have counted since is added to the running day and month, and what has changed is
//! written. A process that is killed loses at most the last [`WRITE_SECS`] seconds; what is counted around midnight
//! may belong to the day before by as much.
//!
//! ```text
//! {org}/day/2026-11-23    Tally, for DAY_LIFETIME       {org}/month/2026-11    Tally, for good
//! ```

pub(crate) mod calendar;
pub(crate) mod calls;
pub(crate) mod tally;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use cloudsignal_broker::OrgId;
use cloudsignal_broker::counters::Counters;

use crate::accounts::Allowance;
use crate::clock::Clock;
use crate::orgs::Orgs;
use crate::orgs::cell::{Handover, OrgCell};
use crate::store::{Commit, CommitError, Expect, Key, Prefix, Store, StoreError, StoreExt as _, Table};
use calendar::{Day, Month};
use calls::{Calls, TooManyCalls};
use tally::Tally;

/// Seconds between two writes: at most so much is lost when the process is killed.
pub(crate) const WRITE_SECS: u64 = 5;
/// How long a day is kept: 400 days.
pub(crate) const DAY_LIFETIME: Duration = Duration::from_secs(400 * 86_400);
/// Days or months in one answer.
pub(crate) const STRETCHES_MAX: usize = 400;
/// Organizations whose usage is written in one commit.
const COMMIT_ORGS_MAX: usize = 1_000;

const DAYS: &str = "day/";
const MONTHS: &str = "month/";

/// The usage of all organizations. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Usage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    clock: Clock,
    orgs: Mutex<BTreeMap<OrgId, OrgUsage>>,
    calls: Mutex<Calls>,
    /// Held by whoever writes, so that a write never overtakes an earlier one.
    writing: tokio::sync::Mutex<()>,
}

/// One organization: its running day and month.
#[derive(Debug)]
struct OrgUsage {
    day: Day,
    today: Tally,
    this_month: Tally,
    /// The month that the organization counts its messages for.
    told: Month,
    /// A day that is over and was not written to its end, with its month.
    ended: Option<(Day, Tally, Tally)>,
    /// Where its counters stood at the last look, and of which cell they were.
    seen: (Weak<OrgCell>, Counters),
    is_unwritten: bool,
}

/// By what usage is added up.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Granularity {
    /// Days.
    #[default]
    Day,
    /// Months.
    Month,
}

impl OrgUsage {
    fn new(day: Day) -> Self {
        Self {
            day,
            today: Tally::default(),
            this_month: Tally::default(),
            told: day.month(),
            ended: None,
            seen: (Weak::new(), Counters::default()),
            is_unwritten: false,
        }
    }

    /// Begins a new day, and perhaps a new month.
    fn turn_to(&mut self, day: Day) {
        // A clock that was set back changes nothing: the day goes on until its end comes again.
        if day <= self.day {
            return;
        }
        let today = std::mem::take(&mut self.today);
        if self.is_unwritten {
            self.ended = Some((self.day, today, self.this_month.clone()));
        }
        if day.month() > self.day.month() {
            self.this_month = Tally::default();
        }
        self.day = day;
    }

    fn add(&mut self, used: &Tally) {
        let is_more = *used != Tally::default();
        let peak_is_known = used.connections_peak <= self.today.connections_peak;
        let counts_nothing = Tally {
            connections_peak: 0,
            ..used.clone()
        } == Tally::default();
        self.is_unwritten |= is_more && !(counts_nothing && peak_is_known);
        self.today.add(used);
        self.this_month.add(used);
    }
}

impl Usage {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            store,
            clock,
            orgs: Mutex::default(),
            calls: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }))
    }

    /// Reads back the running day and month of these organizations. To be called before anybody is let in.
    ///
    /// # Errors
    /// What the store answers, or that a record cannot be understood.
    pub(crate) async fn load(&self, ids: &[OrgId]) -> Result<(), StoreError> {
        let day = self.today();
        for id in ids {
            let mut usage = OrgUsage::new(day);
            usage.today = self.read(id, &day_path(day)).await?;
            usage.this_month = self.read(id, &month_path(day.month())).await?;
            self.0.orgs.lock().insert(id.clone(), usage);
        }
        Ok(())
    }

    async fn read(&self, org: &OrgId, path: &str) -> Result<Tally, StoreError> {
        let key = Key::of_org(org, path);
        match self.0.store.get(Table::Usage, &key).await? {
            Some(entry) => decode(path, &entry.value),
            None => Ok(Tally::default()),
        }
    }

    fn today(&self) -> Day {
        Day::of(self.0.clock.wall())
    }

    /// Messages that an organization has published in the running month: it goes on counting from there.
    pub(crate) fn month_messages(&self, org: &OrgId) -> u64 {
        let mut orgs = self.0.orgs.lock();
        let usage = running(&mut orgs, org, self.today());
        usage.told = usage.day.month();
        usage.this_month.inward.messages
    }

    /// One call of the HTTP API with a key; if it may pass, it is counted.
    ///
    /// # Errors
    /// [`TooManyCalls`]
    pub(crate) fn call(&self, org: &OrgId, key: &str, allowance: &Allowance) -> Result<(), TooManyCalls> {
        let rates = (allowance.api_calls_per_sec, allowance.api_key_calls_per_sec);
        let passed = self.0.calls.lock().pass(org, key, rates, self.0.clock.now());
        let mut used = Tally::default();
        match passed {
            Ok(()) => used.api_calls = 1,
            Err(TooManyCalls { quota, .. }) => drop(used.exceeded.insert(quota.to_owned(), 1)),
        }
        running(&mut self.0.orgs.lock(), org, self.today()).add(&used);
        passed
    }

    /// Counts that a quota which is kept elsewhere was exceeded.
    pub(crate) fn exceeded(&self, org: &OrgId, quota: &str) {
        let mut used = Tally::default();
        used.exceeded.insert(quota.to_owned(), 1);
        running(&mut self.0.orgs.lock(), org, self.today()).add(&used);
    }

    /// Adds what an organization has counted since the last look.
    fn collect(&self, cell: &Arc<OrgCell>) {
        let now = self.0.clock.now();
        // Both locks are held together, so that no two looks at the same counters are added.
        let mut orgs = self.0.orgs.lock();
        let usage = running(&mut orgs, cell.id(), self.today());
        let is_new_month = usage.told != usage.day.month();
        usage.told = usage.day.month();
        let is_same = Weak::ptr_eq(&usage.seen.0, &Arc::downgrade(cell));
        let before = if is_same {
            usage.seen.1.clone()
        } else {
            Counters::default()
        };
        let looked = cell.hold(now, None, |org, _| {
            let used = Tally::between(&before, org.counters());
            org.restart_peak();
            if is_new_month {
                // What was published since the last look counts for the new month, here and there.
                org.handle_month(used.inward.messages);
            }
            ((used, org.counters().clone()), Handover::Free)
        });
        let Some((used, counters)) = looked else { return };
        usage.add(&used);
        usage.seen = (Arc::downgrade(cell), counters);
    }

    /// Collects and writes from time to time, until it is dropped.
    pub(crate) async fn run(self, orgs: Arc<Orgs>) {
        loop {
            tokio::time::sleep(Duration::from_secs(WRITE_SECS)).await;
            match self.write(&orgs).await {
                Ok(()) | Err(CommitError::Busy) => {}
                Err(CommitError::Stopped) => return,
                Err(error) => tracing::warn!(%error, "usage cannot be written; it is tried again"),
            }
        }
    }

    /// Collects from every organization and writes what has changed.
    ///
    /// # Errors
    /// What the store answers; what was not written waits for the next time.
    pub(crate) async fn write(&self, orgs: &Orgs) -> Result<(), CommitError> {
        let _turn = self.0.writing.lock().await;
        for cell in orgs.cells() {
            self.collect(&cell);
        }
        loop {
            let (ids, commit) = self.unwritten(orgs);
            if ids.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.0.store.write(commit).await {
                let mut usages = self.0.orgs.lock();
                for id in &ids {
                    if let Some(usage) = usages.get_mut(id) {
                        usage.is_unwritten = true;
                    }
                }
                return Err(error);
            }
        }
    }

    /// What has changed, as one commit; it counts as written from here on.
    fn unwritten(&self, orgs: &Orgs) -> (Vec<OrgId>, Commit) {
        let mut usages = self.0.orgs.lock();
        // Of an organization that is gone nothing is written any more.
        usages.retain(|id, _| orgs.exists(id));
        let (mut ids, mut commit) = (Vec::new(), Commit::new());
        let changed = usages.iter_mut().filter(|(_, usage)| usage.is_unwritten);
        for (id, usage) in changed.take(COMMIT_ORGS_MAX) {
            usage.is_unwritten = false;
            if let Some((day, tally, months)) = usage.ended.take() {
                commit = put(commit, id, day, &tally, &months);
            }
            commit = put(commit, id, usage.day, &usage.today, &usage.this_month);
            ids.push(id.clone());
        }
        (ids, commit)
    }

    /// What an organization used from one day to another, both included, up to this moment. Days and months without
    /// any use are left out; at most [`STRETCHES_MAX`].
    ///
    /// # Errors
    /// What the store answers, or that a record cannot be understood.
    pub(crate) async fn range(
        &self,
        orgs: &Orgs,
        org: &OrgId,
        (from, to): (Day, Day),
        by: Granularity,
    ) -> Result<BTreeMap<String, Tally>, StoreError> {
        let (list, from, to) = match by {
            Granularity::Day => (DAYS, from.to_string(), to.to_string()),
            Granularity::Month => (MONTHS, from.month().to_string(), to.month().to_string()),
        };
        if let Some(cell) = orgs.find(org) {
            self.collect(&cell);
        }
        let mut found = self.stored(org, list, &from, &to).await?;
        let mut usages = self.0.orgs.lock();
        let usage = running(&mut usages, org, self.today());
        let (name, tally) = match by {
            Granularity::Day => (usage.day.to_string(), &usage.today),
            Granularity::Month => (usage.day.month().to_string(), &usage.this_month),
        };
        if (from..=to).contains(&name) && *tally != Tally::default() {
            found.insert(name, tally.clone());
        }
        Ok(found)
    }

    async fn stored(
        &self,
        org: &OrgId,
        list: &str,
        from: &str,
        to: &str,
    ) -> Result<BTreeMap<String, Tally>, StoreError> {
        let prefix = Prefix::of_org(org, list);
        // Names sort as they follow each other in time. One that is no name sorts right before `from`.
        let mut after = Some(Key::of_org(org, &format!("{list}{}", just_before(from))));
        let mut found = BTreeMap::new();
        while found.len() < STRETCHES_MAX {
            let wanted = STRETCHES_MAX - found.len();
            let page = self
                .0
                .store
                .scan(Table::Usage, &prefix, after.as_ref(), wanted)
                .await?;
            for entry in &page.entries {
                let name = entry.key.path().and_then(|path| path.strip_prefix(list));
                let name = name.unwrap_or_default();
                if name > to {
                    return Ok(found);
                }
                found.insert(name.to_owned(), decode(name, &entry.value)?);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// What the organization has used in the running month.
    pub(crate) fn this_month(&self, orgs: &Orgs, org: &OrgId) -> (Month, Tally) {
        if let Some(cell) = orgs.find(org) {
            self.collect(&cell);
        }
        let mut usages = self.0.orgs.lock();
        let usage = running(&mut usages, org, self.today());
        (usage.day.month(), usage.this_month.clone())
    }
}

/// The running day of an organization, which may be new.
fn running<'a>(usages: &'a mut BTreeMap<OrgId, OrgUsage>, org: &OrgId, day: Day) -> &'a mut OrgUsage {
    let entry = usages.entry(org.clone());
    let usage = entry.or_insert_with(|| OrgUsage::new(day));
    usage.turn_to(day);
    usage
}

fn put(commit: Commit, org: &OrgId, day: Day, today: &Tally, this_month: &Tally) -> Commit {
    let month = Key::of_org(org, &month_path(day.month()));
    let day = Key::of_org(org, &day_path(day));
    commit
        .put_for(Table::Usage, day, Expect::Any, encode(today), DAY_LIFETIME)
        .put(Table::Usage, month, Expect::Any, encode(this_month))
}

/// Sorts before `name`, and behind everything that comes before it in time.
fn just_before(name: &str) -> String {
    let mut before = name.to_owned();
    let last = before.pop().map_or('0', |last| char::from(last as u8 - 1));
    before.push(last);
    before.push('~');
    before
}

fn day_path(day: Day) -> String {
    format!("{DAYS}{day}")
}

fn month_path(month: Month) -> String {
    format!("{MONTHS}{month}")
}

fn encode(tally: &Tally) -> Vec<u8> {
    serde_json::to_vec(tally).expect("invariant: a tally has text keys and whole numbers")
}

fn decode(name: &str, bytes: &[u8]) -> Result<Tally, StoreError> {
    serde_json::from_slice(bytes)
        .map_err(|error| StoreError::Failed(format!("the usage of {name} cannot be understood: {error}")))
}

#[cfg(test)]
mod tests;
