//! Whether output should wait for more.
//!
//! The task that has something for a client runs first, and the client's own task next: what a thousand publishers
//! have for one subscriber would leave in a thousand writes. So a task that was woken for its output lets those go first
//! that are ready, once, and then writes everything. Where that brings nothing, as for a lone message, it is
//! seldom tried.

/// Times that output leaves at once after waiting has brought nothing.
const AT_ONCE_MAX: u8 = 15;

/// What the task of one connection knows about waiting.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gathering {
    /// Bytes that waited when it let others go first.
    seen_bytes: Option<usize>,
    /// Times to go before it tries again.
    at_once: u8,
}

impl Gathering {
    /// Whether to let others go first, with so many bytes waiting. Asked before each write; what came from the client
    /// just now is answered at once.
    pub(super) fn waits(&mut self, waiting_bytes: usize, has_read: bool) -> bool {
        if has_read {
            self.seen_bytes = None;
            return false;
        }
        if let Some(seen_bytes) = self.seen_bytes.take() {
            self.at_once = if waiting_bytes > seen_bytes {
                0
            } else {
                AT_ONCE_MAX
            };
            return false;
        }
        if waiting_bytes == 0 {
            return false;
        }
        if self.at_once > 0 {
            self.at_once -= 1;
            return false;
        }
        self.seen_bytes = Some(waiting_bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In how many of a hundred writes it waits, if waiting brings so many bytes.
    fn waits(more_bytes: usize) -> usize {
        let mut gathering = Gathering::default();
        let mut write = || {
            let waits = gathering.waits(100, false);
            if waits {
                assert!(!gathering.waits(100 + more_bytes, false), "once for each write");
            }
            waits
        };
        (0..100).filter(|_| write()).count()
    }

    #[test]
    fn it_waits_as_long_as_that_brings_something() {
        assert_eq!(waits(1), 100);
        assert_eq!(waits(0), 7, "one in sixteen");
    }

    #[test]
    fn nothing_waits_for_nothing() {
        assert!(!Gathering::default().waits(0, false));
    }

    #[test]
    fn an_answer_does_not_wait() {
        let mut gathering = Gathering::default();
        assert!(!gathering.waits(100, true));
        assert!(gathering.waits(100, false));
        assert!(!gathering.waits(100, true));
        assert!(gathering.waits(100, false), "it was not found useless");
    }
}
