//! A byte stream to the broker over TCP, TLS, WebSocket, or both.

use core::future::poll_fn;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use futures_util::{Sink as _, SinkExt as _, StreamExt as _};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error as WebSocketError, Message};

use cloudsignal_core::codec::PACKET_BYTES_MAX;

use super::tls::TlsArgs;
use super::url::BrokerUrl;

/// An open connection that carries bytes both ways.
pub(in crate::cli) enum Transport {
    Stream(Box<dyn ByteStream>),
    WebSocket(Box<WebSocketStream<Box<dyn ByteStream>>>),
}

/// What TCP and TLS have in common.
pub(in crate::cli) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Room made for one read from a stream, in bytes.
const READ_BYTES: usize = 64 * 1_024;

/// The way to a broker: prepared once, for any number of connections.
pub(in crate::cli) struct Route {
    url: BrokerUrl,
    /// Where the host is, when that was looked up before.
    found: Vec<SocketAddr>,
    /// Local addresses that connections leave from, by turns; the system's choice when there is none.
    sources: Vec<IpAddr>,
    next_source: AtomicUsize,
    tls: Option<TlsConnector>,
}

impl Route {
    /// Reads the files that TLS needs, when it needs any.
    pub(in crate::cli) fn new(url: &BrokerUrl, tls: &TlsArgs) -> Result<Self> {
        let tls = url.scheme.is_encrypted().then(|| connector(tls)).transpose()?;
        Ok(Self {
            url: url.clone(),
            found: Vec::new(),
            sources: Vec::new(),
            next_source: AtomicUsize::new(0),
            tls,
        })
    }

    /// Looks the host up now instead of once per connection.
    pub(in crate::cli) async fn look_up(&mut self) -> Result<()> {
        let host = (self.url.host.as_str(), self.url.port);
        let found = lookup_host(host).await;
        let found = found.with_context(|| format!("{} is not known", self.url.host))?;
        self.found = found.collect();
        Ok(())
    }

    /// Takes these local addresses from now on.
    pub(in crate::cli) fn leave_from(&mut self, sources: &[IpAddr]) {
        self.sources = sources.to_vec();
    }

    /// Where it leads.
    pub(in crate::cli) const fn url(&self) -> &BrokerUrl {
        &self.url
    }

    fn source(&self) -> Option<IpAddr> {
        let turn = self.next_source.fetch_add(1, Ordering::Relaxed);
        self.sources.get(turn.checked_rem(self.sources.len())?).copied()
    }

    async fn open_stream(&self) -> Result<Box<dyn ByteStream>> {
        let (host, port) = (self.url.host.as_str(), self.url.port);
        let tcp = match (self.source(), self.found.as_slice()) {
            (_, []) => TcpStream::connect((host, port)).await,
            (None, found) => TcpStream::connect(found).await,
            (Some(source), found) => connect_from(source, found).await,
        };
        let tcp = tcp.with_context(|| format!("nobody answers at {host}:{port}"))?;
        secured(tcp, host, self.tls.as_ref()).await
    }
}

/// Connects to the first of these addresses that is of the same kind as ours.
async fn connect_from(source: IpAddr, found: &[SocketAddr]) -> io::Result<TcpStream> {
    let Some(there) = found.iter().find(|there| there.is_ipv4() == source.is_ipv4()) else {
        let text = format!("no address of the broker can be reached from {source}");
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
    };
    let socket = if source.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(*there).await
}

impl Transport {
    /// Connects, and does the handshakes that the address asks for.
    pub(super) async fn open(route: &Route) -> Result<Self> {
        let url = route.url();
        let stream = route.open_stream().await;
        let stream = stream.with_context(|| format!("no connection to {url}"))?;
        if !url.scheme.is_websocket() {
            return Ok(Self::Stream(stream));
        }
        Ok(Self::WebSocket(Box::new(upgrade(url, stream).await?)))
    }

