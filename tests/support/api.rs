//! The HTTP API of a broker process, for tests that wait for many things at once.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The status of answers without a body.
const NO_CONTENT: u16 = 204;

/// Where the API is. Each request has a connection of its own: the API closes those that are silent.
#[derive(Clone, Copy, Debug)]
pub struct Api(SocketAddr);

impl Api {
    /// The API at a plain listener.
    #[must_use]
    pub const fn new(addr: SocketAddr) -> Self {
        Self(addr)
    }

    /// `POST path`. Answers status and body once the last byte of the answer is here.
    ///
    /// # Panics
    /// When no whole answer comes.
    pub async fn post(&self, path: &str, bearer: Option<&str>, body: &Value) -> (u16, Value) {
        self.ask("POST", path, bearer, body).await
    }

    /// Any request with a JSON body, as [`Api::post`].
    ///
    /// # Panics
    /// When no whole answer comes.
    pub async fn ask(&self, method: &str, path: &str, bearer: Option<&str>, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let bearer = bearer.map_or_else(String::new, |key| format!("Authorization: Bearer {key}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{bearer}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.0,
            body.len()
        );
        let mut stream = TcpStream::connect(self.0).await.expect("the API listens");
        let sent = stream.write_all(request.as_bytes()).await;
        sent.expect("the API takes requests");
        let mut bytes = Vec::new();
        loop {
            if let Some(answer) = whole(&bytes) {
                return answer;
            }
            let read = stream.read_buf(&mut bytes).await;
            let read = read.expect("the API answers");
            assert!(read > 0, "the API closes: {}", String::from_utf8_lossy(&bytes));
        }
    }
}

/// Status and body, if everything is here.
fn whole(bytes: &[u8]) -> Option<(u16, Value)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    if status == NO_CONTENT {
        return Some((status, Value::Null));
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    })?;
    if body.len() < length {
        return None;
    }
    let value = serde_json::from_str(body).unwrap_or(Value::Null);
    Some((status, value))
}
