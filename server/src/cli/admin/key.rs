//! `cloudsignal key`: secret keys, for a team's own servers.

use clap::{Args, Subcommand};

use super::{AdminArgs, Order, OrgChoice};
use crate::accounts::command::{KeyOptions, PageRequest};
use crate::accounts::{Command, KeyKind, Scope, ScopeSet};
use crate::cli::exit::{Exit, Failure};

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
    /// Make a key and show it, once
    Create {
        /// What people call it
        name: String,

        /// Make a publishable key, which everybody may know
        #[arg(long, conflicts_with = "scope")]
        publishable: bool,

        /// Make a restricted key that may do this and no more; may be repeated: users:read
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<String>,

        /// Seconds until it ends
        #[arg(long, value_name = "SECONDS")]
        expires: Option<u64>,
    },
    /// Replace a key by a new one that may do the same
    Rotate {
        /// The key's id, from the list
        key_id: String,

        /// Seconds that the old one stays good
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        grace: u64,
    },
    /// List keys, masked
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
  cloudsignal key create reports --scope users:read --scope usage:read --expires 86400
  cloudsignal key rotate key_h3v6t2m7xq4a --grace 3600
  cloudsignal key list
  cloudsignal key revoke key_h3v6t2m7xq4a
With a secret key, your server asks for the tokens that browsers log in with (POST /v2/tokens/create),
or logs in itself as server@ORG with the key as password.";

impl KeyAction {
    pub(in crate::cli) fn order(self, org: OrgChoice) -> Result<Order, Failure> {
        Ok(match self {
            Self::Create {
                name,
                publishable,
                scope,
                expires,
            } => {
                let options = KeyOptions {
                    kind: kind(publishable, &scope)?,
                    expires_in_secs: expires,
                };
                Order::in_org(org, move |org| Command::KeyCreate { org, name, options })
            }
            Self::Rotate { key_id, grace } => Order::in_org(org, move |org| Command::KeyRotate {
                org,
                key_id,
                grace_secs: grace,
            }),
            Self::List => Order::in_org(org, |org| Command::KeyList {
                org,
                page: PageRequest::default(),
            }),
            Self::Revoke { key_id } => Order::in_org(org, |org| Command::KeyRevoke { org, key_id }),
        })
    }
}

fn kind(publishable: bool, scopes: &[String]) -> Result<KeyKind, Failure> {
    if publishable {
        return Ok(KeyKind::Publishable);
    }
    if scopes.is_empty() {
        return Ok(KeyKind::Secret);
    }
    let scopes = scopes.iter().map(|name| {
        Scope::of(name).ok_or_else(|| {
            let known: Vec<_> = Scope::ALL.iter().map(|scope| scope.name()).collect();
            let text = format!("there is no scope {name}; there are {}", known.join(", "));
            Failure::because(Exit::Usage, text)
        })
    });
    let scopes = scopes.collect::<Result<Vec<_>, _>>()?;
    Ok(KeyKind::Restricted {
        scopes: ScopeSet::of(&scopes),
    })
}
