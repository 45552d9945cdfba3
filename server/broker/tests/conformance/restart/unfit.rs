//! What was stored and does not fit together is refused alone.

use std::sync::Arc;

use cloudsignal_broker::change::{Keeping, Terms};
use cloudsignal_broker::{Limits, Message, Org, OrgId, Policy, Restoring, StoredMessage, Unfit};
use cloudsignal_core::Instant;

use crate::client::{QOS0, QOS1, QOS2};
use crate::world::identity;

#[test]
fn what_does_not_fit_is_refused_alone() {
    let delivered = |qos| Terms {
        qos,
        retain: false,
        subscription_ids: Box::default(),
        group: None,
        queued_at: Instant::ZERO,
        keeping: Keeping::Together,
    };
    let kept = |payload: &'static [u8]| {
        Message::restored(&StoredMessage {
            number: 9,
            publisher: 40,
            topic: crate::client::topic("x"),
            payload,
            payload_format: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: &[],
            qos: QOS1,
            retain: true,
            expires_at: None,
        })
        .expect("a message")
    };
    let who = || Arc::new(identity("ann"));
    let mut stranger = identity("ann");
    stranger.org = OrgId::new("org_other");
    let org = Org::new(OrgId::new("org_test"), Limits::default(), Policy::permit_all(), 1);
    let mut restoring = Restoring::new(org);
    assert_eq!(restoring.session(7, "a", who(), 100, None), Ok(()));
    assert_eq!(restoring.session(7, "b", who(), 100, None), Err(Unfit::Twice));
    assert_eq!(restoring.session(8, "a", who(), 100, None), Err(Unfit::Twice));
    assert_eq!(restoring.session(0, "c", who(), 100, None), Err(Unfit::NoSession));
    let other = restoring.session(9, "c", Arc::new(stranger), 100, None);
    assert_eq!(other, Err(Unfit::OtherOrganization));

    let mut subscribe =
        |serial, filter, options, id| restoring.subscription(serial, filter, options, id, false);
    assert_eq!(subscribe(7, "x/#", 2, Some(1)), Ok(()));
    assert_eq!(subscribe(7, "x/#", 2, Some(1)), Err(Unfit::Twice));
    assert_eq!(subscribe(9, "x", 2, None), Err(Unfit::NoSession));
    assert_eq!(subscribe(7, "x#", 2, None), Err(Unfit::BadFilter));
    assert_eq!(subscribe(7, "y", 3, None), Err(Unfit::BadOptions));
    assert_eq!(subscribe(7, "y", 0x30, None), Err(Unfit::BadOptions));
    assert_eq!(subscribe(7, "y", 0, Some(0)), Err(Unfit::BadOptions));

    let mut deliver =
        |serial, order, qos, id| restoring.delivery(serial, order, kept(b"1"), delivered(qos), id);
    assert_eq!(deliver(7, 5, QOS2, Some(3)), Ok(()));
    assert_eq!(deliver(7, 5, QOS2, Some(4)), Err(Unfit::OutOfOrder));
    assert_eq!(deliver(7, 6, QOS2, Some(3)), Err(Unfit::Twice));
    assert_eq!(deliver(7, 6, QOS2, Some(0)), Err(Unfit::BadPacketId));
    assert_eq!(deliver(7, 6, QOS0, None), Err(Unfit::BadQos));
    assert_eq!(deliver(9, 6, QOS1, None), Err(Unfit::NoSession));

    assert_eq!(restoring.released(7, 4, 3), Err(Unfit::Twice));
    assert_eq!(restoring.released(9, 4, 1), Err(Unfit::NoSession));
    assert_eq!(restoring.received(7, 1), Ok(()));
    assert_eq!(restoring.received(7, 1), Err(Unfit::Twice));
    assert_eq!(restoring.received(7, 0), Err(Unfit::BadPacketId));
    assert_eq!(restoring.will(7, kept(b"1"), None, 0, None), Ok(()));
    assert_eq!(restoring.will(7, kept(b"1"), None, 0, None), Err(Unfit::Twice));
    assert_eq!(restoring.retained(kept(b"1")), Ok(()));
    assert_eq!(restoring.retained(kept(b"1")), Err(Unfit::Twice));
    assert_eq!(restoring.retained(kept(b"")), Err(Unfit::Empty));

    let org = restoring.finish(Instant::ZERO);
    org.invariants();
    let view = org.session("a").expect("what fits is there");
    assert_eq!(
        (view.subscriptions, view.unacknowledged, view.queue_messages),
        (1, 1, 0)
    );
}
