//! A broker under attack.

use std::env;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::wait::{DEADLINE, Deadline};
use cloudsignal_tests::{http, wait};

use crate::witness::Witness;

pub(crate) const MIB: u64 = 1_048_576;

/// One attack at a time, so that the figures are about it alone.
static ALONE: Mutex<()> = Mutex::new(());

/// A running attack: a broker, a witness, and what the broker's memory was before.
pub(crate) struct Attack {
    name: &'static str,
    pub(crate) broker: Broker,
    witness: Witness,
    before_bytes: u64,
    started: Deadline,
    _alone: MutexGuard<'static, ()>,
}

impl Attack {
    /// Starts the broker and the witness. The memory is read when the witness is being served.
    pub(crate) fn start(name: &'static str, options: BrokerOptions) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let broker = options.with_many_connections().start();
        let witness = Witness::start(&broker);
        broker.forget_memory_peak();
        Self {
            name,
            before_bytes: broker.memory_bytes(),
            broker,
            witness,
            started: Deadline::start(),
            _alone: alone,
        }
    }

    pub(crate) fn addr(&self, listener: Listener) -> SocketAddr {
        self.broker.addr(listener)
    }

    /// A number that the broker tells about itself, over all labels of `series` or for the ones given with it.
    pub(crate) fn metric(&self, series: &str) -> usize {
        let answer = http::get(self.addr(Listener::Metrics), "/metrics");
        let body = answer.unwrap_or_else(|error| panic!("no metrics: {error}")).body;
        let lines = body.lines().filter(|line| line.starts_with(series));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
        values.sum()
    }

    /// Ends the attack: every attacker's connection is gone, the broker runs, the witness was served to the end, the memory has grown by no more than
    /// `growth_bytes_max`. `what` says what was thrown at the broker.
    pub(crate) fn end(mut self, what: &str, growth_bytes_max: u64) {
        let took = self.started.elapsed();
        self.broker.assert_alive();
        wait::until("the end of every connection but the witness's and ours", || {
            (self.metric("cloudsignal_process_connections") <= 3).then_some(())
        });
        let served = self.witness.stop();
        let peak = self.broker.memory_bytes_peak();
        let growth = peak.saturating_sub(self.before_bytes);
        println!(
            "{}: {what} in {:.1} s; memory {} MiB before, {} MiB at most, {} MiB after; {} messages served \
             meanwhile, the slowest in {} ms",
            self.name,
            took.as_secs_f64(),
            self.before_bytes / MIB,
            peak / MIB,
            self.broker.memory_bytes() / MIB,
            served.messages,
            served.slowest.as_millis(),
        );
        assert!(
            growth <= growth_bytes_max,
            "memory grew by {} MiB, more than {} MiB",
            growth / MIB,
            growth_bytes_max / MIB
        );
    }
}

/// `count`, times what the environment asks for.
pub(crate) fn scaled(count: usize) -> usize {
    let scale = env::var("CS_TEST_HOSTILE_SCALE").ok();
    count * scale.map_or(1, |scale| scale.parse::<usize>().expect("a whole number"))
}

/// Runs `count` attackers, at most `at_once` of them at the same time. Every one must come to its end.
pub(crate) async fn crowd<F>(count: usize, at_once: usize, attacker: impl Fn(usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    for number in 0..count {
        if running.len() >= at_once {
            ended(running.join_next().await);
        }
        running.spawn(timeout(DEADLINE, attacker(number)));
    }
    while !running.is_empty() {
        ended(running.join_next().await);
    }
}

type Joined = Result<Result<(), tokio::time::error::Elapsed>, tokio::task::JoinError>;

fn ended(joined: Option<Joined>) {
    let Some(joined) = joined else { return };
    match joined {
        Ok(Ok(())) => {}
        Ok(Err(_)) => panic!("the broker leaves an attacker alone for {DEADLINE:?}"),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A connection from one of many addresses of this machine, so that no limit per source hides the others.
pub(crate) async fn dial(addr: SocketAddr, number: usize) -> TcpStream {
    let last = u8::try_from(2 + number % 250).expect("at most 251");
    let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, last)), 0);
    let socket = TcpSocket::new_v4().expect("this process may open sockets");
    socket.bind(source).expect("all of 127.0.0.0/8 is this machine");
    let connected = timeout(DEADLINE, socket.connect(addr)).await;
    connected
        .unwrap_or_else(|_| panic!("no connection to {addr} within {DEADLINE:?}"))
        .unwrap_or_else(|error| panic!("no connection to {addr}: {error}"))
}

/// Sends; a broker that has closed meanwhile is no failure.
pub(crate) async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    drop(stream.write_all(bytes).await);
}

/// Reads until the broker ends the connection, and gives the first bytes of what came.
pub(crate) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut first = Vec::new();
    let mut chunk = vec![0; 16_384];
    while let Ok(length) = stream.read(&mut chunk).await {
        if length == 0 {
            break;
        }
        let room = REST_BYTES_MAX.saturating_sub(first.len()).min(length);
        first.extend_from_slice(&chunk[..room]);
    }
    first
}

const REST_BYTES_MAX: usize = 256;

/// The pause of a client that is slow on purpose.
pub(crate) async fn dawdle() {
    // sleep: being slow is the attack
    tokio::time::sleep(Duration::from_millis(100)).await;
}
