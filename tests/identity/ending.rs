//! Tokens that end, and providers that are switched off, with connections open.

use serde_json::{Value, json};

use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::packets::connect_v5;
use cloudsignal_tests::wire::Wire;

use crate::bench::{
    AUDIENCE, BAD_LOGIN, Bench, LET_IN, NOT_AUTHORIZED, claims, claims_but, is_alive, now_secs, reason_of_end,
};
use crate::signing::Signer;

const SECRET: &str = "a secret of at least thirty-two bytes";
const MAXIMUM_CONNECT_TIME: u8 = 0xA0;

fn bench(options: BrokerOptions) -> (Bench, Signer) {
    let bench = Bench::start(options);
    let trust = json!({ "type": "shared_secret", "issuer": "ours", "audience": AUDIENCE, "secret": SECRET });
    bench.add_provider("own", &trust);
    (bench, Signer::secret("any", SECRET.as_bytes()))
}

#[test]
fn a_connection_ends_with_the_token_it_was_opened_with() {
    let (bench, signer) = bench(BrokerOptions::default().with("IDENTITY_CLOCK_SKEW_SECS", 0));
    let soon = claims_but("ours", "exp", json!(now_secs() + 8));
    let (reason, mut wire) = bench.log_in(&signer.token(&soon));
    assert_eq!(reason, LET_IN);
    assert!(is_alive(&mut wire));
    assert_eq!(reason_of_end(&mut wire), MAXIMUM_CONNECT_TIME);
    assert_eq!(bench.log_in(&signer.token(&soon)).0, NOT_AUTHORIZED);
}

/// A connection by an exchanged token, one by an external token, and their passwords.
fn connect_both(bench: &Bench, token: &str) -> ([Wire; 2], String) {
    let grant = bench.exchange(token).json();
    let password = grant["access_token"].as_str().expect("a token").to_owned();
    let client = |client_id: &str, password: &str| {
        let mut wire = Wire::connect(bench.broker.addr(Listener::Mqtt));
        let username = bench.username();
        wire.send(&connect_v5(client_id, Some((&username, password))));
        assert_eq!(wire.packet()[3], LET_IN);
        wire
    };
    (
        [client("by-exchange", &password), client("by-itself", token)],
        password,
    )
}

#[test]
fn a_disabled_provider_vouches_for_nobody_and_ends_connections_only_if_told() {
    let (bench, signer) = bench(BrokerOptions::default());
    let token = signer.token(&claims("ours"));
    let (mut wires, exchanged) = connect_both(&bench, &token);
    let disable = |body: Value| {
        let answer = bench.api("POST", "/v2/providers/own/disable", Some(&body));
        assert_eq!(
            (answer.status, &answer.json()["enabled"]),
            (200, &json!(false)),
            "{answer:?}"
        );
    };
    let enable = || {
        let answer = bench.api("POST", "/v2/providers/own/enable", Some(&json!({})));
        assert_eq!(answer.status, 200, "{answer:?}");
    };

    disable(json!({}));
    assert!(wires.iter_mut().all(is_alive), "open connections stay");
    assert_eq!(bench.log_in(&exchanged).0, NOT_AUTHORIZED);
    assert_eq!(bench.log_in(&token).0, BAD_LOGIN);
    assert_eq!(bench.exchange(&token).status, 404);

    enable();
    assert_eq!(bench.log_in(&exchanged).0, LET_IN);
    assert_eq!(bench.log_in(&token).0, LET_IN);
    assert!(wires.iter_mut().all(is_alive));

    disable(json!({ "end_connections": true }));
    for wire in &mut wires {
        assert_eq!(reason_of_end(wire), NOT_AUTHORIZED);
    }
    enable();
    assert_eq!(
        bench.log_in(&exchanged).0,
        NOT_AUTHORIZED,
        "what was ended does not come back"
    );
    assert_eq!(bench.log_in(&token).0, NOT_AUTHORIZED);
    let answer = bench.exchange(&token);
    assert_eq!(
        (answer.status, &answer.json()["error"]),
        (401, &json!("token_revoked")),
        "{answer:?}"
    );
    let later = signer.token(&claims_but("ours", "iat", json!(now_secs() + 1)));
    assert_eq!(bench.log_in(&later).0, LET_IN, "a token from after that is good");
}

#[test]
fn removing_a_provider_ends_its_logins() {
    let (bench, signer) = bench(BrokerOptions::default());
    let token = signer.token(&claims("ours"));
    let (wires, exchanged) = connect_both(&bench, &token);
    assert_eq!(bench.api("DELETE", "/v2/providers/own", None).status, 204);
    for mut wire in wires {
        assert_eq!(reason_of_end(&mut wire), NOT_AUTHORIZED);
    }
    assert_eq!(bench.log_in(&exchanged).0, NOT_AUTHORIZED);
    assert_eq!(bench.log_in(&token).0, BAD_LOGIN);
    assert_eq!(bench.exchange(&token).status, 404);
}
