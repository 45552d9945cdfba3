//! What is there again after a crash: what was acknowledged, once, in order.
//!
//! | file | holds |
//! |---|---|
//! | [`exchange`] | QoS 2, with a crash at every point |
//! | [`kept`] | messages, subscriptions, retained messages |
//! | [`ends`] | ends of sessions, wills |
//! | [`unfit`] | what does not fit together |
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a client looks for one packet among many"
)]

mod ends;
mod exchange;
mod kept;
mod unfit;

use crate::client::Client;
use crate::world::World;

/// A client whose session came back with the broker.
fn back(world: &World, name: &str) -> Client {
    let client = world.connect(name).resume().expiry(1_000).send();
    world.settle();
    let connack = client.expect_connack();
    assert!(connack.session_present, "the session of {name} is there again");
    client
}
