//! `org`, `user`, `member`, `key`, `token`, `provider`, `acl`, `session`: administration of a running broker, over its
//! HTTP API.
//!
//! | file | holds |
//! |---|---|
//! | `org`, `user`, `member`, `key`, `token`, `provider`, `acl` | what is typed, and the request it stands for |
//! | `session` | who is connected, who was, and sending clients away |
//! | `show`, `table` | answers for people |
//! | `login`, `profile` | members of an organization, from any machine |
//! | `audit` | who changed what |
//! | `download` | one request whose answer is large |
//! | `request` | one request to the running broker |
//! | `uri` | names and values in paths and queries |
//! | `rest` | requests, and how their answers become what is shown |
//! | [`access`] | how the commands find the broker, and may administrate it |

pub mod access;
mod acl;
mod audit;
mod download;
mod key;
mod login;
mod member;
mod org;
mod profile;
mod provider;
mod quota;
mod request;
mod rest;
mod session;
mod show;
pub(super) mod table;
mod token;
mod uri;
mod user;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

pub use access::{ACCESS_FILE, AdminAccess};
pub use acl::AclArgs;
pub(super) use acl::run as acl;
pub use audit::AuditArgs;
pub(super) use audit::run as audit;
pub(super) use download::download;
pub use key::KeyArgs;
pub use login::{LoginArgs, LogoutArgs, WhoAmIArgs};
pub(super) use login::{login, logout, who_am_i};
pub use member::MemberArgs;
pub use org::OrgArgs;
pub use profile::ProfileArgs;
pub use provider::ProviderArgs;
pub(super) use provider::run as provider;
pub use quota::{QuotaArgs, UsageArgs};
pub(super) use quota::{quota, usage};
pub use session::SessionArgs;
pub(super) use session::run as session;
pub use token::TokenArgs;
pub use user::UserArgs;

pub(super) use rest::Order;

use request::{Call, Way, call_at};

use crate::accounts::{Outcome, Secret};
use crate::cli::client::whole;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Output, remark};
use crate::cli::serve::DATA_DIR_DEFAULT;

/// Options of every management command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Broker")]
pub struct AdminArgs {
    /// Data folder of the running broker
    #[arg(long, value_name = "DIR", env = "CLOUDSIGNAL_DATA_DIR", default_value = DATA_DIR_DEFAULT, global = true)]
    pub data_dir: PathBuf,

    /// The profile, if it shall not be that broker
    #[command(flatten)]
    pub profile: ProfileArgs,

    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// Which organization a command is about.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Broker")]
pub struct OrgChoice {
    /// The organization, by either id; may be left out while there is only one
    #[arg(long, value_name = "ORG", env = "CLOUDSIGNAL_ORG", global = true)]
    pub org: Option<String>,
}

impl OrgChoice {
    /// The organization that is named, if one is.
    fn named(&self) -> Result<Option<String>, Failure> {
        match &self.org {
            Some(org) if !org.bytes().all(|byte| byte.is_ascii_graphic()) => {
                let text = format!("{org:?} names no organization");
                Err(Failure::because(Exit::Usage, text))
            }
            named => Ok(named.clone()),
        }
    }
}

/// Has the broker carry out a command, and prints the answer.
pub(super) async fn manage(admin: AdminArgs, order: Order) -> Result<(), Failure> {
    print(&admin, &order.carry_out(&admin).await?)
}

/// Prints an answer.
fn print(admin: &AdminArgs, outcome: &Outcome) -> Result<(), Failure> {
    if let Outcome::Acl(view) = outcome {
        for warning in &view.warnings {
            remark(format_args!("warning: {warning}"));
        }
    }
    let mut output = Output::stdout();
    if admin.json {
        let json = serde_json::to_vec_pretty(outcome).context("the answer does not fit into JSON")?;
        output.line(&json)?;
    } else {
        output.write(show::outcome(outcome).as_bytes())?;
    }
    output.flush()
}

/// The organization that is meant: the one that is named, that of the profile, or the only one there is.
async fn org_of(way: &Way, choice: &OrgChoice) -> Result<String, Failure> {
    match (choice.named()?, way) {
        (Some(org), _) => Ok(org),
        (None, Way::Profile(profile)) => Ok(profile.organization_id.clone()),
        (None, Way::Here(access)) => only_org(access).await,
    }
}

/// The one organization that there is.
async fn only_org(access: &AdminAccess) -> Result<String, Failure> {
    let call = Call::get("/v2/organizations?limit=2".to_owned());
    let answer: Value = call_at(access, &call).await?;
    let orgs: Vec<_> = answer["organizations"].as_array().into_iter().flatten().collect();
    match orgs.as_slice() {
        [] => Err(Failure::because(
            Exit::Failed,
            "there is no organization yet: cloudsignal org create NAME",
        )),
        [org] => Ok(org["id"].as_str().unwrap_or_default().to_owned()),
        _ => Err(Failure::because(
            Exit::Usage,
            "there are several organizations: name one with --org ORG",
        )),
    }
}

/// The first line of a file, or of standard input for `-`.
fn secret_from(path: &Path) -> anyhow::Result<Secret> {
    let text = String::from_utf8(whole(path)?).with_context(|| format!("{} is not UTF-8", path.display()))?;
    let line = text.lines().next().unwrap_or_default();
    anyhow::ensure!(!line.is_empty(), "the first line of {} is empty", path.display());
    Ok(Secret::new(line.to_owned()))
}
