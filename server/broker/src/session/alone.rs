//! A message in a packet of its own: with identifiers, alias, number, and the count of what was dropped.

use alloc::vec::Vec;
use core::num::NonZeroU16;

use cloudsignal_core::Qos;
use cloudsignal_core::codec::{PacketId, Publish, UserProperties};

use super::Pending;
use super::connection::{AliasUse, Connection};
use super::fan_out::{encode, expiry_secs, publish};
use crate::sink::Sink;
use crate::turn::Turn;

/// The user property that tells a v5 client how many messages it missed since the last one.
const DROPPED_PROPERTY: &str = "cs-dropped";

/// Whether a packet was sent before, on an earlier connection, or may have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resent {
    /// For the first time.
    No,
    /// Again, with DUP. [MQTT-3.3.1-1]
    Yes,
}

/// Sends a message in a packet of its own: with identifiers, alias and the count of what was dropped. What
/// we add is left out when the packet would be too large because of it.
///
/// Answers how many dropped messages the client was told of; `None` when the packet is larger than the
/// client accepts.
pub(crate) fn send_alone<S: Sink>(
    conn: &mut Connection,
    turn: &mut Turn<'_, S>,
    pending: &Pending,
    packet_id: PacketId,
    resent: Resent,
    dropped: u32,
) -> Option<u32> {
    let publication = pending.message.publication();
    let mut packet = publish(
        &publication,
        &pending.delivery(),
        packet_id,
        expiry_secs(publication.expires_at, turn.now),
    );
    packet.dup = resent == Resent::Yes;
    let alias = conn.aliases_out.find(publication.topic.as_str());
    if let AliasUse::Known(alias) = alias {
        packet.properties.topic_alias = Some(alias);
        packet.topic = None;
    }
    let additions = Additions {
        alias: match alias {
            AliasUse::Set(alias) => Some(alias),
            AliasUse::None | AliasUse::Known(_) => None,
        },
        dropped: if conn.version.is_v5() { dropped } else { 0 },
        order: (conn.is_numbered && pending.qos > Qos::AtMostOnce).then_some(pending.order),
    };
    let mut user = Vec::new();
    for additions in additions.fewer_and_fewer() {
        let full = additions.added_to(&packet, &mut user);
        if send_packet(conn, turn, &full, pending) {
            if additions.alias.is_some() {
                conn.aliases_out.keep(publication.topic.as_str());
            }
            return Some(additions.dropped);
        }
    }
    None
}

/// What we add to a message for one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Additions {
    /// It stands for the topic from then on.
    alias: Option<NonZeroU16>,
    /// Messages that the client missed.
    dropped: u32,
    /// The number of the delivery.
    order: Option<u64>,
}

impl Additions {
    /// All of them, and what is left if the packet is too large then. The number is the last to go.
    fn fewer_and_fewer(self) -> impl Iterator<Item = Self> {
        let numbered = Self {
            order: self.order,
            ..Self::default()
        };
        let fewer = [numbered, Self::default()];
        let mut last = self;
        let is_less = move |it: &Self| core::mem::replace(&mut last, *it) != *it;
        core::iter::once(self).chain(fewer.into_iter().filter(is_less))
    }

    fn added_to<'a>(&self, packet: &Publish<'a>, user: &'a mut Vec<u8>) -> Publish<'a> {
        let mut full = packet.clone();
        if self.alias.is_some() {
            full.properties.topic_alias = self.alias;
        }
        if self.dropped == 0 && self.order.is_none() {
            return full;
        }
        user.clear();
        match self.order {
            Some(_) => full.properties.user_properties.write_others_than_sequence(user),
            None => full.properties.user_properties.write_wire(user),
        }
        if self.dropped > 0 {
            UserProperties::push(user, DROPPED_PROPERTY, &alloc::format!("{}", self.dropped))
                .expect("invariant: a number is short");
        }
        if let Some(order) = self.order {
            UserProperties::push_sequence(user, order);
        }
        full.properties.user_properties = UserProperties::from_wire(user).expect("invariant: just written");
        full
    }
}

/// Sends the packet if the client accepts one so large.
fn send_packet<S: Sink>(
    conn: &mut Connection,
    turn: &mut Turn<'_, S>,
    packet: &Publish<'_>,
    pending: &Pending,
) -> bool {
    let shares_payload = packet.payload.len() >= turn.desk.limits.shared_payload_bytes_min;
    let Some(layout) = encode(packet, conn.version, shares_payload, turn.desk) else {
        return false;
    };
    let shared_bytes = if shares_payload { packet.payload.len() } else { 0 };
    let fits = layout.end - layout.start + shared_bytes <= conn.packet_bytes_max;
    if fits {
        conn.send_publish(turn, layout, shares_payload.then_some(&pending.message));
    }
    turn.desk.scratch.truncate(layout.start);
    fits
}
