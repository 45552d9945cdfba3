//! The HTTP API.
//!
//! | path | what | file |
//! |---|---|---|
//! | `POST /v2/tokens/create`, `/v2/tokens/refresh` | temporary tokens, for browsers too | [`tokens`] |
//! | `POST /v1/create`, `/v2/tokens`, `/v2/tokens/revoke` | older shapes, list, revocation | [`issued_tokens`] |
//! | `POST /v2/tokens/exchange` | a token for that of an identity provider | [`exchange`] |
//! | `/v2/providers` | identity providers | [`providers`] |
//! | `/v2/signup`, `/v2/login`, `/v2/logout`, `/v2/whoami` | people who manage | [`accounts`] |
//! | `/v2/organization`, `/v2/organizations…` | one's own, and the operator's | [`organizations`] |
//! | `/v2/users…`, `/v2/members…`, `/v2/keys…` | what an organization has | [`users`], [`members`], [`keys`] |
//! | `GET /v2/backup` | everything that is stored, for the operator | `backup` |
//! | `GET /v2/audit` | who changed what | [`audit`] |
//! | `POST /v2/publish`, `/v1/publish`, `/publish`, `/api/v1/publish`, `/v2/publish/batch` | messages | `publish` |
//! | `/v2/sessions…`, `GET /v2/session-history` | who is connected, and who was | `sessions` |
//! | `/v2/acl`, `/v2/acl/validate`, `/v2/acl/simulate`, `/v2/acl/presets` | access rules | `acl` |
//! | `GET /v2/usage`, `/v2/quotas` | what an organization uses, and what it may use | `usage` |
//! | `GET /healthz`, `GET /readyz` | is it alive, does it take work | [`health`] |
//!
//! | `GET /openapi.json` | the document of all of it | `document` |
//!
//! # How to add a route
//! 1. In the file of its subject, write the handler with `#[utoipa::path(get, path = "/v2/things/{id}",
//!    tag = "Things", params(…), security(("bearer" = [])), responses((status = 200, description = "…",
//!    body = Thing)))]`, its summary as the first doc line. `tag` is one of the list in `document.rs`. Routes
//!    without a key leave `security` out and name the 401, 403, 404, 429 that they answer; everything else
//!    that can go wrong is added to each route by itself.
//! 2. Its arguments, in this order: `State(api): State<Api>`, `caller: Caller` (refuses bad keys),
//!    `InPath(id)`, `Params(query): Params<Query>` ([`page`]; for lists also `Params<PageParams>`), and last
//!    `Payload(body): Payload<Body>`, a `Deserialize + ToSchema`; our own bodies `deny_unknown_fields`. A body that
//!    may be left out: `MaybePayload`, with `request_body = Option<Body>`.
//! 3. Begin it with `let org = caller.require(Scope::ThingsRead)?;`: the scope is checked, and what comes
//!    back is the caller's organization. The operator's routes: `caller.require_operator()?`.
//!    If it looks through many entries, `let _turn = api.reading(org).await?;` next (`reads`).
//! 4. Changes go through `api.execute(&caller, Command::…)`, which keeps the audit trail. Errors are
//!    [`ApiError`]s.
//! 5. Add `routes!(handler)` to the file's `routes()` (several methods of one path: one `routes!(a, b)`),
//!    and a new file's `routes()` as a `Group` to `groups()`.
//!
//! Every error is JSON and says the same in all the fields that clients read ([`answer`]). Paths with
//! doubled slashes are tolerated: clients join them carelessly.
//!
//! Whoever serves connections puts a [`Peer`] into the extensions of each request.

pub mod accounts;
pub mod acl;
pub mod answer;
pub mod audit;
mod backup;
pub mod caller;
mod document;
pub mod exchange;
pub mod health;
pub mod issued_tokens;
pub mod keys;
pub mod members;
pub mod organizations;
pub mod page;
pub mod payload;
pub mod providers;
mod publish;
mod reads;
mod sessions;
pub mod tokens;
mod usage;
pub mod users;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, ETAG, RETRY_AFTER};
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderName, Method};
use axum::middleware::map_request;
use axum::routing::get;
use tower::Layer as _;
use tower_http::cors::{Any, CorsLayer};

