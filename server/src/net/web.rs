//! HTTP connections: the API, and the upgrade to MQTT over WebSocket.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ORIGIN, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio_tungstenite::tungstenite::error::{Error as WebSocketError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tower::Service as _;

use crate::http;
use crate::identity::certificate::ClientCertificate;
use crate::net::connection::{Connection, Peer};
use crate::net::shell::Shell;
use crate::net::sources::Place;
use crate::net::transport::Transport;
use crate::net::websocket::{SUBPROTOCOL, SUBPROTOCOL_V31, WebSocket};

/// Where the HTTP listeners speak MQTT over WebSocket.
pub(crate) const MQTT_PATH: &str = "/mqtt";

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 32 * 1_024;
/// Requests of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 64;
/// How often a silent HTTP/2 connection is asked whether it is still there, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIME_MAX: Duration = Duration::from_secs(10);
/// Answers under way when the process stops are finished within this time.
const FINISH_TIME_MAX: Duration = Duration::from_secs(5);

/// Whoever is at the other end of an HTTP connection. Its place goes over to the MQTT connection it may become.
#[derive(Debug)]
struct Visitor {
    addr: SocketAddr,
    kind: crate::net::listener::Kind,
    certificate: Option<Arc<ClientCertificate>>,
    place: Mutex<Option<Place>>,
    shell: Arc<Shell>,
}

/// The route at which an HTTP listener speaks MQTT.
pub(crate) fn mqtt_route() -> Router {
    Router::new().route(MQTT_PATH, any(upgrade))
}

/// For listeners that speak nothing else, on any path.
pub(crate) fn mqtt_everywhere() -> Router {
    Router::new().fallback(any(upgrade))
}

/// For the metrics listener.
pub(crate) fn metrics_route(shell: Arc<Shell>) -> Router {
    let metrics = move || {
        let shell = Arc::clone(&shell);
        async move {
            match shell.metrics.text() {
                Ok(text) => (
                    [(
                        "content-type",
                        "application/openmetrics-text; version=1.0.0; charset=utf-8",
                    )],
                    text,
                )
                    .into_response(),
                Err(error) => {
                    tracing::warn!(%error, "metrics cannot be written");
                    StatusCode::INTERNAL_SERVER_ERROR.into_response()
                }
            }
        }
    };
    Router::new().route("/metrics", get(metrics))
}

/// Serves one HTTP connection until it ends, becomes a WebSocket, or the process stops.
pub(crate) async fn serve(transport: Transport, peer: Peer, router: Router, shell: Arc<Shell>) {
    let wire = match &transport {
        Transport::Tcp(_) | Transport::Pipe(_) => http::Wire::Plain,
        Transport::Tls(_) => http::Wire::Tls,
    };
    let speaks_http2 = match &transport {
        Transport::Tcp(_) | Transport::Pipe(_) => false,
        Transport::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
    };
    let api_peer = http::Peer {
        address: peer.addr,
        wire,
    };
    let head_time = Duration::from_secs(u64::from(shell.config.connections.upgrade_secs));
    let visitor = Arc::new(Visitor {
        addr: peer.addr,
        kind: peer.kind,
        certificate: peer.certificate,
        place: Mutex::new(Some(peer.place)),
        shell: Arc::clone(&shell),
    });
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(api_peer);
        request.extensions_mut().insert(Arc::clone(&visitor));
        let (mut router, visitor) = (router.clone(), Arc::clone(&visitor));
        async move {
            let response = router.call(request).await?;
            visitor.shell.metrics.http_answered(response.status().as_u16());
            Ok::<_, Infallible>(response)
        }
    });
    let io = TokioIo::new(transport);
    if speaks_http2 {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIME_MAX)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        tokio::select! {
            _ended = connection.as_mut() => return,
            () = shell.stopping() => connection.as_mut().graceful_shutdown(),
        }
        let _late = tokio::time::timeout(FINISH_TIME_MAX, connection).await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_time)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(io, service)
            .with_upgrades();
        let mut connection = pin!(connection);
        tokio::select! {
            _ended = connection.as_mut() => return,
            () = shell.stopping() => connection.as_mut().graceful_shutdown(),
        }
        let _late = tokio::time::timeout(FINISH_TIME_MAX, connection).await;
    }
}

