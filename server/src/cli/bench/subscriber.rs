//! A client that receives, acknowledges and judges.

use core::convert::Infallible;
use core::task::{Context, Poll, ready};

use cloudsignal_core::codec::{AckKind, PacketId, Publish};
use cloudsignal_core::{Instant, Packet, Qos};

use super::floor::{Floor, Score};
use super::judge::{Judge, Verdict};
use super::link::{Link, Outbox};
use super::publisher::READS_PER_TURN_MAX;
use super::stamp::Stamp;
use crate::cli::exit::{Exit, Failure};

/// A connected subscriber.
pub(super) struct Subscriber<'a> {
    pub(super) link: Link,
    floor: &'a Floor,
    /// Place of the first publisher that it hears.
    first_heard: usize,
    /// One for each publisher that it hears.
    judges: Vec<Judge>,
}

impl<'a> Subscriber<'a> {
    /// A subscriber that hears the publishers at these places.
    pub(super) fn new(link: Link, floor: &'a Floor, heard: core::ops::Range<usize>) -> Self {
        Self {
            link,
            floor,
            first_heard: heard.start,
            judges: vec![Judge::default(); heard.len()],
        }
    }

    /// Does what there is to do.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<Infallible, Failure>> {
        for _ in 0..READS_PER_TURN_MAX {
            let flushed = self.link.poll_flush(cx)?;
            if flushed.is_pending() && !self.link.outbox().has_room() {
                return Poll::Pending; // Who does not take our acknowledgements gets no reader either.
            }
            ready!(self.poll_messages(cx))?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_messages(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let floor = self.floor;
        let (mut scratch, mut score) = (floor.scratch.borrow_mut(), floor.score.borrow_mut());
        let (first_heard, judges) = (self.first_heard, &mut self.judges);
        let mut now = None;
        let read = self.link.poll_packets(cx, &mut scratch, |packet, outbox| {
            if let Packet::Publish(publish) = packet {
                let now = *now.get_or_insert_with(|| floor.now());
                receive(publish, now, floor, first_heard, judges, &mut score);
                acknowledge(publish, outbox)
            } else if let Packet::PubRel(ack) = packet {
                acknowledged(outbox, AckKind::PubComp, ack.packet_id)
            } else {
                Ok(())
            }
        });
        ready!(read)?;
        floor.show(score.delivered);
        floor.on_change();
        Poll::Ready(Ok(()))
    }
}

/// Counts a message.
fn receive(
    publish: &Publish<'_>,
    now: Instant,
    floor: &Floor,
    first_heard: usize,
    judges: &mut [Judge],
    score: &mut Score,
) {
    let stamp = Stamp::read(publish.payload).filter(|stamp| stamp.run == floor.run);
    let place =
        stamp.and_then(|stamp| (stamp.publisher as usize).checked_sub(floor.first_publisher as usize));
    let judge = place.and_then(|place| judges.get_mut(place.checked_sub(first_heard)?));
    let (Some(stamp), Some(place), Some(judge)) = (stamp, place, judge) else {
        score.foreign += 1;
        return;
    };
    score.delivered += 1;
    score.latencies.note(stamp.age(now));
    match judge.judge(stamp.sequence) {
        Verdict::InOrder => {}
        Verdict::Late => score.out_of_order += 1,
        Verdict::Repeated => {
            score.repeated += 1;
            return;
        }
    }
    floor.lanes[place].on_delivery(stamp.sequence);
}

fn acknowledge(publish: &Publish<'_>, outbox: &mut Outbox) -> Result<(), Failure> {
    match (publish.qos, publish.packet_id) {
        (Qos::AtLeastOnce, Some(id)) => acknowledged(outbox, AckKind::PubAck, id),
        (Qos::ExactlyOnce, Some(id)) => acknowledged(outbox, AckKind::PubRec, id),
        (Qos::AtMostOnce | Qos::AtLeastOnce | Qos::ExactlyOnce, _) => Ok(()),
    }
}

fn acknowledged(outbox: &mut Outbox, kind: AckKind, packet_id: PacketId) -> Result<(), Failure> {
    outbox
        .ack(kind, packet_id)
        .map_err(|error| Failure::new(Exit::Failed, error))
}
