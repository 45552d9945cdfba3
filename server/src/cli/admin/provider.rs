//! `cloudsignal provider`: identity providers, whose users may log in.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::request::Call;
use super::rest::Shape;
use super::uri::named;
use super::{AdminArgs, Order, OrgChoice, print};
use crate::accounts::Outcome;
use crate::cli::client::whole;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Output;

/// What was typed after `cloudsignal provider`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ProviderArgs {
    /// What to do
    #[command(subcommand)]
    pub action: ProviderAction,

    /// The organization
    #[command(flatten)]
    pub org: OrgChoice,

    /// The broker
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What can be done with identity providers.
#[derive(Clone, Debug, Subcommand)]
pub enum ProviderAction {
    /// List identity providers
    List,
    /// Print one as it is described, secrets masked
    Get {
        /// Its name
        name: String,
    },
    /// Add one
    Create {
        /// File with its description, JSON; `-` for standard input
        file: PathBuf,
    },
    /// Add one, or change the one of this name to what is described
    Set {
        /// File with its description, JSON; `-` for standard input
        file: PathBuf,

        /// If it is there: close the connections of everybody it vouched for
        #[arg(long)]
        end_connections: bool,
    },
    /// Let its users log in again
    Enable {
        /// Its name
        name: String,
    },
    /// Let nobody log in by it; open connections stay
    Disable {
        /// Its name
        name: String,

        /// Close the connections of everybody it vouched for too
        #[arg(long)]
        end_connections: bool,
    },
    /// Remove it and close the connections of everybody it vouched for
    Delete {
        /// Its name
        name: String,
    },
}

const EXAMPLES: &str = r#"Examples:
  cloudsignal provider create firebase.json
  cloudsignal provider list
  cloudsignal provider get web
  cloudsignal provider set firebase.json --end-connections
  cloudsignal provider disable web
A description; docs/identity.md has one for each kind:
  { "name": "web", "trust": { "type": "firebase", "project_id": "shop-12ab3" }, "claims": ["role"] }"#;

/// Does what was typed.
pub(in crate::cli) async fn run(args: ProviderArgs) -> Result<(), Failure> {
    let ProviderArgs { action, org, admin } = args;
    let shows = matches!(action, ProviderAction::Get { .. });
    let outcome = if let ProviderAction::Set {
        file,
        end_connections,
    } = action
    {
        set(&admin, &org, description(&file)?, end_connections).await?
    } else {
        action.order(org)?.carry_out(&admin).await?
    };
    if let Outcome::Provider(view) = &outcome
        && shows
        && !admin.json
    {
        let text = serde_json::to_string_pretty(view).context("the answer does not fit into JSON")?;
        let mut output = Output::stdout();
        output.line(text.as_bytes())?;
        return output.flush();
    }
    print(&admin, &outcome)
}

impl ProviderAction {
    /// What the broker is asked first.
    pub(in crate::cli) fn order(self, org: OrgChoice) -> Result<Order, Failure> {
        let at = |name: &str| named("/v2/providers", name);
        Ok(match self {
            Self::List => {
                let call = Call::get("/v2/providers".to_owned());
                Order::in_org(org, call, "providers", Shape::Same)
            }
            Self::Get { name } => Order::in_org(org, Call::get(at(&name)), "provider", Shape::Same),
            Self::Create { file } | Self::Set { file, .. } => created(org, description(&file)?),
            Self::Enable { name } => {
                let call = Call::post(&(at(&name) + "/enable"), json!({}));
                Order::in_org(org, call, "provider", Shape::Same)
            }
            Self::Disable {
                name,
                end_connections,
            } => {
                let body = json!({ "end_connections": end_connections });
                let call = Call::post(&(at(&name) + "/disable"), body);
                Order::in_org(org, call, "provider", Shape::Same)
            }
            Self::Delete { name } => {
                let order = Order::in_org(org, Call::delete(at(&name)), "provider_deleted", Shape::Empty);
                order.knowing(json!({ "name": name }))
            }
        })
    }
}

fn created(org: OrgChoice, description: Value) -> Order {
    Order::in_org(
        org,
        Call::post("/v2/providers", description),
        "provider",
        Shape::Same,
    )
}

/// Changes the provider of the description's name; adds it if there is none.
async fn set(
    admin: &AdminArgs,
    org: &OrgChoice,
    description: Value,
    end_connections: bool,
) -> Result<Outcome, Failure> {
    let Some(name) = description["name"].as_str() else {
        return Err(Failure::because(Exit::Usage, "the description has no name"));
    };
    let all = Order::in_org(
        org.clone(),
        Call::get("/v2/providers".to_owned()),
        "providers",
        Shape::Same,
    );
    let Outcome::Providers { providers } = all.carry_out(admin).await? else {
        return Err(Failure::because(
            Exit::Failed,
            "the broker answered something else",
        ));
    };
    if !providers.iter().any(|provider| provider.settings.name == name) {
        return created(org.clone(), description).carry_out(admin).await;
    }
    changed(org.clone(), &description, end_connections)
        .carry_out(admin)
        .await
}

/// The change of a provider to what is described: what is not described becomes what it is in a new one.
fn changed(org: OrgChoice, description: &Value, end_connections: bool) -> Order {
    let mut changes = json!({
        "email_claim": "email", "email_verification": "not_false", "claims": [], "mqtt_password": false,
        "end_connections": end_connections,
    });
    let mut path = String::new();
    for (field, value) in description.as_object().into_iter().flatten() {
        if field == "name" {
            path = named("/v2/providers", value.as_str().unwrap_or_default());
        } else {
            changes[field] = value.clone();
        }
    }
    Order::in_org(
        org,
        Call::new(Method::PATCH, path, changes),
        "provider",
        Shape::Same,
    )
}

fn description(file: &Path) -> Result<Value, Failure> {
    let read = serde_json::from_slice::<Value>(&whole(file)?);
    let read = read.with_context(|| format!("{} is not JSON", file.display()))?;
    if read.is_object() {
        return Ok(read);
    }
    let text = format!("{} holds no JSON object", file.display());
    Err(Failure::because(Exit::Usage, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_everything_but_the_name() {
        let trust = json!({ "type": "firebase", "project_id": "shop" });
        let described = json!({ "name": "web", "trust": trust, "claims": ["role"] });
        let order = changed(OrgChoice { org: None }, &described, true);
        assert_eq!(order.call.path, "/v2/providers/web");
        let body = order.call.body.unwrap();
        assert_eq!(
            body,
            json!({
                "trust": trust, "claims": ["role"], "email_claim": "email", "email_verification": "not_false",
                "mqtt_password": false, "end_connections": true,
            })
        );
    }

    #[test]
    fn what_is_left_out_is_what_a_new_provider_has() {
        let least = json!({ "name": "web", "trust": { "type": "firebase", "project_id": "shop" } });
        let settings: crate::identity::provider::ProviderSettings =
            serde_json::from_value(least.clone()).unwrap();
        let defaults = serde_json::to_value(settings).unwrap();
        let changes = changed(OrgChoice { org: None }, &least, false).call.body.unwrap();
        for field in ["email_claim", "email_verification", "claims", "mqtt_password"] {
            assert_eq!(changes[field], defaults[field], "{field}");
        }
    }
}
