//! The result as Markdown: a table of ratios first, then one table for each row.

use core::fmt::{self, Write as _};

use super::contestant::Contestant;
use super::figures::{Figures, shown};
use super::row::{Better, Metric, Row, Scheduling};
use super::stage::{RealTime, Stage};
use super::trial::Trial;

/// Every run of a row.
#[derive(Debug)]
pub(super) struct RowResult {
    row: &'static Row,
    /// The first one is ours.
    entries: Vec<Entry>,
}

/// Every run of a broker in a row.
#[derive(Debug)]
struct Entry {
    name: String,
    is_ours: bool,
    trials: Vec<Trial>,
}

impl RowResult {
    pub(super) fn new(row: &'static Row, contestants: &[Contestant]) -> Self {
        let entry = |contestant: &Contestant| Entry {
            name: contestant.name.clone(),
            is_ours: contestant.is_ours(),
            trials: Vec::new(),
        };
        Self {
            row,
            entries: contestants.iter().map(entry).collect(),
        }
    }

    /// One more run of the contestant at this place.
    pub(super) fn add(&mut self, contestant: usize, trial: Trial) {
        self.entries[contestant].trials.push(trial);
    }

    pub(super) const fn name(&self) -> &'static str {
        self.row.name
    }

    /// Whether a run of ours was not as it should be.
    pub(super) fn ours_has_faults(&self) -> bool {
        let mut ours = self.entries.iter().filter(|entry| entry.is_ours);
        ours.any(|entry| entry.faults() > 0)
    }
}

impl Entry {
    fn figures(&self, metric: usize) -> Option<Figures> {
        Figures::of(
            self.trials
                .iter()
                .filter_map(|trial| trial.values[metric])
                .collect(),
        )
    }

    fn faults(&self) -> usize {
        self.trials.iter().filter(|trial| trial.fault.is_some()).count()
    }
}

/// The whole text.
pub(super) fn document(results: &[RowResult], stage: &Stage) -> String {
    let mut text = String::new();
    write(&mut text, results, stage).expect("invariant: text takes text");
    text
}

fn write(out: &mut String, results: &[RowResult], stage: &Stage) -> fmt::Result {
    writeln!(
        out,
        "Cores: {}. Figures: median (least to greatest).",
        stage.cores_said()
    )?;
    writeln!(
        out,
        "Ours with logins, access rules and quotas; the others without any.\n"
    )?;
    summary(out, results)?;
    for result in results {
        row(out, result, stage)?;
    }
    Ok(())
}

/// Ours divided by each other broker, in every figure that can be better or worse.
fn summary(out: &mut String, results: &[RowResult]) -> fmt::Result {
    let Some((_, others)) = results.first().and_then(|result| result.entries.split_first()) else {
        return Ok(());
    };
    write!(out, "| row | figure | ours |")?;
    for other in others {
        write!(out, " {} | ours / {} |", other.name, other.name)?;
    }
    writeln!(out, "\n|---|---|---|{}", "---|---|".repeat(others.len()))?;
    for result in results {
        for (at, metric) in result.row.metrics.iter().enumerate() {
            if metric.better != Better::Neither {
                ratios(out, result, at, metric)?;
            }
        }
    }
    Ok(())
}

fn ratios(out: &mut String, result: &RowResult, at: usize, metric: &Metric) -> fmt::Result {
    let direction = match metric.better {
        Better::Lower => "lower is better",
        Better::Higher => "higher is better",
        Better::Neither => "",
    };
    write!(out, "| {} | {}, {direction} |", result.row.name, metric.heading)?;
    let medians: Vec<_> = result
        .entries
        .iter()
        .map(|entry| entry.figures(at).map(|figures| figures.median))
        .collect();
    let ours = medians.first().copied().flatten();
    write!(out, " {} |", ours.map_or_else(|| "–".to_owned(), shown))?;
    for other in medians.iter().skip(1) {
        let ratio = ours.zip(*other).filter(|(_, other)| *other > 0.0);
        let ratio = ratio.map_or_else(|| "–".to_owned(), |(ours, other)| format!("{:.2}", ours / other));
        write!(
            out,
            " {} | {ratio} |",
            other.map_or_else(|| "–".to_owned(), shown)
        )?;
    }
    writeln!(out)
}

fn row(out: &mut String, result: &RowResult, stage: &Stage) -> fmt::Result {
    let Row {
        name, about, metrics, ..
    } = result.row;
    writeln!(
        out,
        "\n## {name}\n\n{about}.{}\n",
        scheduling_said(result.row, stage)
    )?;
    write!(out, "| broker | runs |")?;
    for metric in *metrics {
        write!(out, " {} |", metric.heading)?;
    }
    writeln!(out, " faults |\n|---|---|{}---|", "---|".repeat(metrics.len()))?;
    // Who does not take part has no run.
    for entry in result.entries.iter().filter(|entry| !entry.trials.is_empty()) {
        write!(out, "| {} | {} |", entry.name, entry.trials.len())?;
        for at in 0..metrics.len() {
            write!(
                out,
                " {} |",
                entry.figures(at).map_or_else(|| "–".to_owned(), spread)
            )?;
        }
        writeln!(out, " {} |", faults_said(entry))?;
    }
    Ok(())
}

fn scheduling_said(row: &Row, stage: &Stage) -> &'static str {
    match (row.scheduling, stage.real_time) {
        (Scheduling::Ordinary, _) => "",
        (Scheduling::RealTime, RealTime::Granted) => " Broker and generator go before all other processes.",
        (Scheduling::RealTime, RealTime::Refused) => {
            " The system let nobody go before other processes: latencies are partly theirs."
        }
    }
}

fn spread(figures: Figures) -> String {
    let Figures {
        median,
        least,
        greatest,
    } = figures;
    format!("{} ({} to {})", shown(median), shown(least), shown(greatest))
}

/// How many runs had faults, and what the last one of them said.
fn faults_said(entry: &Entry) -> String {
    let last = entry.trials.iter().rev().find_map(|trial| trial.fault.as_deref());
    last.map_or_else(String::new, |last| {
        format!(
            "{} of {}: {}",
            entry.faults(),
            entry.trials.len(),
            last.replace('|', "/")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rows;

    fn result() -> RowResult {
        let row = rows::chosen(&["calls-0".to_owned()]).unwrap()[0];
        let entry = |name: &str, is_ours, values: &[f64]| Entry {
            name: name.to_owned(),
            is_ours,
            trials: values.iter().map(|value| Trial::of_test(row, *value)).collect(),
        };
        RowResult {
            row,
            entries: vec![
                entry("ours", true, &[3.0, 2.0, 4.0]),
                entry("other", false, &[6.0]),
            ],
        }
    }

    #[test]
    fn ours_is_divided_by_the_other() {
        let mut text = String::new();
        summary(&mut text, &[result()]).unwrap();
        let last = text.lines().last().unwrap();
        assert!(last.contains("| 3.00 | 6.00 | 0.50 |"), "{last}");
    }

    #[test]
    fn a_fault_of_ours_is_seen_and_one_of_another_is_not_ours() {
        let mut result = result();
        result.entries[1].trials[0].fault = Some("lost".to_owned());
        assert!(!result.ours_has_faults());
        assert_eq!(faults_said(&result.entries[1]), "1 of 1: lost");
        result.entries[0].trials[2].fault = Some("lost".to_owned());
        assert!(result.ours_has_faults());
    }
}
