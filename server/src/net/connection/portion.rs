//! How much a connection reads at once.
//!
//! While its organization is alone, as much as fits the buffer. In company it is less: bytes say little about the work
//! that is in them, since what a message costs is decided by its subscribers. So each turn shows how much work its
//! bytes were, and the next one reads as many bytes as will be about one portion of it. A connection begins small and
//! doubles at most, so that its first burst does not come as a surprise.

/// Least that is read at once, in bytes: a few small messages.
const READ_BYTES_MIN: u32 = 256;
/// What a connection reads at first, in bytes.
const READ_BYTES_FIRST: u32 = 4 * 1_024;
/// Most that is read at once, in bytes.
pub(super) const READ_BYTES_MAX: u32 = 64 * 1_024;
/// Work of one portion, in packets that are sent: some tenths of a millisecond. With less of it a crowd would be sent
/// its messages one by one, and each write costs as much as a hundred messages.
pub(super) const PORTION_WORK: usize = 4_096;
/// Work of handling a packet, beside what is sent for it.
pub(super) const PACKET_WORK: usize = 4;

/// What one connection reads at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Portion {
    bytes: u32,
}

impl Default for Portion {
    fn default() -> Self {
        Self {
            bytes: READ_BYTES_FIRST,
        }
    }
}

impl Portion {
    pub(super) const LARGEST: Self = Self {
        bytes: READ_BYTES_MAX,
    };

    pub(super) const fn bytes(self) -> usize {
        self.bytes as usize
    }

    /// A turn over so many bytes was so much work.
    pub(super) fn learn(&mut self, bytes: usize, work: usize) {
        let fitting = bytes.saturating_mul(PORTION_WORK) / work.max(1);
        let bytes_max = self.bytes.saturating_mul(2).min(READ_BYTES_MAX);
        self.bytes = u32::try_from(fitting)
            .unwrap_or(u32::MAX)
            .clamp(READ_BYTES_MIN, bytes_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read in each of some turns if every message is `message_bytes` long and makes so much work.
    fn reads(message_bytes: usize, work_each: usize, turns: usize) -> Vec<usize> {
        let mut portion = Portion::default();
        (0..turns)
            .map(|_| {
                let bytes = portion.bytes();
                portion.learn(bytes, bytes / message_bytes * work_each);
                bytes
            })
            .collect()
    }

    #[test]
    fn a_stream_to_one_subscriber_is_soon_read_in_large_pieces() {
        assert_eq!(reads(100, 5, 6), [4_096, 8_192, 16_384, 32_768, 65_536, 65_536]);
    }

    #[test]
    fn a_stream_to_a_crowd_is_read_in_small_pieces() {
        let crowd = reads(100, 1_000, 4);
        assert_eq!(crowd[0], 4_096);
        assert!(
            crowd[1..].iter().all(|bytes| (400..600).contains(bytes)),
            "{crowd:?}"
        );
    }

    #[test]
    fn a_piece_is_at_most_a_portion_however_the_stream_changes() {
        let mut portion = Portion::default();
        for _ in 0..10 {
            portion.learn(60, 10);
        }
        let calm = portion.bytes();
        assert_eq!(calm, 6 * PORTION_WORK);
        portion.learn(calm, 50 * PORTION_WORK);
        let wild = portion.bytes();
        assert_eq!(wild, calm / 50);
        portion.learn(wild, 0);
        assert_eq!(portion.bytes(), 2 * wild, "it doubles at most");
    }

    #[test]
    fn the_beginning_of_a_large_packet_lets_it_read_more() {
        assert_eq!(reads(usize::MAX, 1, 6).last(), Some(&(READ_BYTES_MAX as usize)));
    }
}
