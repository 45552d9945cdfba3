//! MQTT in binary frames of a WebSocket [MQTT-6.0.0-1].

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{Got, Outbox, Stream};
use crate::endpoint::Endpoint;

/// What client and server agree on [MQTT-6.0.0-3].
const SUBPROTOCOL: &str = "mqtt";

/// Largest frame and message that is read, bytes: a server packs many packets into one.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// What a connection's read buffer takes, bytes.
const READ_BUFFER_BYTES: usize = 16 * 1_024;

pub(crate) struct WebSocket {
    stream: WebSocketStream<Box<dyn Stream>>,
}

/// Asks the server to speak WebSocket from here on.
pub(super) async fn upgrade(
    endpoint: &Endpoint,
    stream: impl Stream + 'static,
) -> io::Result<Box<WebSocket>> {
    let url = format!("ws://{}{}", endpoint.authority(), endpoint.path);
    let mut request = url.into_client_request().map_err(told)?;
    let protocol = HeaderValue::from_static(SUBPROTOCOL);
    request
        .headers_mut()
        .insert(SEC_WEBSOCKET_PROTOCOL, protocol.clone());
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_frame_size(Some(FRAME_BYTES_MAX))
        .max_message_size(Some(FRAME_BYTES_MAX));
    let stream: Box<dyn Stream> = Box::new(stream);
    let (stream, response) = client_async_with_config(request, stream, Some(config))
        .await
        .map_err(told)?;
    if response.headers().get(SEC_WEBSOCKET_PROTOCOL) != Some(&protocol) {
        return Err(io::Error::other(
            "the server does not speak MQTT over WebSocket here",
        ));
    }
    Ok(Box::new(WebSocket { stream }))
}

impl WebSocket {
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Got>> {
        loop {
            return Poll::Ready(match ready!(self.stream.poll_next_unpin(cx)) {
                Some(Ok(Message::Binary(payload))) => Ok(Got::Frame(payload)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_))) | None => Ok(Got::End),
                Some(Ok(Message::Text(_) | Message::Frame(_))) => {
                    Err(io::Error::other("the server has sent text, which is not MQTT"))
                }
                Some(Err(error)) => Err(told(error)),
            });
        }
    }

    /// Everything that waits leaves in one frame.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Outbox) -> Poll<io::Result<()>> {
        if out.len() > 0 {
            ready!(self.stream.poll_ready_unpin(cx)).map_err(told)?;
            let frame = Message::Binary(Bytes::from(out.take()));
            self.stream.start_send_unpin(frame).map_err(told)?;
        }
        if out.is_dirty {
            ready!(self.stream.poll_flush_unpin(cx)).map_err(told)?;
            out.is_dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) async fn leave(&mut self) -> io::Result<()> {
        self.stream.close(None).await.map_err(told)?;
        while let Some(Ok(_)) = self.stream.next().await {}
        Ok(())
    }
}

fn told(error: Error) -> io::Error {
    if let Error::Io(error) = error {
        error
    } else {
        io::Error::other(error)
    }
}
