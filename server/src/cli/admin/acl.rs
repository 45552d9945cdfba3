//! `cloudsignal acl`: who may publish and subscribe to what.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::org::{preset, preset_help};
use super::{AdminArgs, Order, OrgChoice};
use crate::accounts::Command;
use crate::accounts::acl::Preset;
use crate::accounts::command::PolicySource;
use crate::cli::client::whole;
use crate::cli::exit::Failure;

/// What was typed after `cloudsignal acl`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct AclArgs {
    /// What to do
    #[command(subcommand)]
    pub action: AclAction,

    /// The organization
    #[command(flatten)]
    pub org: OrgChoice,

    /// The broker
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What can be done with access rules.
#[derive(Clone, Debug, Subcommand)]
pub enum AclAction {
    /// Print the rules, as JSON that `acl set` takes
    Get,
    /// Replace the rules; open connections feel it at once
    Set {
        /// File with the rules (JSON); `-` for standard input
        #[arg(required_unless_present = "preset", conflicts_with = "preset")]
        file: Option<PathBuf>,

        /// Rules with a name instead of a file
        #[arg(long, value_parser = preset, help = preset_help())]
        preset: Option<Preset>,
    },
}

const EXAMPLES: &str = r#"Examples:
  cloudsignal acl get > rules.json
  cloudsignal acl set rules.json
  cloudsignal acl set --preset own-topics

A document of rules; what no rule allows is refused, and a matching deny wins:
  {
    "version": "2.1",
    "default": "deny",
    "global": [{ "topic": "public/#", "action": "sub" }],
    "rules": [
      { "user": "sensor-*", "topic": "data/{username}/#", "action": "pub" },
      { "topic": "inbox/{username}", "action": "sub" }
    ]
  }"#;

impl AclAction {
    pub(in crate::cli) fn order(self, org: OrgChoice) -> Result<Order, Failure> {
        let (file, preset) = match self {
            Self::Get => return Ok(Order::in_org(org, |org| Command::AclGet { org })),
            Self::Set { file, preset } => (file, preset),
        };
        let policy = match (preset, file) {
            (Some(preset), _) => PolicySource::Preset(preset),
            (None, Some(file)) => {
                let text = whole(&file)?;
                let document = serde_json::from_slice(&text);
                PolicySource::Document(document.with_context(|| format!("{} is not JSON", file.display()))?)
            }
            (None, None) => PolicySource::Preset(Preset::default()),
        };
        Ok(Order::in_org(org, |org| Command::AclSet { org, policy }))
    }
}
