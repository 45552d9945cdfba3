//! The HTTP API.
//!
//! | path | what | file |
//! |---|---|---|
//! | `POST /v2/tokens/create`, `/v2/tokens/refresh` | temporary tokens, for browsers too | [`tokens`] |
//! | `POST /v2/admin/command` | management, for the command line on this machine | [`admin`] |
//! | `GET /healthz`, `GET /readyz` | is it alive, does it take work | [`health`] |
//!
//! Every error is JSON and says the same in all the fields that clients read ([`answer`]). Paths with
//! doubled slashes are tolerated: clients join them carelessly.
//!
//! Whoever serves connections puts a [`Peer`] into the extensions of each request.

pub mod admin;
pub mod answer;
pub mod health;
pub mod payload;
pub mod tokens;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderName, Method};
use axum::middleware::map_request;
use axum::routing::{get, post};
use tower::Layer as _;
use tower_http::cors::{Any, CorsLayer};

use crate::accounts::Directory;
use crate::accounts::Secret;
use crate::accounts::secret::SecretDigest;
use crate::authn::Authenticator;
use crate::clock::Clock;
pub use answer::ApiError;
pub use health::{Phase, Readiness};

/// Largest body of a request about tokens, bytes.
pub const TOKEN_BODY_BYTES_MAX: usize = 16 * 1024;
/// Largest body of a management command, bytes: a policy document and room around it.
pub const ADMIN_BODY_BYTES_MAX: usize = 512 * 1024;
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
}

impl Api {
    /// The API over a directory. Whoever shows `admin_token` below `/v2/admin/` may do everything.
    #[must_use]
    pub fn new(
        directory: Directory,
        authenticator: Arc<Authenticator>,
        clock: Clock,
        admin_token: &Secret,
        readiness: Readiness,
    ) -> Self {
        let admin_token = admin_token.digest();
        Self(Arc::new(Parts {
            directory,
            authenticator,
            clock,
            admin_token,
            readiness,
        }))
    }
}

/// All routes. `more` adds routes of others, such as the WebSocket upgrade; they must not clash with ours.
pub fn router(api: Api, more: Router) -> Router {
    let tokens = Router::new()
        .route("/v2/tokens/create", post(tokens::create))
        .route("/v2/tokens/refresh", post(tokens::refresh))
        // Set here too, or the answer to other methods would be given outside of the layers.
        .method_not_allowed_fallback(answer::method_not_allowed)
        .layer(DefaultBodyLimit::max(TOKEN_BODY_BYTES_MAX))
        .layer(cors());
    let admin = Router::new()
        .route("/v2/admin/command", post(admin::command))
        .layer(DefaultBodyLimit::max(ADMIN_BODY_BYTES_MAX));
    let routes = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .merge(tokens)
        .merge(admin)
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

/// Browsers of every origin may ask for tokens: what protects them is the secret in the body.
fn cors() -> CorsLayer {
    let headers = [
        CONTENT_TYPE,
        AUTHORIZATION,
        HeaderName::from_static("x-api-key"),
        HeaderName::from_static("x-secret-key"),
    ];
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(headers)
        .expose_headers([RETRY_AFTER])
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
