//! One plain HTTP request and its answer, with nothing in between.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::wait::DEADLINE;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 * 1_048_576;

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines, as they came.
    pub head: String,
    /// Body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

/// `GET path`.
///
/// # Errors
/// When no whole answer comes.
pub fn get(addr: SocketAddr, path: &str) -> io::Result<Answer> {
    exchange(
        addr,
        &format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"),
    )
}

/// `POST path` with a JSON body.
///
/// # Errors
/// When no whole answer comes.
pub fn post(addr: SocketAddr, path: &str, body: &serde_json::Value) -> io::Result<Answer> {
    let body = body.to_string();
    let length = body.len();
    exchange(
        addr,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

/// A request with a key and a JSON body, if there are any.
///
/// # Errors
/// When no whole answer comes.
pub fn ask(
    addr: SocketAddr,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: Option<&serde_json::Value>,
) -> io::Result<Answer> {
    let body = body.map(ToString::to_string).unwrap_or_default();
    let length = body.len();
    let key = key.map_or_else(String::new, |key| format!("Authorization: Bearer {key}\r\n"));
    exchange(
        addr,
        &format!(
            "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{key}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

fn exchange(addr: SocketAddr, request: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&addr, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other(format!("no HTTP answer: {text:?}")))?;
    let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(|| io::Error::other(format!("no status: {head:?}")))?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
