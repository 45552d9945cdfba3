//! Key servers that rotate, are slow, away, or send too much; and what all of that costs them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;

use serde_json::json;

use cloudsignal_tests::broker::BrokerOptions;
use cloudsignal_tests::{ports, wait};

use crate::bench::{AUDIENCE, BAD_LOGIN, Bench, LET_IN, UNAVAILABLE, claims};
use crate::key_server::{KeyServer, Manner};
use crate::signing::Signer;

const ISSUER: &str = "https://issuer.example";

#[test]
fn a_new_key_counts_at_once_and_an_old_one_no_more() {
    let (old, new) = (Signer::p256("old"), Signer::p256("new"));
    let server = KeyServer::start(&[&old]);
    let bench = Bench::start(BrokerOptions::default().with("IDENTITY_KEYS_REFETCH_SECS_MIN", 0));
    bench.add_oidc("rotating", ISSUER, &server.url("/keys"));
    let [with_old, with_new] = [&old, &new].map(|signer| signer.token(&claims(ISSUER)));

    assert_eq!(bench.log_in(&with_old).0, LET_IN);
    assert_eq!(bench.exchange(&with_old).status, 200);
    assert_eq!(server.requests(), 1, "fresh keys are not fetched again");

    server.publish(&[&new, &old]);
    assert_eq!(
        bench.log_in(&with_new).0,
        LET_IN,
        "a key that is not there is asked for"
    );
    assert_eq!(bench.log_in(&with_old).0, LET_IN);
    assert_eq!(server.requests(), 2);

    server.publish(&[&new]);
    let unknown = Signer::p256("unknown").token(&claims(ISSUER));
    assert_eq!(bench.log_in(&unknown).0, BAD_LOGIN);
    let answer = bench.exchange(&with_old);
    assert_eq!(
        (answer.status, &answer.json()["reason"]),
        (401, &json!("unknown_key")),
        "{answer:?}"
    );
    assert_eq!(bench.log_in(&with_old).0, BAD_LOGIN);
    assert_eq!(bench.log_in(&with_new).0, LET_IN);
}

#[test]
fn a_flood_of_unknown_keys_costs_the_provider_nothing() {
    let signer = Signer::p256("known");
    let server = KeyServer::start(&[&signer]);
    let bench = Arc::new(Bench::start(
        BrokerOptions::default().with("IDENTITY_KEYS_REFETCH_SECS_MIN", 3_600),
    ));
    bench.add_oidc("flooded", ISSUER, &server.url("/keys"));
    let good = signer.token(&claims(ISSUER));
    assert_eq!(bench.log_in(&good).0, LET_IN);
    let floods: Vec<_> = (0..8)
        .map(|flood| {
            let bench = Arc::clone(&bench);
            thread::spawn(move || {
                for number in 0..40 {
                    let unknown = Signer::p256(&format!("{flood}-{number}")).token(&claims(ISSUER));
                    // Whether there is such a key cannot be said without asking: come back later.
                    assert_eq!(bench.log_in(&unknown).0, UNAVAILABLE);
                    let answer = bench.exchange(&unknown);
                    assert_eq!(answer.status, 503, "{answer:?}");
                }
            })
        })
        .collect();
    for number in 0..20 {
        assert_eq!(bench.log_in(&good).0, LET_IN, "login {number} beside the flood");
    }
    for flood in floods {
        flood.join().expect("a flood as expected");
    }
    assert_eq!(bench.exchange(&good).status, 200);
    assert_eq!(
        server.requests(),
        1,
        "640 unknown keys, and one question before them"
    );
}

#[test]
fn many_logins_at_once_ask_once() {
    const LOGINS: usize = 40;
    let signer = Signer::p256("key");
    let server = KeyServer::start(&[&signer]);
    server.behave(Manner::Silent);
    let bench = Arc::new(Bench::start(
        BrokerOptions::default().with("IDENTITY_FETCH_MILLIS_MAX", 60_000),
    ));
    bench.add_oidc("busy", ISSUER, &server.url("/keys"));
    let token = signer.token(&claims(ISSUER));
    let logins: Vec<_> = (0..LOGINS)
        .map(|_| {
            let (bench, token) = (Arc::clone(&bench), token.clone());
            thread::spawn(move || bench.exchange(&token).status)
        })
        .collect();
    server.await_requests(1);
    server.publish(&[&signer]);
    for login in logins {
        assert_eq!(login.join().expect("an answer"), 200);
    }
    assert_eq!(server.requests(), 1);
}

