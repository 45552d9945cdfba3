//! A client that receives, acknowledges and judges.

use core::convert::Infallible;
use core::task::{Context, Poll, ready};

use cloudsignal_core::codec::{AckKind, Publish};
use cloudsignal_core::{Instant, Packet, Qos};

use super::cast::SubscriberPart;
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
    ear: Ear,
}

/// What a subscriber knows of what it heard.
struct Ear {
    /// Place of the first publisher that it hears.
    first_heard: usize,
    /// One for each publisher that it hears.
    judges: Vec<Judge>,
    /// The group with which it shares them.
    group: Option<usize>,
}

impl<'a> Subscriber<'a> {
    /// A subscriber that hears these publishers.
    pub(super) fn new(link: Link, floor: &'a Floor, part: &SubscriberPart) -> Self {
        let ear = Ear {
            first_heard: part.hears.start,
            judges: vec![Judge::default(); part.hears.len()],
            group: part.group,
        };
        Self { link, floor, ear }
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
        let ear = &mut self.ear;
        let mut now = None;
        let read = self.link.poll_packets(cx, &mut scratch, |packet, outbox| {
            if let Packet::Publish(publish) = packet {
                let now = *now.get_or_insert_with(|| floor.now());
                ear.hear(publish, now, floor, &mut score);
            }
            answer(packet, outbox)
        });
        ready!(read)?;
        floor.show(score.delivered);
        floor.on_change();
        Poll::Ready(Ok(()))
    }
}

impl Ear {
    /// Counts a message.
    fn hear(&mut self, publish: &Publish<'_>, now: Instant, floor: &Floor, score: &mut Score) {
        let stamp = Stamp::read(publish.payload).filter(|stamp| stamp.run == floor.run);
        let place = stamp.and_then(|stamp| stamp.publisher.checked_sub(floor.first_publisher));
        let place = place.map(|place| place as usize);
        let judge = place.and_then(|place| self.judges.get_mut(place.checked_sub(self.first_heard)?));
        let (Some(stamp), Some(place), Some(judge)) = (stamp, place, judge) else {
            score.foreign += 1;
            return;
        };
        score.delivered += 1;
        score.latencies.note(stamp.age(now));
        let verdict = judge.judge(stamp.sequence);
        // In a group, the others may have got it before. What they got later says nothing about the order.
        let group = self
            .group
            .map(|group| floor.groups[group].borrow_mut()[place].judge(stamp.sequence));
        if verdict == Verdict::Repeated || group == Some(Verdict::Repeated) {
            score.repeated += 1;
            return;
        }
        if verdict == Verdict::Late {
            score.out_of_order += 1;
        }
        if floor.lanes[place].on_delivery(stamp.sequence) {
            score.lasts.note(stamp.age(now));
        }
    }
}

/// Answers what wants an answer of a subscriber.
pub(super) fn answer(packet: &Packet<'_>, outbox: &mut Outbox) -> Result<(), Failure> {
    let (kind, packet_id) = if let Packet::Publish(publish) = packet {
        match (publish.qos, publish.packet_id) {
            (Qos::AtLeastOnce, Some(id)) => (AckKind::PubAck, id),
            (Qos::ExactlyOnce, Some(id)) => (AckKind::PubRec, id),
            (Qos::AtMostOnce | Qos::AtLeastOnce | Qos::ExactlyOnce, _) => return Ok(()),
        }
    } else if let Packet::PubRel(ack) = packet {
        (AckKind::PubComp, ack.packet_id)
    } else {
        return Ok(());
    };
    outbox
        .ack(kind, packet_id)
        .map_err(|error| Failure::new(Exit::Failed, error))
}
