//! `cloudsignal token`: logins that end by themselves.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::request::Call;
use super::rest::Shape;
use super::{AdminArgs, Order, OrgChoice, secret_from};
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
    /// End tokens and their connections
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Revoke {
        /// The token's id
        #[arg(group = "which")]
        token_id: Option<String>,

        /// Every token of this e-mail address
        #[arg(long, value_name = "EMAIL", group = "which")]
        user: Option<String>,

        /// Every token that this identity provider vouched for; cloudsignal for those made with a key
        #[arg(long, value_name = "NAME", group = "which")]
        provider: Option<String>,
    },
}

const EXAMPLES: &str = "\
Examples:
  cloudsignal token create ada@example.com
        shows a user name and a password that are good for an hour
  cloudsignal token create ada@example.com --ttl 300 --replace --json
  cloudsignal token revoke 0c4b6f0e-6d0e-4c43-9d8e-1f5ce1a3f7a9
  cloudsignal token revoke --user ada@example.com
Browsers get their tokens from your own server, which asks for them with a secret key:
  curl https://localhost:8443/v2/tokens/create --cacert data/tls/ca.pem -H 'content-type: application/json' \\
       -d '{\"organization_id\": \"ORG\", \"secret_key\": \"sk_…\", \"user_email\": \"ada@example.com\"}'";

impl TokenAction {
    pub(in crate::cli) fn order(self, org: OrgChoice) -> Result<Order, Failure> {
        Ok(match self {
            Self::Create { email, ttl, replace } => {
                let body = json!({ "user_email": email, "ttl": ttl, "replace_existing": replace });
                let call = Call::post("/v2/tokens/create", body);
                Order::in_org(org, call, "token", Shape::Token)
            }
            Self::Refresh {
                token_id,
                password_file,
            } => {
                let password = secret_from(&password_file)?;
                let body = json!({ "token_id": token_id, "current_token_password": password });
                Order::of_server(Call::post("/v2/tokens/refresh", body), "token", Shape::Token)
            }
            Self::List { after } => Order::in_org(
                org,
                Call::page("/v2/tokens", after.as_deref()),
                "tokens",
                Shape::Same,
            ),
            Self::Revoke {
                token_id: Some(token_id),
                ..
            } => {
                let one = json!({ "token_id": token_id });
                let call = Call::post("/v2/tokens/revoke", one.clone());
                Order::in_org(org, call, "token_revoked", Shape::Empty).knowing(one)
            }
            Self::Revoke { user, provider, .. } => {
                let of = match (user, provider) {
                    (Some(email), _) => json!({ "user_email": email }),
                    (None, provider) => json!({ "provider": provider }),
                };
                let call = Call::post("/v2/tokens/revoke", of.clone());
                Order::in_org(org, call, "tokens_revoked", Shape::Empty).knowing(json!({ "of": of }))
            }
        })
    }
}
