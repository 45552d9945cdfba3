//! A broker at work, with everything written down that it does to its files and says to its clients.

use std::fs;
use std::path::{Path, PathBuf};

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::{programs, wait};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::books::Ports;
use super::trace::{self, CALLS, Event};
use super::workload::{self, Amount, Site};

/// Longest run of bytes that is written down whole.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a broker did from its first start to its end by SIGKILL.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) events: Vec<Event>,
    /// The folder that it believed to write to.
    pub(crate) data_dir: PathBuf,
    pub(crate) ports: Ports,
    /// The key of its first organization.
    pub(crate) key: String,
    /// The first call at which the power goes.
    pub(crate) from: usize,
}

impl Record {
    /// Calls before the first client was heard.
    pub(crate) fn served(&self) -> usize {
        let heard = |event: &Event| matches!(event, Event::Received { .. });
        self.events.iter().position(heard).unwrap_or(0)
    }

    /// How often the store was synced while clients were served: once for each commit.
    pub(crate) fn syncs(&self) -> u64 {
        let synced = |event: &&Event| matches!(event, Event::Synced { .. });
        let served = self.events.iter().skip(self.served());
        served.filter(synced).count() as u64
    }
}

/// Runs the workload on a fresh folder. `faults` are what `strace -e` makes of system calls: `inject=…`.
pub(crate) fn record(runtime: &Runtime, amount: Amount, options: BrokerOptions, faults: &[String]) -> Record {
    let scratch = TempDir::new().expect("a temporary folder can be made");
    let log = scratch.path().join("calls");
    let broker = options.with_anonymous_clients();
    let mut broker = broker.under(tracer(&log, CALLS, faults)).start();
    let site = site_of(&broker);
    runtime.block_on(workload::run(&site, amount));
    let data_dir = broker.data_dir();
    broker.kill();
    Record {
        events: trace::read(&finished(&log)),
        data_dir,
        ports: Ports {
            mqtt: site.mqtt.port(),
            http: site.http.port(),
        },
        key: site.key,
        from: 0,
    }
}

/// `strace` beside the broker, which stays the process that was started.
pub(crate) fn tracer(log: &Path, calls: &str, more: &[String]) -> Vec<String> {
    let program = programs::installed("strace");
    let program = program.get_program().to_str().expect("programs have plain names");
    let log = log.to_str().expect("temporary folders have plain names");
    let (calls, bytes) = (format!("trace={calls}"), BYTES_MAX.to_string());
    let fixed = [
        program, "-D", "-f", "-qq", "-yy", "-x", "-s", &bytes, "-e", &calls, "-o", log,
    ];
    fixed
        .map(str::to_owned)
        .into_iter()
        .chain(more.iter().cloned())
        .collect()
}

/// The whole list of calls of a broker that was killed.
pub(crate) fn finished(log: &Path) -> String {
    wait::until("the end of the list of calls", || {
        let text = fs::read_to_string(log).ok()?;
        let is_whole = text.trim_end().ends_with("+++ killed by SIGKILL +++");
        is_whole.then_some(text)
    })
}

/// Where the clients of a broker find it.
pub(crate) fn site_of(broker: &Broker) -> Site {
    Site {
        mqtt: broker.addr(Listener::Mqtt),
        http: broker.addr(Listener::Http),
        key: broker.first_run().secret_key,
    }
}
