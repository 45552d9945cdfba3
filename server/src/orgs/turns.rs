//! Organizations take turns: what one of them has set going is woken a few connections at a time.
//!
//! A message to ten thousand subscribers makes ten thousand connections ready to write. Woken all at once, they would
//! stand before everybody who comes after them, of whichever organization. So while there is more than one at work, a
//! hold wakes a few, and the others wait here, by organization. Each round wakes a few of every organization; the next
//! one comes when the worker has run what is ready and has looked for new events of the network. An organization thus
//! waits for a few connections of each other one, and never for a crowd.
//!
//! Bounded: a connection waits here at most once, since an outbox hands out its waker once and then counts as awake.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;
use tokio::sync::Notify;

use cloudsignal_broker::OrgId;
use cloudsignal_core::Instant;

use crate::orgs::company::Company;

/// Connections of one organization that are woken at once: less than a tenth of a millisecond of writing. With 32 a
/// quiet neighbour feels about a quarter more at its 99th percentile, with all at once twice as much.
const WAKES_AT_ONCE_MAX: usize = 8;

/// Connections that are to be woken, by organization.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    pub(crate) company: Company,
    waiting: Mutex<BTreeMap<OrgId, VecDeque<Waker>>>,
    somebody_waits: Notify,
    /// Whether rounds are made. Before that everybody is woken at once.
    has_rounds: AtomicBool,
}

impl Turns {
    /// Wakes connections of an organization: a crowd, in company, little by little. Leaves `wakers` empty.
    pub(crate) fn wake(&self, org: &OrgId, wakers: &mut Vec<Waker>, now: Instant) {
        let has_rounds = self.has_rounds.load(Ordering::Relaxed);
        if wakers.len() > WAKES_AT_ONCE_MAX && has_rounds && self.company.is_here(now) {
            let mut waiting = self.waiting.lock();
            let line = waiting.entry(org.clone()).or_default();
            // If some wait already, so do these: what comes for them meanwhile leaves with the same write.
            let at_once = if line.is_empty() { WAKES_AT_ONCE_MAX } else { 0 };
            line.extend(wakers.drain(at_once..));
            drop(waiting);
            self.somebody_waits.notify_one();
        }
        wakers.drain(..).for_each(Waker::wake);
    }

    /// One round. Answers whether there must be another one.
    fn round(&self) -> bool {
        let mut wakers = Vec::new();
        let mut waiting = self.waiting.lock();
        waiting.retain(|_, line| {
            wakers.extend(line.drain(..WAKES_AT_ONCE_MAX.min(line.len())));
            !line.is_empty()
        });
        let somebody_waits = !waiting.is_empty();
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
        somebody_waits
    }

    /// Makes rounds until it is dropped.
    pub(crate) async fn run(&self) {
        self.has_rounds.store(true, Ordering::Relaxed);
        loop {
            self.somebody_waits.notified().await;
            tokio::task::yield_now().await;
            while self.round() {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    const NOW: Instant = Instant::ZERO;

    /// Says its name when it is woken.
    struct Sleeper {
        name: &'static str,
        woken: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.woken.lock().push(self.name);
        }
    }

    type Woken = Arc<Mutex<Vec<&'static str>>>;

    fn wake(turns: &Turns, name: &'static str, count: usize, woken: &Woken) {
        let sleeper = Sleeper {
            name,
            woken: Arc::clone(woken),
        };
        let mut wakers = vec![Arc::new(sleeper).into(); count];
        turns.wake(&OrgId::new(name), &mut wakers, NOW);
        assert!(wakers.is_empty());
    }

    fn count(woken: &Woken, name: &str) -> usize {
        let mut woken = woken.lock();
        let before = woken.len();
        woken.retain(|it| *it != name);
        before - woken.len()
    }

    /// Turns of more than one organization.
    fn company() -> Turns {
        let turns = Turns::default();
        for _ in 0..2 {
            turns.company.note(turns.company.number(), NOW);
        }
        turns
    }

    fn turns() -> (Turns, Woken) {
        let turns = company();
        turns.has_rounds.store(true, Ordering::Relaxed);
        (turns, Woken::default())
    }

    #[test]
    fn a_crowd_is_woken_a_few_at_a_time() {
        let (turns, woken) = turns();
        wake(&turns, "crowd", 2 * WAKES_AT_ONCE_MAX + 1, &woken);
        assert_eq!(count(&woken, "crowd"), WAKES_AT_ONCE_MAX);
        assert!(turns.round(), "one is left");
        assert_eq!(count(&woken, "crowd"), WAKES_AT_ONCE_MAX);
        assert!(!turns.round());
        assert_eq!(count(&woken, "crowd"), 1);
        assert!(turns.waiting.lock().is_empty(), "nothing is kept");
    }

    #[test]
    fn each_organization_gets_as_much_of_a_round() {
        let (turns, woken) = turns();
        wake(&turns, "huge", 100 * WAKES_AT_ONCE_MAX, &woken);
        wake(&turns, "large", 2 * WAKES_AT_ONCE_MAX, &woken);
        wake(&turns, "small", 1, &woken);
        assert_eq!(count(&woken, "small"), 1, "it does not wait at all");
        for name in ["huge", "large"] {
            assert_eq!(count(&woken, name), WAKES_AT_ONCE_MAX);
        }
        assert!(turns.round());
        for name in ["huge", "large"] {
            assert_eq!(count(&woken, name), WAKES_AT_ONCE_MAX);
        }
    }

    #[test]
    fn whoever_is_alone_does_not_wait() {
        let (turns, woken) = (Turns::default(), Woken::default());
        turns.has_rounds.store(true, Ordering::Relaxed);
        wake(&turns, "crowd", 1_000, &woken);
        assert_eq!(count(&woken, "crowd"), 1_000);
    }

    #[test]
    fn without_rounds_nobody_is_left_behind() {
        let (turns, woken) = (company(), Woken::default());
        wake(&turns, "crowd", 1_000, &woken);
        assert_eq!(count(&woken, "crowd"), 1_000);
    }

    #[tokio::test]
    async fn rounds_are_made_until_nobody_waits() {
        let (turns, woken) = (company(), Woken::default());
        let rounds = turns.run();
        let crowd = async {
            while !turns.has_rounds.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
            for _ in 0..2 {
                wake(&turns, "crowd", 10 * WAKES_AT_ONCE_MAX, &woken);
                assert_eq!(count(&woken, "crowd"), WAKES_AT_ONCE_MAX);
                let mut rest = 0;
                while rest < 9 * WAKES_AT_ONCE_MAX {
                    tokio::task::yield_now().await;
                    rest += count(&woken, "crowd");
                }
            }
        };
        tokio::select! {
            () = rounds => unreachable!("it runs until it is dropped"),
            () = crowd => {}
        }
    }
}
