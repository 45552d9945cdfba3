//! A byte stream to the broker over TCP, TLS, WebSocket, or both.

use std::io;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use cloudsignal_core::codec::PACKET_BYTES_MAX;

use super::tls::TlsArgs;
use super::url::BrokerUrl;

/// An open connection that carries bytes both ways.
pub(super) enum Transport {
    Stream(Box<dyn ByteStream>),
    WebSocket(Box<WebSocketStream<Box<dyn ByteStream>>>),
}

/// What TCP and TLS have in common.
pub(in crate::cli) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Room made for one read from a stream, in bytes.
const READ_BYTES: usize = 64 * 1_024;

impl Transport {
    /// Connects, and does the handshakes that the address asks for.
    pub(super) async fn open(url: &BrokerUrl, tls: &TlsArgs) -> Result<Self> {
        let tls = url.scheme.is_encrypted().then_some(tls);
        let stream = open_stream(&url.host, url.port, tls).await;
        let stream = stream.with_context(|| format!("no connection to {url}"))?;
        if !url.scheme.is_websocket() {
            return Ok(Self::Stream(stream));
        }
        Ok(Self::WebSocket(Box::new(upgrade(url, stream).await?)))
    }

    /// Appends what has arrived to `buffer`; 0 means the broker closed the connection.
    /// Nothing is lost when the future is dropped.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
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
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::WebSocket(socket) => socket
                .send(Message::binary(bytes.to_vec()))
                .await
                .map_err(io::Error::other),
        }
    }

    /// Says goodbye in the manner of the transport. What the other side thinks of it no longer matters.
    pub(super) async fn close(&mut self) {
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
    // Small packets leave at once. Where the system refuses, they merely leave a little later.
    let _ = tcp.set_nodelay(true);
    let Some(tls) = tls else {
        return Ok(Box::new(tcp));
    };
    let name = ServerName::try_from(host.to_owned())
        .with_context(|| format!("{host} is no name that a certificate can have"))?;
    let connector = TlsConnector::from(Arc::new(tls.client_config()?));
    let encrypted = connector.connect(name, tcp).await;
    Ok(Box::new(encrypted.context("the encryption failed")?))
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