use crate::accounts::secret::SecretDigest;
use crate::accounts::{Command, Directory, Outcome, Secret};
use crate::authn::Authenticator;
use crate::clock::Clock;
use crate::config::SignUp;
use crate::orgs::Orgs;
pub use answer::ApiError;
use backup::Backups;
pub use caller::Caller;
use document::{Browsers, Group};
pub use health::{Phase, Readiness};
pub use page::{InPath, PageParams, Params};
pub use payload::Payload;

/// Largest body of a request about tokens, bytes.
pub const TOKEN_BODY_BYTES_MAX: usize = 16 * 1024;
/// Largest body of a request about policies, bytes: a document and room around it.
pub const POLICY_BODY_BYTES_MAX: usize = 512 * 1024;
/// Largest body of a request about sessions, bytes: a thousand client ids of the longest kind.
pub const SESSIONS_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How long a body may take to arrive, seconds.
pub const BODY_SECS_MAX: u64 = 10;
/// How long browsers may remember that they may ask, seconds.
const PREFLIGHT_SECS: u64 = 600;

/// Where a request comes from, as the listener knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's address; behind a proxy that says so, the one it names.
    pub address: SocketAddr,
    /// How the request travelled.
    pub wire: Wire,
}

/// How a request travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Readable on the way.
    Plain,
    /// Encrypted.
    Tls,
}

/// What the handlers work with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    directory: Directory,
    authenticator: Arc<Authenticator>,
    clock: Clock,
    admin_token: SecretDigest,
    readiness: Readiness,
    orgs: Arc<Orgs>,
    sign_up: SignUp,
    publish: publish::Desk,
    backups: Backups,
    reads: reads::Reads,
}

impl Api {
    /// The API over a directory. Whoever shows `admin_token` is the operator.
    #[must_use]
    pub(crate) fn new(
        directory: Directory,
        authenticator: Arc<Authenticator>,
        clock: Clock,
        admin_token: &Secret,
        readiness: Readiness,
        orgs: Arc<Orgs>,
        sign_up: SignUp,
    ) -> Self {
        let admin_token = admin_token.digest();
        let publish = publish::Desk::new(clock.clone());
        Self(Arc::new(Parts {
            publish,
            backups: Backups::new(None),
            reads: reads::Reads::default(),
            directory,
            authenticator,
            clock,
            admin_token,
            readiness,
            orgs,
            sign_up,
        }))
    }

    /// The same API for a broker with a data folder: a backup of everything holds the files there too.
    #[must_use]
    pub(crate) fn with_data_dir(mut self, data_dir: PathBuf) -> Self {
        let parts = Arc::get_mut(&mut self.0).expect("invariant: nobody has a clone of it yet");
        parts.backups = Backups::new(Some(data_dir));
        self
    }

    /// Has the directory carry out what the caller asks for, in the caller's name.
    ///
    /// # Errors
    /// Why it was not done, as an answer.
    pub async fn execute(&self, caller: &Caller, command: Command) -> Result<Outcome, ApiError> {
        let outcome = self.0.directory.execute_as(caller.actor(), command).await;
        outcome.map_err(|error| ApiError::of_command(&error))
    }
}

