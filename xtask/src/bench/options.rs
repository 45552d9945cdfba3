//! What can be typed after `cargo xtask bench`.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures our broker beside others on this machine.
#[derive(Clone, Debug, Parser)]
#[command(no_binary_name = false, disable_version_flag = true, after_help = EXAMPLES)]
pub(super) struct Options {
    /// Rows or groups of rows to measure, with commas between; --list shows them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) only: Vec<String>,

    /// Shows the rows and ends
    #[arg(long)]
    pub(super) list: bool,

    /// Runs of each broker in each row
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) runs: u32,

    /// Seconds of each run, where a run is measured by time
    #[arg(long, value_name = "SECS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(super) seconds: u32,

    /// Who gets which processor core
    #[arg(long, value_enum, default_value_t = Cores::Pinned)]
    pub(super) cores: Cores,

    /// File for the tables, Markdown
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,

    /// Our program; without it, a release build of this tree. It also makes the load
    #[arg(long, value_name = "PROGRAM")]
    pub(super) program: Option<PathBuf>,

    /// Another build of ours, to see what a change has bought
    #[arg(long, value_name = "NAME=PROGRAM", value_parser = named)]
    pub(super) ours: Vec<(String, String)>,

    /// A Mosquitto; without any, the one on the search path
    #[arg(long, value_name = "NAME=PROGRAM", value_parser = named)]
    pub(super) mosquitto: Vec<(String, String)>,

    /// A FlashMQ
    #[arg(long, value_name = "NAME=PROGRAM", value_parser = named)]
    pub(super) flashmq: Vec<(String, String)>,

    /// Another broker, started for each run by a command that stays its process. {port}, {tls_port}, {ws_port} and
    /// {wss_port} are where it has to listen, {dir} is a fresh folder, {cert} and {key} are files for TLS
    #[arg(long, value_name = "NAME=COMMAND", value_parser = named)]
    pub(super) peer_command: Vec<(String, String)>,

    /// A broker that runs already, without TLS; its process id tells its CPU time. It is as fresh as it is
    #[arg(long, value_name = "NAME=HOST:PORT,PID", value_parser = named)]
    pub(super) peer: Vec<(String, String)>,

    /// No others than ours and those that are named
    #[arg(long)]
    pub(super) no_search: bool,
}

/// Who gets which core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Cores {
    /// The broker core 0, the generator core 1
    Pinned,
    /// Everybody both
    Both,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench                                         ours and the Mosquitto of this machine, every row
  cargo xtask bench --only pairs-0,pairs-1 --runs 1 --seconds 2
  cargo xtask bench --only saturated --flashmq flashmq-1.26.2=../flashmq/build/flashmq --out saturated.md
  cargo xtask bench --only pairs-0 --ours before=../old/cloudsignal";

/// Takes `NAME=VALUE`.
fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        Some(_) | None => Err("write it as NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_as_in_the_examples_is_read() {
        let words = "x --only pairs-0,fan-out-1 --flashmq f=../flashmq --runs 2 --cores both";
        let options = Options::try_parse_from(words.split(' ')).unwrap();
        assert_eq!(options.only, ["pairs-0", "fan-out-1"]);
        assert_eq!(options.flashmq, [("f".to_owned(), "../flashmq".to_owned())]);
        assert_eq!((options.runs, options.cores), (2, Cores::Both));
    }

    #[test]
    fn a_peer_without_a_name_is_refused() {
        for line in ["x --flashmq ../flashmq", "x --peer =1", "x --runs 0"] {
            assert!(Options::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
