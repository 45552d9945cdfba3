//! `cloudsignal store`: looks into the data folder of a broker that does not run.
//!
//! | file | holds |
//! |---|---|
//! | `inspect` | what is stored, counted |
//! | `quarantine` | what could not be used: shown, exported, discarded |

mod inspect;
mod quarantine;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::exit::{Exit, Failure};
use super::serve::DATA_DIR_DEFAULT;
use crate::first_run::folder::store_in;
use crate::store::StoreError;
use crate::store::stopped::Stopped;

/// What was typed after `cloudsignal store`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct StoreArgs {
    /// What to do
    #[command(subcommand)]
    pub action: StoreAction,

    /// Data folder of a broker that does not run
    #[arg(long, value_name = "DIR", env = "CLOUDSIGNAL_DATA_DIR", default_value = DATA_DIR_DEFAULT, global = true)]
    pub data_dir: PathBuf,

    /// Print JSON; of lists, one object a line
    #[arg(long, global = true)]
    pub json: bool,

    /// Only of this organization, by its short id
    #[arg(long, value_name = "ORG", global = true)]
    pub org: Option<String>,
}

/// What can be done with a store.
#[derive(Clone, Debug, Subcommand)]
pub enum StoreAction {
    /// Show what is stored: how much of what, and of which organization
    Inspect {
        /// What to look at; everything, counted, if nothing is said
        #[command(subcommand)]
        what: Option<Inspected>,
    },
    /// Remove what could not be used and was put aside
    DiscardQuarantine {
        /// Yes, it is not needed any more
        #[arg(long)]
        yes: bool,
    },
}

/// What can be looked at by itself.
#[derive(Clone, Debug, Subcommand)]
pub enum Inspected {
    /// What could not be used and was put aside, with the reason
    Quarantine {
        /// Write each entry into a file in this folder, and an index.jsonl beside them
        #[arg(long, value_name = "DIR")]
        export: Option<PathBuf>,
    },
}

const EXAMPLES: &str = "\
Examples:
  cloudsignal store inspect
  cloudsignal store inspect --org org_k7xm4pqr2n5t --json
  cloudsignal store inspect quarantine --export ./damaged
  cloudsignal store discard-quarantine --yes
The broker must be stopped: its store belongs to one process at a time.";

/// Does it.
pub(super) fn run(args: &StoreArgs) -> Result<(), Failure> {
    match &args.action {
        StoreAction::Inspect { what: None } => inspect::run(args),
        StoreAction::Inspect {
            what: Some(Inspected::Quarantine { export }),
        } => quarantine::show(args, export.as_deref()),
        StoreAction::DiscardQuarantine { yes: true } => quarantine::discard(args),
        StoreAction::DiscardQuarantine { yes: false } => Err(Failure::because(
            Exit::Usage,
            "this removes what was put aside for good; if that is meant, add --yes",
        )),
    }
}

/// Opens the store of a data folder.
fn open(data_dir: &Path) -> Result<Stopped, Failure> {
    let opened = Stopped::open(&store_in(data_dir));
    Ok(opened.with_context(|| format!("{}", data_dir.display()))?)
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(Exit::Failed, error)
    }
}
