//! The broker, the ways to it, and what breaks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::first_run::FirstRun;
use cloudsignal_tests::package;
use cloudsignal_tests::programs;
use cloudsignal_tests::proxy::Proxy;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep_until;

use crate::contestant::{Contestant, Task};
use crate::counterpart::{Counterpart, Post};
use crate::plan::{Fault, Plan};
use crate::{node, rust_sdk};

/// Every client, ours first.
pub(crate) const NAMES: [&str; 4] = [
    "cloudsignal-rust",
    "cloudsignal-node",
    "mqttjs-defaults",
    "mqttjs-tuned",
];

/// Those that may lose nothing.
pub(crate) const OURS: [&str; 2] = [NAMES[0], NAMES[1]];

/// Where everybody is.
pub(crate) struct Scene {
    first_run: FirstRun,
    /// The counterparts' way: no proxy.
    direct: watch::Sender<SocketAddr>,
    api: Proxy,
    /// Each client's own way.
    ways: Vec<(&'static str, Proxy)>,
    project: TempDir,
}

impl Scene {
    pub(crate) async fn around(broker: &Broker, names: &[&'static str]) -> Self {
        let mut ways = Vec::new();
        for name in names {
            ways.push((*name, Proxy::to(broker.addr(Listener::Wss)).await));
        }
        let folder = programs::tests_folder().join("loss/js");
        let scripts = ["client.mjs", "cloudsignal.mjs", "mqttjs.mjs"].map(|name| folder.join(name));
        Self {
            first_run: broker.first_run(),
            direct: watch::Sender::new(broker.addr(Listener::Mqtt)),
            api: Proxy::to(broker.addr(Listener::Http)).await,
            ways,
            project: package::project(&scripts, &["ws", "mqtt"]),
        }
    }

    fn aim(&self, broker: &Broker) {
        self.direct.send_replace(broker.addr(Listener::Mqtt));
        self.api.aim(broker.addr(Listener::Http));
        for (_, way) in &self.ways {
            way.aim(broker.addr(Listener::Wss));
        }
    }

    fn way(&self, name: &str) -> &Proxy {
        let mut ways = self.ways.iter();
        let way = ways.find_map(|(whose, way)| (*whose == name).then_some(way));
        way.expect("everybody has one")
    }

    pub(crate) async fn counterpart(&self, name: &str) -> Result<Counterpart> {
        let FirstRun {
            username, password, ..
        } = self.first_run.clone();
        let post = Post {
            broker: self.direct.subscribe(),
            client_id: format!("counterpart-{name}"),
            username,
            password,
            down: format!("loss/{name}/down"),
            up: format!("loss/{name}/up"),
        };
        Counterpart::start(post).await
    }

    pub(crate) fn contestant(&self, name: &str, plan: &Plan) -> Contestant {
        let task = Task {
            url: format!("wss://localhost:{}", self.way(name).port()),
            api: format!("http://localhost:{}", self.api.port()),
            secret_key: self.first_run.secret_key.clone(),
            org_id: self.first_run.org_id.clone(),
            ca_file: PathBuf::from(&self.first_run.ca_file),
            email: format!("{name}@example.com"),
            token_secs: plan.token_secs(),
            up: format!("loss/{name}/up"),
            down: format!("loss/{name}/down"),
            messages: plan.messages(),
            rate: plan.rate,
        };
        match name {
            "cloudsignal-rust" => rust_sdk::start(task),
            "cloudsignal-node" => node::start(self.project.path(), "cloudsignal", &task),
            mqttjs => node::start(self.project.path(), mqttjs, &task),
        }
    }

    /// Does to everybody what the plan says. Gives the broker, and how often each client's connection was reset.
    pub(crate) async fn break_things(&self, plan: &Plan, mut broker: Broker) -> (Broker, Vec<u64>) {
        let begin = Instant::now();
        let mut resets = vec![0; self.ways.len()];
        for (at, fault) in plan.faults() {
            // sleep: when something breaks is decided before the run
            sleep_until((begin + at).into()).await;
            match fault {
                Fault::Reset => {
                    for ((_, way), resets) in self.ways.iter().zip(&mut resets) {
                        *resets += way.cut() as u64;
                    }
                }
                Fault::Restart => {
                    let restarting = spawn_blocking(move || {
                        broker.kill();
                        broker.start_again()
                    });
                    broker = restarting.await.expect("it starts again");
                    self.aim(&broker);
                }
            }
        }
        (broker, resets)
    }
}

pub(crate) fn start_broker() -> Broker {
    BrokerOptions::default().start()
}
