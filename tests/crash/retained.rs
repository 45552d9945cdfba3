//! What a retained topic may hold: the last acknowledged write, or a later one whose acknowledgement has not come.

use std::collections::VecDeque;

/// The writes of one topic that still matter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    writes: VecDeque<Write>,
}

#[derive(Clone, Copy, Debug)]
struct Write {
    number: u64,
    value: Value,
    standing: Standing,
}

/// What a write says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A message with its number.
    Number,
    /// No payload: the topic holds nothing any more.
    Clear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Open,
    Acknowledged,
}

impl Shelf {
    pub(crate) fn sent(&mut self, number: u64, value: Value) {
        self.writes.push_back(Write {
            number,
            value,
            standing: Standing::Open,
        });
    }

    /// Everything before an acknowledged write is history.
    pub(crate) fn acked(&mut self, number: u64) {
        let Some(place) = self.writes.iter().position(|write| write.number == number) else {
            return;
        };
        self.writes[place].standing = Standing::Acknowledged;
        self.writes.drain(..place);
    }

    /// The broker said no: this write is not to be seen.
    pub(crate) fn refused(&mut self, number: u64) {
        self.writes.retain(|write| write.number != number);
    }

    /// What may be there: numbers, or nothing.
    pub(crate) fn allowed(&self) -> Vec<Option<u64>> {
        let has_base = self
            .writes
            .front()
            .is_some_and(|write| write.standing == Standing::Acknowledged);
        let untouched = (!has_base).then_some(None);
        let written = self.writes.iter().map(|write| match write.value {
            Value::Number => Some(write.number),
            Value::Clear => None,
        });
        untouched.into_iter().chain(written).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_acknowledged_write_or_a_later_one() {
        let mut shelf = Shelf::default();
        assert_eq!(shelf.allowed(), [None]);
        shelf.sent(0, Value::Number);
        assert_eq!(shelf.allowed(), [None, Some(0)]);
        shelf.sent(1, Value::Number);
        shelf.acked(0);
        assert_eq!(shelf.allowed(), [Some(0), Some(1)]);
        shelf.sent(2, Value::Clear);
        shelf.acked(1);
        assert_eq!(shelf.allowed(), [Some(1), None]);
        shelf.acked(2);
        assert_eq!(shelf.allowed(), [None]);
        shelf.sent(3, Value::Number);
        shelf.refused(3);
        assert_eq!(shelf.allowed(), [None]);
    }
}
