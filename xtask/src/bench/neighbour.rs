//! What one organization feels of another: its load alone, then the same beside the noise of the other one.

use std::process::Child;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::generator::{Answer, Generator};
use super::ours::Org;
use super::row::Noise;
use super::stage::await_that;

/// Seconds that the noise lasts beyond what is measured beside it: connecting and the time before the measurement.
const NOISE_LONGER_SECS: u32 = 8;

/// Measures both. The answer is that of the second load; `alone`, `noise` and `p99_more_us` stand beside it.
pub(super) fn measure(generator: &Generator<'_>, noise: &Noise) -> Result<Answer> {
    let scenario = generator.row.scenario;
    let alone = generator.load(scenario)?;
    let mut other = begin(generator, noise)?;
    let mut beside = generator.load(scenario)?;
    let was_over = other.try_wait()?.is_some();
    let noise_answer = Answer::read(&other.wait_with_output()?);
    if was_over {
        let said = noise_answer
            .fault
            .as_deref()
            .unwrap_or("it had nothing left to do");
        beside.blame(Some(format!("the other organization ended first: {said}")));
    }
    compare(&mut beside, alone, noise_answer, noise.org);
    Ok(beside)
}

/// Starts the noise and awaits that all of its connections are there, or that it has failed.
fn begin(generator: &Generator<'_>, noise: &Noise) -> Result<Child> {
    let mut other = generator.start_noise(noise, generator.options.seconds + NOISE_LONGER_SECS)?;
    await_that("the other organization's connections", || {
        // The few that it listens with are counted, too; those of the first load are closed by then.
        let is_there = generator.running.sockets()? >= noise.connections;
        let is_over = other
            .try_wait()
            .context("the system does not say whether it runs")?;
        Ok((is_there || is_over.is_some()).then_some(()))
    })?;
    Ok(other)
}

/// Puts the others' figures beside those of the second load.
fn compare(beside: &mut Answer, alone: Answer, noise: Answer, noisy: Org) {
    let p99 = |answer: &Answer| answer.figure("/latency_us/p99");
    if let Some((alone, beside_it)) = p99(&alone).zip(p99(beside)) {
        beside.put("p99_more_us", json!(beside_it - alone));
    }
    beside.blame(alone.fault);
    // What goes beyond a quota is lost on purpose.
    if noisy != Org::Limited {
        beside.blame(noise.fault);
    }
    beside.put("alone", alone.result.unwrap_or(Value::Null));
    beside.put("noise", noise.result.unwrap_or(Value::Null));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(p99: u32, fault: Option<&str>) -> Answer {
        Answer {
            result: Some(json!({ "latency_us": { "p99": p99 } })),
            fault: fault.map(str::to_owned),
        }
    }

    #[test]
    fn the_difference_is_told_beside_both() {
        let mut beside = answer(900, None);
        compare(&mut beside, answer(300, None), answer(50, None), Org::Second);
        assert_eq!(beside.figure("/p99_more_us"), Some(600.0));
        assert_eq!(beside.figure("/alone/latency_us/p99"), Some(300.0));
        assert_eq!(beside.figure("/noise/latency_us/p99"), Some(50.0));
        assert_eq!(beside.fault, None);
    }

    #[test]
    fn who_goes_beyond_a_quota_may_lose_messages_and_nobody_else() {
        let fault_of = |alone: Option<&str>, noise: Option<&str>, noisy: Org| {
            let mut beside = answer(1, None);
            compare(&mut beside, answer(1, alone), answer(1, noise), noisy);
            beside.fault
        };
        assert_eq!(fault_of(None, Some("lost"), Org::Limited), None);
        assert_eq!(fault_of(None, Some("lost"), Org::Second).as_deref(), Some("lost"));
        assert_eq!(
            fault_of(Some("lost"), None, Org::Limited).as_deref(),
            Some("lost")
        );
    }
}
