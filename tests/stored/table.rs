//! Results, and their medians.

use std::fmt;

use cloudsignal_tests::latencies::Latencies;

use crate::plan::Level;

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) level: Level,
    pub(crate) publishers: usize,
    /// Acknowledged messages per second at full speed.
    pub(crate) rate: f64,
    /// CPU seconds of the broker per million messages at full speed.
    pub(crate) cpu_per_million: f64,
    pub(crate) full: Latencies,
    /// The highest rate that is kept on a schedule, messages per second.
    pub(crate) kept_rate: f64,
    /// At a share of it.
    pub(crate) scheduled: Latencies,
    pub(crate) syncs_per_sec: f64,
    pub(crate) sync: Latencies,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rate, cpu, ..] = self.figures();
        let (level, publishers) = (self.level.name(), self.publishers);
        write!(
            f,
            "{level}, {publishers} publishers: {rate:.0} msg/s, {cpu:.2} CPU-s per million, {:.0} msg/s kept, \
             p99 at 70 % of it {} us",
            self.kept_rate,
            self.scheduled.clone().micros_at(0.99)
        )
    }
}

impl Row {
    /// The figures of a line of the table.
    fn figures(&self) -> [f64; FIGURES] {
        let micros = |latencies: &Latencies, share| f64::from(latencies.clone().micros_at(share));
        [
            self.rate,
            self.cpu_per_million,
            micros(&self.full, 0.5),
            micros(&self.full, 0.99),
            self.kept_rate,
            micros(&self.scheduled, 0.5),
            micros(&self.scheduled, 0.99),
            self.syncs_per_sec,
            micros(&self.sync, 0.5),
            micros(&self.sync, 0.99),
        ]
    }
}

const FIGURES: usize = 10;

const HEAD: &str = "\
| level | publishers | msg/s | CPU-s per million | PUBACK p50 us | p99 us | kept on a schedule, msg/s | at 70 % of it: p50 us | p99 us | fdatasync/s | p50 us | p99 us |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// Every measurement, shown as the medians of each line.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        let mut lines: Vec<(Level, usize)> = Vec::new();
        for row in &self.rows {
            if !lines.contains(&(row.level, row.publishers)) {
                lines.push((row.level, row.publishers));
            }
        }
        for line in lines {
            let of_line = |row: &&Row| (row.level, row.publishers) == line;
            let figures: Vec<_> = self.rows.iter().filter(of_line).map(Row::figures).collect();
            write!(f, "| {} | {} |", line.0.name(), line.1)?;
            for column in 0..FIGURES {
                let median = median(figures.iter().map(|figures| figures[column]).collect());
                let digits = usize::from(column == 1) * 2;
                write!(f, " {median:.digits$} |")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
