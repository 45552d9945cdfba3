//! `cloudsignal token`: logins that end by themselves.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{AdminArgs, Order, OrgChoice, secret_from};
use crate::accounts::Command;
use crate::accounts::command::PageRequest;
use crate::cli::exit::Failure;

/// What was typed after `cloudsignal token`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TokenArgs {
    /// What to do
    #[command(subcommand)]
    pub action: TokenAction,

    /// The organization
    #[command(flatten)]
    pub org: OrgChoice,

    /// The broker
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What can be done with tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenAction {
    /// Make a token and show it, once
    Create {
        /// E-mail address of the person it is for; the user name is made from it
        email: String,

        /// Seconds it lives, 60 to 86400 [default: 3600]
        #[arg(long, value_name = "SECS")]
        ttl: Option<u32>,

        /// From now on let the person's earlier tokens open no connection; open ones stay
        #[arg(long)]
        replace: bool,
    },
    /// Make a new password for a token that is still good, and let its connections stay
    Refresh {
        /// The token's id
        token_id: String,

        /// File whose first line is the token's current password; `-` for standard input
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// List tokens that were made or used since the broker started
    List {
        /// Begin after this token: what the page before says
        #[arg(long, value_name = "TOKEN")]
        after: Option<String>,
    },
    /// End a token and its connections
    Revoke {
        /// The token's id
        token_id: String,
    },
}

const EXAMPLES: &str = "\
Examples:
  cloudsignal token create ada@example.com
        shows a user name and a password that are good for an hour
  cloudsignal token create ada@example.com --ttl 300 --replace --json
  cloudsignal token revoke 0c4b6f0e-6d0e-4c43-9d8e-1f5ce1a3f7a9
Browsers get their tokens from your own server, which asks for them with a secret key:
  curl https://localhost:8443/v2/tokens/create --cacert data/tls/ca.pem -H 'content-type: application/json' \\
       -d '{\"organization_id\": \"ORG\", \"secret_key\": \"sk_…\", \"user_email\": \"ada@example.com\"}'";

impl TokenAction {
    pub(in crate::cli) fn order(self, org: OrgChoice) -> Result<Order, Failure> {
        Ok(match self {
            Self::Create { email, ttl, replace } => Order::in_org(org, move |org| Command::TokenCreate {
                org,
                email,
                ttl_secs: ttl,
                replace_existing: replace,
                scope: None,
            }),
            Self::Refresh {
                token_id,
                password_file,
            } => {
                let password = secret_from(&password_file)?;
                Order::Global(Command::TokenRefresh { token_id, password })
            }
            Self::List { after } => {
                let page = PageRequest { after, limit: None };
                Order::in_org(org, |org| Command::TokenList { org, page })
            }
            Self::Revoke { token_id } => Order::in_org(org, |org| Command::TokenRevoke { org, token_id }),
        })
    }
}
