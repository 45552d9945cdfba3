//! The organizations of the process, each behind its own lock.
//!
//! | file | holds |
//! |---|---|
//! | [`cell`] | who holds `&mut Org`, and for how long |
//! | [`sink`], `lines` | what an organization's effects do, and what is logged of them |
//! | [`company`] | whether there is more than one at work |
//! | [`turns`] | who is woken when there are many |
//! | `levels` | how well an organization stores is changed while it is at work |
//! | [`timekeeper`] | when an organization's time-outs are served |
//! | [`live`] | what the directory decides, applied to open connections |

pub(crate) mod cell;
pub(crate) mod company;
mod levels;
mod lines;
pub(crate) mod live;
pub(crate) mod sink;
pub(crate) mod timekeeper;
pub(crate) mod turns;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use cloudsignal_broker::{Org, OrgId, Policy};

use crate::accounts::{Allowance, Directory};
use crate::config::{Config, ConnectionLog};
use crate::durable::restore::{self, RestoreError, Totals};
use crate::durable::{Durability, Level, Stored, task};
use crate::history::History;
use crate::store::Meters;
use crate::usage::Usage;

use cell::{Handover, OrgCell};
use timekeeper::Alarm;
use turns::Turns;

/// The organizations that somebody has entered. At most as many as the directory has.
#[derive(Debug)]
pub(crate) struct Orgs {
    me: Weak<Self>,
    cells: RwLock<BTreeMap<OrgId, Arc<OrgCell>>>,
    directory: Directory,
    alarm: Arc<Alarm>,
    turns: Arc<Turns>,
    /// What the server allows every organization.
    allowance: Allowance,
    log: ConnectionLog,
    history: History,
    usage: Usage,
    durability: Durability,
    /// Which run of the process this is; 0 if that is not known.
    run: AtomicU64,
    /// Exists without an entry in the directory.
    dev_anonymous: Option<OrgId>,
}

