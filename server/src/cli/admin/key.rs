//! `cloudsignal key`: secret keys, for a team's own servers.

use clap::{Args, Subcommand};
use serde_json::json;

use super::request::Call;
use super::rest::Shape;
use super::uri::named;
use super::{AdminArgs, Order, OrgChoice};
use crate::accounts::{KeyKind, Scope, ScopeSet};
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
    List {
        /// Begin after this id
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
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
                let kind = kind(publishable, &scope)?;
                let mut body = json!({ "name": name, "kind": kind.name(), "expires_in_secs": expires });
                if let KeyKind::Restricted { scopes } = kind {
                    body["scopes"] = json!(scopes);
                }
                Order::in_org(org, Call::post("/v2/keys", body), "key_created", Shape::In("key"))
            }
            Self::Rotate { key_id, grace } => {
                let path = named("/v2/keys", &key_id) + "/rotate";
                let call = Call::post(&path, json!({ "grace_secs": grace }));
                Order::in_org(org, call, "key_rotated", Shape::In("key"))
            }
            Self::List { after } => {
                Order::in_org(org, Call::page("/v2/keys", after.as_deref()), "keys", Shape::Same)
            }
            Self::Revoke { key_id } => {
                let call = Call::delete(named("/v2/keys", &key_id));
                Order::in_org(org, call, "key_revoked", Shape::Empty).knowing(json!({ "key_id": key_id }))
            }
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
