//! The figures of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long a connection still felt nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Felt {
    /// 0 when it felt it before the answer was there.
    pub(crate) since_answer: Duration,
    pub(crate) since_request: Duration,
}

/// What was felt, by kind of decision.
#[derive(Debug, Default)]
pub(crate) struct Table(BTreeMap<&'static str, Vec<Felt>>);

impl Table {
    pub(crate) fn note(&mut self, kind: &'static str, felt: Vec<Felt>) {
        self.0.entry(kind).or_default().extend(felt);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "| decision | connections | median, p99, max ms since the answer | since the request |"
        )?;
        writeln!(out, "|---|---|---|---|")?;
        for (kind, felt) in &self.0 {
            row(out, kind, felt)?;
        }
        let all: Vec<_> = self.0.values().flatten().copied().collect();
        row(out, "all", &all)
    }
}

fn row(out: &mut fmt::Formatter<'_>, kind: &str, felt: &[Felt]) -> fmt::Result {
    let answer = spread(felt.iter().map(|it| it.since_answer).collect());
    let request = spread(felt.iter().map(|it| it.since_request).collect());
    writeln!(out, "| {kind} | {} | {answer} | {request} |", felt.len())
}

/// Median, 99th percentile and maximum, in milliseconds.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| {
        let place = (times.len() * percent).div_ceil(100).max(1) - 1;
        times.get(place).map_or(0.0, |it| it.as_secs_f64() * 1_000.0)
    };
    format!("{:.2}, {:.2}, {:.2}", at(50), at(99), at(100))
}