impl Orgs {
    pub(crate) fn new(config: &Config, directory: Directory, history: History, level: Level) -> Arc<Self> {
        let clock = directory.clock().clone();
        let durability = Durability::new(directory.store(), clock, level);
        let usage = Usage::new(directory.store(), directory.clock().clone());
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            cells: RwLock::default(),
            directory,
            alarm: Arc::default(),
            turns: Arc::default(),
            allowance: config.allowance(),
            log: config.log.connections,
            history,
            usage,
            durability,
            run: AtomicU64::new(0),
            dev_anonymous: config.dev_anonymous.as_deref().map(OrgId::new),
        })
    }

    /// The organization that a client is let into; made, if it is the first one. `None`: there is none.
    pub(crate) fn enter(&self, id: &OrgId) -> Option<Arc<OrgCell>> {
        if let Some(cell) = self.find(id) {
            return Some(cell);
        }
        // The policy is read under the lock that events about it need, so that none is missed.
        let mut cells = self.cells.write();
        if let Some(cell) = cells.get(id).filter(|cell| !cell.is_broken()) {
            return Some(Arc::clone(cell));
        }
        if let Some(broken) = cells.get(id).filter(|_| self.durability_of(id).is_kept()) {
            // It comes back as it was stored, which takes a moment.
            if let Some(me) = self.me.upgrade().filter(|_| broken.begins_revival()) {
                tokio::spawn(me.revive(Arc::clone(broken)));
            }
            return None;
        }
        let cell = self.cell(self.fresh(id)?, self.durability_of(id).fresh(id));
        cells.insert(id.clone(), Arc::clone(&cell));
        Some(cell)
    }

    /// An organization without sessions.
    fn fresh(&self, id: &OrgId) -> Option<Org> {
        let policy = self.policy(id)?;
        let limits = self.allowance(id).limits;
        let mut org = Org::new(id.clone(), limits, policy, seed());
        org.handle_month(self.usage.month_messages(id));
        org.number_messages(self.run.load(Ordering::Relaxed));
        Some(org)
    }

    fn cell(&self, org: Org, stored: Stored) -> Arc<OrgCell> {
        let committer = Arc::clone(&stored.1);
        let (alarm, turns) = (Arc::clone(&self.alarm), Arc::clone(&self.turns));
        let history = self.history.clone();
        let cell = Arc::new(OrgCell::new(org, stored, alarm, turns, self.log, history));
        tokio::spawn(task::run(committer, Arc::downgrade(&cell)));
        cell
    }

    /// Reads every organization back. Call it before anybody enters one.
    ///
    /// # Errors
    /// What the store answers.
    pub(crate) async fn restore(&self) -> Result<Totals, RestoreError> {
        if let Err(error) = self.begin_run().await {
            tracing::error!(%error, "this start cannot be counted: nobody's messages are numbered in this run");
        }
        let mut all = Totals::default();
        let ids = self.ids();
        let mut of_orgs = ids.iter().map(|id| self.durability_of(id));
        if !self.durability.is_kept() && !of_orgs.any(|it| it.is_kept()) {
            return Ok(all);
        }
        let orgs = self.durability.erase_leftovers().await?;
        if orgs > 0 {
            tracing::info!(
                orgs,
                "what deleted organizations had left in the store was removed"
            );
        }
        for id in ids {
            if let Some(totals) = self.restore_one(&id).await? {
                all.add(&totals);
            }
        }
        Ok(all)
    }

    /// What organizations number from now on is above everything that they have numbered so far.
    async fn begin_run(&self) -> Result<(), RestoreError> {
        let run = self.durability.count_run().await?;
        self.run.fetch_max(run, Ordering::Relaxed);
        Ok(())
    }

    /// Reads a broken organization back.
    async fn revive(self: Arc<Self>, broken: Arc<OrgCell>) {
        let id = broken.id();
        broken.committer().rested().await;
        // What it had numbered and not stored is forgotten.
        let revived = match self.begin_run().await {
            Ok(()) => self.restore_one(id).await,
            Err(error) => Err(error),
        };
        if let Err(error) = revived {
            tracing::error!(org = %id, %error, "a broken organization cannot be read back; it is tried again");
            broken.ends_revival();
        }
    }

    /// Reads one organization back. `None`: there is no such organization.
    async fn restore_one(&self, id: &OrgId) -> Result<Option<Totals>, RestoreError> {
        let Some(fresh) = self.fresh(id) else {
            return Ok(None);
        };
        let durability = self.durability_of(id);
        if !durability.is_kept() {
            // The server's own default is no reason to remove anything.
            if self.directory.durability(id).is_some() {
                let entries = durability.erase(id).await?;
                tracing::info!(org = %id, entries, "stores nothing: what was stored is removed");
            }
            return Ok(None);
        }
        let restored = restore::restore(&durability, fresh).await?;
        let totals = restored.totals;
        if !totals.is_empty() || self.cells.read().contains_key(id) {
            let (org, stored) = durability.of(restored);
            let cell = self.cell(org, stored);
            self.cells.write().insert(id.clone(), Arc::clone(&cell));
            let now = self.history.clock().now();
            cell.hold(now, None, |org, effects| {
                org.handle_timeout(now, effects);
                ((), Handover::Free)
            });
            // It may have been deleted meanwhile, and nobody would say so again.
            if !self.exists(id) {
                self.forget(id);
            }
        }
        Ok(Some(totals))
    }

    /// Writes everything that waits to be stored, and answers when it is.
    pub(crate) async fn write_out(&self) {
        for cell in self.cells() {
            write_out(&cell).await;
        }
    }

    fn policy(&self, id: &OrgId) -> Option<Policy> {
        let is_dev = self.dev_anonymous.as_ref() == Some(id);
        self.directory
            .policy(id)
            .or_else(|| is_dev.then(Policy::permit_all))
    }

    /// The organization, if somebody has entered it.
    pub(crate) fn find(&self, id: &OrgId) -> Option<Arc<OrgCell>> {
        self.cells
            .read()
            .get(id)
            .filter(|cell| !cell.is_broken())
            .cloned()
    }

    /// Every organization that somebody has entered, in the order of ids.
    pub(crate) fn cells(&self) -> Vec<Arc<OrgCell>> {
        self.cells.read().values().cloned().collect()
    }

    /// Drops an organization that exists no more. Its connections were closed before.
    pub(crate) fn forget(&self, id: &OrgId) {
        if self.dev_anonymous.as_ref() == Some(id) {
            return;
        }
        let removed = self.cells.write().remove(id);
        let (Some(cell), Some(me)) = (removed, self.me.upgrade()) else {
            return;
        };
        let stored = self.durability.is_kept() || cell.level() != Level::Memory;
        if stored && !self.exists(id) {
            tokio::spawn(me.erase(cell));
        }
    }

    /// Removes everything that an organization has stored.
    async fn erase(self: Arc<Self>, cell: Arc<OrgCell>) {
        // What is under way would come back after it.
        write_out(&cell).await;
        let id = cell.id();
        match self.durability.erase(id).await {
            Ok(entries) => tracing::info!(org = %id, entries, "what the organization had stored was removed"),
            Err(error) => {
                tracing::error!(org = %id, %error, "what the organization had stored is still in the store");
            }
        }
    }

    /// How an organization stores, beginning with when it is read back.
    fn durability_of(&self, id: &OrgId) -> Durability {
        self.durability.at(self.directory.durability(id))
    }

    /// What an organization is allowed.
    pub(crate) fn allowance(&self, id: &OrgId) -> Allowance {
        let settings = self.directory.quotas(id).unwrap_or_default();
        settings.allowance(&self.allowance)
    }

    /// What the server allows an organization for which nothing else was set.
    pub(crate) const fn server_allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// Whether there is such an organization.
    pub(crate) fn exists(&self, id: &OrgId) -> bool {
        self.directory.has_org(id) || self.dev_anonymous.as_ref() == Some(id)
    }

    /// Every organization that there is.
    pub(crate) fn ids(&self) -> Vec<OrgId> {
        let mut ids = self.directory.org_ids();
        ids.extend(self.dev_anonymous.clone());
        ids
    }

    /// What the store counts.
    pub(crate) fn meters(&self) -> &Meters {
        self.durability.meters()
    }

    /// What organizations have used.
    pub(crate) const fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Connections that have ended.
    pub(crate) const fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn alarm(&self) -> Arc<Alarm> {
        Arc::clone(&self.alarm)
    }

    pub(crate) fn turns(&self) -> Arc<Turns> {
        Arc::clone(&self.turns)
    }
}

/// Writes everything of an organization that waits to be stored, and answers when it is.
async fn write_out(cell: &OrgCell) {
    loop {
        let acknowledged = cell.committer().acknowledged();
        if cell.write_out() {
            return;
        }
        acknowledged.await;
    }
}

/// A secret seed against crafted topics and client ids.
fn seed() -> u64 {
    getrandom::u64().expect("invariant: the system has random numbers")
}
