//! A backup of the running broker, as it is at one moment.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, ApiError, Caller};
use crate::accounts::CommandError;
use crate::backup::write::{Wanted, write};

/// Bytes that are sent at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks that may wait for whoever reads.
const CHUNKS_MAX: usize = 4;
/// How long nothing may be read before the backup is given up: the store keeps what is old for it.
const STALL_MAX: Duration = Duration::from_secs(60);

/// What backups need beside the store.
#[derive(Debug)]
pub(super) struct Backups {
    /// Where the files beside the store are; none in a broker without a data folder.
    data_dir: Option<PathBuf>,
    /// One at a time.
    gate: Arc<Semaphore>,
}

impl Backups {
    pub(super) fn new(data_dir: Option<PathBuf>) -> Self {
        let gate = Arc::new(Semaphore::new(1));
        Self { data_dir, gate }
    }
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(take))
}

/// Take a backup
///
/// For the operator. Everything that is stored at this moment, or everything of the organization that is named;
/// what organizations whose durability is `memory` hold in memory is not stored. The file holds secrets. One at a time;
/// a file that ends too soon is refused by `cloudsignal restore`.
#[utoipa::path(get, path = "/v2/backup", tag = "Organizations", security(("bearer" = [])),
    responses((status = 200, description = "The backup", body = Vec<u8>, content_type = "application/octet-stream")))]
async fn take(State(api): State<Api>, caller: Caller) -> Result<Response, ApiError> {
    caller.require_operator()?;
    let org = caller.org().ok().cloned();
    let backups = &api.0.backups;
    let permit = Arc::clone(&backups.gate).try_acquire_owned().map_err(|_| {
        let text = "another backup is being taken";
        ApiError::new(StatusCode::CONFLICT, "backup_under_way", text)
    })?;
    let view = api.0.directory.store().view().await.map_err(|error| {
        tracing::warn!(%error, "a backup cannot be taken");
        ApiError::from(CommandError::Storage)
    })?;
    let (to, from) = mpsc::channel(CHUNKS_MAX);
    let mut pipe = Pipe {
        to,
        chunk: BytesMut::with_capacity(CHUNK_BYTES),
        runtime: Handle::current(),
    };
    let (data_dir, now) = (backups.data_dir.clone(), api.0.clock.wall());
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let wanted = Wanted {
            org: org.as_ref().map(|org| org.as_str()),
            data_dir: data_dir.as_deref(),
            now,
        };
        match write(&*view, wanted, &mut pipe) {
            Ok(end) => tracing::info!(entries = end.entries, bytes = end.bytes, "a backup was taken"),
            Err(error) => {
                tracing::warn!(%error, "a backup was not finished");
                // Whoever reads must see that it is not complete.
                let _ = pipe.send(Err(io::Error::other("the backup was not finished")));
            }
        }
    });
    let chunks = stream::unfold(from, |mut from| async {
        let chunk: Option<io::Result<Bytes>> = from.recv().await;
        chunk.map(|chunk| (chunk, from))
    });
    let headers = [(CONTENT_TYPE, "application/octet-stream")];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// From the thread that reads the store to the connection.
struct Pipe {
    to: mpsc::Sender<io::Result<Bytes>>,
    chunk: BytesMut,
    runtime: Handle,
}

impl Pipe {
    fn send(&self, chunk: io::Result<Bytes>) -> io::Result<()> {
        let sent = self
            .runtime
            .block_on(async { timeout(STALL_MAX, self.to.send(chunk)).await });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = self.chunk.split().freeze();
        if chunk.is_empty() {
            Ok(())
        } else {
            self.send(Ok(chunk))
        }
    }
}
