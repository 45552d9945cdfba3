//! `cloudsignal key`: secret keys, for a team's own servers.

use clap::{Args, Subcommand};

use super::{AdminArgs, Order, OrgChoice};
use crate::accounts::Command;
use crate::accounts::command::{KeyOptions, PageRequest};

/// What was typed after `cloudsignal key`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct KeyArgs {
    /// What to do
    #[command(subcommand)]
    pub action: KeyAction,

    /// The organization
    #[command(flatten)]
    pub org: OrgChoice,

    /// The broker
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What can be done with secret keys.
#[derive(Clone, Debug, Subcommand)]
pub enum KeyAction {
    /// Make a secret key and show it, once
    Create {
        /// What people call it
        name: String,
    },
    /// List secret keys, masked
    List,
    /// Make a key worthless and close its connections
    Revoke {
        /// The key's id, from the list
        key_id: String,
    },
}

const EXAMPLES: &str = "\
Examples:
  cloudsignal key create 'web shop'
  cloudsignal key list
  cloudsignal key revoke key_h3v6t2m7xq4a
With a secret key, your server asks for the tokens that browsers log in with (POST /v2/tokens/create),
or logs in itself as server@ORG with the key as password.";

impl KeyAction {
    pub(in crate::cli) fn order(self, org: OrgChoice) -> Order {
        match self {
            Self::Create { name } => Order::in_org(org, |org| Command::KeyCreate {
                org,
                name,
                options: KeyOptions::default(),
            }),
            Self::List => Order::in_org(org, |org| Command::KeyList {
                org,
                page: PageRequest::default(),
            }),
            Self::Revoke { key_id } => Order::in_org(org, |org| Command::KeyRevoke { org, key_id }),
        }
    }
}
