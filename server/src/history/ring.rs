//! Where an organization's records are stored: in a ring of numbered places, so that the newest takes the
//! place of the oldest and nothing has to be counted or removed.
//!
//! ```text
//! {org}/head                 the number of the next record
//! {org}/place/{number mod ring, 8 hex digits}    StoredEntry, with a time to live
//! ```

use serde::{Deserialize, Serialize};

use cloudsignal_broker::OrgId;

use super::record::{EndReason, EndedConnection, ReasonClass};
use super::{ENTRIES_PER_ORG_MAX, ENTRY_LIFETIME};
use crate::clock::WallTime;
use crate::store::{Commit, Entry, Expect, Key, Prefix, Store, StoreError, Table};

/// Records that one page looks at; what lies behind waits for the next page.
const PAGE_LOOKS_MAX: u64 = 4_096;
/// Records that are read from the store at once.
const CHUNK_ENTRIES_MAX: u64 = 256;

const HEAD: &str = "head";
const PLACES: &str = "place/";

#[derive(Debug, Serialize, Deserialize)]
struct StoredEntry {
    number: u64,
    #[serde(flatten)]
    entry: EndedConnection,
}

/// Which records somebody wants to see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Ended at this time or later.
    pub(crate) since: Option<WallTime>,
    /// Ended before this time.
    pub(crate) until: Option<WallTime>,
    pub(crate) reason: Option<EndReason>,
    pub(crate) class: Option<ReasonClass>,
    pub(crate) client_id: Option<String>,
    pub(crate) username: Option<String>,
    /// Only records with smaller numbers: the `next` of the page before.
    pub(crate) before: Option<u64>,
    pub(crate) limit: usize,
}

/// Part of a history, the latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HistoryPage {
    pub(crate) entries: Vec<EndedConnection>,
    /// Pass it as `before`; `None` at the end.
    pub(crate) next: Option<u64>,
}

impl Wanted {
    fn is(&self, entry: &EndedConnection) -> bool {
        let same = |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text);
        self.until.is_none_or(|until| entry.disconnected_at < until)
            && self.since.is_none_or(|since| entry.disconnected_at >= since)
            && self.reason.is_none_or(|reason| entry.reason == reason)
            && self.class.is_none_or(|class| entry.reason.class() == class)
            && same(&self.client_id, &entry.client_id)
            && same(&self.username, &entry.username)
    }

    /// Records are numbered in the order in which they ended, so before this one there is nothing.
    fn ends_at(&self, entry: &EndedConnection) -> bool {
        self.since.is_some_and(|since| entry.disconnected_at < since)
    }
}

/// The number of an organization's next record.
pub(super) async fn head(store: &dyn Store, org: &OrgId) -> Result<u64, StoreError> {
    match store.get(Table::History, &Key::of_org(org, HEAD)).await? {
        Some(entry) => decode(&entry),
        None => Ok(0),
    }
}

pub(super) fn put(commit: Commit, org: &OrgId, number: u64, entry: &EndedConnection) -> Commit {
    let stored = StoredEntry {
        number,
        entry: entry.clone(),
    };
    commit.put_for(
        Table::History,
        place(org, number),
        Expect::Any,
        encode(&stored),
        ENTRY_LIFETIME,
    )
}

pub(super) fn put_head(commit: Commit, org: &OrgId, head: u64) -> Commit {
    commit.put(Table::History, Key::of_org(org, HEAD), Expect::Any, encode(&head))
}

/// Goes back from the latest record, chunk by chunk.
pub(super) async fn page(store: &dyn Store, org: &OrgId, wanted: &Wanted) -> Result<HistoryPage, StoreError> {
    let head = head(store, org).await?;
    let oldest = head.saturating_sub(ENTRIES_PER_ORG_MAX);
    let mut end = wanted.before.map_or(head, |before| before.min(head));
    let stop = end.saturating_sub(PAGE_LOOKS_MAX).max(oldest);
    let mut entries = Vec::new();
    while end > stop {
        let start = chunk_start(end, stop);
        for stored in chunk(store, org, start, end).await?.into_iter().rev() {
            if wanted.ends_at(&stored.entry) {
                return Ok(HistoryPage { entries, next: None });
            }
            if wanted.is(&stored.entry) {
                entries.push(stored.entry);
                if entries.len() >= wanted.limit {
                    let next = Some(stored.number).filter(|&number| number > oldest);
                    return Ok(HistoryPage { entries, next });
                }
            }
        }
        end = start;
    }
    Ok(HistoryPage {
        entries,
        next: Some(end).filter(|&end| end > oldest),
    })
}

/// Where the chunk that ends at `end` begins: not before `stop`, and not around the ring's corner.
fn chunk_start(end: u64, stop: u64) -> u64 {
    let corner = (end - 1) / ENTRIES_PER_ORG_MAX * ENTRIES_PER_ORG_MAX;
    end.saturating_sub(CHUNK_ENTRIES_MAX).max(stop).max(corner)
}

/// Records of a range that lies on one side of the ring's corner, in rising order.
async fn chunk(store: &dyn Store, org: &OrgId, start: u64, end: u64) -> Result<Vec<StoredEntry>, StoreError> {
    let after = (!start.is_multiple_of(ENTRIES_PER_ORG_MAX)).then(|| place(org, start - 1));
    let count = usize::try_from(end - start).unwrap_or(usize::MAX);
    let prefix = Prefix::of_org(org, PLACES);
    let page = store.scan(Table::History, &prefix, after.as_ref(), count).await?;
    let stored = page.entries.iter().map(decode::<StoredEntry>);
    let mut stored = stored.collect::<Result<Vec<_>, _>>()?;
    // Where records have expired, the scan went on to others.
    stored.retain(|stored| (start..end).contains(&stored.number));
    Ok(stored)
}

fn place(org: &OrgId, number: u64) -> Key {
    Key::of_org(org, &format!("{PLACES}{:08x}", number % ENTRIES_PER_ORG_MAX))
}

fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("invariant: our records have text keys and finite numbers")
}

fn decode<T: serde::de::DeserializeOwned>(entry: &Entry) -> Result<T, StoreError> {
    serde_json::from_slice(&entry.value)
        .map_err(|error| StoreError::Failed(format!("{:?} cannot be understood: {error}", entry.key)))
}
