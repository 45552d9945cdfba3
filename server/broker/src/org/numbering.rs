//! Numbers of messages in a session (`docs/numbering.md`): who has them, and why none comes twice.
//!
//! What a client is sent at QoS 1 and 2 carries the order of the delivery in its session. A client takes what is not
//! above the last one for a repetition, so an order must never be another message's, also not after a crash that lost
//! the last orders:
//!
//! - In one session of one run they rise by one and one.
//! - Every run of the process counts as one more, in the store, before anything is delivered; its orders have that
//!   number in front. So all of them are above those of every run before, whatever of these was stored.
//! - A session that ends leaves its last order as the floor of those that come after it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use cloudsignal_core::codec::{ConnAck, Connect, Packet, PacketId, Publish, ReasonCode, UserProperties};
use cloudsignal_core::{Instant, Qos};

use super::Org;
use super::packet::Fault;
use crate::message::Publication;
use crate::session::{Connection, Numbering, Session};
use crate::sink::{Sink, Ticket};
use crate::turn::{Desk, Turn};

/// Bits of an order that count within one run: at 100 000 deliveries a second they last for 500 days.
const ORDER_BITS: u32 = 42;
/// Runs that the other bits can count.
const RUNS_MAX: u64 = 1 << (u64::BITS - ORDER_BITS);

const BAD_NUMBER: Fault = Fault::protocol("a cs-seq that is not one number of 16 hexadecimal digits above 0");

impl Org {
    /// From now on whoever asks for it has numbered messages. `run` must be higher than in every earlier run with the
    /// same store; with 0, or more than 4 million, nobody has them. Call it before anything comes back with
    /// [`Restoring`](super::restore::Restoring).
    pub fn number_messages(&mut self, run: u64) {
        if (1..RUNS_MAX).contains(&run) {
            self.desk.numbers = true;
            self.desk.order_floor = run << ORDER_BITS;
        }
    }
}

impl Org {
    /// A publish that was taken when it came first comes again. It is answered as it was then: not before what that one
    /// changed is stored.
    pub(super) fn answer_again(
        &mut self,
        place: u32,
        publish: &Publish<'_>,
        packet_id: PacketId,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        let session = &mut self.sessions[place as usize];
        if let (Some(numbering), Some(conn)) = (session.numbering.as_deref(), session.conn.as_deref_mut())
            && numbering.stored_with > self.desk.stored
        {
            conn.hold_until(&mut self.desk, numbering.stored_with);
        }
        self.acknowledge(place, publish, packet_id, ReasonCode::Success, now, sink);
    }

    /// A numbered publish has come, and its client is going to be told this. If anything of it has to be stored, so has
    /// its number.
    pub(super) fn note_number(
        &mut self,
        place: u32,
        packet_id: PacketId,
        sequence: u64,
        told: ReasonCode,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        let Self { sessions, desk, .. } = self;
        let session = &mut sessions[place as usize];
        let Some(numbering) = session.numbering.as_deref_mut() else {
            return;
        };
        if told.is_error() {
            numbering.refuse(packet_id.get(), sequence, desk.limits.receive_max);
        } else {
            numbering.take(packet_id.get(), sequence);
        }
        if !desk.changed || session.expiry_secs == 0 {
            return;
        }
        numbering.stored_with = desk.ticket;
        if let Some(change) = session.numbered() {
            Turn { desk, now, sink }.store(change);
        }
    }
}

impl Session {
    /// Whether the connection that begins is numbered: its client counts under `epoch` then.
    pub(super) fn count_under(&mut self, epoch: Option<u64>) -> bool {
        let Some(epoch) = epoch else { return false };
        let known = self.numbering.as_deref().map(Numbering::epoch);
        if known != Some(epoch) {
            self.numbering = Some(Box::new(Numbering::new(epoch)));
        }
        true
    }
}

impl Desk {
    /// The number under which the client counts its messages, if it wants numbers and can have them.
    pub(super) fn numbers_of(&self, connect: &Connect<'_>) -> Option<u64> {
        let epoch = connect.user_properties.sequence().ok()?;
        epoch.filter(|_| self.numbers && connect.version.is_v5())
    }

    /// When a message leaves that reaches sessions in this turn, at the earliest, where that matters.
    ///
    /// Whoever publishes a numbered message publishes it again until it is stored. What has left before, and is
    /// forgotten by a crash, would reach its subscribers twice.
    pub(super) const fn leaves_after(&self, publication: &Publication<'_>, to: &Session) -> Ticket {
        // Who forgets what it got when its connection ends does not know it again.
        if publication.is_numbered && to.is_persistent() {
            self.ticket
        } else {
            Ticket(0)
        }
    }
}

/// Whether a publish of this number was taken before.
pub(super) fn has_taken(numbering: Option<&Numbering>, sequence: Option<u64>) -> bool {
    sequence.is_some_and(|it| numbering.is_some_and(|numbering| numbering.has_taken(it)))
}

/// The number of a publish, if its client counts. The other user properties, which go on, are written to `others`.
///
/// A number that is none cannot be left out: the client relies on what is lost with it.
pub(super) fn number_of(
    conn: &Connection,
    publish: &Publish<'_>,
    others: &mut Vec<u8>,
) -> Result<Option<u64>, Fault> {
    if !conn.is_numbered || publish.qos == Qos::AtMostOnce {
        return Ok(None);
    }
    let properties = publish.properties.user_properties;
    let sequence = properties.sequence().map_err(|_| BAD_NUMBER)?;
    match sequence {
        Some(0) => return Err(BAD_NUMBER),
        Some(_) => properties.write_others_than_sequence(others),
        None => {}
    }
    Ok(sequence)
}

/// Tells the client that its messages are numbered, and how far they are. If it would not take so large a CONNACK, they
/// are not. [MQTT-3.2.2-20]
pub(super) fn tell<'a>(
    packet: &mut ConnAck<'a>,
    conn: &mut Connection,
    last_order: u64,
    user: &'a mut Vec<u8>,
) {
    if !conn.is_numbered {
        return;
    }
    UserProperties::push_sequence(user, last_order);
    packet.user_properties = UserProperties::from_wire(user).expect("invariant: just written");
    let bytes = Packet::ConnAck(packet.clone().into()).encoded_len(conn.version);
    if bytes.is_ok_and(|bytes| bytes > conn.packet_bytes_max) {
        packet.user_properties = UserProperties::EMPTY;
        conn.is_numbered = false;
    }
}
