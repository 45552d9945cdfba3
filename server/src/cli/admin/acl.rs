//! `cloudsignal acl`: who may publish and subscribe to what.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use super::org::{preset, preset_help};
use super::request::Call;
use super::rest::Shape;
use super::{AdminArgs, Order, OrgChoice, manage};
use crate::accounts::Outcome;
use crate::accounts::acl::{AclReport, PolicyDocument, Preset, Question, read_document, simulate};
use crate::cli::client::whole;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Output, remark};

/// What was typed after `cloudsignal acl`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct AclArgs {
    /// What to do
    #[command(subcommand)]
    pub action: AclAction,

    /// The organization
    #[command(flatten)]
    pub org: OrgChoice,

    /// The broker
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What can be done with access rules.
#[derive(Clone, Debug, Subcommand)]
pub enum AclAction {
    /// Print the rules as they were given; on lines of their own if a person reads them
    #[command(alias = "pull")]
    Get {
        /// On many lines, whoever reads them
        #[arg(long, conflicts_with = "compact")]
        pretty: bool,

        /// On one line, whoever reads them
        #[arg(long)]
        compact: bool,

        /// Not those in force but some to start from
        #[arg(long, value_parser = preset, help = preset_help())]
        preset: Option<Preset>,
    },
    /// Say what is wrong with rules; ends with 0 if they could be put in force, and with 1 if not
    Validate {
        /// File with the rules, in any of the formats; `-` for standard input
        file: PathBuf,

        /// Do not ask the broker
        #[arg(long)]
        local_only: bool,
    },
    /// Replace the rules; open connections feel it at once
    #[command(aliases = ["push", "set"])]
    Update {
        /// File with the rules, in any of the formats; `-` for standard input
        #[arg(required_unless_present = "preset", conflicts_with = "preset")]
        file: Option<PathBuf>,

        /// Rules with a name instead of a file
        #[arg(long, value_parser = preset, help = preset_help())]
        preset: Option<Preset>,

        /// Only if nobody has changed them since they had this etag (see `acl get --json`)
        #[arg(long, value_name = "ETAG")]
        if_match: Option<String>,
    },
    /// Say whether somebody may do something, and which rule decides
    Simulate(SimulateArgs),
}

/// What was typed after `cloudsignal acl simulate`.
#[derive(Args, Clone, Debug)]
pub struct SimulateArgs {
    /// Who
    #[arg(short, long, value_name = "NAME")]
    pub user: String,

    /// Does what
    #[arg(short, long)]
    pub action: Action,

    /// Under which topic; a filter if it subscribes
    #[arg(short, long)]
    pub topic: String,

    /// With which client id
    #[arg(short = 'i', long, value_name = "ID", default_value = "")]
    pub client_id: String,

    /// With a claim of the login; may be given several times
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    pub claims: Vec<(String, String)>,

    /// At which QoS
    #[arg(short, long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,

    /// Shall the message be retained
    #[arg(short, long)]
    pub retain: bool,

    /// Rules to ask instead of those in force; `-` for standard input
    #[arg(short, long)]
    pub file: Option<PathBuf>,

    /// End with 1 if the answer is another one
    #[arg(long)]
    pub expect: Option<Expected>,
}

/// What can be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Publish a message
    #[value(alias = "pub")]
    Publish,
    /// Subscribe to a filter
    #[value(alias = "sub")]
    Subscribe,
    /// Receive a message
    Receive,
}

/// What a simulation should answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Expected {
    /// Yes
    Allowed,
    /// No
    Denied,
}

const EXAMPLES: &str = r#"Examples:
  cloudsignal acl get --pretty > rules.json
  cloudsignal acl validate rules.json
  cloudsignal acl update rules.json
  cloudsignal acl update --preset own-topics
  cloudsignal acl simulate --user ada --action publish --topic users/ada/x
  cloudsignal acl simulate -u ada -a sub -t 'rooms/#' -f rules.json --expect denied

A document of rules; what no rule allows is refused, and a matching deny wins:
  {
    "version": "2.1",
    "default": "deny",
    "global": [{ "topic": "public/#", "action": "sub" }],
    "rules": [
      { "user": "sensor-*", "topic": "data/{username}/#", "action": "pub" },
      { "topic": "inbox/{username}", "action": "sub" }
    ]
  }
docs/access-control.md shows all formats."#;

/// Does what was typed.
pub(in crate::cli) async fn run(args: AclArgs) -> Result<(), Failure> {
    let AclArgs { action, org, admin } = args;
    match action {
        AclAction::Get {
            pretty,
            compact,
            preset,
        } => {
            let is_pretty = pretty || !compact && std::io::stdout().is_terminal();
            get(org, admin, preset, is_pretty).await
        }
        AclAction::Validate { file, local_only } => validate(org, admin, &file, local_only).await,
        AclAction::Simulate(args) => {
            let expected = args.expect;
            let order = AclAction::Simulate(args).order(org)?;
            simulated(admin, order, expected).await
        }
        update @ AclAction::Update { .. } => manage(admin, update.order(org)?).await,
    }
}

