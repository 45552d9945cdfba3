//! Is it alive, does it take work: for load balancers and supervisors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

/// How far the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reads back its state; listeners may not be open yet.
    Starting,
    /// Takes connections.
    Ready,
    /// Lets its clients go and takes no more.
    Draining,
}

/// The phase, shared: whoever starts and stops the server sets it. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// The phase now; [`Phase::Starting`] at first.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::SeqCst) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// Moves on.
    pub fn set(&self, phase: Phase) {
        let number = match phase {
            Phase::Starting => 0,
            Phase::Ready => 1,
            Phase::Draining => 2,
        };
        self.0.store(number, Ordering::SeqCst);
    }
}

/// How the server is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`, `starting`, `ready` or `draining`.
    pub status: &'static str,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
}

/// Is it alive
///
/// Whoever reads this answer has reached a running process: nothing more is claimed.
#[utoipa::path(get, path = "/healthz", tag = "Health", responses((status = 200, description = "It is", body = Health)))]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Does it take work
#[utoipa::path(get, path = "/readyz", tag = "Health", responses(
    (status = 200, description = "It does", body = Health),
    (status = 503, description = "Not yet, or not any more", body = Health),
))]
pub(super) async fn readyz(State(api): State<Api>) -> (StatusCode, Json<Health>) {
    let (status, word) = match api.0.readiness.phase() {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Phase::Ready => (StatusCode::OK, "ready"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    (status, Json(Health { status: word }))
}
