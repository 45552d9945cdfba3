//! Entries of queues, one by one: what is in a block comes back delivery by delivery, in its place among the others.

use std::collections::VecDeque;

use bytes::Bytes;

use cloudsignal_broker::Unfit;

use super::super::block::{self, ReadBlock};
use super::super::keys::{KeyBytes, QueueKey, parse_queue};
use super::super::known::DeliveryName;
use super::super::record::Reader;
use super::{Fault, Reading, RestoreError};
use crate::store::Shelf;

/// A block of which not all deliveries were read back yet.
pub(super) struct OpenBlock {
    first: DeliveryName,
    /// By their orders.
    records: VecDeque<(u64, Bytes)>,
}

impl Reading<'_> {
    /// An entry of a queue. Which deliveries of a block are left is said by the entry behind it, so they wait for that.
    pub(super) async fn queued_entry(
        &mut self,
        key: &Bytes,
        value: &Bytes,
    ) -> Result<Result<(), Fault>, RestoreError> {
        match parse_queue(key) {
            Some(QueueKey::Delivery(name)) => {
                self.block_before(Some(name)).await?;
                self.delivery(name, key, value).await
            }
            Some(QueueKey::Block(first)) => {
                self.block_before(None).await?;
                Ok(self.begin_block(first, value))
            }
            Some(QueueKey::Left(first)) => Ok(self.keep_left(first, value)),
            None => Ok(Err(Fault::Key)),
        }
    }

    fn begin_block(&mut self, first: DeliveryName, value: &Bytes) -> Result<(), Fault> {
        if !self.sessions.contains(&first.0) {
            return Err(Unfit::NoSession.into());
        }
        let ReadBlock { block, records } = block::read(first, value)?;
        self.known.note_block(first, block);
        let records = records.into();
        self.block = Some(OpenBlock { first, records });
        Ok(())
    }

    fn keep_left(&mut self, first: DeliveryName, value: &[u8]) -> Result<(), Fault> {
        let Some(open) = self.block.as_mut().filter(|open| open.first == first) else {
            // Its block is not there: nobody needs it.
            return Err(Unfit::NoSession.into());
        };
        let left = Reader::new(value, &self.durability.clock)?.left()?;
        let is_left = |order: u64| left >> (order - first.1) & 1 == 1;
        open.records.retain(|(order, _)| is_left(*order));
        if self.known.note_left(first, left) {
            return Ok(());
        }
        // The commit that took the last one should have removed it.
        self.blocks_left.insert(first);
        Ok(())
    }

    /// Deliveries of the block that come before another one; all of them, before none.
    pub(super) async fn block_before(&mut self, next: Option<DeliveryName>) -> Result<(), RestoreError> {
        let Some(mut open) = self.block.take() else {
            return Ok(());
        };
        let mut key = KeyBytes::default();
        while let Some((order, record)) = open.records.pop_front() {
            let name = (open.first.0, order);
            if next.is_some_and(|next| next < name) {
                open.records.push_front((order, record));
                self.block = Some(open);
                return Ok(());
            }
            let key = Bytes::copy_from_slice(key.delivery(name));
            if let Err(fault) = self.delivery(name, &key, &record).await? {
                self.set_aside(Shelf::Queue, &key, &record, &fault);
            }
        }
        Ok(())
    }
}
