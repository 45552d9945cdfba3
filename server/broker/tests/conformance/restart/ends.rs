//! Time goes on over a crash: sessions end when they were to end, and wills are published when they are due.

use cloudsignal_broker::RETURN_GRACE_SECS;
use cloudsignal_core::Packet;

use super::back;
use crate::client::{QOS1, will};
use crate::world::World;

#[test]
fn a_session_ends_when_it_was_to_end() {
    let world = World::new();
    world.lasting("away").cut();
    let _connected = world.lasting("connected");
    let _for_ever = world.connect("for ever").v311().resume().go();
    world.advance_secs(600);
    world.crash();
    world.advance_secs(399);
    assert!(world.session("away").is_some());
    world.advance_secs(1);
    assert!(
        world.session("away").is_none(),
        "1000 seconds after its connection"
    );
    world.advance_secs(599);
    assert!(world.session("connected").is_some());
    world.crash();
    world.advance_secs(1);
    assert!(
        world.session("connected").is_none(),
        "1000 seconds after the first restart"
    );
    assert!(world.session("for ever").is_some());

    world.lasting("due").cut();
    world.advance_unnoticed(1_000);
    world.crash();
    assert!(world.session("due").is_none(), "what was due while nobody looked");
    assert!(!world.snapshot().lines(true).join(" ").contains("due"));
}

#[test]
fn a_session_that_was_not_to_last_longer_ends_at_the_restart() {
    let world = World::new();
    world.lasting("a").cut();
    let _a = world.connect("a").resume().go();
    world.crash();
    assert!(world.session("a").is_none());
    assert!(world.inner().disk.sessions.is_empty(), "and the store forgets it");
}

#[test]
fn the_will_of_a_client_that_does_not_come_back_is_published_and_no_other() {
    // [MQTT-3.1.2-8]
    let world = World::new();
    let leave = |name: &str, delay_secs: u32| {
        let mut will = will("wills", name.to_owned().leak());
        will.delay_secs = delay_secs;
        will.qos = QOS1;
        world.connect(name).resume().expiry(1_000).will(will).go()
    };
    let watcher = world.lasting("watcher");
    watcher.subscribe("wills", QOS1);
    let _lost = leave("lost", 0);
    let _returns = leave("returns", 0);
    let _delayed = leave("delayed", 60);
    leave("waits", 60).cut();
    leave("polite", 60).disconnect();
    world.advance_secs(50);
    world.crash();
    let watcher = back(&world, "watcher");
    world.advance_secs(RETURN_GRACE_SECS - 1);
    watcher.expect_nothing();
    let _returns = back(&world, "returns");
    world.advance_secs(1);
    assert_eq!(watcher.payloads(), ["lost"]);
    world.advance_secs(5);
    assert_eq!(
        watcher.payloads(),
        ["waits"],
        "60 seconds after its connection ended"
    );
    world.advance_secs(49);
    watcher.expect_nothing();
    world.advance_secs(1);
    assert_eq!(watcher.payloads(), ["delayed"], "60 seconds after the restart");
    world.crash();
    let watcher = back(&world, "watcher");
    while let Some(packet) = watcher.read() {
        let Packet::Publish(publish) = packet else {
            continue;
        };
        assert!(publish.dup, "nothing is published again: {publish:?}");
    }
}
