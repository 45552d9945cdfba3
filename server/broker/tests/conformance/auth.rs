//! Who is let in is decided before the machine; here is what the machine makes of credentials and of AUTH.

use std::sync::Arc;

use cloudsignal_broker::policy::Actions;
use cloudsignal_broker::{
    AUTH_DATA_BYTES_MAX, AUTH_METHOD, CloseCause, Credential, Identity, Scope, ScopePart,
};
use cloudsignal_core::codec::{Auth, ReasonCode};
use cloudsignal_core::{Packet, TopicFilter};

use crate::client::{Client, QOS0, QOS1};
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

// Authentication by a method: the shell checks the data, the machine keeps the rules.

fn by_method(world: &World, client_id: &str, token: &str) -> crate::world::Connecting {
    world
        .connect(client_id)
        .identity(with_token(token, Some(60), world))
        .with(|connect| connect.auth_method = Some(AUTH_METHOD))
}

fn again(data: &'static [u8]) -> Packet<'static> {
    let mut auth = Auth::new(ReasonCode::Reauthenticate, AUTH_METHOD);
    auth.data = Some(data);
    Packet::Auth(auth)
}

fn answer(world: &World, client: &Client, verified: Result<Identity, ReasonCode>) -> bool {
    let conn = client.conn;
    world.step(|org, now, tape| org.handle_verified(conn, verified, now, tape))
}

#[test]
fn connack_repeats_the_method_and_renewal_is_answered_with_it() {
    // [MQTT-4.12.0-5] [MQTT-4.12.1-1]
    let world = World::new();
    let (client, connack) = by_method(&world, "a", "t1").expiry(100).go_and_see();
    assert_eq!(connack.auth_method, Some(AUTH_METHOD));
    client.subscribe("x", QOS1);
    world.advance_secs(30);
    client.send(&again(b"t2"));
    assert_eq!(world.inner().tape.asked, [(client.conn, b"t2".to_vec())]);
    client.expect_nothing();
    assert_eq!(
        client.publish_qos1_to_itself("x", "meanwhile"),
        ReasonCode::Success,
        "everything goes on while the token is checked"
    );
    let renewed = with_token("t2", Some(60), &world);
    assert!(answer(&world, &client, Ok(renewed.clone())));
    let auth = client.expect_auth();
    assert_eq!(
        (auth.reason, auth.method),
        (ReasonCode::Success, Some(AUTH_METHOD))
    );
    world.advance_secs(59);
    assert_eq!(client.closed(), None, "past the end of the first token");

    // It is the new token's connection now, and the old one's no more.
    let end = |credential: &Credential| {
        world.step(|org, now, tape| {
            org.handle_credential_ended(credential, ReasonCode::NotAuthorized, now, tape)
        })
    };
    assert_eq!(end(&with_token("t1", None, &world).credential), 0);
    client.send(&again(b"t3"));
    assert!(answer(&world, &client, Ok(with_token("t3", Some(60), &world))));
    client.expect_auth();
    assert_eq!(end(&renewed.credential), 0);
    world.advance_secs(60);
    client.expect_disconnect(ReasonCode::MaximumConnectTime);
}

#[test]
fn renewal_that_fails_closes_with_the_code() {
    // [MQTT-4.12.1-2] [MQTT-4.12.0-4]
    let somebody_else = Identity {
        principal: "user:eve".into(),
        ..identity("eve")
    };
    for (verified, reason) in [
        (Ok(somebody_else), ReasonCode::NotAuthorized),
        (Err(ReasonCode::BadUserNameOrPassword), ReasonCode::NotAuthorized),
        (Err(ReasonCode::NotAuthorized), ReasonCode::NotAuthorized),
        (Err(ReasonCode::ServerBusy), ReasonCode::ServerBusy),
    ] {
        let world = World::new();
        let client = by_method(&world, "a", "t1").go();
        client.send(&again(b"t2"));
        assert!(!answer(&world, &client, verified));
        client.expect_disconnect(reason);
    }
}

#[test]
fn auth_that_breaks_the_rules_is_refused() {
    // [MQTT-4.12.0-3] [MQTT-4.12.1-1]
    let mut continued = Auth::new(ReasonCode::ContinueAuthentication, AUTH_METHOD);
    continued.data = Some(b"t2");
    let mut other = Auth::new(ReasonCode::Reauthenticate, "SCRAM-SHA-1");
    other.data = Some(b"t2");
    let without_data = Auth::new(ReasonCode::Reauthenticate, AUTH_METHOD);
    let mut too_long = without_data.clone();
    too_long.data = Some(vec![b'x'; AUTH_DATA_BYTES_MAX + 1].leak());
    for (auth, reason) in [
        (continued, ReasonCode::ProtocolError),
        (Auth::default(), ReasonCode::ProtocolError),
        (other, ReasonCode::ProtocolError),
        (without_data, ReasonCode::NotAuthorized),
        (too_long, ReasonCode::NotAuthorized),
    ] {
        let world = World::new();
        let client = by_method(&world, "a", "t1").go();
        client.send(&Packet::Auth(auth));
        client.expect_disconnect(reason);
        assert_eq!(world.inner().tape.asked, []);
    }
    let world = World::new();
    let client = by_method(&world, "a", "t1").go();
    client.send(&again(b"t2"));
    client.send(&again(b"t3"));
    client.expect_disconnect(ReasonCode::ProtocolError);
    let verified = Ok(with_token("t2", None, &world));
    assert!(
        !answer(&world, &client, verified),
        "the answer comes to a closed connection"
    );
}

#[test]
fn an_answer_that_nobody_asked_for_changes_nothing() {
    let world = World::new();
    let client = by_method(&world, "a", "t1").go();
    assert!(!answer(&world, &client, Ok(with_token("t2", None, &world))));
    assert!(!answer(&world, &client, Err(ReasonCode::NotAuthorized)));
    client.expect_nothing();
    world.advance_secs(60);
    client.expect_disconnect(ReasonCode::MaximumConnectTime);
}

#[test]
fn other_rights_hold_from_the_answer_on() {
    let world = World::new();
    let client = by_method(&world, "a", "t1").expiry(100).go();
    client.subscribe("x/+", QOS1);
    let part = |filter: &str| ScopePart {
        filter: TopicFilter::parse(filter).expect("a filter").to_owned(),
        actions: Actions::BOTH,
    };
    let narrowed = Identity {
        scope: Some(Arc::new(Scope {
            parts: [part("x/1")].into(),
        })),
        ..with_token("t2", Some(60), &world)
    };
    client.send(&again(b"t2"));
    assert_eq!(
        client.publish_qos1("y", "before", 1),
        ReasonCode::NoMatchingSubscribers
    );
    assert!(answer(&world, &client, Ok(narrowed)));
    client.expect_auth();
    assert_eq!(client.publish_qos1("y", "after", 2), ReasonCode::NotAuthorized);
    let publisher = world.connect("b").user("bob").go();
    publisher.publish("x/2", "hidden");
    publisher.publish("x/1", "seen");
    client.expect_publish("x/1", "seen");
    client.expect_nothing();
}

#[test]
fn one_login_ends_or_moves_alone() {
    let world = World::new();
    let mine = with_token("t", Some(60), &world);
    let one = world.connect("a").identity(mine.clone()).go();
    let two = world.connect("b").identity(mine.clone()).go();
    let until = Some(world.inner().now.after_secs(90));
    let (conn, other) = (one.conn, with_token("u", Some(60), &world));
    world.step(|org, _, _| {
        assert!(
            !org.handle_login_renewed(conn, &other, until),
            "it is another one by now"
        );
        assert!(org.handle_login_renewed(conn, &mine, until));
    });
    world.advance_secs(60);
    two.expect_disconnect(ReasonCode::MaximumConnectTime);
    let end = |identity: &Identity| {
        world.step(|org, now, tape| {
            org.handle_login_ended(conn, identity, ReasonCode::NotAuthorized, now, tape)
        })
    };
    assert!(!end(&other));
    assert!(end(&mine));
    one.expect_disconnect(ReasonCode::NotAuthorized);
    assert!(!end(&mine));
}
