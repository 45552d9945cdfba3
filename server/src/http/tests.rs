//! The API through its router, as clients use it.

mod acl;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::accounts::acl::Preset;
use crate::accounts::command::OrgView;
use crate::accounts::names::generate_org_id;
use crate::accounts::{AccountChange, Command, Outcome};
use crate::authn::password::{HashCost, PasswordPool};
use crate::authn::throttle::FAILURES_PER_ACCOUNT_MAX;
use crate::clock::WallTime;
use crate::config::Config;
use crate::durable::Level;
use crate::history::History;
use crate::store::{Store, memory};

mod issued;
mod management;

const LOCAL: Peer = Peer {
    address: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5_000),
    wire: Wire::Plain,
};

struct Bench {
    router: Router,
    directory: Directory,
    clock: Clock,
    readiness: Readiness,
    admin_token: Secret,
    org: OrgView,
    secret_key: Secret,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Bench {
    async fn new() -> Self {
        Self::with(SignUp::Operator).await
    }

    async fn with(sign_up: SignUp) -> Self {
        let clock = Clock::manual(WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap());
        let store: Arc<dyn Store> = Arc::new(memory::open(clock.clone()).unwrap());
        let history = History::new(Arc::clone(&store), clock.clone());
        let pool = PasswordPool::start(HashCost::LEAST, 1).unwrap();
        let directory = Directory::open(store, clock.clone(), pool.clone()).await.unwrap();
        let authenticator = Arc::new(Authenticator::new(directory.clone(), pool, clock.clone()));
        let (admin_token, readiness) = (Secret::generate("adm_"), Readiness::default());
        let api = Api::new(
            directory.clone(),
            authenticator,
            clock.clone(),
            &admin_token,
            readiness.clone(),
            Orgs::new(&Config::default(), directory.clone(), history, Level::Memory),
            sign_up,
        );
        let more = Router::new().route("/mqtt", get(async || "the hook"));
        let create = Command::OrgCreate {
            name: "Workshop".into(),
            preset: Preset::PermitAll,
        };
        let Outcome::OrgCreated { org, .. } = directory.execute(create).await.unwrap() else {
            panic!()
        };
        let create = Command::KeyCreate {
            org: org.id.clone(),
            name: "backend".into(),
            options: crate::accounts::command::KeyOptions::default(),
        };
        let Outcome::KeyCreated { secret_key, .. } = directory.execute(create).await.unwrap() else {
            panic!()
        };
        Self {
            router: router(api, more),
            directory,
            clock,
            readiness,
            admin_token,
            org,
            secret_key,
        }
    }

    async fn send(&self, peer: Peer, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(peer);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into()));
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(LOCAL, Request::post(path).body(body.into()).unwrap())
            .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(LOCAL, Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    fn create_body(&self) -> Value {
        json!({
            "organization_id": self.org.id,
            "secret_key": self.secret_key.expose(),
            "user_email": "john@example.com",
        })
    }

    async fn create(&self) -> Value {
        let answer = self
            .post("/v2/tokens/create", self.create_body().to_string())
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body
    }

    /// A request of the operator's, with the token that is shown.
    async fn admin(&self, peer: Peer, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {token}"));
        let request = request.header("x-organization-id", &self.org.id);
        self.send(peer, request.body(Body::from(body.to_string())).unwrap())
            .await
    }
}

/// Every error says the same in each field that some client reads.
fn check_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status.as_u16(), &answer.body["error"]),
        (status, &json!(code)),
        "{}",
        answer.body
    );
    for field in ["error_description", "detail", "message"] {
        assert!(answer.body[field].is_string(), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_token_answer_has_every_documented_field() {
    let bench = Bench::new().await;
    let body = bench.create().await;
    let password = body["access_token"].as_str().unwrap();
    assert!(password.starts_with("tkn_"));
    let id = body["token_id"].as_str().unwrap();
    assert_eq!(
        body,
        json!({
            "access_token": password,
            "token_type": "Bearer",
            "expires_in": 3_600,
            "mqtt_credentials": { "username": format!("john_example_com@{}", bench.org.id), "password": password },
            "token_id": id,
            "user_email": "john@example.com",
            "provider": "cloudsignal",
            "expires_at": "2026-01-01T01:00:00Z",
            "refresh_recommended_at": "2026-01-01T00:54:00Z",
        })
    );
}

#[tokio::test]
async fn what_published_clients_send_is_accepted() {
    let bench = Bench::new().await;
    let mut body = bench.create_body();
    body["organization_id"] = json!(bench.org.uuid);
    body["integration_id"] = json!("web");
    body["replace_existing"] = json!(true);
    body["ttl"] = json!(120);
    let answer = bench.post("//v2//tokens/create", body.to_string()).await;
    assert_eq!(
        (answer.status, &answer.body["expires_in"]),
        (StatusCode::OK, &json!(120))
    );
}

#[tokio::test]
async fn a_refresh_gives_a_new_password_and_moves_the_deadline() {
    let bench = Bench::new().await;
    let created = bench.create().await;
    bench.clock.advance(Duration::from_secs(3_240));
    let mut events = bench.directory.events();
    let request =
        json!({ "token_id": created["token_id"], "current_token_password": created["access_token"] });
    let answer = bench.post("/v2/tokens/refresh", request.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["token_id"], created["token_id"]);
    assert_ne!(answer.body["access_token"], created["access_token"]);
    assert_eq!(answer.body["expires_at"], "2026-01-01T01:54:00Z");
    assert_eq!(
        answer.body["mqtt_credentials"]["username"],
        created["mqtt_credentials"]["username"]
    );
    assert!(matches!(
        events.try_recv().unwrap().change,
        AccountChange::TokenDeadlineMoved { .. }
    ));
    bench.clock.advance(Duration::from_secs(360));
    check_error(
        &bench.post("/v2/tokens/refresh", request.to_string()).await,
        401,
        "token_expired",
    );
}

#[tokio::test]
async fn errors_tell_clients_what_to_do() {
    let bench = Bench::new().await;
    let with = |field: &str, value: Value| {
        let mut body = bench.create_body();
        body[field] = value;
        body.to_string()
    };
    let create = "/v2/tokens/create";
    for (body, status, code) in [
        ("{".to_owned(), 400, "invalid_request"),
        (String::new(), 400, "invalid_request"),
        ("[]".to_owned(), 422, "invalid_value"),
        ("{}".to_owned(), 422, "invalid_value"),
        (with("user_email", json!("john")), 422, "invalid_value"),
        (with("user_email", json!(7)), 422, "invalid_value"),
        (with("ttl", json!(1)), 422, "invalid_value"),
        (
            with("organization_id", json!("acme")),
            404,
            "organization_not_found",
        ),
        (
            with("organization_id", json!(generate_org_id().as_str())),
            404,
            "organization_not_found",
        ),
        (with("secret_key", json!("sk_wrong")), 401, "invalid_credentials"),
        (" ".repeat(TOKEN_BODY_BYTES_MAX + 1), 413, "payload_too_large"),
    ] {
        check_error(&bench.post(create, body).await, status, code);
    }
    let id = bench.create().await["token_id"].clone();
    let wrong = json!({ "token_id": id, "current_token_password": "tkn_wrong" });
    check_error(
        &bench.post("/v2/tokens/refresh", wrong.to_string()).await,
        401,
        "invalid_credentials",
    );
    check_error(&bench.get("/v3/nothing").await, 404, "not_found");
    check_error(&bench.get(create).await, 405, "method_not_allowed");
    bench
        .directory
        .execute(Command::OrgSuspend {
            org: bench.org.id.clone(),
        })
        .await
        .unwrap();
    check_error(
        &bench.post(create, bench.create_body().to_string()).await,
        403,
        "organization_suspended",
    );
}

#[tokio::test]
async fn whoever_guesses_is_held_back_and_whoever_knows_is_not() {
    let bench = Bench::new().await;
    let mut wrong = bench.create_body();
    wrong["secret_key"] = json!("sk_wrong");
    for _ in 0..FAILURES_PER_ACCOUNT_MAX {
        check_error(
            &bench.post("/v2/tokens/create", wrong.to_string()).await,
            401,
            "invalid_credentials",
        );
    }
    let answer = bench.post("/v2/tokens/create", wrong.to_string()).await;
    check_error(&answer, 429, "rate_limited");
    assert_eq!(answer.headers["retry-after"], "60");
    bench.create().await;
}

#[tokio::test]
async fn pages_of_every_origin_may_use_the_api() {
    let bench = Bench::new().await;
    let preflight = |method: &str, path: &str| {
        let request = Request::builder().method(Method::OPTIONS).uri(path);
        let request = request
            .header("origin", "https://app.example")
            .header("access-control-request-method", method);
        request
            .header("access-control-request-headers", "content-type")
            .body(Body::empty())
            .unwrap()
    };
    for (method, path) in [
        ("POST", "/v2/tokens/create"),
        ("POST", "/v2/tokens/refresh"),
        ("POST", "//v2/tokens/create"),
        ("POST", "/v2/publish"),
        ("PUT", "/v2/acl"),
        ("PUT", "/v2/quotas"),
        ("PATCH", "/v2/users/ada"),
        ("DELETE", "/v2/sessions/one"),
    ] {
        let answer = bench.send(LOCAL, preflight(method, path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.headers["access-control-allow-origin"], "*", "{path}");
        let allowed = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
        let methods = allowed("access-control-allow-methods");
        assert!(methods.contains(method), "{path}: {methods}");
        let headers = allowed("access-control-allow-headers");
        for header in [
            "content-type",
            "authorization",
            "x-api-key",
            "x-secret-key",
            "if-match",
        ] {
            assert!(headers.contains(header), "{path}: {headers}");
        }
    }
    let answer = bench.send(LOCAL, preflight("GET", "/healthz")).await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    let request = |request: axum::http::request::Builder| request.header("origin", "https://app.example");
    let create = request(Request::post("/v2/tokens/create"));
    let answer = bench.send(LOCAL, create.body(Body::from("{")).unwrap()).await;
    assert_eq!(
        answer.headers["access-control-allow-origin"], "*",
        "errors can be read too"
    );
    let bearer = format!("Bearer {}", bench.secret_key.expose());
    let show = request(Request::get("/v2/acl")).header("authorization", bearer);
    let answer = bench.send(LOCAL, show.body(Body::empty()).unwrap()).await;
    let shown = answer.headers["access-control-expose-headers"].to_str().unwrap();
    assert!(
        answer.headers.contains_key("etag") && shown.contains("etag"),
        "{shown}"
    );
}

#[tokio::test]
async fn health_and_readiness_follow_the_servers_life() {
    let bench = Bench::new().await;
    assert_eq!(bench.get("/healthz").await.status, StatusCode::OK);
    for (phase, status, word) in [
        (Phase::Starting, 503, "starting"),
        (Phase::Ready, 200, "ready"),
        (Phase::Draining, 503, "draining"),
    ] {
        bench.readiness.set(phase);
        let answer = bench.get("/readyz").await;
        assert_eq!(
            (answer.status.as_u16(), answer.body),
            (status, json!({ "status": word }))
        );
    }
}

#[tokio::test]
async fn routes_of_others_are_reached() {
    let bench = Bench::new().await;
    assert_eq!(bench.get("/mqtt").await.body, "the hook");
    assert_eq!(bench.get("//mqtt?x=//").await.body, "the hook");
}

#[tokio::test]
async fn the_operator_needs_the_token_and_a_safe_way() {
    let bench = Bench::new().await;
    let far = "192.0.2.1:5000".parse().unwrap();
    let list = async |peer, token: &str| {
        let nothing = Value::Null;
        bench
            .admin(peer, token, "GET", "/v2/organizations", &nothing)
            .await
    };
    let token = bench.admin_token.expose();
    for peer in [
        LOCAL,
        Peer {
            address: far,
            wire: Wire::Tls,
        },
        Peer {
            address: "[::ffff:127.0.0.1]:1".parse().unwrap(),
            wire: Wire::Plain,
        },
    ] {
        assert_eq!(list(peer, token).await.status, StatusCode::OK, "{peer:?}");
    }
    let plain = Peer {
        address: far,
        wire: Wire::Plain,
    };
    check_error(&list(plain, token).await, 403, "encryption_required");
    check_error(&list(LOCAL, "").await, 401, "unauthorized");
    check_error(&list(LOCAL, "adm_wrong").await, 401, "invalid_credentials");
    let key = bench.secret_key.expose();
    check_error(&list(LOCAL, key).await, 403, "operator_only");
}

#[tokio::test]
async fn what_the_operator_may_do_and_what_is_refused_travels_whole() {
    let bench = Bench::new().await;
    let token = bench.admin_token.expose().to_owned();
    let run = |method: &'static str, path: &'static str, body: Value| {
        let (bench, token) = (&bench, token.clone());
        async move { bench.admin(LOCAL, &token, method, path, &body).await }
    };
    let org = &bench.org.id;
    let answer = run("POST", "/v2/users", json!({ "username": "ada" })).await;
    assert_eq!(answer.body["username"], format!("ada@{org}"));
    assert_eq!(answer.body["password"].as_str().unwrap().len(), 24);
    let again = run("POST", "/v2/users", json!({ "username": "ada" })).await;
    check_error(&again, 409, "exists");
    assert_eq!(again.body["what"], "user");
    let faulty = json!({ "version": "2.1", "rules": [{ "topic": "a", "action": "read" }] });
    let answer = run("PUT", "/v2/acl", faulty).await;
    check_error(&answer, 422, "policy");
    assert_eq!(answer.body["faults"][0]["path"], "rules[0].action");
    let gone = run("POST", "/v2/admin/command", json!({ "command": "org_list" })).await;
    check_error(&gone, 404, "not_found");
}

#[tokio::test]
async fn a_token_is_made_by_a_key_in_a_header_too() {
    let bench = Bench::new().await;
    let order = json!({ "user_email": "john@example.com", "ttl": 60 });
    for key in [bench.admin_token.expose(), bench.secret_key.expose()] {
        for path in ["/v2/tokens/create", "/v1/create"] {
            let answer = bench.admin(LOCAL, key, "POST", path, &order).await;
            assert_eq!(
                (answer.status, &answer.body["expires_in"]),
                (StatusCode::OK, &json!(60)),
                "{path}"
            );
        }
    }
    let named = |org: &str| json!({ "user_email": "john@example.com", "organization_id": org });
    let path = "/v2/tokens/create";
    let key = bench.secret_key.expose();
    let own = bench.admin(LOCAL, key, "POST", path, &named(&bench.org.id)).await;
    assert_eq!(own.status, StatusCode::OK, "{}", own.body);
    let other = bench
        .admin(LOCAL, key, "POST", path, &named(generate_org_id().as_str()))
        .await;
    check_error(&other, 404, "organization_not_found");
    let reader = json!({ "name": "reader", "kind": "restricted", "scopes": ["tokens:read"] });
    let reader = bench.admin(LOCAL, key, "POST", "/v2/keys", &reader).await;
    let reader = reader.body["value"].as_str().unwrap().to_owned();
    let refused = bench.admin(LOCAL, &reader, "POST", path, &order).await;
    check_error(&refused, 403, "insufficient_scope");
    check_error(&bench.post(path, order.to_string()).await, 401, "unauthorized");
    let mut unnamed = bench.create_body();
    unnamed.as_object_mut().unwrap().remove("organization_id");
    check_error(&bench.post(path, unnamed.to_string()).await, 422, "invalid_value");
}

#[tokio::test]
async fn a_listener_that_hides_its_peers_is_our_mistake() {
    let bench = Bench::new().await;
    let request = Request::post("/v2/tokens/create").body(Body::from("{}")).unwrap();
    let response = bench.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn bodies_are_json_or_do_not_say_what_they_are() {
    let bench = Bench::new().await;
    for (content_type, status) in [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/problem+json", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ] {
        let request = Request::post("/v2/tokens/create").header("content-type", content_type);
        let body = Body::from(bench.create_body().to_string());
        let answer = bench.send(LOCAL, request.body(body).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{content_type}");
    }
}

#[tokio::test]
async fn other_methods_are_told_which_ones_there_are() {
    let bench = Bench::new().await;
    let answer = bench.get("/v2/tokens/create").await;
    check_error(&answer, 405, "method_not_allowed");
    assert_eq!(answer.headers["allow"], "POST");
}

#[tokio::test]
async fn the_document_is_served_and_every_refusal_in_it_has_the_one_shape() {
    let bench = Bench::new().await;
    let answer = bench.get("/openapi.json").await;
    assert_eq!(answer.status, StatusCode::OK);
    let document = answer.body;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let tags: Vec<_> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            for tag in operation["tags"].as_array().unwrap() {
                assert!(
                    tags.contains(&tag),
                    "{method} {path}: {tag} is not in the list of tags"
                );
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                let schema = &response["content"]["application/json"]["schema"];
                let is_refusal = status.starts_with(['4', '5']) && path != "/readyz";
                assert!(
                    !is_refusal || schema["$ref"] == "#/components/schemas/ErrorBody",
                    "{method} {path} {status}: {response}"
                );
            }
        }
    }
}
