//! Every kind of token against one broker: what HTTP answers, and what CONNACK says.

use serde_json::{Value, json};

use cloudsignal_tests::broker::BrokerOptions;

use crate::bench::{AUDIENCE, BAD_LOGIN, Bench, EMAIL, LET_IN, NOT_AUTHORIZED, claims, claims_but, now_secs};
use crate::key_server::KeyServer;
use crate::signing::{Signer, unsigned};

const SECRET: &str = "a secret of at least thirty-two bytes";
/// How far clocks may be apart, as the broker is told.
const SKEW_SECS: u64 = 60;
/// More than a test takes between making a token and showing it.
const MARGIN_SECS: u64 = 30;

/// A token, and what it gets.
struct Case {
    what: &'static str,
    token: String,
    status: u16,
    error: &'static str,
    /// `reason` of `invalid_token`.
    reason: &'static str,
    connack: u8,
}

fn good(what: &'static str, token: String) -> Case {
    Case {
        what,
        token,
        status: 200,
        error: "",
        reason: "",
        connack: LET_IN,
    }
}

fn invalid(what: &'static str, reason: &'static str, token: String) -> Case {
    Case {
        what,
        token,
        status: 401,
        error: "invalid_token",
        reason,
        connack: BAD_LOGIN,
    }
}

fn unprocessable(what: &'static str, error: &'static str, token: String) -> Case {
    Case {
        what,
        token,
        status: 422,
        error,
        reason: "",
        connack: BAD_LOGIN,
    }
}

fn expired(what: &'static str, token: String) -> Case {
    Case {
        what,
        token,
        status: 401,
        error: "token_expired",
        reason: "",
        connack: NOT_AUTHORIZED,
    }
}

/// An organization that trusts an issuer by published keys and another one by a shared secret.
struct Stage {
    bench: Bench,
    server: KeyServer,
    rsa: Signer,
    p256: Signer,
    ed25519: Signer,
    secret: Signer,
    issuer: String,
}

impl Stage {
    fn set() -> Self {
        let (rsa, p256, ed25519) = (Signer::rsa("rsa", 0), Signer::p256("p256"), Signer::ed25519("ed"));
        // Its secret is among the published keys: that must not count.
        let leaked = Signer::secret("leaked", b"published by mistake, thirty-two b");
        let server = KeyServer::start(&[&rsa, &p256, &ed25519, &leaked]);
        let issuer = "https://issuer.example".to_owned();
        let bench = Bench::start(BrokerOptions::default().with("IDENTITY_CLOCK_SKEW_SECS", SKEW_SECS));
        bench.add_oidc("keys", &issuer, &server.url("/keys"));
        let trust =
            json!({ "type": "shared_secret", "issuer": "ours", "audience": AUDIENCE, "secret": SECRET });
        bench.add_provider("secret", &trust);
        Self {
            bench,
            server,
            secret: Signer::secret("any", SECRET.as_bytes()),
            rsa,
            p256,
            ed25519,
            issuer,
        }
    }

    fn but(&self, name: &str, value: Value) -> String {
        self.p256.token(&claims_but(&self.issuer, name, value))
    }

    fn play(&self, cases: &[Case]) {
        for case in cases {
            let Case {
                what,
                token,
                status,
                error,
                reason,
                connack,
            } = case;
            let answer = self.bench.exchange(token);
            let body = answer.json();
            assert_eq!(answer.status, *status, "{what}: {body}");
            assert_eq!(
                body["error"].as_str().unwrap_or_default(),
                *error,
                "{what}: {body}"
            );
            assert_eq!(
                body["reason"].as_str().unwrap_or_default(),
                *reason,
                "{what}: {body}"
            );
            if *status == 200 {
                let password = body["access_token"].as_str().expect("a token").to_owned();
                assert_eq!(
                    self.bench.log_in(&password).0,
                    LET_IN,
                    "{what}: what it was exchanged for"
                );
            }
            assert_eq!(self.bench.log_in(token).0, *connack, "{what}, as a password");
        }
    }
}

#[test]
fn tokens_of_every_algorithm_are_good_within_the_skew() {
    let stage = Stage::set();
    let now = now_secs();
    let (p256, issuer) = (&stage.p256, stage.issuer.as_str());
    let good_claims = claims(issuer);
    stage.play(&[
        good("RS256", stage.rsa.token(&good_claims)),
        good("ES256", p256.token(&good_claims)),
        good("EdDSA", stage.ed25519.token(&good_claims)),
        good("HS256 with the secret", stage.secret.token(&claims("ours"))),
        good(
            "several audiences, one of them ours",
            stage.but("aud", json!(["x", AUDIENCE])),
        ),
        good(
            "no key id, one key of that kind",
            p256.token_with(&json!({ "alg": "ES256" }), &good_claims),
        ),
        good(
            "expired within the skew",
            stage.but("exp", json!(now - SKEW_SECS + MARGIN_SECS)),
        ),
        good(
            "made in the future, within the skew",
            stage.but("iat", json!(now + SKEW_SECS - 1)),
        ),
        good(
            "not before the future, within the skew",
            stage.but("nbf", json!(now + SKEW_SECS - 1)),
        ),
    ]);
    assert_eq!(stage.server.requests(), 1, "the keys were asked for once");
}