impl AclAction {
    /// What the broker is asked.
    pub(in crate::cli) fn order(self, org: OrgChoice) -> Result<Order, Failure> {
        match self {
            Self::Get { .. } => Ok(current(org)),
            Self::Validate { file, .. } => Ok(validated(org, document_from(&file)?)),
            Self::Update {
                file,
                preset,
                if_match,
            } => {
                let body = match (preset, file) {
                    (Some(preset), _) => json!({ "preset": preset }),
                    (None, Some(file)) => document_from(&file)?,
                    (None, None) => json!({ "preset": Preset::default() }),
                };
                let call = Call {
                    if_match: if_match.map(|etag| format!("\"{}\"", etag.trim_matches('"'))),
                    ..Call::new(Method::PUT, "/v2/acl".to_owned(), body)
                };
                Ok(Order::in_org(org, call, "acl", Shape::Same))
            }
            Self::Simulate(args) => {
                let call = Call::post("/v2/acl/simulate", json_of(&args.question()?)?);
                Ok(Order::in_org(org, call, "acl_verdict", Shape::Same))
            }
        }
    }
}

fn current(org: OrgChoice) -> Order {
    Order::in_org(org, Call::get("/v2/acl".to_owned()), "acl", Shape::Same)
}

fn validated(org: OrgChoice, document: Value) -> Order {
    Order::in_org(
        org,
        Call::post("/v2/acl/validate", document),
        "acl_report",
        Shape::Same,
    )
}

impl SimulateArgs {
    fn question(self) -> Result<Question, Failure> {
        let policy = self.file.as_deref().map(document_from).transpose()?;
        Ok(Question {
            username: self.user,
            client_id: self.client_id,
            claims: BTreeMap::from_iter(self.claims),
            topic: self.topic,
            action: match self.action {
                Action::Publish => simulate::Action::Publish,
                Action::Subscribe => simulate::Action::Subscribe,
                Action::Receive => simulate::Action::Receive,
            },
            qos: self.qos,
            retain: self.retain,
            policy,
        })
    }
}

async fn get(
    org: OrgChoice,
    admin: AdminArgs,
    preset: Option<Preset>,
    is_pretty: bool,
) -> Result<(), Failure> {
    let (policy, whole) = if let Some(preset) = preset {
        (preset.document(), preset.document())
    } else {
        let outcome = current(org).carry_out(&admin).await?;
        let whole = json_of(&outcome)?;
        let Outcome::Acl(view) = outcome else {
            return Err(Failure::because(
                Exit::Failed,
                "the broker answered something else",
            ));
        };
        for warning in &view.warnings {
            remark(format_args!("warning: {warning}"));
        }
        (view.policy, whole)
    };
    let shown = if admin.json { whole } else { policy };
    let text = match shown.as_str() {
        Some(lines) => lines.to_owned(),
        None if is_pretty => format!("{shown:#}"),
        None => shown.to_string(),
    };
    let mut output = Output::stdout();
    output.write(text.as_bytes())?;
    if !text.ends_with('\n') {
        output.line(b"")?;
    }
    output.flush()
}

async fn validate(org: OrgChoice, admin: AdminArgs, file: &Path, local_only: bool) -> Result<(), Failure> {
    let report = match read_document(&whole(file)?) {
        Err(fault) => AclReport::of_faults(vec![fault]),
        Ok(document) => match PolicyDocument::parse(document.clone()) {
            Err(faults) => AclReport::of_faults(faults),
            Ok(parsed) if local_only => AclReport::of(&parsed),
            Ok(_) => {
                let outcome = validated(org, document).carry_out(&admin).await?;
                let Outcome::AclReport(report) = outcome else {
                    return Err(Failure::because(
                        Exit::Failed,
                        "the broker answered something else",
                    ));
                };
                report
            }
        },
    };
    let mut output = Output::stdout();
    if admin.json {
        output.line(format!("{:#}", json_of(&report)?).as_bytes())?;
    } else {
        output.write(report.to_string().as_bytes())?;
    }
    output.flush()?;
    if report.valid {
        return Ok(());
    }
    Err(Failure::because(
        Exit::Failed,
        format!("{} cannot be put in force", file.display()),
    ))
}

async fn simulated(admin: AdminArgs, order: Order, expected: Option<Expected>) -> Result<(), Failure> {
    let Outcome::AclVerdict(verdict) = order.carry_out(&admin).await? else {
        return Err(Failure::because(
            Exit::Failed,
            "the broker answered something else",
        ));
    };
    let mut output = Output::stdout();
    if admin.json {
        output.line(format!("{:#}", json_of(&verdict)?).as_bytes())?;
    } else {
        output.write(super::show::verdict(&verdict).as_bytes())?;
    }
    output.flush()?;
    let is_expected = match expected {
        None => true,
        Some(Expected::Allowed) => verdict.allowed,
        Some(Expected::Denied) => !verdict.allowed,
    };
    if is_expected {
        return Ok(());
    }
    Err(Failure::because(
        Exit::Failed,
        "the answer is another one than expected",
    ))
}

fn document_from(file: &Path) -> Result<Value, Failure> {
    let read = read_document(&whole(file)?);
    read.map_err(|fault| Failure::because(Exit::Failed, format!("{}: {}", file.display(), fault.problem)))
}

fn json_of(value: &impl serde::Serialize) -> Result<Value, Failure> {
    Ok(serde_json::to_value(value).context("the answer does not fit into JSON")?)
}

fn claim(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
