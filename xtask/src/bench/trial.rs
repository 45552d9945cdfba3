//! One run of one broker in one row.

use core::fmt;

use anyhow::Result;
use serde_json::json;

use super::contestant::Contestant;
use super::figures::shown;
use super::generator::{Answer, Generator};
use super::neighbour;
use super::options::Options;
use super::row::{Method, Row};
use super::stage::Stage;
use super::strace::Count;

/// What a run gave.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// In the order of the row's metrics; `None` for what the result does not hold.
    pub(super) values: Vec<Option<f64>>,
    /// What was wrong with it.
    pub(super) fault: Option<String>,
    row: &'static Row,
}

impl Trial {
    /// Starts the broker, loads it, and ends it.
    pub(super) fn run(
        row: &'static Row,
        contestant: &Contestant,
        options: &Options,
        stage: &Stage,
    ) -> Result<Self> {
        let running = contestant.start(row, stage)?;
        let generator = Generator {
            row,
            running: &running,
            options,
            stage,
        };
        let answer = match row.method {
            Method::Once => generator.load(row.scenario)?,
            Method::SystemCalls => {
                let count = Count::begin(running.process_id(), stage.folder().join("strace"))?;
                let mut answer = generator.load(row.scenario)?;
                add_calls(&mut answer, count.end()?);
                answer
            }
            Method::Rehearsed(scenario) => {
                let rehearsal = generator.load(scenario)?;
                let mut answer = generator.load(row.scenario)?;
                answer.blame(rehearsal.fault);
                answer
            }
            Method::Beside(noise) => neighbour::measure(&generator, noise)?,
        };
        Ok(Self::of(row, answer))
    }

    /// A faultless one with one figure.
    #[cfg(test)]
    pub(super) fn of_test(row: &'static Row, value: f64) -> Self {
        Self {
            values: vec![Some(value)],
            fault: None,
            row,
        }
    }

    fn of(row: &'static Row, answer: Answer) -> Self {
        let figures = row.metrics.iter().map(|metric| answer.figure(metric.pointer));
        Self {
            values: figures.collect(),
            fault: answer.fault,
            row,
        }
    }
}

/// Puts the system calls of each message beside the rest.
fn add_calls(answer: &mut Answer, calls: u64) {
    let messages = answer.figure("/messages").filter(|messages| *messages > 0.0);
    if let Some(messages) = messages {
        answer.put("system_calls_per_message", json!(calls as f64 / messages));
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown_values = self
            .row
            .metrics
            .iter()
            .zip(&self.values)
            .filter_map(|(metric, value)| {
                let value = shown((*value)?);
                Some(format!("{} {value}", metric.heading))
            });
        f.write_str(&shown_values.collect::<Vec<_>>().join(", "))?;
        self.fault
            .as_ref()
            .map_or(Ok(()), |fault| write!(f, "  [{fault}]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rows;

    fn trial(name: &str, mut answer: Answer, calls: Option<u64>) -> Trial {
        let row = rows::chosen(&[name.to_owned()]).unwrap()[0];
        if let Some(calls) = calls {
            add_calls(&mut answer, calls);
        }
        Trial::of(row, answer)
    }

    #[test]
    fn figures_are_taken_from_the_result() {
        let answer = Answer {
            result: Some(json!({
                "per_second": 2e6,
                "messages": 10,
                "broker": { "cpu_seconds_per_million": 0.5, "core_percent": 99 },
            })),
            fault: None,
        };
        let whole = trial("pairs-0", answer.clone(), None);
        assert_eq!(whole.values, [Some(0.5), Some(2e6), Some(99.0), None]);
        assert_eq!(
            whole.to_string(),
            "CPU-s per 1M 0.500, delivered/s 2 000 000, broker % 99.0"
        );
        assert_eq!(trial("calls-0", answer, Some(50)).values, [Some(5.0)]);
    }

    #[test]
    fn without_a_result_there_are_no_figures() {
        let answer = Answer {
            result: None,
            fault: Some("nobody answers".to_owned()),
        };
        let trial = trial("pairs-0", answer, Some(7));
        assert!(trial.values.iter().all(Option::is_none));
        assert_eq!(trial.to_string(), "  [nobody answers]");
    }
}