#[test]
fn tokens_that_say_the_wrong_thing_are_refused_for_it() {
    let stage = Stage::set();
    let now = now_secs();
    stage.play(&[
        expired(
            "expired beyond the skew",
            stage.but("exp", json!(now - SKEW_SECS)),
        ),
        expired(
            "made more than a day ago",
            stage.but("iat", json!(now - 86_400 - SKEW_SECS)),
        ),
        invalid(
            "made in the future",
            "not_yet",
            stage.but("iat", json!(now + SKEW_SECS + MARGIN_SECS)),
        ),
        invalid(
            "not before the future",
            "not_yet",
            stage.but("nbf", json!(now + SKEW_SECS + MARGIN_SECS)),
        ),
        invalid(
            "another audience",
            "audience",
            stage.but("aud", json!("another-app")),
        ),
        invalid(
            "audiences, ours not among them",
            "audience",
            stage.but("aud", json!(["x", "y"])),
        ),
        invalid("no audience", "audience", stage.but("aud", Value::Null)),
        invalid("no end", "claim", stage.but("exp", Value::Null)),
        invalid(
            "an end that is text",
            "claim",
            stage.but("exp", json!((now + 600).to_string())),
        ),
        invalid("a beginning that is text", "claim", stage.but("nbf", json!("0"))),
        invalid(
            "not said when it was made",
            "claim",
            stage.but("iat", Value::Null),
        ),
        invalid("no issuer", "claim", stage.but("iss", Value::Null)),
        Case {
            what: "another issuer",
            token: stage.but("iss", json!("https://somebody.example")),
            status: 404,
            error: "provider_not_found",
            reason: "",
            connack: BAD_LOGIN,
        },
    ]);
}

#[test]
fn tokens_that_do_not_say_who_it_is_are_not_enough() {
    let stage = Stage::set();
    stage.play(&[
        unprocessable(
            "no e-mail address",
            "email_missing",
            stage.but("email", Value::Null),
        ),
        unprocessable(
            "no address at all",
            "email_missing",
            stage.but("email", json!("john")),
        ),
        unprocessable(
            "an address that is not proven",
            "email_not_verified",
            stage.but("email_verified", json!(false)),
        ),
        unprocessable(
            "too much to keep",
            "claims_too_large",
            stage.but("role", json!("x".repeat(2_000))),
        ),
    ]);
    let foreign = stage.but("email", json!("jane@example.com"));
    assert_eq!(
        stage.bench.log_in(&foreign).0,
        BAD_LOGIN,
        "somebody else's token under John's name"
    );
    assert_eq!(stage.server.requests(), 1, "the keys were asked for once");
}

#[test]
fn forgeries_are_refused_and_after_ten_of_them_nobody_looks() {
    let stage = Stage::set();
    let good = claims(&stage.issuer);
    let header = |alg: &str, kid: &str| json!({ "alg": alg, "typ": "JWT", "kid": kid });
    let with_secret = |secret: &[u8], kid: &str| Signer::secret(kid, secret).token(&good);
    let (n, _) = stage.rsa.rsa_components();
    let jwk = stage.rsa.jwk().to_string();
    let other = Signer::rsa("rsa", 1);
    stage.play(&[
        invalid("none", "malformed", unsigned(&header("none", "rsa"), &good)),
        invalid(
            "the public key's bytes as a shared secret",
            "algorithm",
            with_secret(&stage.rsa.rsa_der(), "rsa"),
        ),
        invalid(
            "its modulus as a shared secret",
            "algorithm",
            with_secret(&n, "rsa"),
        ),
        invalid(
            "its published form as a shared secret",
            "algorithm",
            with_secret(jwk.as_bytes(), "rsa"),
        ),
        invalid(
            "a secret among the published keys",
            "algorithm",
            with_secret(b"published by mistake, thirty-two b", "leaked"),
        ),
        invalid(
            "an algorithm that the provider does not use",
            "algorithm",
            Signer::p384("p384").token(&good),
        ),
        invalid(
            "a public key where a secret is due",
            "algorithm",
            stage.rsa.token(&claims("ours")),
        ),
        invalid("another key under a known name", "signature", other.token(&good)),
        invalid("a key of another kind under that name", "unknown_key", {
            stage.p256.token_with(&header("ES256", "rsa"), &good)
        }),
        invalid("a header that must be understood", "malformed", {
            let header = json!({ "alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false });
            stage.rsa.token_with(&header, &good)
        }),
    ]);
    // That were ten: from now on this source is not listened to, except with a token that is good.
    let answer = stage.bench.exchange(&other.token(&good));
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!(
        answer.head.to_ascii_lowercase().contains("retry-after:"),
        "{answer:?}"
    );
    assert_eq!(stage.bench.exchange(&stage.rsa.token(&good)).status, 200);
}

#[test]
fn what_is_no_token_is_refused_within_bounds() {
    let stage = Stage::set();
    let good = stage.rsa.token(&claims(&stage.issuer));
    let (signed, _) = good.rsplit_once('.').expect("three parts");
    let padded = claims_but(&stage.issuer, "padding", json!("x".repeat(8_192)));
    for token in [
        "eyJ",
        "eyJ.eyJ.eyJ",
        "eyJ..",
        &format!("{signed}."),
        &good.replace('.', " ."),
    ] {
        let answer = stage.bench.exchange(token);
        assert_eq!(answer.status, 401, "{token}: {answer:?}");
        assert_ne!(stage.bench.log_in(token).0, LET_IN, "{token}");
    }
    let long = stage.rsa.token(&padded);
    let answer = stage.bench.exchange(&long);
    assert_eq!(
        (answer.status, &answer.json()["reason"]),
        (401, &json!("malformed")),
        "{answer:?}"
    );
    assert_eq!(stage.bench.log_in(&long).0, BAD_LOGIN);
    let huge = json!({ "organization_id": stage.bench.first.org_id, "token": "x".repeat(64 * 1_024) });
    let answer = stage
        .bench
        .api_as(None, "POST", "/v2/tokens/exchange", Some(&huge));
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(
        stage.server.requests(),
        1,
        "nothing of it made the broker ask more than once"
    );
    let grant = stage.bench.exchange(&good).json();
    assert_eq!(grant["user_email"], EMAIL);
}
