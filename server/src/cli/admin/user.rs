//! `cloudsignal user`: users with a password that stays until it is changed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::json;

use super::request::Call;
use super::rest::Shape;
use super::uri::named;
use super::{AdminArgs, Order, OrgChoice, secret_from};
use crate::accounts::Secret;
use crate::cli::exit::Failure;

/// What was typed after `cloudsignal user`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct UserArgs {
    /// What to do
    #[command(subcommand)]
    pub action: UserAction,

    /// The organization
    #[command(flatten)]
    pub org: OrgChoice,

    /// The broker
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What can be done with users.
#[derive(Clone, Debug, Subcommand)]
pub enum UserAction {
    /// Make a user; without a password file, a password is made and shown once
    Create {
        /// Name inside the organization
        name: String,

        /// File whose first line is the password; `-` for standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List users
    List {
        /// Begin after this name
        #[arg(long, value_name = "NAME")]
        after: Option<String>,
    },
    /// Set another password; connections made with the old one are closed
    Password {
        /// Name inside the organization
        name: String,

        /// File whose first line is the password; `-` for standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Let a user log in again
    Enable {
        /// Name inside the organization
        name: String,
    },
    /// Close a user's connections, and let the user log in no more until enabled
    Disable {
        /// Name inside the organization
        name: String,
    },
    /// Remove a user and close the connections
    Delete {
        /// Name inside the organization
        name: String,
    },
}

const EXAMPLES: &str = "\
Examples:
  cloudsignal user create alice
        shows the user name to log in with, and a password
  pass show broker/alice | cloudsignal user create alice --password-file -
  cloudsignal user list --org org_k7xm4pqr2n5t
  cloudsignal user password alice
  cloudsignal user delete alice";

impl UserAction {
    pub(in crate::cli) fn order(self, org: OrgChoice) -> Result<Order, Failure> {
        let changed = |org, name: &str, body| {
            let call = Call::new(Method::PATCH, named("/v2/users", name), body);
            Order::in_org(org, call, "user", Shape::In("user"))
        };
        Ok(match self {
            Self::Create { name, password_file } => {
                let password = password_file.as_deref().map(secret_from).transpose()?;
                let call = Call::post("/v2/users", json!({ "username": name, "password": password }));
                Order::in_org(org, call, "user", Shape::In("user"))
            }
            Self::List { after } => Order::in_org(
                org,
                Call::page("/v2/users", after.as_deref()),
                "users",
                Shape::Same,
            ),
            Self::Password { name, password_file } => match password_file {
                Some(file) => changed(org, &name, json!({ "password": secret_from(&file)? })),
                None => {
                    // A password that is made here is shown here.
                    let made = json!({ "password": Secret::generate_password() });
                    changed(org, &name, made.clone()).knowing(made)
                }
            },
            Self::Enable { name } => changed(org, &name, json!({ "enabled": true })),
            Self::Disable { name } => changed(org, &name, json!({ "enabled": false })),
            Self::Delete { name } => {
                let call = Call::delete(named("/v2/users", &name));
                Order::in_org(org, call, "user_deleted", Shape::Empty).knowing(json!({ "name": name }))
            }
        })
    }
}
