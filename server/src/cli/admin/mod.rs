//! `org`, `user`, `key`, `token`, `acl`, `session`: administration of a running broker, over its HTTP API.
//!
//! | file | holds |
//! |---|---|
//! | `org`, `user`, `key`, `token`, `acl` | what is typed, and the command it stands for |
//! | `session` | who is connected, who was, and sending clients away |
//! | `show`, `table` | answers for people |
//! | `login`, `profile` | members of an organization, from any machine |
//! | `audit` | who changed what |
//! | `request` | one request to the running broker |
//! | `rest` | commands as requests, for members |
//! | [`access`] | how the commands find the broker, and may administrate it |

pub mod access;
mod acl;
mod audit;
mod key;
mod login;
mod org;
mod profile;
mod quota;
mod request;
mod rest;
mod session;
mod show;
mod table;
mod token;
mod user;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

pub use access::{ACCESS_FILE, AdminAccess};
pub use acl::AclArgs;
pub(super) use acl::run as acl;
pub use audit::AuditArgs;
pub(super) use audit::run as audit;
pub use key::KeyArgs;
pub use login::{LoginArgs, LogoutArgs, WhoAmIArgs};
pub(super) use login::{login, logout, who_am_i};
pub use org::OrgArgs;
pub use quota::{QuotaArgs, UsageArgs};
pub(super) use quota::{quota, usage};
pub use session::SessionArgs;
pub(super) use session::run as session;
pub use token::TokenArgs;
pub use user::UserArgs;

use request::Way;

use crate::accounts::command::PageRequest;
use crate::accounts::{Command, Outcome, Secret};
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

/// Has the broker carry out a command, and prints the answer.
pub(super) async fn manage(admin: AdminArgs, order: Order) -> Result<(), Failure> {
    let outcome = answer_of(&admin, order).await?;
    if let Outcome::Acl(view) = &outcome {
        for warning in &view.warnings {
            remark(format_args!("warning: {warning}"));
        }
    }
    let mut output = Output::stdout();
    if admin.json {
        let json = serde_json::to_vec_pretty(&outcome).context("the answer does not fit into JSON")?;
        output.line(&json)?;
    } else {
        output.write(show::outcome(&outcome).as_bytes())?;
    }
    output.flush()
}

/// Has the broker carry out a command.
async fn answer_of(admin: &AdminArgs, order: Order) -> Result<Outcome, Failure> {
    let command = match order {
        Order::Global(command) => command,
        Order::InOrg(choice, command) => {
            let org = match choice.org {
                Some(org) => org,
                None => match request::way(&admin.data_dir)? {
                    Way::Profile(profile) => profile.organization_id,
                    Way::Here(_) => only_org(&admin.data_dir).await?,
                },
            };
            command(org)
        }
    };
    request::carry_out(&admin.data_dir, &command).await
}

/// A command, as far as the command line says it.
pub(super) enum Order {
    /// It stands.
    Global(Command),
    /// It needs to know the organization.
    InOrg(OrgChoice, Box<dyn FnOnce(String) -> Command>),
}

impl Order {
    fn in_org(choice: OrgChoice, command: impl FnOnce(String) -> Command + 'static) -> Self {
        Self::InOrg(choice, Box::new(command))
    }
}

/// The one organization that there is.
async fn only_org(data_dir: &Path) -> Result<String, Failure> {
    let page = PageRequest {
        after: None,
        limit: Some(2),
    };
    let outcome = request::carry_out(data_dir, &Command::OrgList(page)).await?;
    let Outcome::Orgs { orgs, .. } = outcome else {
        return Err(Failure::because(
            Exit::Failed,
            "the broker did not list its organizations",
        ));
    };
    match orgs.as_slice() {
        [] => Err(Failure::because(
            Exit::Failed,
            "there is no organization yet: cloudsignal org create NAME",
        )),
        [org] => Ok(org.id.clone()),
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
