//! The broker in this process, and the pipes to it. Everything runs on one thread and only when it is asked to, so
//! that after each operation it is known what that operation did: nothing more will come by itself.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use cloudsignal_broker::Limits;
use cloudsignal_server::authn::PasswordPool;
use cloudsignal_server::authn::password::HashCost;
use cloudsignal_server::clock::{Clock, WallTime};
use cloudsignal_server::config::Config;
use cloudsignal_server::http::{Peer, Wire};
use cloudsignal_server::server::InProcess;
use cloudsignal_server::store::memory;
use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf, duplex};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// Bytes that a pipe holds in each direction. Every packet of a client is smaller.
const PIPE_BYTES: usize = 16 * 1_024;
/// Largest answer of the API, bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How long a password may take to be checked.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came out of the broker.
#[derive(Debug)]
pub(crate) enum Event {
    /// Bytes for the client of a wire.
    Bytes(usize, Vec<u8>),
    /// The broker has closed a wire.
    End(usize),
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// The broker and the wires to it.
pub(crate) struct Bench {
    runtime: Runtime,
    pub(crate) broker: InProcess,
    pub(crate) clock: Clock,
    calls: Arc<Calls>,
    wires: Vec<Option<Plugged>>,
    free: Vec<usize>,
}

struct Plugged {
    /// The broker's end; `None` once it has closed.
    connection: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    connection_waker: Waker,
    /// The client's end.
    pipe: DuplexStream,
    pipe_waker: Waker,
}

/// Which end of a wire has something to do.
#[derive(Clone, Copy, Debug)]
enum End {
    Broker,
    Client,
}

/// Who was woken, in order.
#[derive(Default)]
struct Calls {
    waiting: Mutex<VecDeque<Arc<Call>>>,
    is_called: Condvar,
}

struct Call {
    calls: Arc<Calls>,
    wire: usize,
    end: End,
    is_waiting: AtomicBool,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        if !self.is_waiting.swap(true, Ordering::AcqRel) {
            let mut waiting = self.calls.waiting.lock().expect("no panic holds it");
            waiting.push_back(Arc::clone(&self));
            self.calls.is_called.notify_one();
        }
    }
}

