//! The organizations of the process, each behind its own lock.
//!
//! | file | holds |
//! |---|---|
//! | [`cell`] | who holds `&mut Org`, and for how long |
//! | [`sink`] | what an organization's effects do |
//! | [`timekeeper`] | when an organization's time-outs are served |
//! | [`live`] | what the directory decides, applied to open connections |

pub(crate) mod cell;
pub(crate) mod live;
pub(crate) mod sink;
pub(crate) mod timekeeper;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use cloudsignal_broker::{Org, OrgId, Policy};

use crate::accounts::{Allowance, Directory};
use crate::config::{Config, ConnectionLog};
use crate::history::History;
use crate::usage::Usage;

use cell::OrgCell;
use timekeeper::Alarm;

/// The organizations that somebody has entered. At most as many as the directory has.
#[derive(Debug)]
pub(crate) struct Orgs {
    cells: RwLock<BTreeMap<OrgId, Arc<OrgCell>>>,
    directory: Directory,
    alarm: Arc<Alarm>,
    /// What the server allows every organization.
    allowance: Allowance,
    log: ConnectionLog,
    history: History,
    usage: Usage,
    /// Exists without an entry in the directory.
    dev_anonymous: Option<OrgId>,
}

impl Orgs {
    pub(crate) fn new(config: &Config, directory: Directory, history: History) -> Arc<Self> {
        let usage = Usage::new(directory.store(), directory.clock().clone());
        Arc::new(Self {
            cells: RwLock::default(),
            directory,
            alarm: Arc::default(),
            allowance: config.allowance(),
            log: config.log.connections,
            history,
            usage,
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
        let policy = self.policy(id)?;
        let limits = self.allowance(id).limits;
        let mut org = Org::new(id.clone(), limits, policy, seed());
        org.handle_month(self.usage.month_messages(id));
        let cell = Arc::new(OrgCell::new(
            org,
            Arc::clone(&self.alarm),
            self.log,
            self.history.clone(),
        ));
        cells.insert(id.clone(), Arc::clone(&cell));
        Some(cell)
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
        if self.dev_anonymous.as_ref() != Some(id) {
            self.cells.write().remove(id);
        }
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
}

/// A secret seed against crafted topics and client ids.
fn seed() -> u64 {
    getrandom::u64().expect("invariant: the system has random numbers")
}
