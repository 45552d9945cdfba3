use alloc::sync::Arc;

use cloudsignal_core::codec::{Connect, Packet, PacketId, Publish, Subscribe, SubscribeFilter};
use cloudsignal_core::{TopicFilter, TopicName, Version};

use super::*;
use crate::change::{Change, Storage};
use crate::{Access, CloseCause, ConnId, Credential, Identity, Limits, Message, OrgId, Policy, Report};

const NOW: Instant = Instant::ZERO;

/// Takes everything and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn send(&mut self, _conn: ConnId, _bytes: &[u8]) -> usize {
        0
    }

    fn send_shared(&mut self, _conn: ConnId, _head: &[u8], _message: &Arc<Message>) -> usize {
        0
    }

    fn close(&mut self, _conn: ConnId, _cause: CloseCause) {}

    fn verify(&mut self, _conn: ConnId, _token: &[u8]) {}

    fn store(&mut self, _change: Change) {}

    fn fetch(&mut self, _fetch: Fetch) {}

    fn report(&mut self, _report: Report<'_>) {}
}

fn connect(org: &mut Org, conn: ConnId, client_id: &str, expiry_secs: u32) {
    let mut connect = Connect::new(Version::V5, client_id);
    (connect.clean_start, connect.session_expiry_secs) = (false, Some(expiry_secs));
    let identity = Identity {
        org: org.id().clone(),
        username: "somebody".into(),
        principal: "user:somebody".into(),
        credential: Credential::Password {
            user: "somebody".into(),
        },
        claims: Vec::new(),
        expires_at: None,
        access: Access::Policy,
        scope: None,
    };
    org.handle_connect(conn, &connect, identity, NOW, &mut Nowhere);
}

fn publish(org: &mut Org, conn: ConnId, number: u16) {
    let mut packet = Publish::new(TopicName::parse("x").unwrap(), b"it");
    (packet.qos, packet.packet_id) = (Qos::AtLeastOnce, PacketId::new(number));
    org.handle_packet(conn, &Packet::Publish(packet), NOW, &mut Nowhere);
}

/// Each look is at the whole queue: one per message would make a long commit quadratic.
#[test]
fn a_queue_is_looked_at_once_per_commit() {
    let mut org = Org::new(OrgId::new("org_a"), Limits::default(), Policy::permit_all(), 1);
    org.handle_storage(Storage::Working);
    let (away, publisher) = (ConnId(1), ConnId(2));
    connect(&mut org, away, "away", u32::MAX);
    let filter = SubscribeFilter::new(TopicFilter::parse("x").unwrap(), Qos::AtLeastOnce);
    let subscribe = Subscribe::new(PacketId::MIN, [filter].into());
    org.handle_packet(away, &Packet::Subscribe(subscribe), NOW, &mut Nowhere);
    org.handle_closed(away, NOW, &mut Nowhere);
    connect(&mut org, publisher, "publisher", 0);
    let first = (1..=10).map(|number| {
        publish(&mut org, publisher, number);
        org.seal().expect("something to store")
    });
    let first = first.last().expect("ten");
    for number in 11..=20 {
        publish(&mut org, publisher, number);
        org.seal().expect("something to store");
    }
    assert_eq!(org.desk.spilling.len(), 1, "twenty turns");
    org.handle_stored(first, NOW, &mut Nowhere);
    assert_eq!(org.session("away").unwrap().queue_spilled, 10);
    assert_eq!(org.desk.spilling.len(), 1, "for the rest");
}
