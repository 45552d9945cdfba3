//! `cloudsignal org`: organizations.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::json;

use super::request::Call;
use super::rest::Shape;
use super::uri::named;
use super::{AdminArgs, Order, OrgChoice};
use crate::accounts::acl::Preset;
use crate::cli::exit::{Exit, Failure};
use crate::durable::Level;

/// What was typed after `cloudsignal org`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct OrgArgs {
    /// What to do
    #[command(subcommand)]
    pub action: OrgAction,

    /// The broker
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What can be done with organizations.
#[derive(Clone, Debug, Subcommand)]
pub enum OrgAction {
    /// Make an organization
    Create {
        /// What people call it
        name: String,

        /// Access rules to start from
        #[arg(long, value_parser = preset, default_value = Preset::default().name(), help = preset_help())]
        preset: Preset,
    },
    /// List organizations
    List {
        /// Begin after this id
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
    /// Show one organization
    Show {
        /// Its id
        org: String,
    },
    /// Close its connections and let nobody log in
    Suspend {
        /// Its id
        org: String,
    },
    /// Let its people log in again
    Resume {
        /// Its id
        org: String,
    },
    /// Say what its acknowledgements survive; from or to memory, it is in force from the next start on
    Durability {
        /// Its id
        org: String,

        /// disk (the loss of power), os (the end of the process), memory (nothing), or default (as the server)
        #[arg(value_parser = durability)]
        level: DurabilityChoice,
    },
    /// Remove it with all its users, keys, rules and messages
    Delete {
        /// Its id
        org: String,

        /// Yes, remove everything
        #[arg(long)]
        yes: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  cloudsignal org list
  cloudsignal org create 'Acme' --preset own-topics
  cloudsignal org suspend org_k7xm4pqr2n5t
  cloudsignal org durability org_k7xm4pqr2n5t os
  cloudsignal org list --json | jq -r '.orgs[].id'";

impl OrgAction {
    pub(in crate::cli) fn order(self) -> Result<Order, Failure> {
        let at = |org: &str| named("/v2/organizations", org);
        let switched = |org: &str, how: &str| {
            let call = Call {
                method: Method::POST,
                ..Call::get(format!("{}/{how}", at(org)))
            };
            Order::of_server(call, "org", Shape::Same)
        };
        Ok(match self {
            Self::Create { name, preset } => {
                let body = json!({ "name": name, "preset": preset });
                let call = Call::post("/v2/organizations", body);
                let known = json!({ "preset": preset, "policy_meaning": preset.meaning() });
                Order::of_server(call, "org_created", Shape::In("org")).knowing(known)
            }
            Self::List { after } => {
                let shape = Shape::Renamed("organizations", "orgs");
                Order::of_server(Call::page("/v2/organizations", after.as_deref()), "orgs", shape)
            }
            Self::Show { org } => {
                let call = Call::get("/v2/organization".to_owned());
                Order::in_org(OrgChoice { org: Some(org) }, call, "org", Shape::Same)
            }
            Self::Durability { org, level } => {
                let body = json!({ "durability": level.0 });
                let call = Call::new(Method::PUT, "/v2/organization/durability".to_owned(), body);
                Order::in_org(OrgChoice { org: Some(org) }, call, "org", Shape::Same)
            }
            Self::Suspend { org } => switched(&org, "suspend"),
            Self::Resume { org } => switched(&org, "resume"),
            Self::Delete { org, yes: true } => {
                let order = Order::of_server(Call::delete(at(&org)), "org_deleted", Shape::Empty);
                order.knowing(json!({ "id": org }))
            }
            Self::Delete { org, yes: false } => {
                let text = format!("this removes {org} with everything in it; if that is meant, add --yes");
                return Err(Failure::because(Exit::Usage, text));
            }
        })
    }
}

/// A level, or what the server says.
#[derive(Clone, Copy, Debug)]
pub struct DurabilityChoice(Option<Level>);

fn durability(text: &str) -> Result<DurabilityChoice, String> {
    let found = Level::ALL.into_iter().find(|level| level.name() == text);
    match found {
        None if text != "default" => Err("there are disk, os, memory and default".into()),
        found => Ok(DurabilityChoice(found)),
    }
}

/// Reads a preset's name.
pub(super) fn preset(text: &str) -> Result<Preset, String> {
    let names = Preset::ALL.map(Preset::name);
    let found = Preset::ALL.into_iter().find(|preset| preset.name() == text);
    found.ok_or_else(|| format!("there are {}", names.join(", ")))
}

/// Every preset and what it means.
pub(super) fn preset_help() -> String {
    let lines = Preset::ALL.map(|preset| format!("{}: {}", preset.name(), preset.meaning()));
    format!("Access rules to start from; {}", lines.join("; "))
}