/// The routes of the document, in groups of the same bounds.
fn groups() -> Vec<Group> {
    vec![
        Group {
            routes: backup::routes(),
            body_bytes_max: TOKEN_BODY_BYTES_MAX,
            browsers: Browsers::SameOrigin,
        },
        Group {
            routes: acl::routes(),
            body_bytes_max: POLICY_BODY_BYTES_MAX,
            browsers: Browsers::AnyOrigin,
        },
        Group {
            routes: health::routes(),
            body_bytes_max: TOKEN_BODY_BYTES_MAX,
            browsers: Browsers::SameOrigin,
        },
        Group {
            routes: tokens::routes().merge(issued_tokens::routes()),
            body_bytes_max: TOKEN_BODY_BYTES_MAX,
            browsers: Browsers::AnyOrigin,
        },
        Group {
            routes: accounts::routes()
                .merge(organizations::routes())
                .merge(users::routes())
                .merge(members::routes())
                .merge(keys::routes())
                .merge(usage::routes())
                .merge(audit::routes()),
            body_bytes_max: TOKEN_BODY_BYTES_MAX,
            browsers: Browsers::AnyOrigin,
        },
        Group {
            routes: publish::routes(),
            // What a message may have is the organization's to say: read there.
            body_bytes_max: TOKEN_BODY_BYTES_MAX,
            browsers: Browsers::AnyOrigin,
        },
        Group {
            routes: sessions::routes(),
            body_bytes_max: SESSIONS_BODY_BYTES_MAX,
            browsers: Browsers::AnyOrigin,
        },
        Group {
            routes: exchange::routes(),
            body_bytes_max: TOKEN_BODY_BYTES_MAX,
            browsers: Browsers::AnyOrigin,
        },
        Group {
            routes: providers::routes(),
            body_bytes_max: TOKEN_BODY_BYTES_MAX,
            browsers: Browsers::AnyOrigin,
        },
    ]
}

/// All routes. `more` adds routes of others, such as the WebSocket upgrade; they must not clash with ours.
pub fn router(api: Api, more: Router) -> Router {
    let routes = document::join(groups())
        .method_not_allowed_fallback(answer::method_not_allowed)
        .fallback(answer::not_found)
        .with_state(api)
        .merge(more);
    // Routing happens inside, so the path has to be mended outside of it.
    Router::new().fallback_service(map_request(mend_path).layer(routes))
}

/// The health routes alone, for a listener that is not for clients.
pub fn health_router(api: Api) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .with_state(api)
}

/// Headers beside the content type that pages of every origin may send.
const BROWSER_HEADERS: [&str; 16] = [
    "authorization",
    "if-match",
    "x-api-key",
    "x-secret-key",
    "x-organization-id",
    "idempotency-key",
    "x-mqtt-topic",
    "x-mqtt-qos",
    "x-mqtt-retain",
    "x-mqtt-payload-format-indicator",
    "x-mqtt-message-expiry-interval",
    "x-mqtt-content-type",
    "x-mqtt-response-topic",
    "x-mqtt-correlation-data",
    "x-mqtt-correlation-data-base64",
    "x-mqtt-user-property",
];
/// Headers of answers that they may read.
const SHOWN_HEADERS: [HeaderName; 6] = [
    ETAG,
    RETRY_AFTER,
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
    HeaderName::from_static("idempotency-replayed"),
];

/// Pages of every origin may ask: what protects is the key or token that they show, which no browser adds by itself.
fn cors() -> CorsLayer {
    let headers = BROWSER_HEADERS.map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers(headers.into_iter().chain([CONTENT_TYPE]).collect::<Vec<_>>())
        .expose_headers(SHOWN_HEADERS)
        .max_age(Duration::from_secs(PREFLIGHT_SECS))
}

/// Makes one slash of several.
async fn mend_path(mut request: Request) -> Request {
    let path = request.uri().path();
    if !path.contains("//") {
        return request;
    }
    let mut mended = String::with_capacity(path.len());
    for char in path.chars() {
        if char != '/' || !mended.ends_with('/') {
            mended.push(char);
        }
    }
    if let Some(query) = request.uri().query() {
        mended.push('?');
        mended.push_str(query);
    }
    let mut parts = request.uri().clone().into_parts();
    if let Ok(path) = PathAndQuery::try_from(mended) {
        parts.path_and_query = Some(path);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}
