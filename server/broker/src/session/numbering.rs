//! How far the numbered publishes of a client have come, so that none is routed twice.

use alloc::vec::Vec;

use crate::change::{PublishNumbers, RefusedPublish};
use crate::sink::Ticket;

/// What a session knows of its client's publishes.
#[derive(Debug)]
pub(crate) struct Numbering {
    numbers: PublishNumbers,
    /// When that is stored, as far as it has to be.
    pub(crate) stored_with: Ticket,
}

impl Numbering {
    /// Of a client that counts under `epoch`, and of which nothing has come.
    pub(crate) const fn new(epoch: u64) -> Self {
        Self::restored(PublishNumbers {
            epoch,
            through: 0,
            refused: Vec::new(),
        })
    }

    pub(crate) const fn restored(numbers: PublishNumbers) -> Self {
        Self {
            numbers,
            stored_with: Ticket(0),
        }
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.numbers.epoch
    }

    pub(crate) const fn numbers(&self) -> &PublishNumbers {
        &self.numbers
    }

    /// Whether a publish is a repetition of one that was not refused.
    pub(crate) fn has_taken(&self, sequence: u64) -> bool {
        let is_it = |refused: &RefusedPublish| refused.sequence == sequence;
        sequence <= self.numbers.through && !self.numbers.refused.iter().any(is_it)
    }

    /// A publish was taken.
    pub(crate) fn take(&mut self, packet_id: u16, sequence: u64) {
        self.forget(packet_id, sequence);
        self.numbers.through = self.numbers.through.max(sequence);
    }

    /// A publish was refused. If its client does not hear of that it comes again, and may be taken then.
    ///
    /// The client has heard of one that it names no more: its packet id stands for another one. It has also heard of
    /// all but the last `unanswered_max`, which is how many it may have unanswered: answers arrive in order.
    pub(crate) fn refuse(&mut self, packet_id: u16, sequence: u64, unanswered_max: u16) {
        self.take(packet_id, sequence);
        let refused = &mut self.numbers.refused;
        refused.push(RefusedPublish { packet_id, sequence });
        let surplus = refused.len().saturating_sub(usize::from(unanswered_max));
        refused.drain(..surplus);
    }

    fn forget(&mut self, packet_id: u16, sequence: u64) {
        let is_other = |it: &RefusedPublish| it.packet_id != packet_id && it.sequence != sequence;
        self.numbers.refused.retain(is_other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_taken_once_and_what_was_refused_may_come_again() {
        let mut numbering = Numbering::new(9);
        assert!(!numbering.has_taken(1));
        numbering.take(1, 1);
        numbering.refuse(2, 2, 10);
        numbering.take(3, 3);
        assert!(numbering.has_taken(1) && !numbering.has_taken(2) && numbering.has_taken(3));
        numbering.take(2, 2);
        assert!(numbering.has_taken(2) && !numbering.has_taken(4));
        assert!(numbering.numbers().refused.is_empty());
        assert_eq!(numbering.numbers().through, 3);
    }

    #[test]
    fn a_refusal_is_remembered_until_its_client_has_heard_of_it() {
        let mut numbering = Numbering::new(9);
        numbering.refuse(1, 1, 10);
        numbering.take(1, 2);
        assert!(numbering.has_taken(1), "packet id 1 is free again: it has heard");
        (3..=9).for_each(|it| numbering.refuse(it, it.into(), 4));
        let left: Vec<u64> = numbering.numbers().refused.iter().map(|it| it.sequence).collect();
        assert_eq!(left, [6, 7, 8, 9]);
        numbering.refuse(9, 9, 4);
        assert_eq!(numbering.numbers().refused.len(), 4, "refused again");
    }
}
