//! The broker that clients come to: the program itself in real time, or the same inside this process in a time that
//! the test moves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use cloudsignal_server::accounts::acl::Preset;
use cloudsignal_server::accounts::command::KeyOptions;
use cloudsignal_server::accounts::{Command, Outcome};
use cloudsignal_server::authn::PasswordPool;
use cloudsignal_server::authn::password::HashCost;
use cloudsignal_server::clock::{Clock, WallTime};
use cloudsignal_server::config::Config;
use cloudsignal_server::http::{Peer, Wire};
use cloudsignal_server::server::InProcess;
use cloudsignal_server::store::memory;
use cloudsignal_tests::api::Api;
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::client::Stream;
use serde_json::Value;
use tokio::io::duplex;
use tokio::net::TcpStream;
use tokio::time::{Interval, interval};
use tower::ServiceExt as _;

const PIPE_BYTES: usize = 64 * 1_024;
const ANSWER_BYTES_MAX: usize = 1 << 20;
const HOME: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 40_000);

/// A broker with one organization.
pub(crate) struct Side {
    kind: Kind,
    pub(crate) org: String,
    pub(crate) secret_key: String,
}

enum Kind {
    Process {
        broker: Broker,
        api: Api,
        seconds: Interval,
    },
    Memory {
        broker: InProcess,
        clock: Clock,
    },
}

impl Side {
    pub(crate) fn process() -> Self {
        let broker = BrokerOptions::default().with_many_connections().start();
        let first_run = broker.first_run();
        let api = Api::new(broker.addr(Listener::Http));
        Self {
            kind: Kind::Process {
                broker,
                api,
                seconds: interval(Duration::from_secs(1)),
            },
            org: first_run.org_id,
            secret_key: first_run.secret_key,
        }
    }

    pub(crate) async fn memory() -> Self {
        let wall = WallTime::parse_rfc3339("2026-01-01T00:00:00Z").expect("a time");
        let clock = Clock::manual(wall);
        let least = HashCost {
            memory_kib: 8,
            passes: 1,
        };
        let passwords = PasswordPool::start(least, 1).expect("a thread can be started");
        let store = Arc::new(memory::open(clock.clone()).expect("a thread can be started"));
        let broker = InProcess::new(Config::default(), store, clock.clone(), passwords).await;
        let broker = broker.expect("an empty store can be read");
        let run = async |command| broker.directory().execute(command).await.expect("it is done");
        let create = Command::OrgCreate {
            name: "renewal".to_owned(),
            preset: Preset::PermitAll,
        };
        let Outcome::OrgCreated { org, .. } = run(create).await else {
            panic!("an organization is made");
        };
        let create = Command::KeyCreate {
            org: org.id.clone(),
            name: "backend".to_owned(),
            options: KeyOptions::default(),
        };
        let Outcome::KeyCreated { secret_key, .. } = run(create).await else {
            panic!("a key is made");
        };
        Self {
            kind: Kind::Memory { broker, clock },
            org: org.id,
            secret_key: secret_key.expose().to_owned(),
        }
    }

    /// A connection of a client.
    pub(crate) async fn open(&self) -> Box<dyn Stream> {
        match &self.kind {
            Kind::Process { broker, .. } => {
                let stream = TcpStream::connect(broker.addr(Listener::Mqtt)).await;
                let stream = stream.expect("the broker listens");
                stream.set_nodelay(true).expect("an open socket takes options");
                Box::new(stream)
            }
            Kind::Memory { broker, .. } => {
                let (ours, theirs) = duplex(PIPE_BYTES);
                let connection = broker.connect(theirs, HOME).expect("there is room");
                tokio::spawn(connection);
                Box::new(ours)
            }
        }
    }

    /// `POST path`, which succeeds.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Value {
        let (status, answer) = match &mut self.kind {
            Kind::Process { api, .. } => api.post(path, None, body).await,
            Kind::Memory { broker, .. } => {
                let mut request = Request::post(path)
                    .header("content-type", "application/json")
                    .body(Body::from(body.to_string()))
                    .expect("a request");
                request.extensions_mut().insert(Peer {
                    address: HOME,
                    wire: Wire::Plain,
                });
                let response = broker.router().oneshot(request).await;
                let response = response.expect("invariant: a router always answers");
                let status = response.status().as_u16();
                let bytes = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
                let answer = serde_json::from_slice(&bytes.expect("a small answer")).expect("JSON");
                broker.apply_changes();
                (status, answer)
            }
        };
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// The next second begins.
    pub(crate) async fn next_second(&mut self) {
        match &mut self.kind {
            Kind::Process { seconds, .. } => {
                seconds.tick().await;
            }
            Kind::Memory { broker, clock } => {
                clock.advance(Duration::from_secs(1));
                broker.apply_changes();
                broker.serve_timeouts();
            }
        }
    }
}
