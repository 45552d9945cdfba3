//! Organizations, users, members, keys and the audit trail over HTTP: who may do what, and what is answered.

use super::*;

impl Bench {
    /// A request with a key; `null` for no body.
    async fn ask(&self, key: &str, method: &str, path: &str, body: Value) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {key}"));
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        self.send(LOCAL, request.body(body).unwrap()).await
    }

    async fn secret(&self, method: &str, path: &str, body: Value) -> Answer {
        self.ask(self.secret_key.expose(), method, path, body).await
    }

    async fn operator(&self, method: &str, path: &str, body: Value) -> Answer {
        self.ask(self.admin_token.expose(), method, path, body).await
    }

    async fn restricted(&self, scopes: Value) -> String {
        let body = json!({ "name": "made", "kind": "restricted", "scopes": scopes });
        let answer = self.secret("POST", "/v2/keys", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["value"].as_str().unwrap().to_owned()
    }

    async fn member(&self, email: &str, role: &str) -> String {
        let body = json!({ "email": email, "role": role, "password": "correct horse" });
        let answer = self.secret("POST", "/v2/members", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let body = json!({ "email": email, "password": "correct horse" });
        let answer = self.post("/v2/login", body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body["api_key"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_key_is_accepted_in_three_headers_and_decides_the_organization() {
    let bench = Bench::new().await;
    let key = bench.secret_key.expose();
    for (name, value) in [
        ("authorization", format!("Bearer {key}")),
        ("authorization", format!("bearer  {key}")),
        ("x-api-key", key.to_owned()),
        ("x-secret-key", key.to_owned()),
    ] {
        let request = Request::get("/v2/organization").header(name, value);
        let answer = bench.send(LOCAL, request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (answer.status, &answer.body["id"]),
            (StatusCode::OK, &json!(bench.org.id)),
            "{name}"
        );
    }
    let other = bench
        .operator("POST", "/v2/organizations", json!({ "name": "Other" }))
        .await;
    let other = other.body["id"].as_str().unwrap().to_owned();
    for named in [other.as_str(), generate_org_id().as_str(), "acme"] {
        let answer = bench
            .secret(
                "GET",
                &format!("/v2/organization?organization_id={named}"),
                Value::Null,
            )
            .await;
        check_error(&answer, 404, "organization_not_found");
    }
    let own = format!("/v2/users?organization_id={}", bench.org.uuid);
    assert_eq!(
        bench.secret("GET", &own, Value::Null).await.status,
        StatusCode::OK
    );
    let answer = bench.get("/v2/organization").await;
    check_error(&answer, 401, "unauthorized");
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    check_error(
        &bench
            .ask("sk_wrong", "GET", "/v2/organization", Value::Null)
            .await,
        401,
        "invalid_credentials",
    );
}

#[tokio::test]
async fn the_operator_names_the_organization() {
    let bench = Bench::new().await;
    check_error(
        &bench.operator("GET", "/v2/users", Value::Null).await,
        422,
        "invalid_value",
    );
    let path = format!("/v2/users?organization_id={}", bench.org.id);
    assert_eq!(
        bench.operator("GET", &path, Value::Null).await.status,
        StatusCode::OK
    );
    let request = Request::get("/v2/users").header("x-organization-id", &bench.org.id);
    let request = request.header("x-api-key", bench.admin_token.expose());
    let answer = bench.send(LOCAL, request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
    check_error(
        &bench
            .operator("GET", "/v2/users?organization_id=org_x", Value::Null)
            .await,
        404,
        "organization_not_found",
    );
    for (method, path) in [
        ("GET", "/v2/organizations".to_owned()),
        ("GET", format!("/v2/organizations/{}", bench.org.id)),
        ("DELETE", format!("/v2/organizations/{}", bench.org.id)),
        ("POST", format!("/v2/organizations/{}/suspend", bench.org.id)),
    ] {
        check_error(
            &bench.secret(method, &path, Value::Null).await,
            403,
            "operator_only",
        );
    }
}

#[tokio::test]
async fn a_suspended_organization_answers_its_operator_only() {
    let bench = Bench::new().await;
    let path = |verb: &str| format!("/v2/organizations/{}/{verb}", bench.org.id);
    let answer = bench.operator("POST", &path("suspend"), Value::Null).await;
    assert_eq!(answer.body["state"], "suspended");
    check_error(
        &bench.secret("GET", "/v2/users", Value::Null).await,
        403,
        "organization_suspended",
    );
    let answer = bench.operator("POST", &path("resume"), Value::Null).await;
    assert_eq!(answer.body["state"], "active");
    assert_eq!(
        bench.secret("GET", "/v2/users", Value::Null).await.status,
        StatusCode::OK
    );
    let path = format!("/v2/organizations/{}", bench.org.id);
    assert_eq!(
        bench.operator("DELETE", &path, Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    check_error(
        &bench.operator("GET", &path, Value::Null).await,
        404,
        "organization_not_found",
    );
    check_error(
        &bench.secret("GET", "/v2/users", Value::Null).await,
        401,
        "invalid_credentials",
    );
}

#[tokio::test]
async fn a_restricted_key_does_what_its_scopes_say() {
    let bench = Bench::new().await;
    let reader = bench.restricted(json!(["users:read", "keys:write"])).await;
    assert_eq!(
        bench.ask(&reader, "GET", "/v2/users", Value::Null).await.status,
        StatusCode::OK
    );
    let answer = bench
        .ask(&reader, "POST", "/v2/users", json!({ "username": "ada" }))
        .await;
    check_error(&answer, 403, "insufficient_scope");
    assert_eq!(answer.body["scope"], "users:write");
    for body in [
        json!({ "name": "more", "kind": "restricted", "scopes": ["users:write"] }),
        json!({ "name": "more", "kind": "publishable" }),
        json!({ "name": "more" }),
    ] {
        check_error(
            &bench.ask(&reader, "POST", "/v2/keys", body).await,
            403,
            "insufficient_scope",
        );
    }
    let first = bench.secret("GET", "/v2/keys?limit=1", Value::Null).await;
    let keys = bench.secret("GET", "/v2/keys", Value::Null).await;
    assert_eq!(first.body["keys"].as_array().unwrap().len(), 1);
    let is_secret = |key: &&Value| key["kind"] == "secret";
    let secret = keys.body["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(is_secret)
        .unwrap();
    let id = secret["id"].as_str().unwrap();
    let rotate = bench
        .ask(&reader, "POST", &format!("/v2/keys/{id}/rotate"), json!({}))
        .await;
    check_error(&rotate, 403, "insufficient_scope");
    let revoke = bench
        .ask(&reader, "DELETE", &format!("/v2/keys/{id}"), Value::Null)
        .await;
    check_error(&revoke, 403, "insufficient_scope");
    for body in [
        json!({ "name": "none", "kind": "restricted" }),
        json!({ "name": "unasked", "kind": "secret", "scopes": ["users:read"] }),
        json!({ "name": "short", "expires_in_secs": 1 }),
        json!({ "name": "", "kind": "secret" }),
        json!({ "name": "unknown", "more": 1 }),
        json!({ "name": "unknown", "kind": "restricted", "scopes": ["users:eat"] }),
    ] {
        check_error(
            &bench.secret("POST", "/v2/keys", body).await,
            422,
            "invalid_value",
        );
    }
}

#[tokio::test]
async fn a_publishable_key_sees_what_is_public() {
    let bench = Bench::new().await;
    let answer = bench
        .secret(
            "POST",
            "/v2/keys",
            json!({ "name": "web", "kind": "publishable" }),
        )
        .await;
    let key = answer.body["value"].as_str().unwrap();
    assert!(key.starts_with("pk_"));
    let seen = bench.ask(key, "GET", "/v2/organization", Value::Null).await;
    assert_eq!(
        seen.body,
        json!({ "id": bench.org.id, "uuid": bench.org.uuid, "name": "Workshop", "state": "active" })
    );
    for path in ["/v2/users", "/v2/keys", "/v2/members", "/v2/audit"] {
        check_error(
            &bench.ask(key, "GET", path, Value::Null).await,
            403,
            "insufficient_scope",
        );
    }
    let rename = bench
        .ask(key, "PATCH", "/v2/organization", json!({ "name": "Mine" }))
        .await;
    check_error(&rename, 403, "insufficient_scope");
}

#[tokio::test]
async fn a_key_is_shown_once_rotated_and_revoked() {
    let bench = Bench::new().await;
    let made = bench
        .secret(
            "POST",
            "/v2/keys",
            json!({ "name": "backend", "expires_in_secs": 3_600 }),
        )
        .await;
    assert_eq!(made.body["expires_at"], "2026-01-01T01:00:00Z");
    let (id, value) = (
        made.body["id"].as_str().unwrap(),
        made.body["value"].as_str().unwrap(),
    );
    let shown = bench.secret("GET", &format!("/v2/keys/{id}"), Value::Null).await;
    assert!(!shown.body.to_string().contains(value));
    assert_eq!(shown.body["masked"], made.body["masked"]);
    let path = format!("/v2/keys/{id}/rotate");
    let rotated = bench.secret("POST", &path, json!({ "grace_secs": 60 })).await;
    assert_eq!(rotated.status, StatusCode::OK, "{}", rotated.body);
    assert_eq!(rotated.body["replaced_ends_at"], "2026-01-01T00:01:00Z");
    let new = rotated.body["value"].as_str().unwrap();
    for key in [value, new] {
        assert_eq!(
            bench.ask(key, "GET", "/v2/whoami", Value::Null).await.status,
            StatusCode::OK
        );
    }
    bench.clock.advance(Duration::from_secs(60));
    check_error(
        &bench.ask(value, "GET", "/v2/whoami", Value::Null).await,
        401,
        "token_expired",
    );
    let path = format!("/v2/keys/{}", rotated.body["id"].as_str().unwrap());
    assert_eq!(
        bench.secret("DELETE", &path, Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    check_error(
        &bench.secret("DELETE", &path, Value::Null).await,
        404,
        "not_found",
    );
    check_error(
        &bench.ask(new, "GET", "/v2/whoami", Value::Null).await,
        401,
        "invalid_credentials",
    );
}

#[tokio::test]
async fn users_are_made_listed_changed_and_removed() {
    let bench = Bench::new().await;
    let made = bench
        .secret(
            "POST",
            "/v2/users",
            json!({ "username": "ada", "password": "correct horse" }),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.body["username"], format!("ada@{}", bench.org.id));
    assert!(made.body.get("password").is_none());
    let body = json!({ "username": format!("bob@{}", bench.org.uuid), "role": "ignored" });
    let made = bench.secret("POST", "/v2/users", body).await;
    assert_eq!(
        (&made.body["name"], made.body["password"].as_str().unwrap().len()),
        (&json!("bob"), 24)
    );
    check_error(
        &bench
            .secret("POST", "/v2/users", json!({ "username": "ada" }))
            .await,
        409,
        "exists",
    );
    check_error(
        &bench
            .secret("POST", "/v2/users", json!({ "username": "a/b" }))
            .await,
        422,
        "invalid_value",
    );
    let listed = bench.secret("GET", "/v2/users?limit=1", Value::Null).await;
    assert_eq!(
        (&listed.body["users"][0]["name"], &listed.body["next"]),
        (&json!("ada"), &json!("ada"))
    );
    let listed = bench
        .secret("GET", "/v2/users?limit=1&after=ada", Value::Null)
        .await;
    assert_eq!(
        (&listed.body["users"][0]["name"], &listed.body["next"]),
        (&json!("bob"), &Value::Null)
    );
    let listed = bench.secret("GET", "/v2/users?prefix=b", Value::Null).await;
    assert_eq!(listed.body["users"].as_array().unwrap().len(), 1);
    for query in ["limit=0", "limit=1001", "limit=x", "limit=-1"] {
        check_error(
            &bench
                .secret("GET", &format!("/v2/users?{query}"), Value::Null)
                .await,
            400,
            "invalid_request",
        );
    }
}

#[tokio::test]
async fn a_user_is_disabled_and_removed() {
    let bench = Bench::new().await;
    bench
        .secret("POST", "/v2/users", json!({ "username": "ada" }))
        .await;
    let body = json!({ "enabled": false, "password": "another horse" });
    let changed = bench.secret("PATCH", "/v2/users/ada", body).await;
    assert_eq!(
        (changed.status, &changed.body["enabled"]),
        (StatusCode::OK, &json!(false))
    );
    let changed = bench.secret("PATCH", "/v2/users/ada", json!({})).await;
    assert_eq!(
        changed.body["enabled"], false,
        "nothing asked for, nothing changed"
    );
    check_error(
        &bench
            .secret("PATCH", "/v2/users/eve", json!({ "enabled": true }))
            .await,
        404,
        "not_found",
    );
    assert_eq!(
        bench.secret("DELETE", "/v2/users/ada", Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    check_error(
        &bench.secret("GET", "/v2/users/ada", Value::Null).await,
        404,
        "not_found",
    );
    check_error(
        &bench.secret("GET", "/v2/users/%ff", Value::Null).await,
        400,
        "invalid_request",
    );
}

#[tokio::test]
async fn members_have_no_power_over_those_above_them() {
    let bench = Bench::new().await;
    let owner = bench.member("owner@example.com", "owner").await;
    let admin = bench.member("admin@example.com", "admin").await;
    let viewer = bench.member("viewer@example.com", "viewer").await;
    let promote = json!({ "role": "owner" });
    for (key, path, body) in [
        (&admin, "/v2/members/admin@example.com", promote.clone()),
        (
            &admin,
            "/v2/members/owner@example.com",
            json!({ "password": "another horse" }),
        ),
    ] {
        check_error(
            &bench.ask(key, "PATCH", path, body).await,
            403,
            "insufficient_role",
        );
    }
    let remove = bench
        .ask(&admin, "DELETE", "/v2/members/owner@example.com", Value::Null)
        .await;
    check_error(&remove, 403, "insufficient_role");
    let made = bench
        .ask(&viewer, "POST", "/v2/users", json!({ "username": "ada" }))
        .await;
    check_error(&made, 403, "insufficient_scope");
    assert_eq!(
        bench.ask(&viewer, "GET", "/v2/users", Value::Null).await.status,
        StatusCode::OK
    );
    let changed = bench
        .ask(&owner, "PATCH", "/v2/members/admin@example.com", promote)
        .await;
    assert_eq!(
        (changed.status, &changed.body["role"]),
        (StatusCode::OK, &json!("owner"))
    );
    check_error(
        &bench.ask(&admin, "GET", "/v2/whoami", Value::Null).await,
        401,
        "invalid_credentials",
    );
    let removed = bench
        .ask(&owner, "DELETE", "/v2/members/viewer@example.com", Value::Null)
        .await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    let listed = bench.ask(&owner, "GET", "/v2/members", Value::Null).await;
    assert_eq!(listed.body["members"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_login_ends_with_its_logout_and_guessing_is_held_back() {
    let bench = Bench::new().await;
    let key = bench.member("ada@example.com", "owner").await;
    let who = bench.ask(&key, "GET", "/v2/whoami", Value::Null).await;
    assert_eq!(
        (&who.body["actor"], &who.body["role"]),
        (&json!("member:ada@example.com"), &json!("owner"))
    );
    assert_eq!(
        bench.ask(&key, "POST", "/v2/logout", Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    check_error(
        &bench.ask(&key, "GET", "/v2/whoami", Value::Null).await,
        401,
        "invalid_credentials",
    );
    check_error(
        &bench.secret("POST", "/v2/logout", Value::Null).await,
        422,
        "invalid_value",
    );
    let wrong = json!({ "email": "ada@example.com", "password": "wrong horse" }).to_string();
    for _ in 0..FAILURES_PER_ACCOUNT_MAX {
        check_error(
            &bench.post("/v2/login", wrong.clone()).await,
            401,
            "invalid_credentials",
        );
    }
    let answer = bench.post("/v2/login", wrong).await;
    check_error(&answer, 429, "rate_limited");
    assert_eq!(answer.headers["retry-after"], "60");
}

#[tokio::test]
async fn keys_are_not_found_by_guessing() {
    let bench = Bench::new().await;
    for _ in 0..FAILURES_PER_ACCOUNT_MAX {
        check_error(
            &bench.ask("sk_wrong", "GET", "/v2/whoami", Value::Null).await,
            401,
            "invalid_credentials",
        );
    }
    check_error(
        &bench.ask("sk_wrong", "GET", "/v2/whoami", Value::Null).await,
        429,
        "rate_limited",
    );
    assert_eq!(
        bench.secret("GET", "/v2/whoami", Value::Null).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn only_the_operator_signs_people_up_unless_everybody_may() {
    let bench = Bench::new().await;
    let body = json!({ "organization_name": "New", "email": "eve@example.com", "password": "correct horse" });
    check_error(
        &bench.post("/v2/signup", body.to_string()).await,
        401,
        "unauthorized",
    );
    check_error(
        &bench.secret("POST", "/v2/signup", body.clone()).await,
        403,
        "operator_only",
    );
    let made = bench.operator("POST", "/v2/signup", body.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let key = made.body["secret_key"].as_str().unwrap();
    let who = bench.ask(key, "GET", "/v2/whoami", Value::Null).await;
    assert_eq!(who.body["organization_id"], made.body["organization"]["id"]);
    let open = Bench::with(SignUp::Open).await;
    for _ in 0..FAILURES_PER_ACCOUNT_MAX {
        let made = open.post("/v2/signup", body.to_string()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    }
    check_error(
        &open.post("/v2/signup", body.to_string()).await,
        429,
        "rate_limited",
    );
}

#[tokio::test]
async fn the_audit_trail_names_whoever_made_a_change() {
    let bench = Bench::new().await;
    let ada = bench.member("ada@example.com", "owner").await;
    let made = bench
        .ask(
            &ada,
            "POST",
            "/v2/users",
            json!({ "username": "bob", "password": "correct horse" }),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    let answer = bench.ask(&ada, "GET", "/v2/audit?limit=1", Value::Null).await;
    let entry = &answer.body["entries"][0];
    assert_eq!(
        (&entry["actor"], &entry["action"], &entry["entity_id"]),
        (
            &json!("member:ada@example.com"),
            &json!("user_created"),
            &json!("bob")
        )
    );
    assert!(!answer.body.to_string().contains("correct horse"));
    let next = answer.body["next"].as_str().unwrap();
    let answer = bench
        .ask(
            &ada,
            "GET",
            &format!("/v2/audit?after={next}&action=member_created"),
            Value::Null,
        )
        .await;
    assert_eq!(answer.body["entries"][0]["entity_id"], "ada@example.com");
    let answer = bench
        .ask(&ada, "GET", "/v2/audit?since=2027-01-01T00:00:00Z", Value::Null)
        .await;
    assert_eq!(answer.body, json!({ "entries": [], "next": null }));
    for query in ["since=yesterday", "after=xyz"] {
        let answer = bench
            .ask(&ada, "GET", &format!("/v2/audit?{query}"), Value::Null)
            .await;
        assert!(answer.status.is_client_error(), "{query}: {}", answer.status);
    }
    let of_operator = bench.operator("GET", "/v2/audit", Value::Null).await;
    assert_eq!(of_operator.body["entries"][0]["action"], "organization_created");
}

#[tokio::test]
async fn a_body_of_choices_may_be_left_out() {
    let bench = Bench::new().await;
    let trust =
        json!({ "type": "shared_secret", "issuer": "ours", "audience": "app", "secret": "x".repeat(40) });
    let made = json!({ "name": "own", "trust": trust });
    let made = bench.secret("POST", "/v2/providers", made).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let path = "/v2/providers/own/disable";
    let answer = bench.secret("POST", path, Value::Null).await;
    assert_eq!(
        (answer.status, &answer.body["enabled"]),
        (StatusCode::OK, &json!(false))
    );
    // As forms send nothing.
    let request = Request::post(path)
        .header("authorization", format!("Bearer {}", bench.secret_key.expose()))
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = bench.send(LOCAL, request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    for (body, status, code) in [
        ("{", 400, "invalid_request"),
        ("[]", 422, "invalid_value"),
        (r#"{ "end": true }"#, 422, "invalid_value"),
    ] {
        let request =
            Request::post(path).header("authorization", format!("Bearer {}", bench.secret_key.expose()));
        let answer = bench.send(LOCAL, request.body(Body::from(body)).unwrap()).await;
        check_error(&answer, status, code);
    }
    let made = bench
        .secret("POST", "/v2/keys", json!({ "name": "k", "kind": "secret" }))
        .await;
    let path = format!("/v2/keys/{}/rotate", made.body["id"].as_str().unwrap());
    let rotated = bench.secret("POST", &path, Value::Null).await;
    assert_eq!(rotated.status, StatusCode::OK, "{}", rotated.body);

    let document = bench.get("/openapi.json").await.body;
    let body = &document["paths"]["/v2/providers/{name}/disable"]["post"]["requestBody"];
    assert_ne!(body["required"], json!(true), "{body}");
    assert_eq!(
        body["content"]["application/json"]["schema"],
        json!({ "$ref": "#/components/schemas/DisableRequest" }),
        "a body that is there is no null"
    );
}
