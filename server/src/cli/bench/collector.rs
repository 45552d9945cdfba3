//! A client that takes a known number of messages: those that a broker had kept.

use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use cloudsignal_core::codec::{Publish, SubAck};
use cloudsignal_core::{Instant, Packet};
use futures_util::future::{Either, select};
use tokio::time::sleep;

use super::link::Link;
use super::publisher::READS_PER_TURN_MAX;
use super::stamp::Stamp;
use super::subscriber::answer;
use crate::cli::client::with_text;
use crate::cli::exit::{Exit, Failure};
use crate::clock::Clock;

/// How long the next message may take before the rest counts as lost, in seconds.
const PATIENCE_SECS: u64 = 5;

/// What came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Collected {
    /// Different messages.
    pub(super) received: u64,
    pub(super) repeated: u64,
    /// Messages after one that was published later.
    pub(super) out_of_order: u64,
    pub(super) foreign: u64,
    /// When the last one came.
    pub(super) last_at: Instant,
}

/// Which messages are awaited, and which came.
#[derive(Debug)]
pub(super) struct Collection {
    run: u32,
    /// One bit for each.
    seen: Vec<u64>,
    wanted: u64,
    highest: Option<u64>,
    collected: Collected,
}

impl Collection {
    /// The first so many messages of a run.
    pub(super) fn new(run: u32, wanted: u64) -> Self {
        Self {
            run,
            seen: vec![0; wanted.div_ceil(64) as usize],
            wanted,
            highest: None,
            collected: Collected::default(),
        }
    }

    fn is_whole(&self) -> bool {
        self.collected.received >= self.wanted
    }

    /// Takes note of a payload.
    fn take(&mut self, payload: &[u8], now: Instant) {
        let stamp =
            Stamp::read(payload).filter(|stamp| stamp.run == self.run && stamp.sequence < self.wanted);
        let Some(Stamp { sequence, .. }) = stamp else {
            self.collected.foreign += 1;
            return;
        };
        let word = &mut self.seen[(sequence / 64) as usize];
        if *word >> (sequence % 64) & 1 == 1 {
            self.collected.repeated += 1;
            return;
        }
        *word |= 1 << (sequence % 64);
        self.collected.received += 1;
        self.collected.last_at = now;
        if self.highest.is_some_and(|highest| sequence < highest) {
            self.collected.out_of_order += 1;
        }
        self.highest = self.highest.max(Some(sequence));
    }
}

/// Takes messages until all have come, or none comes any more.
pub(super) async fn collect(
    link: &mut Link,
    collection: Collection,
    clock: &Clock,
) -> Result<Collected, Failure> {
    let collection = RefCell::new(collection);
    let collector = Collector {
        link,
        collection: &collection,
        clock,
        scratch: Vec::new(),
    };
    let silence = core::pin::pin!(silence(&collection));
    match select(collector, silence).await {
        Either::Left((result, _)) => result?,
        Either::Right(((), _)) => {}
    }
    let collected = collection.borrow().collected;
    Ok(collected)
}

/// Ends when nothing has come for a while.
async fn silence(collection: &RefCell<Collection>) {
    let received = || collection.borrow().collected.received;
    let mut before = None;
    while before != Some(received()) {
        before = Some(received());
        sleep(Duration::from_secs(PATIENCE_SECS)).await;
    }
}

struct Collector<'a> {
    link: &'a mut Link,
    collection: &'a RefCell<Collection>,
    clock: &'a Clock,
    scratch: Vec<u8>,
}

impl Future for Collector<'_> {
    type Output = Result<(), Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            link,
            collection,
            clock,
            scratch,
        } = self.get_mut();
        for _ in 0..READS_PER_TURN_MAX {
            let is_flushed = link.poll_flush(cx)?.is_ready();
            if is_flushed && collection.borrow().is_whole() {
                return Poll::Ready(Ok(()));
            }
            if !is_flushed && !link.outbox().has_room() {
                return Poll::Pending;
            }
            let mut now = None;
            let read = link.poll_packets(cx, scratch, |packet, outbox| {
                if let Packet::Publish(Publish { payload, .. }) = packet {
                    let now = *now.get_or_insert_with(|| clock.now());
                    collection.borrow_mut().take(payload, now);
                } else if let Packet::SubAck(suback) = packet {
                    granted(suback)?;
                }
                answer(packet, outbox)
            });
            ready!(read)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn granted(suback: &SubAck<'_>) -> Result<(), Failure> {
    let refused = suback.reasons.iter().find(|reason| reason.is_error());
    refused.map_or(Ok(()), |reason| {
        let reason = with_text(*reason, suback.reason_string);
        let text = format!("the broker refused a subscription: {reason}; choose other topics with --topic");
        Err(Failure::because(Exit::Refused, text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::stamp::STAMP_BYTES;

    fn payload(run: u32, sequence: u64) -> [u8; STAMP_BYTES] {
        let stamp = Stamp {
            run,
            publisher: 0,
            sequence,
            sent_at: Instant::ZERO,
        };
        let mut payload = [0; STAMP_BYTES];
        stamp.write(&mut payload);
        payload
    }

    #[test]
    fn every_message_counts_once_and_strange_ones_do_not() {
        let mut collection = Collection::new(9, 65);
        for sequence in [0, 64, 1, 64] {
            collection.take(&payload(9, sequence), Instant::from_micros(sequence));
        }
        collection.take(&payload(9, 65), Instant::ZERO);
        collection.take(&payload(8, 2), Instant::ZERO);
        collection.take(b"short", Instant::ZERO);
        let expected = Collected {
            received: 3,
            repeated: 1,
            out_of_order: 1,
            foreign: 3,
            last_at: Instant::from_micros(1),
        };
        assert_eq!(collection.collected, expected);
        for sequence in 2..64 {
            assert!(!collection.is_whole());
            collection.take(&payload(9, sequence), Instant::ZERO);
        }
        assert!(collection.is_whole());
    }
}
