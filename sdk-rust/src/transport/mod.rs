//! A connection to a server: bytes in, bytes out, never waiting.
//!
//! | file | holds |
//! |---|---|
//! | here | opening, reading, writing, leaving |
//! | `tls` | whom to trust, and who the client is |
//! | `websocket` | the upgrade, and frames |

mod tls;
mod websocket;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::endpoint::{Endpoint, Scheme};

pub(crate) use tls::{Identity, Pem, Trust, client_config};
pub(crate) use tokio_rustls::TlsConnector;
use websocket::WebSocket;

/// What carries bytes below a WebSocket.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An open connection.
pub(crate) enum Link {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    WebSocket(Box<WebSocket>),
}

/// What was read.
#[derive(Debug)]
pub(crate) enum Got {
    /// So many bytes at the front of the space that was given.
    Bytes(usize),
    /// The payload of a frame.
    Frame(Bytes),
    /// The server has closed its side.
    End,
}

/// Opens a connection.
///
/// # Errors
/// What the system, TLS or the server's HTTP say.
pub(crate) async fn open(endpoint: &Endpoint, tls: &TlsConnector) -> io::Result<Link> {
    let tcp = TcpStream::connect((&*endpoint.host, endpoint.port)).await?;
    tcp.set_nodelay(true)?;
    match endpoint.scheme {
        Scheme::Mqtt => Ok(Link::Tcp(tcp)),
        Scheme::Mqtts => Ok(Link::Tls(Box::new(secure(&endpoint.host, tls, tcp).await?))),
        Scheme::Ws => Ok(Link::WebSocket(websocket::upgrade(endpoint, tcp).await?)),
        Scheme::Wss => {
            let tls = secure(&endpoint.host, tls, tcp).await?;
            Ok(Link::WebSocket(websocket::upgrade(endpoint, tls).await?))
        }
    }
}

/// TLS, with the server's name checked.
///
/// # Errors
/// When the host is no name that a certificate can have, or the handshake fails.
pub(crate) async fn secure(
    host: &str,
    tls: &TlsConnector,
    tcp: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = rustls::pki_types::ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    tls.connect(name, tcp).await
}

impl Link {
    /// Reads what is there, into `space` or as a frame.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<Got>> {
        let mut space = ReadBuf::new(space);
        match self {
            Self::Tcp(tcp) => ready!(Pin::new(tcp).poll_read(cx, &mut space))?,
            Self::Tls(tls) => ready!(Pin::new(tls).poll_read(cx, &mut space))?,
            Self::WebSocket(socket) => return socket.poll_read(cx),
        }
        Poll::Ready(Ok(match space.filled().len() {
            0 => Got::End,
            bytes => Got::Bytes(bytes),
        }))
    }

    /// Writes all of `out`. Ready when nothing is left and nothing waits below.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Outbox) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => poll_write_stream(Pin::new(tcp), cx, out),
            Self::Tls(tls) => poll_write_stream(Pin::new(tls.as_mut()), cx, out),
            Self::WebSocket(socket) => socket.poll_write(cx, out),
        }
    }

    /// Says that nothing follows, and reads until the server has closed too: what was written last would be lost
    /// if something unread were left.
    pub(crate) async fn leave(self) -> io::Result<()> {
        match self {
            Self::Tcp(mut tcp) => {
                tcp.shutdown().await?;
                drain(&mut tcp).await
            }
            Self::Tls(mut tls) => {
                tls.shutdown().await?;
                drain(&mut tls).await
            }
            Self::WebSocket(mut socket) => socket.leave().await,
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Tcp(_) => "Tcp",
            Self::Tls(_) => "Tls",
            Self::WebSocket(_) => "WebSocket",
        })
    }
}

/// Bytes on their way out, the first of which may be gone already.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    /// Something waits here or below: in TLS, or in a frame.
    is_dirty: bool,
}

/// A buffer that has grown beyond this is given back when it is empty, bytes.
const OUTBOX_BYTES_KEPT: usize = 256 * 1_024;

impl Outbox {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.is_dirty = true;
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether everything is with the system.
    pub(crate) const fn is_written(&self) -> bool {
        !self.is_dirty
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written >= self.bytes.len() {
            self.written = 0;
            self.bytes.clear();
            if self.bytes.capacity() > OUTBOX_BYTES_KEPT {
                self.bytes = Vec::new();
            }
        }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

fn poll_write_stream<S: AsyncWrite>(
    mut stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    out: &mut Outbox,
) -> Poll<io::Result<()>> {
    while !out.rest().is_empty() {
        match ready!(stream.as_mut().poll_write(cx, out.rest()))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            bytes => out.wrote(bytes),
        }
    }
    if out.is_dirty {
        ready!(stream.poll_flush(cx))?;
        out.is_dirty = false;
    }
    Poll::Ready(Ok(()))
}

async fn drain(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut scrap = [0; 4_096];
    while stream.read(&mut scrap).await? > 0 {}
    Ok(())
}
