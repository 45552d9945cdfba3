//! What every part of a run has at hand: the time, the dice, the log, the verdict, and what was written.

use cloudsignal_core::{Instant, Qos};
use cloudsignal_tests::random::Random;

use crate::faults::Fault;
use crate::log::EventLog;

/// A message that some client made up. Its payload begins with its number, unless it is empty.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) org: usize,
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) expiry_secs: Option<u32>,
    pub(crate) content_type: Option<&'static str>,
    /// The value of its user property `n`, if it has one.
    pub(crate) note: Option<&'static str>,
}

/// The common things of a run.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) seed: u64,
    pub(crate) now: Instant,
    pub(crate) random: Random,
    pub(crate) log: EventLog,
    pub(crate) verdict: Verdict,
    /// Every message of the run; a message's number is its place.
    pub(crate) publications: Vec<Publication>,
    /// What the harness does wrong on purpose, to prove that the judge sees it.
    pub(crate) fault: Option<Fault>,
}

impl Scene {
    pub(crate) fn new(seed: u64, keeps_lines: bool, fault: Option<Fault>) -> Self {
        Self {
            seed,
            now: Instant::from_micros(1_000_000),
            random: Random::new(seed),
            log: EventLog::new(keeps_lines),
            verdict: Verdict::default(),
            publications: Vec::new(),
            fault,
        }
    }

    /// Registers a message and gives it its number and its payload of at least `payload_bytes`.
    pub(crate) fn write(&mut self, mut publication: Publication, payload_bytes: Option<usize>) -> usize {
        let number = self.publications.len();
        if let Some(payload_bytes) = payload_bytes {
            publication.payload = format!("{number};").into_bytes();
            if publication.payload.len() < payload_bytes {
                publication.payload.resize(payload_bytes, b'.');
            }
        }
        self.publications.push(publication);
        number
    }

    /// The number of the message that this payload belongs to.
    pub(crate) fn number_of(&self, payload: &[u8]) -> Option<usize> {
        let end = payload.iter().position(|&byte| byte == b';')?;
        let number: usize = std::str::from_utf8(payload.get(..end)?).ok()?.parse().ok()?;
        (number < self.publications.len()).then_some(number)
    }
}

/// What the judge says. The first thing that is wrong counts: the rest may follow from it.
#[derive(Debug, Default)]
pub(crate) struct Verdict(Option<String>);

impl Verdict {
    pub(crate) fn fail(&mut self, what: impl FnOnce() -> String) {
        if self.0.is_none() {
            self.0 = Some(what());
        }
    }

    /// As [`Verdict::fail`], for a caller that stops.
    pub(crate) fn fail_and(&mut self, what: impl FnOnce() -> String) -> bool {
        self.fail(what);
        false
    }

    pub(crate) fn require(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(what);
        }
    }

    pub(crate) fn wrong(&self) -> Option<&str> {
        self.0.as_deref()
    }
}
