//! Whether the messages of one publisher come once and in their order.

/// Messages back from the newest that are known one by one. An older one that comes now is late for certain, and taken
/// for one that had not come yet.
const REMEMBERED_MESSAGES: u64 = 128;

/// What is known of a publisher's messages that one subscriber got.
#[derive(Clone, Debug, Default)]
pub(super) struct Judge {
    /// One above the highest sequence that came.
    next: u64,
    /// Which of the last ones came; the lowest bit is `next - 1`.
    seen: u128,
}

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Later than all that came before it. There may be a gap between them.
    InOrder,
    /// After one that was published later.
    Late,
    /// Not for the first time.
    Repeated,
}

impl Judge {
    /// Takes note of a message.
    pub(super) fn judge(&mut self, sequence: u64) -> Verdict {
        if sequence >= self.next {
            let steps = sequence - self.next + 1;
            self.seen = if steps < REMEMBERED_MESSAGES {
                self.seen << steps | 1
            } else {
                1
            };
            self.next = sequence + 1;
            return Verdict::InOrder;
        }
        let back = self.next - 1 - sequence;
        if back >= REMEMBERED_MESSAGES {
            return Verdict::Late;
        }
        if self.seen >> back & 1 == 1 {
            return Verdict::Repeated;
        }
        self.seen |= 1 << back;
        Verdict::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(sequences: &[u64]) -> Vec<Verdict> {
        let mut judge = Judge::default();
        sequences.iter().map(|it| judge.judge(*it)).collect()
    }

    #[test]
    fn what_comes_in_order_is_in_order_also_over_a_gap() {
        assert_eq!(verdicts(&[0, 1, 2, 5, 500, 501]), [Verdict::InOrder; 6]);
    }

    #[test]
    fn a_message_that_fills_a_gap_is_late_once_and_then_repeated() {
        use Verdict::{InOrder, Late, Repeated};
        assert_eq!(verdicts(&[0, 0]), [InOrder, Repeated]);
        assert_eq!(
            verdicts(&[0, 3, 1, 1, 3]),
            [InOrder, InOrder, Late, Repeated, Repeated]
        );
        let far = REMEMBERED_MESSAGES;
        assert_eq!(
            verdicts(&[0, far, 0, 1, 1]),
            [InOrder, InOrder, Late, Late, Repeated]
        );
        assert_eq!(verdicts(&[0, far - 1, 0]), [InOrder, InOrder, Repeated]);
    }
}
