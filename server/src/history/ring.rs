//! Where an organization's records are stored: in a ring of numbered blocks, so that the newest takes the
//! place of the oldest and nothing has to be counted or removed.
//!
//! ```text
//! {org}/head                 the number of the next record
//! {org}/block/{number / 16 mod ring, 8 hex digits}
//!                            the block's records, packed, with a time to live
//! ```
//!
//! A block is written again with every record that comes into it. Records that came together, as those of a crowd that
//! leaves, so cost a fifth of what they would alone: the store keeps what is new in memory.

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
/// Records of a block.
const BLOCK_ENTRIES: u64 = 16;
/// Records of all blocks: those that are kept, and a block that is not yet full.
const RING_ENTRIES: u64 = ENTRIES_PER_ORG_MAX + BLOCK_ENTRIES;
/// A block before it is packed: the client id and the user name of each record may have 64 KiB, and a byte of theirs may
/// take six.
const BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;

const HEAD: &str = "head";
const BLOCKS: &str = "block/";

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

/// Puts records at the end, the first of them at `head`; what is in the same block and `old` goes.
pub(super) async fn append(
    store: &dyn Store,
    mut commit: Commit,
    org: &OrgId,
    head: u64,
    entries: impl Iterator<Item = &EndedConnection>,
    old: WallTime,
) -> Result<Commit, StoreError> {
    let mut block = begun(store, org, head).await?;
    block.retain(|stored| stored.entry.disconnected_at >= old);
    let mut next = head;
    for entry in entries {
        let entry = entry.clone();
        block.push(StoredEntry { number: next, entry });
        next += 1;
        if next.is_multiple_of(BLOCK_ENTRIES) {
            commit = put(commit, org, &block);
            block.clear();
        }
    }
    if !block.is_empty() {
        commit = put(commit, org, &block);
    }
    Ok(commit.put(Table::History, Key::of_org(org, HEAD), Expect::Any, encode(&next)))
}

/// What is already in the block that the record `head` belongs to.
async fn begun(store: &dyn Store, org: &OrgId, head: u64) -> Result<Vec<StoredEntry>, StoreError> {
    let start = head - head % BLOCK_ENTRIES;
    if start == head {
        return Ok(Vec::new());
    }
    let stored = store.get(Table::History, &key_of(org, head)).await?;
    let mut stored = stored.as_ref().map(unpack).transpose()?.unwrap_or_default();
    stored.retain(|stored| (start..head).contains(&stored.number));
    Ok(stored)
}

fn put(commit: Commit, org: &OrgId, block: &[StoredEntry]) -> Commit {
    let number = block[0].number;
    let packed = lz4_flex::block::compress_prepend_size(&encode(block));
    commit.put_for(
        Table::History,
        key_of(org, number),
        Expect::Any,
        packed,
        ENTRY_LIFETIME,
    )
}

/// Goes back from the latest record, chunk by chunk, to the first that is `old`.
pub(super) async fn page(
    store: &dyn Store,
    org: &OrgId,
    wanted: &Wanted,
    old: WallTime,
) -> Result<HistoryPage, StoreError> {
    let head = head(store, org).await?;
    let oldest = head.saturating_sub(ENTRIES_PER_ORG_MAX);
    let mut end = wanted.before.map_or(head, |before| before.min(head));
    let stop = end.saturating_sub(PAGE_LOOKS_MAX).max(oldest);
    let mut entries = Vec::new();
    while end > stop {
        let start = chunk_start(end, stop);
        for stored in chunk(store, org, start, end).await?.into_iter().rev() {
            if wanted.ends_at(&stored.entry) || stored.entry.disconnected_at < old {
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
    let corner = (end - 1) / RING_ENTRIES * RING_ENTRIES;
    end.saturating_sub(CHUNK_ENTRIES_MAX).max(stop).max(corner)
}

/// Records of a range that lies on one side of the ring's corner, in rising order.
async fn chunk(store: &dyn Store, org: &OrgId, start: u64, end: u64) -> Result<Vec<StoredEntry>, StoreError> {
    let after = (start % RING_ENTRIES >= BLOCK_ENTRIES).then(|| key_of(org, start - BLOCK_ENTRIES));
    let blocks = (end - 1) / BLOCK_ENTRIES - start / BLOCK_ENTRIES + 1;
    let count = usize::try_from(blocks).unwrap_or(usize::MAX);
    let prefix = Prefix::of_org(org, BLOCKS);
    let page = store.scan(Table::History, &prefix, after.as_ref(), count).await?;
    let mut stored = Vec::new();
    for block in &page.entries {
        stored.append(&mut unpack(block)?);
    }
    // Where blocks have expired, the scan went on to others.
    stored.retain(|stored| (start..end).contains(&stored.number));
    Ok(stored)
}

/// The key of the block that a record belongs to.
fn key_of(org: &OrgId, number: u64) -> Key {
    let place = number % RING_ENTRIES / BLOCK_ENTRIES;
    Key::of_org(org, &format!("{BLOCKS}{place:08x}"))
}

fn unpack(entry: &Entry) -> Result<Vec<StoredEntry>, StoreError> {
    let damaged = |why: String| StoreError::Failed(format!("{:?} cannot be understood: {why}", entry.key));
    let (bytes, packed) =
        lz4_flex::block::uncompressed_size(&entry.value).map_err(|error| damaged(error.to_string()))?;
    if bytes > BLOCK_BYTES_MAX {
        return Err(damaged(format!("{bytes} bytes are more than a block has")));
    }
    let block = lz4_flex::block::decompress(packed, bytes).map_err(|error| damaged(error.to_string()))?;
    serde_json::from_slice(&block).map_err(|error| damaged(error.to_string()))
}

fn encode<T: Serialize + ?Sized>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("invariant: our records have text keys and finite numbers")
}

fn decode<T: serde::de::DeserializeOwned>(entry: &Entry) -> Result<T, StoreError> {
    serde_json::from_slice(&entry.value)
        .map_err(|error| StoreError::Failed(format!("{:?} cannot be understood: {error}", entry.key)))
}