    /// Appends what has arrived to `buffer`; 0 means the broker closed the connection.
    /// Nothing is lost when the future is dropped.
    pub(in crate::cli) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Stream(stream) => {
                buffer.reserve(READ_BYTES);
                stream.read_buf(buffer).await
            }
            Self::WebSocket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Binary(bytes))) if !bytes.is_empty() => {
                        buffer.extend_from_slice(&bytes);
                        return Ok(bytes.len());
                    }
                    // Pings are answered by the library.
                    Some(Ok(
                        Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_),
                    )) => {}
                    Some(Ok(Message::Text(_))) => {
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            "text in a WebSocket that carries MQTT",
                        ));
                    }
                    Some(Ok(Message::Close(_))) | None => return Ok(0),
                    Some(Err(error)) => return ended(error),
                }
            },
        }
    }

    /// Sends all of `bytes`, on a WebSocket as one frame.
    pub(in crate::cli) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| self.poll_write(cx, bytes)).await?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Takes as many of `bytes` as it has room for, on a WebSocket all as one frame. They leave with the next flush at
    /// the latest.
    pub(in crate::cli) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Stream(stream) => match ready!(Pin::new(stream).poll_write(cx, bytes)) {
                Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                result => Poll::Ready(result),
            },
            Self::WebSocket(socket) => {
                let mut socket = Pin::new(socket);
                let ready = ready!(socket.as_mut().poll_ready(cx));
                let frame = Message::Binary(Bytes::copy_from_slice(bytes));
                let sent = ready.and_then(|()| socket.start_send(frame));
                Poll::Ready(sent.map(|()| bytes.len()).map_err(io::Error::other))
            }
        }
    }

    /// Sees to it that what was taken leaves.
    pub(in crate::cli) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Stream(stream) => Pin::new(stream).poll_flush(cx),
            Self::WebSocket(socket) => Pin::new(socket).poll_flush(cx).map_err(io::Error::other),
        }
    }

    /// Says goodbye in the manner of the transport. What the other side thinks of it no longer matters.
    pub(in crate::cli) async fn close(&mut self) {
        let _ = match self {
            Self::Stream(stream) => stream.shutdown().await,
            Self::WebSocket(socket) => socket.close().await.map_err(io::Error::other),
        };
    }
}

/// Connects over TCP, and over TLS when it is said whom to trust.
pub(in crate::cli) async fn open_stream(
    host: &str,
    port: u16,
    tls: Option<&TlsArgs>,
) -> Result<Box<dyn ByteStream>> {
    let tcp = TcpStream::connect((host, port))
        .await
        .with_context(|| format!("nobody answers at {host}:{port}"))?;
    secured(tcp, host, tls.map(connector).transpose()?.as_ref()).await
}

/// The connection, inside TLS when it is said how.
async fn secured(tcp: TcpStream, host: &str, tls: Option<&TlsConnector>) -> Result<Box<dyn ByteStream>> {
    // Small packets leave at once. Where the system refuses, they merely leave a little later.
    let _ = tcp.set_nodelay(true);
    let Some(tls) = tls else {
        return Ok(Box::new(tcp));
    };
    let name = ServerName::try_from(host.to_owned())
        .with_context(|| format!("{host} is no name that a certificate can have"))?;
    let encrypted = tls.connect(name, tcp).await;
    Ok(Box::new(encrypted.context("the encryption failed")?))
}

fn connector(tls: &TlsArgs) -> Result<TlsConnector> {
    let mut config = tls.client_config()?;
    // Who opens many connections wants to know what a whole handshake costs; who opens one has nothing to resume.
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// How a WebSocket's reading ended.
fn ended(error: WebSocketError) -> io::Result<usize> {
    if matches!(
        error,
        WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed
    ) {
        return Ok(0);
    }
    Err(io::Error::other(error))
}

async fn upgrade(
    url: &BrokerUrl,
    stream: Box<dyn ByteStream>,
) -> Result<WebSocketStream<Box<dyn ByteStream>>> {
    let mut request = url
        .to_string()
        .into_client_request()
        .with_context(|| format!("{url} is no address"))?;
    request
        .headers_mut()
        .insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    let limit = Some(PACKET_BYTES_MAX as usize);
    let config = WebSocketConfig::default()
        .max_message_size(limit)
        .max_frame_size(limit);
    let (socket, response) = tokio_tungstenite::client_async_with_config(request, stream, Some(config))
        .await
        .with_context(|| format!("{url} speaks no WebSocket"))?;
    // A server that does not know MQTT answers without the subprotocol.
    let chosen = response.headers().get("sec-websocket-protocol");
    if chosen.is_none_or(|name| name != SUBPROTOCOL) {
        bail!("{url} speaks WebSocket, but no MQTT inside it");
    }
    Ok(socket)
}

const SUBPROTOCOL: &str = "mqtt";
