//! A store at one moment, as a whole and across organizations: what backups and tools read.

use std::fmt;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Key, Shelf, StoreError, Table, format};
use crate::accounts::record::ORGS;

/// Most bytes of keys and values that [`pages`] holds at once; one entry may exceed it alone.
const VIEW_BYTES_MAX: usize = 1024 * 1024;
/// Most entries that it holds at once.
const VIEW_ENTRIES_MAX: usize = 4_096;

/// What is called with each pair, and says whether to go on.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>;

/// One sorted run of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Space {
    /// A keyed table.
    Table(Table),
    /// A shelf.
    Shelf(Shelf),
    /// The logs of organizations.
    Log,
    /// When which key expires.
    Expiry,
    /// The store's own facts.
    Meta,
}

impl Space {
    /// Every one, in an order that a backup may rely on: accounts come first.
    pub const ALL: [Self; 12] = [
        Self::Meta,
        Self::Table(Table::Config),
        Self::Table(Table::Audit),
        Self::Table(Table::History),
        Self::Table(Table::Usage),
        Self::Expiry,
        Self::Log,
        Self::Shelf(Shelf::Session),
        Self::Shelf(Shelf::Message),
        Self::Shelf(Shelf::Queue),
        Self::Shelf(Shelf::Retained),
        Self::Shelf(Shelf::Quarantine),
    ];

    /// Its name in a data folder and in a backup.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table(table) => table.name(),
            Self::Shelf(shelf) => shelf.name(),
            Self::Log => "log",
            Self::Expiry => "expiry",
            Self::Meta => "meta",
        }
    }
}

impl Space {
    /// The key of an organization's account, which stands in a list of all.
    pub(crate) fn account_key(org: &str) -> Vec<u8> {
        Key::of_system(&format!("{ORGS}{org}")).as_bytes().to_vec()
    }

    /// Whether a key is that of an organization's account.
    pub(crate) fn is_account_of(self, org: &str, key: &[u8]) -> bool {
        self == Self::Table(Table::Config) && key == Self::account_key(org)
    }

    /// Whether a key belongs to an organization, its account included. The store's own facts belong to everybody.
    pub(crate) fn is_of(self, org: &str, key: &[u8]) -> bool {
        let is_below = |key: &[u8]| split_org(key).is_some_and(|(of, _)| of == org);
        match self {
            Self::Meta => true,
            Self::Expiry => format::parse_expiry_key(key).is_some_and(|(_, table, key)| {
                is_below(key.as_bytes()) || Self::Table(table).is_account_of(org, key.as_bytes())
            }),
            Self::Table(_) | Self::Shelf(_) | Self::Log => is_below(key) || self.is_account_of(org, key),
        }
    }
}

/// A store as it was at one moment, whatever is written meanwhile.
pub trait View: fmt::Debug + Send + Sync {
    /// Visits pairs in key order, from the first key that begins with `prefix` and is greater than `after`.
    ///
    /// # Errors
    /// What the disk answers.
    fn scan(&self, space: Space, prefix: &[u8], after: Option<&[u8]>, visit: Visit<'_>)
    -> Result<(), String>;
}

/// Visits every pair below `prefix`, page by page, so that a visitor may take its time.
///
/// # Errors
/// [`StoreError::Failed`], and what `visit` answers.
pub(crate) fn pages<E: From<StoreError>>(
    view: &dyn View,
    space: Space,
    prefix: &[u8],
    mut visit: impl FnMut(&[u8], &Bytes) -> Result<(), E>,
) -> Result<(), E> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let (mut page, mut bytes) = (Vec::new(), 0);
        let mut is_full = false;
        let scanned = view.scan(space, prefix, after.as_deref(), &mut |key, value| {
            if page.len() == VIEW_ENTRIES_MAX || bytes >= VIEW_BYTES_MAX {
                is_full = true;
                return ControlFlow::Break(());
            }
            bytes += key.len() + value.len();
            page.push((key.to_vec(), value.clone()));
            ControlFlow::Continue(())
        });
        scanned.map_err(|error| StoreError::Failed(format!("{}: {error}", space.name())))?;
        for (key, value) in &page {
            visit(key, value)?;
        }
        after = page.pop().map(|(key, _)| key).filter(|_| is_full);
        if after.is_none() {
            return Ok(());
        }
    }
}

/// The organization that a key belongs to, and what follows. `None` for what belongs to none, or is damaged.
pub(crate) fn split_org(key: &[u8]) -> Option<(&str, &[u8])> {
    let slash = key.iter().position(|byte| *byte == b'/')?;
    let (org, rest) = key.split_at(slash);
    let org = std::str::from_utf8(org).ok()?;
    (org != super::key::SYSTEM).then_some((org, &rest[1..]))
}
