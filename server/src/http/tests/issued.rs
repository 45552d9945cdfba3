//! Tokens in the older shapes, listed and revoked.

use super::*;

impl Bench {
    async fn keyed(&self, method: &str, path: &str, body: Value) -> Answer {
        let key = format!("Bearer {}", self.secret_key.expose());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", key);
        self.send(LOCAL, request.body(Body::from(body.to_string())).unwrap())
            .await
    }
}

#[tokio::test]
async fn the_oldest_shape_answers_its_documented_fields() {
    let bench = Bench::new().await;
    let mut body = bench.create_body();
    body["replace_existing"] = json!(false);
    let answer = bench.post("/v1/create", body.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(
        answer.body["mqtt_username"],
        format!("john_example_com@{}", bench.org.id)
    );
    assert_eq!(answer.body["org_short_id"], bench.org.id);
    assert_eq!(answer.body["expires_at"], "2026-01-01T01:00:00Z");
    assert_eq!(answer.body["refresh_recommended_at"], "2026-01-01T00:54:00Z");
    let password = answer.body["token_password"].as_str().unwrap();
    assert!(bench.directory.check_token(password).is_ok());
    body["secret_key"] = json!("sk_wrong");
    let answer = bench.post("/v1/create", body.to_string()).await;
    check_error(&answer, 401, "invalid_credentials");
    assert!(answer.body["detail"].is_string());
}

#[tokio::test]
async fn a_scoped_token_is_limited_to_its_topics() {
    let bench = Bench::new().await;
    let ask = async |body: Value| bench.keyed("POST", "/v2/tokens", body).await;
    let answer = ask(json!({
        "organization_id": bench.org.id, "user_id": "user_123",
        "permissions": ["subscribe", "presence", "history"], "topics": ["chat/+", "news/#"],
    }))
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let token = bench
        .directory
        .check_token(answer.body["token"].as_str().unwrap())
        .unwrap();
    let facts = &token.claims.facts;
    assert!(
        facts.contains(&("user_id".into(), "user_123".into())),
        "{facts:?}"
    );
    assert!(token.claims.scope.is_some());
    let whole = ask(json!({ "user_id": "ada@example.com" })).await;
    let token = bench
        .directory
        .check_token(whole.body["token"].as_str().unwrap())
        .unwrap();
    assert!(token.claims.scope.is_none());
    assert_eq!(
        whole.body["mqtt_username"],
        format!("ada_example_com@{}", bench.org.id)
    );
    for body in [
        json!({ "user_id": "x", "permissions": ["presence"] }),
        json!({ "user_id": "x", "topics": ["a/#/b"] }),
        json!({ "user_id": "" }),
        json!({ "user_id": "x", "ttl": 59 }),
        json!({ "user_id": "x", "permissions": ["eat"] }),
    ] {
        let answer = ask(body.clone()).await;
        check_error(&answer, 422, "invalid_value");
    }
    let other = json!({ "user_id": "x", "organization_id": generate_org_id().as_str() });
    check_error(&ask(other).await, 404, "organization_not_found");
}

#[tokio::test]
async fn tokens_are_listed_and_revoked() {
    let bench = Bench::new().await;
    let (first, second) = (bench.create().await, bench.create().await);
    let listed = bench.keyed("GET", "/v2/tokens", Value::Null).await;
    assert_eq!(
        listed.body["tokens"].as_array().unwrap().len(),
        2,
        "{}",
        listed.body
    );
    let good = |token: &Value| {
        bench
            .directory
            .check_token(token["access_token"].as_str().unwrap())
            .is_ok()
    };
    let revoke = async |body: Value| bench.keyed("POST", "/v2/tokens/revoke", body).await;
    let answer = revoke(json!({ "token_id": first["token_id"] })).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(!good(&first) && good(&second));
    let answer = revoke(json!({ "user_email": "john@example.com" })).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(!good(&second));
    for body in [
        json!({}),
        json!({ "token_id": "x" }),
        json!({ "token_id": first["token_id"], "user_email": "john@example.com" }),
        json!({ "user_email": "john" }),
    ] {
        check_error(&revoke(body).await, 422, "invalid_value");
    }
}

#[tokio::test]
async fn a_restricted_key_makes_tokens_if_its_scopes_say_so() {
    let bench = Bench::new().await;
    for (scope, status) in [("tokens:write", 200), ("tokens:read", 403)] {
        let body = json!({ "name": "made", "kind": "restricted", "scopes": [scope] });
        let made = bench.keyed("POST", "/v2/keys", body).await;
        let mut body = bench.create_body();
        body["secret_key"] = made.body["value"].clone();
        let answer = bench.post("/v2/tokens/create", body.to_string()).await;
        assert_eq!(answer.status.as_u16(), status, "{scope}: {}", answer.body);
    }
}
