//! What a store holds, counted.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use super::block;
use super::keys::{Kind, QueueKey, parse_queue, parse_session};
use crate::store::view::{Space, View, pages, split_org};
use crate::store::{Shelf, StoreError, Table};

/// What a store holds of one organization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Holdings {
    /// Persistent sessions.
    pub(crate) sessions: u64,
    /// Their subscriptions.
    pub(crate) subscriptions: u64,
    /// Messages that wait for a session, or are being sent to it.
    pub(crate) deliveries: u64,
    /// Messages that several deliveries share.
    pub(crate) messages: u64,
    /// Retained messages.
    pub(crate) retained: u64,
    /// Entries that could not be used.
    pub(crate) quarantined: u64,
    /// Users, keys, policies and marks of tokens.
    pub(crate) accounts: u64,
    /// Keys and values of all that, and of history, audit and usage, before compression.
    pub(crate) bytes: u64,
}

/// Counts what is stored, by organization; of one only, if it is named. Reads everything, page by page, and holds a
/// line for each organization.
///
/// # Errors
/// [`StoreError::Failed`]
pub(crate) fn survey(view: &dyn View, org: Option<&str>) -> Result<BTreeMap<String, Holdings>, StoreError> {
    let mut found: BTreeMap<String, Holdings> = BTreeMap::new();
    let prefix = org.map(|org| format!("{org}/")).unwrap_or_default();
    for space in Space::ALL {
        // The index of expiry times sorts by time: its entries belong to those that they point to.
        if matches!(space, Space::Expiry | Space::Meta) {
            continue;
        }
        let mut of_block = 0;
        pages(view, space, prefix.as_bytes(), |key, value| {
            let Some((org, rest)) = split_org(key) else {
                return Ok::<_, StoreError>(());
            };
            let holdings = match found.get_mut(org) {
                Some(holdings) => holdings,
                None => found.entry(org.to_owned()).or_default(),
            };
            holdings.bytes += (key.len() + value.len()) as u64;
            if space == Space::Shelf(Shelf::Queue) {
                holdings.count_queued(rest, value, &mut of_block);
            } else if let Some(counter) = holdings.counter(space, rest) {
                *counter += 1;
            }
            Ok(())
        })?;
    }
    Ok(found)
}

impl Holdings {
    /// A block is as many deliveries as are left of it, which the next entry may say: `of_block` is what was counted.
    fn count_queued(&mut self, key: &[u8], value: &Bytes, of_block: &mut u64) {
        match parse_queue(key) {
            Some(QueueKey::Block(first)) => {
                *of_block = block::read(first, value).map_or(1, |block| block.records.len() as u64);
                self.deliveries += *of_block;
            }
            Some(QueueKey::Left(_)) => {
                let left = block::count_left(value).map_or(*of_block, |left| left.min(*of_block));
                self.deliveries -= *of_block - left;
                *of_block = left;
            }
            Some(QueueKey::Delivery(_)) | None => self.deliveries += 1,
        }
    }

    fn counter(&mut self, space: Space, key: &[u8]) -> Option<&mut u64> {
        match space {
            Space::Table(Table::Config) => Some(&mut self.accounts),
            Space::Table(Table::History | Table::Audit | Table::Usage)
            | Space::Log
            | Space::Expiry
            | Space::Meta
            | Space::Shelf(Shelf::Queue) => None,
            Space::Shelf(Shelf::Session) => match parse_session(key)? {
                (_, Kind::Session, _) => Some(&mut self.sessions),
                (_, Kind::Subscription, _) => Some(&mut self.subscriptions),
                (_, Kind::Progress | Kind::Received | Kind::Will | Kind::Numbers, _) => None,
            },
            Space::Shelf(Shelf::Message) => Some(&mut self.messages),
            Space::Shelf(Shelf::Retained) => Some(&mut self.retained),
            Space::Shelf(Shelf::Quarantine) => Some(&mut self.quarantined),
        }
    }
}
