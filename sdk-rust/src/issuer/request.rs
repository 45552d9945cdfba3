//! One HTTP request on a connection of its own: tokens are rare.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::IssuerError;
use crate::transport::{TlsConnector, secure};

/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// Longest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;

/// Where the HTTP API is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Api {
    authority: String,
    host: String,
    port: u16,
    has_tls: bool,
    /// What stands before every path.
    prefix: String,
}

impl Api {
    pub(super) fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let has_tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() == host => {
                if has_tls {
                    443
                } else {
                    80
                }
            }
            None => return None, // A login, or what is no port.
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_good = !host.is_empty() && !authority.as_str().contains('@');
        is_good.then(|| Self {
            authority: authority.to_string(),
            host: host.to_owned(),
            port,
            has_tls,
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// `POST path` with a key and JSON; the body of an answer that says yes.
    pub(super) async fn post(
        &self,
        tls: &TlsConnector,
        path: &str,
        secret_key: &str,
        body: String,
    ) -> Result<Bytes, IssuerError> {
        let request = self.request(path, secret_key, body)?;
        let late = |_| IssuerError::Unreachable(io::ErrorKind::TimedOut.into());
        timeout(REQUEST, self.exchange(tls, request))
            .await
            .map_err(late)?
    }

    fn request(
        &self,
        path: &str,
        secret_key: &str,
        body: String,
    ) -> Result<Request<Full<Bytes>>, IssuerError> {
        let key = HeaderValue::try_from(format!("Bearer {secret_key}"));
        let mut key = key.map_err(|_| IssuerError::Key)?;
        key.set_sensitive(true);
        let request = Request::post(format!("{}{path}", self.prefix))
            .header(HOST, &self.authority)
            .header(AUTHORIZATION, key)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body));
        request.map_err(|_| IssuerError::Url)
    }

    async fn exchange(
        &self,
        tls: &TlsConnector,
        request: Request<Full<Bytes>>,
    ) -> Result<Bytes, IssuerError> {
        let tcp = TcpStream::connect((&*self.host, self.port)).await;
        let tcp = tcp.map_err(IssuerError::Unreachable)?;
        if self.has_tls {
            let tls = secure(&self.host, tls, tcp).await;
            ask(tls.map_err(IssuerError::Unreachable)?, request).await
        } else {
            ask(tcp, request).await
        }
    }
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, IssuerError> {
    let broken = |error: hyper::Error| IssuerError::Unreachable(io::Error::other(error));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answering = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| IssuerError::Unreachable(io::Error::other(error)))?;
        Ok((status, body.to_bytes()))
    };
    let mut connection = std::pin::pin!(connection);
    let mut answering = std::pin::pin!(answering);
    let (status, body) = tokio::select! {
        biased;
        answer = &mut answering => answer?,
        ended = &mut connection => {
            ended.map_err(broken)?;
            answering.await?
        }
    };
    if status.is_success() {
        return Ok(body);
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |field: &str| said[field].as_str().unwrap_or_default().to_owned();
    Err(IssuerError::Refused {
        status: status.as_u16(),
        error: text("error"),
        description: text("error_description"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_where_the_url_says() {
        let api = Api::parse("https://broker.example/base/").unwrap();
        assert_eq!((api.port, api.has_tls, &*api.prefix), (443, true, "/base"));
        let api = Api::parse("http://[::1]:18080").unwrap();
        assert_eq!((&*api.host, api.port, &*api.prefix), ("::1", 18_080, ""));
        for wrong in [
            "",
            "broker.example",
            "mqtt://a",
            "https://a:x",
            "https://me:you@a:1",
        ] {
            assert_eq!(Api::parse(wrong), None, "{wrong}");
        }
    }
}
