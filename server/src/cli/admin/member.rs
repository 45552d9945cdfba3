//! `cloudsignal member`: the people who manage an organization.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::json;

use super::request::Call;
use super::rest::Shape;
use super::uri::named;
use super::{AdminArgs, Order, OrgChoice, secret_from};
use crate::accounts::Role;
use crate::cli::exit::Failure;

/// What was typed after `cloudsignal member`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct MemberArgs {
    /// What to do
    #[command(subcommand)]
    pub action: MemberAction,

    /// The organization
    #[command(flatten)]
    pub org: OrgChoice,

    /// The broker
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What can be done with members.
#[derive(Clone, Debug, Subcommand)]
pub enum MemberAction {
    /// Make a member; without a password file, a password is made and shown once
    #[command(alias = "invite")]
    Add {
        /// E-mail address to log in with
        email: String,

        /// What the member may do
        #[arg(long, default_value = "member")]
        role: RoleName,

        /// File whose first line is the password; `-` for standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List members
    List {
        /// Begin after this address
        #[arg(long, value_name = "EMAIL")]
        after: Option<String>,
    },
    /// Show one member
    Show {
        /// The e-mail address
        email: String,
    },
    /// Give a member another role; the member has to log in again
    Role {
        /// The e-mail address
        email: String,

        /// What the member may do from now on
        role: RoleName,
    },
    /// Set a member's password; the member has to log in again
    Password {
        /// The e-mail address
        email: String,

        /// File whose first line is the password; `-` for standard input
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// Remove a member and end the logins
    #[command(alias = "delete")]
    Remove {
        /// The e-mail address
        email: String,
    },
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Everything
    Owner,
    /// Everything but to make, change and remove owners
    Admin,
    /// Works with messages, tokens and sessions, and sees everything but the audit trail
    Member,
    /// Sees what a member sees, and changes nothing
    Viewer,
}

const EXAMPLES: &str = "\
Examples:
  cloudsignal member add bob@example.com --role admin
        shows a password to log in with: cloudsignal login --url URL --email bob@example.com
  cloudsignal member list --json
  cloudsignal member role bob@example.com viewer
  cloudsignal member remove bob@example.com";

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Owner => Self::Owner,
            RoleName::Admin => Self::Admin,
            RoleName::Member => Self::Member,
            RoleName::Viewer => Self::Viewer,
        }
    }
}

impl MemberAction {
    pub(in crate::cli) fn order(self, org: OrgChoice) -> Result<Order, Failure> {
        let at = |email: &str| named("/v2/members", email);
        let changed = |org, email: &str, body| {
            let call = Call::new(Method::PATCH, at(email), body);
            Order::in_org(org, call, "member", Shape::In("member"))
        };
        Ok(match self {
            Self::Add {
                email,
                role,
                password_file,
            } => {
                let password = password_file.as_deref().map(secret_from).transpose()?;
                let body = json!({ "email": email, "role": Role::from(role), "password": password });
                let call = Call::post("/v2/members", body);
                Order::in_org(org, call, "member", Shape::In("member"))
            }
            Self::List { after } => Order::in_org(
                org,
                Call::page("/v2/members", after.as_deref()),
                "members",
                Shape::Same,
            ),
            Self::Show { email } => Order::in_org(org, Call::get(at(&email)), "member", Shape::In("member")),
            Self::Role { email, role } => changed(org, &email, json!({ "role": Role::from(role) })),
            Self::Password { email, password_file } => {
                changed(org, &email, json!({ "password": secret_from(&password_file)? }))
            }
            Self::Remove { email } => {
                let order = Order::in_org(org, Call::delete(at(&email)), "member_deleted", Shape::Empty);
                order.knowing(json!({ "email": email }))
            }
        })
    }
}