/// Answers an upgrade request; what follows on the connection is MQTT.
async fn upgrade(mut request: Request) -> Response {
    let Some(visitor) = request.extensions().get::<Arc<Visitor>>().cloned() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => return refuse(&error),
    };
    let Some(subprotocol) = subprotocol(request.headers()) else {
        let text = "the request offers no subprotocol mqtt (Sec-WebSocket-Protocol)\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    if !is_origin_allowed(request.headers(), &visitor.shell.config.websocket.origins) {
        tracing::debug!(peer = %visitor.addr, "WebSocket refused: origin not in websocket.origins");
        return (StatusCode::FORBIDDEN, "this origin may not connect\n").into_response();
    }
    let Some(place) = visitor.place.lock().take() else {
        return (StatusCode::BAD_REQUEST, "this connection is upgraded already\n").into_response();
    };
    let subprotocol = HeaderValue::from_static(subprotocol);
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    tokio::spawn(speak_mqtt(hyper::upgrade::on(&mut request), visitor, place));
    response
}

async fn speak_mqtt(upgrade: OnUpgrade, visitor: Arc<Visitor>, place: Place) {
    let upgraded = upgrade.await.map(Upgraded::downcast::<TokioIo<Transport>>);
    let Ok(Ok(parts)) = upgraded else {
        tracing::debug!(peer = %visitor.addr, "the connection ended during its upgrade");
        return;
    };
    let shell = Arc::clone(&visitor.shell);
    let peer = Peer {
        addr: visitor.addr,
        kind: visitor.kind,
        certificate: visitor.certificate.clone(),
        place,
    };
    let websocket = WebSocket::new(shell.config.connections.connect_bytes_max as usize);
    let transport = parts.io.into_inner();
    // A task of its own again, so that this one's memory goes.
    tokio::spawn(Connection::new(
        transport,
        Some(websocket),
        &parts.read_buf,
        peer,
        shell,
    ));
}

fn refuse(error: &WebSocketError) -> Response {
    let needs_version = matches!(
        error,
        WebSocketError::Protocol(ProtocolError::MissingSecWebSocketVersionHeader)
    );
    let needs_upgrade = matches!(
        error,
        WebSocketError::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader | ProtocolError::MissingUpgradeWebSocketHeader
        )
    );
    let text = format!("here is MQTT over WebSocket: {error}\n");
    if needs_version {
        (
            StatusCode::UPGRADE_REQUIRED,
            [(SEC_WEBSOCKET_VERSION, "13")],
            text,
        )
            .into_response()
    } else if needs_upgrade {
        (StatusCode::UPGRADE_REQUIRED, [(UPGRADE, "websocket")], text).into_response()
    } else {
        (StatusCode::BAD_REQUEST, text).into_response()
    }
}

/// The subprotocol to choose among those that a request offers: `mqtt` [MQTT-6.0.0-4], or the older name if that is
/// all there is.
fn subprotocol(headers: &HeaderMap) -> Option<&'static str> {
    let offers = |name: &str| {
        let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let mut words = lines
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        words.any(|word| word.trim() == name)
    };
    [SUBPROTOCOL, SUBPROTOCOL_V31]
        .into_iter()
        .find(|name| offers(name))
}

/// Browsers always say where a page came from; whoever says nothing is no browser.
fn is_origin_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    allowed.is_empty()
        || allowed
            .iter()
            .any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn mqtt_may_be_one_of_several_offers() {
        let chosen = |offer| subprotocol(&headers(&[("sec-websocket-protocol", offer)]));
        assert_eq!(chosen("chat, mqtt"), Some("mqtt"));
        assert_eq!(chosen("mqttv3.1, mqtt"), Some("mqtt"));
        assert_eq!(chosen("mqttv3.1"), Some("mqttv3.1"));
        for offer in ["MQTT", "", "chat"] {
            assert_eq!(chosen(offer), None, "{offer}");
        }
        assert_eq!(subprotocol(&HeaderMap::new()), None);
    }

    #[test]
    fn an_origin_must_be_on_the_list_if_there_is_one() {
        let listed = ["https://app.example.com".to_owned()];
        let from = |origin| headers(&[("origin", origin)]);
        assert!(is_origin_allowed(&from("https://app.example.com"), &listed));
        assert!(!is_origin_allowed(
            &from("https://app.example.com.evil.example"),
            &listed
        ));
        assert!(!is_origin_allowed(&from("null"), &listed));
        assert!(is_origin_allowed(&HeaderMap::new(), &listed));
        assert!(is_origin_allowed(&from("https://anything.example"), &[]));
    }
}
