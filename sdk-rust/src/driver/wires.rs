//! The connections of a client: at most one that is used, one that will take over, and those that are being left.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::timeout;

use cloudsignal_core::client::{Server, WireId};

use crate::endpoint::Endpoint;
use crate::transport::{self, Got, Link, Outbox, TlsConnector};

/// How many bytes may wait for a connection before nothing more is published on it.
const OUTBOX_BYTES_MAX: usize = 1 << 20;
/// How much is read at once, bytes.
const READ_BYTES: usize = 64 * 1_024;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

type Dialing = Pin<Box<dyn Future<Output = io::Result<Link>> + Send>>;

enum Stage {
    Dialing(Dialing),
    Open(Link),
}

struct Wire {
    id: WireId,
    stage: Stage,
    out: Outbox,
    /// Nothing can be written any more. What the server has said last can still be read.
    is_deaf: bool,
}

/// Where connections go, and how.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) tls: TlsConnector,
}

impl fmt::Debug for Route {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(out)
    }
}

/// What has happened to a connection.
pub(super) enum Happened {
    Opened,
    /// So many bytes at the front of [`Wires::lend_space`].
    Bytes(usize),
    Frame(Bytes),
    Closed(io::Error),
}

pub(super) struct Wires {
    route: Route,
    wires: Vec<Wire>,
    goodbyes: JoinSet<()>,
    space: Box<[u8]>,
}

impl fmt::Debug for Wires {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Wires")
            .field("route", &self.route)
            .field("wires", &self.wires.len())
            .finish_non_exhaustive()
    }
}

impl Wires {
    pub(super) fn new(route: Route) -> Self {
        Self {
            route,
            wires: Vec::new(),
            goodbyes: JoinSet::new(),
            space: vec![0; READ_BYTES].into(),
        }
    }

    pub(super) fn dial(&mut self, id: WireId, to: Server<'_>) {
        let Route { endpoint, tls } = self.route.clone();
        let endpoint = match to {
            Server::Configured => Some(endpoint),
            Server::Referred(there) => endpoint.referred(there).map(Arc::new),
        };
        let dialing = async move {
            let nowhere = || io::Error::other("the server has sent the client to a place that is none");
            transport::open(&*endpoint.ok_or_else(nowhere)?, &tls).await
        };
        self.wires.push(Wire {
            id,
            stage: Stage::Dialing(Box::pin(dialing)),
            out: Outbox::default(),
            is_deaf: false,
        });
    }

    pub(super) fn send(&mut self, id: WireId, bytes: &[u8]) {
        if let Some(wire) = self.wires.iter_mut().find(|wire| wire.id == id) {
            wire.out.push(bytes);
        }
    }

    /// Whether so much waits that nothing more should be published.
    pub(super) fn are_clogged(&self) -> bool {
        self.wires.iter().any(|wire| wire.out.len() > OUTBOX_BYTES_MAX)
    }

    /// Whether everything is with the system.
    pub(super) fn are_written(&self) -> bool {
        self.wires.iter().all(|wire| wire.out.is_written())
    }

    /// Leaves a connection: what waits is still sent.
    pub(super) fn hang_up(&mut self, id: WireId) {
        let Some(at) = self.wires.iter().position(|wire| wire.id == id) else {
            return;
        };
        let Wire { stage, mut out, .. } = self.wires.swap_remove(at);
        if let Stage::Open(mut link) = stage {
            let goodbye = async move {
                std::future::poll_fn(|cx| link.poll_write(cx, &mut out)).await?;
                link.leave().await
            };
            self.goodbyes.spawn(async move {
                // A server that does not listen is left without.
                let _unheard = timeout(GOODBYE, goodbye).await;
            });
        }
    }

    /// Whether all that were left are gone.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(goodbye) = self.goodbyes.poll_join_next(cx) {
            if goodbye.is_none() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Something that has happened.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(WireId, Happened)> {
        for at in 0..self.wires.len() {
            let wire = &mut self.wires[at];
            let id = wire.id;
            match wire.poll(cx, &mut self.space) {
                Poll::Pending => {}
                Poll::Ready(Happened::Closed(error)) => {
                    self.wires.swap_remove(at);
                    return Poll::Ready((id, Happened::Closed(error)));
                }
                Poll::Ready(happened) => return Poll::Ready((id, happened)),
            }
        }
        Poll::Pending
    }

    /// Gives away what was read, while the machine looks at it and writes to connections.
    pub(super) fn lend_space(&mut self) -> Box<[u8]> {
        std::mem::take(&mut self.space)
    }

    pub(super) fn give_back_space(&mut self, space: Box<[u8]>) {
        self.space = space;
    }

    /// Writes what waits, as far as the system takes it.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) {
        for wire in &mut self.wires {
            if let (Stage::Open(link), false) = (&mut wire.stage, wire.is_deaf) {
                let written = link.poll_write(cx, &mut wire.out);
                wire.is_deaf = matches!(written, Poll::Ready(Err(_)));
            }
        }
    }
}

impl Wire {
    fn poll(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<Happened> {
        let closed = |error| Poll::Ready(Happened::Closed(error));
        match &mut self.stage {
            Stage::Dialing(dialing) => match dialing.as_mut().poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => closed(error),
                Poll::Ready(Ok(link)) => {
                    self.stage = Stage::Open(link);
                    Poll::Ready(Happened::Opened)
                }
            },
            Stage::Open(link) => match link.poll_read(cx, space) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(Got::Bytes(bytes))) => Poll::Ready(Happened::Bytes(bytes)),
                Poll::Ready(Ok(Got::Frame(payload))) => Poll::Ready(Happened::Frame(payload)),
                Poll::Ready(Ok(Got::End)) => closed(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(Err(error)) => closed(error),
            },
        }
    }
}
