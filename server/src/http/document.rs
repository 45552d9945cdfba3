//! The OpenAPI document, made from the handlers, and the routes it describes.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::{Api, answer, cors};

/// Whether web pages of any origin may call the routes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Browsers {
    /// They may: every route there wants a key, a token or a password, which no page has by itself.
    AnyOrigin,
    /// They may not: nobody asks for a key there.
    SameOrigin,
}

/// Routes with the same bounds.
pub(super) struct Group {
    pub(super) routes: OpenApiRouter<Api>,
    pub(super) body_bytes_max: usize,
    pub(super) browsers: Browsers,
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "CloudSignal",
        description = "Organizations, users, keys, tokens, access rules, sessions and publishing.\n\nA key is sent as `Authorization: Bearer KEY`, `X-API-Key: KEY` or `X-Secret-Key: KEY`, and decides the organization. The operator sends the administration token and names the organization with `?organization_id=` or `X-Organization-Id`. Lists answer `next`: what to send as `after`.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    components(schemas(answer::ErrorBody)),
    tags(
        (name = "Accounts", description = "Sign-up and login"),
        (name = "Organizations", description = "One's own, and all of them for the operator"),
        (name = "Users", description = "Who may log in over MQTT"),
        (name = "Members", description = "People who manage the organization"),
        (name = "Keys", description = "Secret, publishable and restricted keys"),
        (name = "Tokens", description = "Logins that end by themselves"),
        (name = "Providers", description = "Identity providers, and tokens for those they vouch for"),
        (name = "Access rules", description = "The policy: read, checked, replaced, tried out"),
        (name = "Messages", description = "Publishing over HTTP"),
        (name = "Sessions", description = "Who is connected, and who was"),
        (name = "Usage", description = "Quotas, and what was used of them"),
        (name = "Audit", description = "Who changed what, and when"),
        (name = "Health", description = "For load balancers and supervisors"),
    ),
)]
struct Document;

/// Joins groups into one router with its document at `GET /openapi.json`.
pub(super) fn join(groups: impl IntoIterator<Item = Group>) -> Router<Api> {
    let mut document = Document::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").into();
    let mut router = Router::new();
    for group in groups {
        let (mut routes, part) = group.routes.split_for_parts();
        document.merge(part);
        // Set here too, or the answer to other methods would be given outside of the layers.
        routes = routes
            .method_not_allowed_fallback(answer::method_not_allowed)
            .layer(DefaultBodyLimit::max(group.body_bytes_max));
        router = router.merge(match group.browsers {
            Browsers::AnyOrigin => routes.layer(cors()),
            Browsers::SameOrigin => routes,
        });
    }
    router.route("/openapi.json", serve(&document))
}

fn serve(document: &OpenApi) -> MethodRouter<Api> {
    let text = Bytes::from(finish(document).to_string());
    get(move || {
        let text = text.clone();
        async move { ([(CONTENT_TYPE, "application/json")], text) }
    })
}

/// Adds what is the same for every route: who may ask, and every refusal.
fn finish(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).expect("invariant: the document is plain JSON");
    document["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "A key (`sk_`, `rk_`, `pk_`), or the administration token of the server",
        },
        "api_key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
        "secret_key": { "type": "apiKey", "in": "header", "name": "X-Secret-Key" },
    });
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                operation.insert("operationId".into(), json!(operation_id(method, path)));
                finish_operation(operation);
            }
        }
    }
    open_parts(&mut document["components"]["schemas"]);
    document
}

/// What is a part of a larger object, beside other fields, may not forbid these.
fn open_parts(schemas: &mut Value) {
    let Some(schemas) = schemas.as_object_mut() else {
        return;
    };
    let parts = schemas.values().filter_map(|schema| schema["allOf"].as_array());
    let names = parts.flatten().filter_map(|part| part["$ref"].as_str());
    let names: Vec<_> = names
        .filter_map(|name| name.rsplit('/').next().map(str::to_owned))
        .collect();
    for name in names {
        if let Some(part) = schemas.get_mut(&name).and_then(Value::as_object_mut) {
            part.remove("additionalProperties");
        }
    }
}

/// `get_v2_keys_id`: handlers of different files have the same name, and names in the document must differ.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|char: char| !char.is_ascii_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .fold(method.to_owned(), |id, word| id + "_" + word)
}

/// A body that may be left out is declared as one that may be null, which is something else.
fn forbid_null(body: &mut Value) {
    for (_, content) in body["content"].as_object_mut().into_iter().flatten() {
        let choices = content["schema"]["oneOf"].as_array().cloned().unwrap_or_default();
        let mut others = choices.iter().filter(|choice| choice["type"] != "null");
        if let (Some(only), None) = (others.next(), others.next()) {
            content["schema"] = only.clone();
        }
    }
}

fn finish_operation(operation: &mut Map<String, Value>) {
    let mut refusals = vec![
        ("400", "The request cannot be read"),
        ("503", "The server is busy; try again"),
    ];
    // Declared with the one scheme that macros name; the others say the same.
    if operation.contains_key("security") {
        operation.insert(
            "security".into(),
            json!([{ "bearer": [] }, { "api_key": [] }, { "secret_key": [] }]),
        );
        refusals.extend([
            ("401", "No key, or one that is not good"),
            (
                "403",
                "The key does not reach that far, or the organization is suspended",
            ),
            ("404", "There is no such thing in the organization of the key"),
            ("422", "Understood, but it cannot be"),
            (
                "429",
                "Too many failures or too much of something; `Retry-After` says when to come back",
            ),
        ]);
    }
    if let Some(body) = operation.get_mut("requestBody") {
        forbid_null(body);
        refusals.extend([
            ("408", "The body did not arrive in time"),
            ("413", "The body is too large"),
            ("415", "The body is of another type"),
            ("422", "Understood, but it cannot be"),
        ]);
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    for (status, text) in refusals {
        responses
            .entry(status)
            .or_insert_with(|| json!({ "description": text }));
    }
    for (status, response) in responses {
        if status.starts_with(['4', '5']) && response["content"].is_null() {
            response["content"] = json!({
                "application/json": { "schema": { "$ref": "#/components/schemas/ErrorBody" } },
            });
        }
    }
}
