//! Buffers that belong to a thread and are lent to whichever connection is at work on it.
//!
//! An idle connection holds none. A busy one takes a buffer that is warm in the cache, and the allocator is
//! not asked.

use std::cell::RefCell;

/// Buffers that one thread keeps.
const KEPT_MAX: usize = 64;
/// A larger buffer goes back to the allocator: at most 64 × 64 KiB stay with a thread.
const KEPT_BYTES_MAX: usize = 64 * 1_024;
/// What a new buffer can take: a few small packets.
const FRESH_BYTES: usize = 512;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(crate) fn take() -> Vec<u8> {
    KEPT.with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| Vec::with_capacity(FRESH_BYTES))
}

/// Gives a buffer back, whatever is in it.
pub(crate) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > KEPT_BYTES_MAX {
        return;
    }
    buffer.clear();
    KEPT.with_borrow_mut(|kept| {
        if kept.len() < KEPT_MAX {
            kept.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_as_large_as_it_was() {
        let mut buffer = take();
        buffer.extend_from_slice(&[1; 3_000]);
        let (at, capacity) = (buffer.as_ptr(), buffer.capacity());
        give(buffer);
        let again = take();
        assert!(again.is_empty());
        assert_eq!((again.as_ptr(), again.capacity()), (at, capacity));
    }

    #[test]
    fn a_thread_keeps_a_bounded_number_of_bytes() {
        give(Vec::with_capacity(KEPT_BYTES_MAX + 1));
        for _ in 0..2 * KEPT_MAX {
            give(Vec::with_capacity(1_024));
        }
        let (count, bytes) =
            KEPT.with_borrow(|kept| (kept.len(), kept.iter().map(Vec::capacity).sum::<usize>()));
        assert_eq!(count, KEPT_MAX);
        assert!(bytes <= KEPT_MAX * KEPT_BYTES_MAX);
        assert!(
            bytes < KEPT_BYTES_MAX + KEPT_MAX * 2_048,
            "the large one was not kept"
        );
    }
}
