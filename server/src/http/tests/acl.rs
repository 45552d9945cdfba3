//! Access rules over HTTP.

use cloudsignal_broker::OrgId;

use super::*;

impl Bench {
    async fn acl(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v2/acl{path}"))
            .header("authorization", format!("Bearer {}", self.secret_key.expose()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(LOCAL, request.body(Body::from(body.to_owned())).unwrap())
            .await
    }
}

#[tokio::test]
async fn a_policy_is_replaced_only_by_those_who_have_seen_it() {
    let bench = Bench::new().await;
    let get = bench.acl(Method::GET, "", &[], "").await;
    assert_eq!(get.status, StatusCode::OK, "{}", get.body);
    assert_eq!(get.body["policy"], Preset::PermitAll.document());
    let etag = get.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(etag.trim_matches('"'), get.body["etag"]);

    let lines = "topic read public/#\npattern readwrite users/%u/#\n";
    let text = ("content-type", "text/plain; charset=utf-8");
    let put = bench
        .acl(Method::PUT, "", &[text, ("if-match", &etag)], lines)
        .await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.body);
    assert_eq!(
        (&put.body["policy"], &put.body["format"]),
        (&json!(lines), &json!("text"))
    );
    let policy = bench.directory.policy(&OrgId::new(&bench.org.id)).unwrap();
    assert_eq!(policy.rules.len(), 2);

    let preset = r#"{"preset": "chat-channels"}"#;
    let stale = bench.acl(Method::PUT, "", &[("if-match", &etag)], preset).await;
    check_error(&stale, 412, "precondition_failed");
    let now = put.headers["etag"].to_str().unwrap().to_owned();
    let either = format!("{etag}, W/{now}");
    for if_match in [
        vec![("if-match", either.as_str())],
        vec![("if-match", "*")],
        vec![],
    ] {
        let put = bench.acl(Method::PUT, "", &if_match, preset).await;
        assert_eq!(put.status, StatusCode::OK, "{}", put.body);
        assert_eq!(put.body["warnings"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn what_cannot_be_a_policy_is_refused_and_changes_nothing() {
    let bench = Bench::new().await;
    for (body, status, code) in [
        ("{", 400, "invalid_request"),
        ("7", 422, "policy"),
        (r#"{"version": "2.1", "rules": [{}]}"#, 422, "policy"),
        (r#"{"preset": "nonsense"}"#, 422, "invalid_value"),
    ] {
        let answer = bench.acl(Method::PUT, "", &[], body).await;
        check_error(&answer, status, code);
        if code == "policy" {
            assert!(answer.body["faults"][0]["path"].is_string(), "{}", answer.body);
        }
    }
    let html = bench
        .acl(Method::PUT, "", &[("content-type", "text/html")], "x")
        .await;
    check_error(&html, 415, "unsupported_media_type");
    let large = "#".repeat(POLICY_BODY_BYTES_MAX + 1);
    let large = bench
        .acl(Method::PUT, "", &[("content-type", "text/plain")], &large)
        .await;
    check_error(&large, 413, "payload_too_large");
    let policy = bench.directory.policy(&OrgId::new(&bench.org.id)).unwrap();
    assert_eq!(policy, cloudsignal_broker::Policy::permit_all());
    check_error(&bench.get("/v2/acl").await, 401, "unauthorized");
}

#[tokio::test]
async fn documents_are_checked_and_tried_out_before_they_are_saved() {
    let bench = Bench::new().await;
    let document = json!({ "rules": [
        { "user": "nobody", "topic": "chat/{channel}/#", "permission": "both" },
        { "user": "*", "topic": "users/{username}/#", "permission": "publish" },
    ] });
    let report = bench
        .acl(Method::POST, "/validate", &[], &document.to_string())
        .await;
    assert_eq!(
        (report.status, &report.body["valid"]),
        (StatusCode::OK, &json!(true))
    );
    assert_eq!(report.body["format"], "dashboard");
    let warnings = report.body["warnings"].to_string();
    assert!(
        warnings.contains("channel binding without require_grant"),
        "{warnings}"
    );
    assert!(warnings.contains("no user \\\"nobody\\\""), "{warnings}");
    let broken = bench
        .acl(Method::POST, "/validate", &[], r#"{"version": "9"}"#)
        .await;
    assert_eq!(
        (broken.status, &broken.body["valid"]),
        (StatusCode::OK, &json!(false))
    );
    assert_eq!(broken.body["errors"][0]["path"], "version");

    let mut question =
        json!({ "username": format!("ada@{}", bench.org.id), "topic": "x", "action": "publish" });
    let verdict = bench
        .acl(Method::POST, "/simulate", &[], &question.to_string())
        .await;
    assert_eq!(
        (verdict.status, &verdict.body["allowed"]),
        (StatusCode::OK, &json!(true))
    );
    assert_eq!(verdict.body["decided_by"], "default");
    question["policy"] = document.clone();
    let verdict = bench
        .acl(Method::POST, "/simulate", &[], &question.to_string())
        .await;
    assert_eq!(verdict.body["allowed"], false, "{}", verdict.body);
    question["topic"] = json!("users/ada/x");
    let verdict = bench
        .acl(Method::POST, "/simulate", &[], &question.to_string())
        .await;
    assert_eq!(
        (
            &verdict.body["rule"],
            &verdict.body["pattern"],
            &verdict.body["rule_source"]
        ),
        (&json!("rules[1]"), &json!("users/ada/#"), &document["rules"][1])
    );
    question["qos"] = json!(3);
    check_error(
        &bench
            .acl(Method::POST, "/simulate", &[], &question.to_string())
            .await,
        422,
        "invalid_value",
    );
    let policy = bench.directory.policy(&OrgId::new(&bench.org.id)).unwrap();
    assert_eq!(policy, cloudsignal_broker::Policy::permit_all());
}

#[tokio::test]
async fn presets_are_listed_with_their_documents() {
    let bench = Bench::new().await;
    let presets = bench.acl(Method::GET, "/presets", &[], "").await;
    assert_eq!(
        presets.body["presets"].as_array().unwrap().len(),
        Preset::ALL.len()
    );
    assert_eq!(
        presets.body["presets"][4]["policy"],
        Preset::ChatChannels.document()
    );
}
