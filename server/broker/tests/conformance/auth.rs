//! Who is let in is decided before the machine; here is what the machine makes of credentials and of AUTH.

use cloudsignal_broker::{CloseCause, Credential, Identity};
use cloudsignal_core::Packet;
use cloudsignal_core::codec::{Auth, ReasonCode};

use crate::client::{QOS0, QOS1};
use crate::world::{World, identity};

fn with_token(token: &str, ends_in_secs: Option<u32>, world: &World) -> Identity {
    let now = world.inner().now;
    Identity {
        credential: Credential::Token { id: token.into() },
        expires_at: ends_in_secs.map(|secs| now.after_secs(secs)),
        ..identity("ann")
    }
}

#[test]
fn an_unknown_method_is_refused() {
    // [MQTT-4.12.0-1] [MQTT-4.12.0-4]
    let world = World::new();
    let connack = world
        .connect("a")
        .with(|connect| connect.auth_method = Some("SCRAM-SHA-1"))
        .refused();
    assert_eq!(connack.reason, ReasonCode::BadAuthenticationMethod);
    assert_eq!(connack.auth_method, None);
}

#[test]
fn auth_without_a_method_in_connect_is_a_protocol_error() {
    // [MQTT-4.12.0-6] [MQTT-4.12.0-7]
    let world = World::new();
    for reason in [ReasonCode::Reauthenticate, ReasonCode::ContinueAuthentication] {
        let client = world.client("a");
        client.send(&Packet::Auth(Auth::new(reason, "SCRAM-SHA-1")));
        client.expect_disconnect(ReasonCode::ProtocolError);
    }
}

#[test]
fn the_end_of_a_credential_ends_the_connection() {
    let world = World::new();
    let token = with_token("t", Some(60), &world);
    let client = world.connect("a").identity(token.clone()).expiry(100).go();
    let old = world.connect("b").identity(token).v311().go();
    world.advance_secs(59);
    assert_eq!((client.closed(), old.closed()), (None, None));
    world.advance_secs(1);
    client.expect_disconnect(ReasonCode::MaximumConnectTime);
    old.expect_closed(ReasonCode::MaximumConnectTime);
    let renewed = with_token("another", Some(60), &world);
    let (_, connack) = world.connect("a").identity(renewed).resume().go_and_see();
    assert!(
        connack.session_present,
        "a session belongs to its owner, not to a token"
    );
}

#[test]
fn a_renewed_credential_keeps_its_connections() {
    let world = World::new();
    let mine = with_token("t", Some(60), &world);
    let client = world.connect("a").identity(mine.clone()).go();
    let other = world
        .connect("b")
        .identity(with_token("another", Some(60), &world))
        .go();
    let until = world.inner().now.after_secs(600);
    let renewed = world.step(|org, _, _| org.handle_credential_renewed(&mine.credential, Some(until)));
    assert_eq!(renewed, 1);
    world.advance_secs(60);
    other.expect_disconnect(ReasonCode::MaximumConnectTime);
    world.advance_secs(539);
    assert_eq!(client.closed(), None);
    world.advance_secs(1);
    client.expect_disconnect(ReasonCode::MaximumConnectTime);

    let client = world
        .connect("a")
        .identity(with_token("t", Some(60), &world))
        .go();
    world.step(|org, _, _| org.handle_credential_renewed(&mine.credential, None));
    world.advance_secs(100_000);
    assert_eq!(client.closed(), None, "without an end");
}

#[test]
fn a_revoked_credential_ends_its_connections_and_no_others() {
    let world = World::new();
    let mine = with_token("t", None, &world);
    let one = world.connect("a").identity(mine.clone()).go();
    let two = world.connect("b").identity(mine.clone()).v311().go();
    let other = world
        .connect("c")
        .identity(with_token("another", None, &world))
        .go();
    let closed = world.step(|org, now, tape| {
        org.handle_credential_ended(&mine.credential, ReasonCode::NotAuthorized, now, tape)
    });
    assert_eq!(closed, 2);
    one.expect_disconnect(ReasonCode::NotAuthorized);
    two.expect_closed(ReasonCode::NotAuthorized);
    assert_eq!(other.closed(), None);
}

#[test]
fn the_end_of_a_user_ends_every_connection_of_that_user() {
    let world = World::new();
    let one = world.connect("a").user("ann").go();
    let two = world.connect("b").identity(with_token("t", None, &world)).go();
    let bob = world.connect("c").user("bob").go();
    let closed = world.step(|org, now, tape| {
        org.handle_principal_ended("user:ann", ReasonCode::AdministrativeAction, now, tape)
    });
    assert_eq!(closed, 2);
    one.expect_disconnect(ReasonCode::AdministrativeAction);
    two.expect_disconnect(ReasonCode::AdministrativeAction);
    assert_eq!(bob.closed(), None);
}

#[test]
fn a_reason_that_disconnect_cannot_carry_closes_all_the_same() {
    // [MQTT-3.14.2-1] [MQTT-4.13.2-1]
    let world = World::new();
    let client = world.connect("a").go();
    world.step(|org, now, tape| {
        org.handle_principal_ended("user:ann", ReasonCode::BadUserNameOrPassword, now, tape)
    });
    client.expect_disconnect(ReasonCode::UnspecifiedError);
}

#[test]
fn a_credential_that_ends_leaves_the_will() {
    // [MQTT-3.1.2-8]
    let world = World::new();
    let watcher = world.connect("watcher").user("bob").go();
    watcher.subscribe("wills/m", QOS0);
    world
        .connect("a")
        .identity(with_token("t", Some(5), &world))
        .will(crate::client::will("wills/m", "gone"))
        .go();
    world.advance_secs(5);
    watcher.expect_publish("wills/m", "gone");
}

#[test]
fn an_ended_connection_is_reported_with_its_cause() {
    let world = World::new();
    let client = world.connect("a").identity(with_token("t", Some(5), &world)).go();
    client.subscribe("x", QOS1);
    world.advance_secs(5);
    assert_eq!(
        client.closed(),
        Some(CloseCause::Server(ReasonCode::MaximumConnectTime))
    );
    let reports = world.take_reports().join("\n");
    assert!(reports.contains("Server(MaximumConnectTime)"), "{reports}");
}
