//! Single writes and syncs of the store fail while clients work. The broker goes on without a restart, nothing that it
//! has acknowledged is missing afterwards, and what a failed sync was to cover is not relied upon.

use cloudsignal_tests::broker::BrokerOptions;
use cloudsignal_tests::random::Random;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::books::Books;
use super::judge::judge;
use super::record::{finished, record, site_of, tracer};
use super::settings::Settings;
use super::trace::Event;
use super::{Report, cut, workload};

/// Syncs of the store's thread before the first client, of the count of runs and of the first organization: none of them
/// may fail, or there is no broker.
const SYNCS_OF_START: u64 = 2;
/// What `strace` writes behind a call that it has let fail.
const INJECTED: &str = "(INJECTED)";

/// A call of the store that fails once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    /// Its name.
    pub(super) call: &'static str,
    /// With which error.
    pub(super) error: &'static str,
}

/// What a write to a full disk and a write to a broken one say.
pub(super) const OF_WRITES: [Failure; 2] = [
    Failure {
        call: "write",
        error: "ENOSPC",
    },
    Failure {
        call: "write",
        error: "EIO",
    },
];

const SYNC: Failure = Failure {
    call: "fdatasync",
    error: "EIO",
};

impl Failure {
    fn injected(self, number: u64) -> [String; 2] {
        let Self { call, error } = self;
        [
            "-e".to_owned(),
            format!("inject={call}:error={error}:when={number}"),
        ]
    }
}

/// Numbers of the calls that are let fail: all, or as many as the settings allow.
pub(super) fn numbers(from: u64, to: u64, settings: Settings) -> Vec<u64> {
    let mut numbers: Vec<u64> = (from..=to).collect();
    let mut dice = Random::new(settings.seed);
    while numbers.len() > settings.failures_max {
        numbers.swap_remove(dice.index(numbers.len()));
    }
    numbers.sort_unstable();
    numbers
}

/// The n-th sync fails, for each of the `syncs` while clients are served; then the power goes at points behind it.
pub(super) fn fail_syncs(runtime: &Runtime, syncs: u64, settings: Settings) -> (usize, Report) {
    let (mut runs, mut all) = (0, Report::default());
    for number in numbers(SYNCS_OF_START + 1, SYNCS_OF_START + syncs, settings) {
        let mut record = record(
            runtime,
            settings.amount,
            BrokerOptions::default(),
            &SYNC.injected(number),
        );
        let failed = record
            .events
            .iter()
            .position(|event| matches!(event, Event::SyncFailed { .. }));
        let Some(failed) = failed else { continue };
        runs += 1;
        record.from = failed;
        let report = cut(&record, settings);
        let place = |fault| format!("sync {number} failed: {fault}");
        all.points += report.points;
        all.images += report.images;
        all.acknowledged += report.acknowledged;
        all.faults.extend(report.faults.into_iter().map(place));
    }
    (runs, all)
}

/// The n-th call on a journal fails, for each n up to `most`, on a store that is there already. Answers how many runs
/// had a failure, and what was wrong.
pub(super) fn fail_writes(
    runtime: &Runtime,
    failure: Failure,
    most: u64,
    promised: &Books,
    settings: Settings,
) -> (usize, Vec<String>) {
    let (mut runs, mut faults) = (0, Vec::new());
    for number in numbers(1, most, settings) {
        let scratch = TempDir::new().expect("a temporary folder can be made");
        let log = scratch.path().join("calls");
        let mut broker = BrokerOptions::default().with_anonymous_clients().start();
        broker.kill();
        let journal = broker.data_dir().join("store").join("0.jnl");
        let journal = journal
            .to_str()
            .expect("temporary folders have plain names")
            .to_owned();
        let mut more = vec!["-P".to_owned(), journal];
        more.extend(failure.injected(number));
        let mut broker = broker.start_again_under(tracer(&log, failure.call, &more));
        let site = site_of(&broker);
        runtime.block_on(workload::run(&site, settings.amount));
        broker.kill();
        if !finished(&log).contains(INJECTED) {
            continue;
        }
        runs += 1;
        let found = judge(&broker.data_dir(), promised, &site.key);
        let place = |fault| format!("{} {number} failed with {}: {fault}", failure.call, failure.error);
        faults.extend(found.into_iter().map(place));
    }
    (runs, faults)
}
