//! A server that publishes keys, or does not, as the test says.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use cloudsignal_tests::wait;

use crate::signing::Signer;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Answers 200 with this body, to every path.
    Body(String),
    /// Answers with this status line and these header lines, and no body.
    Head(&'static str, String),
    /// Answers 200 and then sends so many bytes.
    Flood(usize),
    /// Takes the request and says nothing until its manner is another one.
    Silent,
    /// Begins an answer, one byte at a time, for ever.
    Trickle,
    /// Closes at once.
    Closed,
}

/// The server. It stops when it is dropped.
pub(crate) struct KeyServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    manner: Mutex<Manner>,
    requests: AtomicUsize,
    paths: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl KeyServer {
    /// A server that publishes these keys.
    pub(crate) fn start(signers: &[&Signer]) -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), signers)
    }

    /// The same at an address where nobody was before.
    pub(crate) fn start_at(addr: SocketAddr, signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind(addr).expect("a port of loopback");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            manner: Mutex::new(Manner::Body(key_set(signers))),
            requests: AtomicUsize::new(0),
            paths: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let of_server = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if of_server.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), of_request) = (stream, Arc::clone(&of_server)) else {
                    return;
                };
                thread::spawn(move || of_request.serve(stream));
            }
        });
        Self { addr, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn publish(&self, signers: &[&Signer]) {
        self.behave(Manner::Body(key_set(signers)));
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().expect("no panic under the lock") = manner;
    }

    /// Requests that have arrived.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Their paths.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.shared.paths.lock().expect("no panic under the lock").clone()
    }

    /// Awaits that so many requests have arrived.
    pub(crate) fn await_requests(&self, count: usize) {
        wait::until("a request for the keys", || {
            (self.requests() >= count).then_some(())
        });
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes whoever waits in `incoming`.
        drop(TcpStream::connect(self.addr));
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if !matches!(stream.read(&mut byte), Ok(1)) {
                return;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head);
        let path = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
        self.paths.lock().expect("no panic under the lock").push(path);
        self.requests.fetch_add(1, Ordering::SeqCst);
        loop {
            let manner = self.manner.lock().expect("no panic under the lock").clone();
            // A client that has gone away is no failure of the server.
            let _gone = match manner {
                Manner::Silent if !self.is_over.load(Ordering::SeqCst) => {
                    // sleep: the pause between two looks at the manner
                    thread::sleep(Duration::from_millis(5));
                    continue;
                }
                Manner::Silent | Manner::Closed => Ok(()),
                Manner::Body(body) => stream.write_all(&answer("200 OK", "", body.as_bytes())),
                Manner::Head(status, lines) => stream.write_all(&answer(status, &lines, b"")),
                Manner::Flood(bytes) => stream.write_all(&answer("200 OK", "", &vec![b' '; bytes])),
                Manner::Trickle => self.trickle(&mut stream),
            };
            return;
        }
    }

    fn trickle(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        stream.write_all(&answer("200 OK", "", b"")[..17])?;
        while !self.is_over.load(Ordering::SeqCst) {
            stream.write_all(b"x")?;
            // sleep: a byte now and then is what this manner is
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn answer(status: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{lines}Connection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn key_set(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}