#[test]
fn a_server_that_is_no_help_makes_logins_wait_and_nothing_worse() {
    let signer = Signer::p256("key");
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free_port()));
    let bench = Bench::start(
        BrokerOptions::default()
            .with("IDENTITY_KEYS_REFETCH_SECS_MIN", 0)
            .with("IDENTITY_KEYS_FRESH_SECS", 0)
            .with("IDENTITY_FETCH_MILLIS_MAX", 500),
    );
    bench.add_oidc("away", ISSUER, &format!("http://{addr}/keys"));
    let token = signer.token(&claims(ISSUER));
    let refused = |what: &str| {
        let answer = bench.exchange(&token);
        assert_eq!(answer.status, 503, "{what}: {answer:?}");
        assert_eq!(answer.json()["error"], "provider_unreachable", "{what}");
        assert!(
            answer.head.to_ascii_lowercase().contains("retry-after:"),
            "{what}: {answer:?}"
        );
        assert_eq!(bench.log_in(&token).0, UNAVAILABLE, "{what}");
    };
    refused("nobody there");
    let server = KeyServer::start_at(addr, &[&signer]);
    let elsewhere = KeyServer::start(&[&signer]);
    let redirect = format!("Location: {}\r\n", elsewhere.url("/keys"));
    for (what, manner) in [
        ("silent", Manner::Silent),
        ("a byte now and then", Manner::Trickle),
        ("closes", Manner::Closed),
        ("far too much", Manner::Flood(16 * 1_048_576)),
        ("a little too much", Manner::Flood(64 * 1_024 + 1)),
        (
            "an error",
            Manner::Head("500 Internal Server Error", String::new()),
        ),
        ("a redirect", Manner::Head("302 Found", redirect)),
        ("no key set", Manner::Body("<html>".to_owned())),
    ] {
        server.behave(manner);
        refused(what);
    }
    assert_eq!(elsewhere.requests(), 0, "redirects are not followed");
    server.publish(&[&signer]);
    assert_eq!(
        bench.exchange(&token).status,
        200,
        "as soon as the keys are there"
    );
    server.behave(Manner::Closed);
    assert_eq!(
        bench.exchange(&token).status,
        200,
        "keys that are not too old do without their server"
    );
    assert_eq!(bench.log_in(&token).0, LET_IN);
}

#[test]
fn keys_that_are_too_old_do_not_count_without_their_server() {
    let signer = Signer::p256("key");
    let server = KeyServer::start(&[&signer]);
    let bench = Bench::start(
        BrokerOptions::default()
            .with("IDENTITY_KEYS_REFETCH_SECS_MIN", 0)
            .with("IDENTITY_KEYS_FRESH_SECS", 0)
            .with("IDENTITY_KEYS_AGE_SECS_MAX", 1),
    );
    bench.add_oidc("ageing", ISSUER, &server.url("/keys"));
    let token = signer.token(&claims(ISSUER));
    assert_eq!(bench.log_in(&token).0, LET_IN);
    server.behave(Manner::Closed);
    wait::until("keys that have become too old", || {
        (bench.log_in(&token).0 == UNAVAILABLE).then_some(())
    });
    assert_eq!(bench.exchange(&token).status, 503);
    server.publish(&[&signer]);
    assert_eq!(bench.log_in(&token).0, LET_IN);
}

#[test]
fn a_discovery_document_has_to_be_the_issuers_own() {
    let signer = Signer::p256("key");
    let (keys, server) = (KeyServer::start(&[&signer]), KeyServer::start(&[]));
    let issuer = server.url("/tenant/");
    let bench = Bench::start(BrokerOptions::default().with("IDENTITY_KEYS_REFETCH_SECS_MIN", 0));
    let trust = json!({ "type": "oidc", "issuer": issuer, "audiences": [AUDIENCE] });
    bench.add_provider("discovered", &trust);
    let token = signer.token(&claims(&issuer));
    let document = |issuer: &str, jwks_uri: &str| {
        Manner::Body(json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string())
    };
    server.behave(document("https://somebody.example", &keys.url("/keys")));
    assert_eq!(bench.exchange(&token).status, 503, "somebody else's document");
    server.behave(document(&issuer, "http://10.0.0.1/keys"));
    assert_eq!(bench.exchange(&token).status, 503, "an address that is not asked");
    assert_eq!(keys.requests(), 0);
    server.behave(document(&issuer, &keys.url("/keys")));
    assert_eq!(bench.exchange(&token).status, 200);
    assert_eq!(keys.requests(), 1);
    let wanted = "/tenant/.well-known/openid-configuration";
    assert!(
        server.paths().iter().all(|path| path == wanted),
        "{:?}",
        server.paths()
    );
}