impl Bench {
    pub(crate) fn new(limits: Limits) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("the system gives an event queue");
        let wall = WallTime::parse_rfc3339("2026-01-01T00:00:00Z").expect("a time");
        let clock = Clock::manual(wall);
        let mut config = Config {
            limits,
            ..Config::default()
        };
        config.connections.connect_secs = 3_600;
        let least = HashCost {
            memory_kib: 8,
            passes: 1,
        };
        let passwords = PasswordPool::start(least, 1).expect("a thread can be started");
        let store = Arc::new(memory::open(clock.clone()).expect("a thread can be started"));
        let broker = runtime
            .block_on(InProcess::new(config, store, clock.clone(), passwords))
            .expect("an empty store can be read");
        Self {
            runtime,
            broker,
            clock,
            calls: Arc::default(),
            wires: Vec::new(),
            free: Vec::new(),
        }
    }

    /// A new wire, from a source of its own: whoever fails there is no reason to refuse others.
    pub(crate) fn plug(&mut self, source: u64) -> usize {
        let wire = self.free.pop().unwrap_or_else(|| {
            self.wires.push(None);
            self.wires.len() - 1
        });
        let (ours, theirs) = duplex(PIPE_BYTES);
        let connection = self.broker.connect(theirs, address(source));
        let connection = connection.expect("invariant: fewer connections than there may be");
        let waker = |end| {
            Waker::from(Arc::new(Call {
                calls: Arc::clone(&self.calls),
                wire,
                end,
                is_waiting: AtomicBool::new(false),
            }))
        };
        let plugged = Plugged {
            connection: Some(Box::pin(connection)),
            connection_waker: waker(End::Broker),
            pipe: ours,
            pipe_waker: waker(End::Client),
        };
        plugged.connection_waker.wake_by_ref();
        plugged.pipe_waker.wake_by_ref();
        self.wires[wire] = Some(plugged);
        wire
    }

    /// What a client sends. A closed wire takes it and forgets it.
    pub(crate) fn write(&mut self, wire: usize, bytes: &[u8]) {
        let plugged = self.wires[wire].as_mut().expect("invariant: it is plugged in");
        let pipe = Pin::new(&mut plugged.pipe);
        match pipe.poll_write(&mut Context::from_waker(Waker::noop()), bytes) {
            Poll::Ready(Ok(taken)) => assert_eq!(taken, bytes.len(), "a pipe holds every packet"),
            Poll::Ready(Err(_closed)) => {}
            Poll::Pending => panic!("the broker does not read"),
        }
    }

    /// Tears the wire out: the client is gone without a word.
    pub(crate) fn unplug(&mut self, wire: usize) {
        let mut plugged = self.wires[wire].take().expect("invariant: it is plugged in");
        drop(plugged.pipe);
        // The broker notices; what it does then happens to others.
        let _guard = self.runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        if let Some(connection) = plugged.connection.as_mut() {
            for _ in 0..64 {
                if connection.as_mut().poll(&mut context).is_ready() {
                    break;
                }
            }
        }
        self.free.push(wire);
    }

    /// The next thing that comes out of the broker; `None` when it has nothing to do.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            let call = self
                .calls
                .waiting
                .lock()
                .expect("no panic holds it")
                .pop_front()?;
            call.is_waiting.store(false, Ordering::Release);
            let Some(plugged) = self.wires[call.wire].as_mut() else {
                continue;
            };
            match call.end {
                End::Broker => {
                    let _guard = self.runtime.enter();
                    plugged.work();
                }
                End::Client => match plugged.read() {
                    Read::Nothing => {}
                    Read::Bytes(bytes) => {
                        plugged.pipe_waker.wake_by_ref(); // There may be more.
                        return Some(Event::Bytes(call.wire, bytes));
                    }
                    Read::End => return Some(Event::End(call.wire)),
                },
            }
        }
    }

    /// Waits until somebody calls: another thread checks a password.
    pub(crate) fn wait(&self) {
        let waiting = self.calls.waiting.lock().expect("no panic holds it");
        let waited = self
            .calls
            .is_called
            .wait_timeout_while(waiting, PATIENCE, |waiting| waiting.is_empty());
        let (waiting, timeout) = waited.expect("no panic holds it");
        drop(waiting);
        assert!(
            !timeout.timed_out(),
            "a login is not answered within {PATIENCE:?}"
        );
    }

    /// One request to the API.
    pub(crate) fn request(&mut self, source: Source, mut request: Request<Body>) -> Answer {
        let (address, wire) = match source {
            Source::Machine => (SocketAddr::from(([127, 0, 0, 1], 40_000)), Wire::Plain),
            Source::Far(source) => (address(source), Wire::Tls),
        };
        request.extensions_mut().insert(Peer { address, wire });
        let router = self.broker.router();
        let answer = self.runtime.block_on(async {
            let response = router
                .oneshot(request)
                .await
                .expect("invariant: a router always answers");
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
            let body = body.expect("an answer is small").to_vec();
            Answer {
                status,
                body: String::from_utf8(body).expect("an answer is text"),
            }
        });
        self.broker.apply_changes();
        answer
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// The machine of the broker, as operators do.
    Machine,
    /// Some network.
    Far(u64),
}

enum Read {
    Nothing,
    Bytes(Vec<u8>),
    End,
}

impl Plugged {
    fn work(&mut self) {
        if let Some(connection) = &mut self.connection {
            let mut context = Context::from_waker(&self.connection_waker);
            if connection.as_mut().poll(&mut context).is_ready() {
                self.connection = None;
            }
        }
    }

    fn read(&mut self) -> Read {
        let mut buffer = [0; 4_096];
        let mut buf = ReadBuf::new(&mut buffer);
        let mut context = Context::from_waker(&self.pipe_waker);
        match Pin::new(&mut self.pipe).poll_read(&mut context, &mut buf) {
            Poll::Pending => Read::Nothing,
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => Read::Bytes(buf.filled().to_vec()),
            Poll::Ready(Ok(()) | Err(_)) => Read::End,
        }
    }
}

/// An address in a network of its own.
fn address(source: u64) -> SocketAddr {
    let bits = (0x2001_0DB8_u128 << 96) | (u128::from(source & 0xFFFF_FFFF) << 64) | 1;
    SocketAddr::from((Ipv6Addr::from_bits(bits), 40_000))
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench")
            .field("broker", &self.broker)
            .field("wires", &(self.wires.len() - self.free.len()))
            .finish_non_exhaustive()
    }
}
