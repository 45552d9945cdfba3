//! The two shapes of the exchange, how a provider is chosen, and what the list of providers tells whom.

use serde_json::{Value, json};

use cloudsignal_tests::broker::BrokerOptions;

use crate::bench::{AUDIENCE, Bench, EMAIL, LET_IN, NAME, claims, now_secs};
use crate::key_server::KeyServer;
use crate::signing::Signer;

const SECRET: &str = "a secret of at least thirty-two bytes";

fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {answer}"))
}

#[test]
fn clients_and_servers_exchange_in_their_own_words() {
    let signer = Signer::secret("any", SECRET.as_bytes());
    let bench = Bench::start(BrokerOptions::default());
    let project =
        json!({ "type": "supabase", "project_url": "https://abc.supabase.co/", "jwt_secret": SECRET });
    bench.add_provider("web", &project);
    let mut of_supabase = claims("https://abc.supabase.co/auth/v1");
    of_supabase["aud"] = json!("authenticated");
    let token = signer.token(&of_supabase);

    let grant = bench.exchange(&token).json();
    assert_eq!(text(&grant, "token_type"), "Bearer");
    assert_eq!(text(&grant, "user_email"), EMAIL);
    assert_eq!(text(&grant, "provider"), "web");
    assert_eq!(grant["expires_in"], 3_600);
    for time in ["expires_at", "refresh_recommended_at"] {
        assert!(text(&grant, time).ends_with('Z'), "{grant}");
    }
    let login = &grant["mqtt_credentials"];
    assert_eq!(text(login, "username"), format!("{NAME}@{}", bench.first.org_id));
    assert_eq!(
        bench
            .log_in_as(text(login, "username"), text(login, "password"))
            .0,
        LET_IN
    );
    let body = json!({ "token_id": grant["token_id"], "current_token_password": login["password"] });
    let refreshed = bench
        .api_as(None, "POST", "/v2/tokens/refresh", Some(&body))
        .json();
    assert_eq!(
        text(&refreshed, "provider"),
        "web",
        "a renewed token is still of that provider"
    );

    for provider in ["web", "supabase"] {
        let body = json!({ "provider": provider, "token": token, "ttl": 120, "something": "else" });
        let grant = bench.api("POST", "/v2/tokens/exchange", Some(&body)).json();
        assert_eq!(text(&grant, "provider"), "web");
        assert_eq!(text(&grant, "user_id"), "user-7");
        assert_eq!(grant["expires_in"], 120);
        let login = (text(&grant, "mqtt_username"), text(&grant, "mqtt_password"));
        assert_eq!(bench.log_in_as(login.0, login.1).0, LET_IN);
    }
    let exchange = |key: Option<&str>, body: Value| {
        let answer = bench.api_as(key, "POST", "/v2/tokens/exchange", Some(&body));
        (
            answer.status,
            answer.json()["error"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let refused = |status: u16, error: &str| (status, error.to_owned());
    let key = Some(bench.first.secret_key.as_str());
    let unknown_org = json!({ "organization_id": "org_aaaaaaaaaaaa", "token": token });
    assert_eq!(
        exchange(None, unknown_org.clone()),
        refused(404, "organization_not_found")
    );
    assert_eq!(exchange(key, unknown_org), refused(404, "organization_not_found"));
    let unknown_provider = json!({ "provider": "firebase", "token": token });
    assert_eq!(
        exchange(key, unknown_provider),
        refused(404, "provider_not_found")
    );
    assert_eq!(exchange(Some("sk_wrong"), json!({ "token": token })).0, 401);
    assert_eq!(exchange(None, json!({ "token": token })).0, 422);
    assert_eq!(exchange(key, json!({ "token": token, "ttl": 5 })).0, 422);
}

#[test]
fn one_issuer_may_vouch_through_several_providers() {
    let (old, new) = (Signer::secret("any", SECRET.as_bytes()), Signer::p256("new"));
    let server = KeyServer::start(&[&new]);
    let bench = Bench::start(BrokerOptions::default());
    // A project that moves from its legacy secret to published keys.
    let issuer = server.url("/auth/v1");
    let url = server.url("");
    bench.add_provider(
        "legacy",
        &json!({ "type": "supabase", "project_url": url, "jwt_secret": SECRET }),
    );
    bench.add_provider("modern", &json!({ "type": "supabase", "project_url": url }));
    let mut of_issuer = claims(&issuer);
    of_issuer["aud"] = json!("authenticated");
    for (signer, name) in [(&old, "legacy"), (&new, "modern")] {
        let grant = bench.exchange(&signer.token(&of_issuer)).json();
        assert_eq!(text(&grant, "provider"), name);
    }
    assert_eq!(server.paths(), ["/auth/v1/.well-known/jwks.json"]);
}

#[test]
fn clerk_has_an_issuer_for_each_instance() {
    let (of_dev, of_prod) = (Signer::rsa("dev", 0), Signer::rsa("prod", 1));
    let (dev, prod) = (KeyServer::start(&[&of_dev]), KeyServer::start(&[&of_prod]));
    let bench = Bench::start(BrokerOptions::default().with("IDENTITY_KEYS_REFETCH_SECS_MIN", 0));
    bench.add_provider(
        "clerk",
        &json!({ "type": "clerk", "issuers": [dev.url(""), prod.url("")] }),
    );
    for (signer, server, other) in [(&of_dev, &dev, &of_prod), (&of_prod, &prod, &of_dev)] {
        let claims = claims(&server.url(""));
        assert_eq!(bench.exchange(&signer.token(&claims)).status, 200);
        assert_eq!(
            bench.exchange(&other.token(&claims)).status,
            401,
            "the other instance's key"
        );
    }
}

#[test]
fn providers_are_shown_masked_changed_and_kept() {
    let bench = Bench::start(BrokerOptions::default());
    let trust = json!({ "type": "shared_secret", "issuer": "ours", "audience": AUDIENCE, "secret": SECRET });
    bench.add_provider("own", &trust);
    let listed = bench.api("GET", "/v2/providers", None);
    assert!(
        !listed.body.contains(SECRET) && listed.body.contains("ytes"),
        "{listed:?}"
    );
    let public = format!("/v2/providers?organization_id={}", bench.first.org_id);
    let expected = json!([{ "name": "own", "type": "shared_secret", "enabled": true }]);
    assert_eq!(
        bench.api_as(None, "GET", &public, None).json()["providers"],
        expected
    );
    assert_eq!(bench.api_as(None, "GET", "/v2/providers", None).status, 422);
    assert_eq!(
        bench
            .api_as(
                None,
                "GET",
                "/v2/providers?organization_id=org_aaaaaaaaaaaa",
                None
            )
            .status,
        404
    );

    let changed = bench.api("PATCH", "/v2/providers/own", Some(&json!({ "claims": ["team"] })));
    assert_eq!(
        (changed.status, &changed.json()["claims"]),
        (200, &json!(["team"]))
    );
    assert_eq!(
        bench
            .api("PATCH", "/v2/providers/own", Some(&json!({ "nonsense": 1 })))
            .status,
        422
    );
    let mut bench = bench;
    bench.broker.kill();
    let bench = Bench {
        broker: bench.broker.start_again(),
        first: bench.first,
    };
    let now = now_secs();
    let claims = json!({ "iss": "ours", "aud": AUDIENCE, "email": EMAIL, "iat": now, "exp": now + 60 });
    let token = Signer::secret("any", SECRET.as_bytes()).token(&claims);
    assert_eq!(bench.exchange(&token).status, 200, "providers outlive a restart");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let bench = Bench::start(BrokerOptions::default());
    let trust = json!({ "type": "shared_secret", "issuer": "ours", "audience": AUDIENCE, "secret": SECRET });
    bench.add_provider("own", &trust);
    let create = |settings: Value| bench.api("POST", "/v2/providers", Some(&settings)).status;
    assert_eq!(create(json!({ "name": "own", "trust": trust })), 409);
    assert_eq!(create(json!({ "name": "cloudsignal", "trust": trust })), 422);
    assert_eq!(create(json!({ "name": "Own", "trust": trust })), 422);
    assert_eq!(
        create(json!({ "name": "x", "trust": trust, "claims": ["email"] })),
        422
    );
    assert_eq!(create(json!({ "name": "x", "trust": trust, "unknown": 1 })), 422);
    assert_eq!(
        create(
            json!({ "name": "x", "trust": { "type": "shared_secret", "issuer": "o", "secret": "short" } })
        ),
        422
    );
    let no_audience = json!({ "type": "oidc", "issuer": "https://issuer.example", "audiences": [] });
    assert_eq!(create(json!({ "name": "x", "trust": no_audience })), 422);
    let inside =
        json!({ "type": "oidc", "issuer": "x", "audiences": ["y"], "jwks_url": "http://192.168.0.1/" });
    assert_eq!(create(json!({ "name": "x", "trust": inside })), 422);
    for number in 1..16 {
        assert_eq!(
            create(json!({ "name": format!("p{number}"), "trust": trust })),
            201
        );
    }
    assert_eq!(create(json!({ "name": "one-too-many", "trust": trust })), 429);

    assert_eq!(
        bench.api("GET", "/v2/providers/p1", None).json()["type"],
        "shared_secret"
    );
    assert_eq!(bench.api("DELETE", "/v2/providers/p1", None).status, 204);
    let gone = bench.api("GET", "/v2/providers/p1", None);
    assert_eq!(
        (gone.status, &gone.json()["error"]),
        (404, &json!("provider_not_found"))
    );
}
