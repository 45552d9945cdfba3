//! A client that publishes as fast as its window allows.

use core::convert::Infallible;
use core::task::{Context, Poll, ready};

use cloudsignal_core::Packet;
use cloudsignal_core::codec::{Ack, AckKind, ReasonCode};

use super::floor::Floor;
use super::lane::Lane;
use super::link::{Link, Outbox};
use super::stamp::Stamp;
use super::template::Template;
use crate::cli::client::with_text;
use crate::cli::exit::{Exit, Failure};

/// The same in every version.
const PINGREQ: &[u8] = &[0xC0, 0];

/// Reads that one turn does before others have theirs.
pub(super) const READS_PER_TURN_MAX: usize = 4;

/// A connected publisher.
pub(super) struct Publisher<'a> {
    pub(super) link: Link,
    floor: &'a Floor,
    lane: &'a Lane,
    /// Its place on the floor, and its number in the run.
    place: usize,
    number: u32,
    /// One for each of its topics; they take turns.
    templates: Vec<Template>,
    end: Option<End>,
}

/// The end of a publisher that has a certain number of messages.
struct End {
    messages: u64,
    /// The broker has seen all of them when it has answered a question that follows them.
    is_asked: bool,
}

impl<'a> Publisher<'a> {
    /// The publisher that has this place on the floor.
    pub(super) fn new(link: Link, floor: &'a Floor, place: usize, templates: Vec<Template>) -> Self {
        Self {
            link,
            floor,
            lane: &floor.lanes[place],
            place,
            number: floor.first_publisher + place as u32,
            templates,
            end: None,
        }
    }

    /// Publishes so many messages, then closes the floor.
    pub(super) fn only(mut self, messages: u64) -> Self {
        let is_asked = false;
        self.end = Some(End { messages, is_asked });
        self
    }

    /// Does what there is to do.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<Infallible, Failure>> {
        self.lane.listen(cx);
        let mut reads = 0;
        while reads < READS_PER_TURN_MAX && self.poll_acks(cx)?.is_ready() {
            reads += 1;
        }
        if reads == READS_PER_TURN_MAX {
            cx.waker().wake_by_ref();
        }
        loop {
            ready!(self.link.poll_flush(cx))?;
            if !self.publish() {
                return Poll::Pending;
            }
        }
    }

    fn poll_acks(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let (lane, floor) = (self.lane, self.floor);
        let mut scratch = floor.scratch.borrow_mut();
        let read = self.link.poll_packets(cx, &mut scratch, |packet, outbox| {
            if matches!(packet, Packet::PingResp) {
                floor.close();
            }
            on_packet(packet, lane, outbox)
        });
        ready!(read)?;
        self.floor.on_change();
        Poll::Ready(Ok(()))
    }

    /// Puts a batch into the outbox, if there is room for one. Answers whether it did.
    fn publish(&mut self) -> bool {
        if self.floor.is_closing() || !self.lane.has_room() {
            return false;
        }
        let (now, schedule) = (self.floor.now(), self.floor.schedule.get());
        let outbox = self.link.outbox();
        let before = outbox.bytes.len();
        while outbox.has_room() {
            if let Some(end) = self.end.as_mut().filter(|end| end.messages <= self.lane.sent()) {
                if !core::mem::replace(&mut end.is_asked, true) {
                    outbox.bytes.extend_from_slice(PINGREQ);
                }
                break;
            }
            let due = schedule.map(|schedule| schedule.due(self.place, self.lane.sent()));
            let sent_at = due.unwrap_or(now);
            if sent_at > now {
                break;
            }
            let Some((sequence, packet_id)) = self.lane.take() else {
                break;
            };
            let stamp = Stamp {
                run: self.floor.run,
                publisher: self.number,
                sequence,
                sent_at,
            };
            let turn = sequence % self.templates.len() as u64;
            self.templates[turn as usize].push(packet_id, &stamp, &mut outbox.bytes);
        }
        outbox.bytes.len() > before
    }
}

fn on_packet(packet: &Packet<'_>, lane: &Lane, outbox: &mut Outbox) -> Result<(), Failure> {
    if let Packet::PubAck(ack) = packet {
        accepted(ack)?;
        lane.on_ack(ack.packet_id);
    } else if let Packet::PubRec(ack) = packet {
        accepted(ack)?;
        let released = outbox.ack(AckKind::PubRel, ack.packet_id);
        released.map_err(|error| Failure::new(Exit::Failed, error))?;
    } else if let Packet::PubComp(ack) = packet {
        lane.on_ack(ack.packet_id);
    }
    Ok(())
}

/// Ends the run when the broker has refused a message.
fn accepted(ack: &Ack<'_>) -> Result<(), Failure> {
    if !ack.reason.is_error() {
        return Ok(());
    }
    let reason = with_text(ack.reason, ack.reason_string);
    let advice = if ack.reason == ReasonCode::NotAuthorized {
        "; let the user publish there, or choose other topics with --topic"
    } else if ack.reason == ReasonCode::QuotaExceeded {
        "; raise the organization's quotas, or ask for less with --rate"
    } else {
        ""
    };
    let text = format!("the broker refused a message: {reason}{advice}");
    Err(Failure::because(Exit::Refused, text))
}
