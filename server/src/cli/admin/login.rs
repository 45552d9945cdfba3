//! `cloudsignal login`, `logout`, `whoami`: members of an organization, from any machine.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use hyper::{Method, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::AdminAccess;
use super::profile::{Profile, ProfileArgs};
use super::request::{Call, call_at, way};
use super::table::pairs;
use super::{AdminArgs, OrgChoice, secret_from};
use crate::accounts::Secret;
use crate::accounts::command::{KeyView, MemberView, OrgView};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Output, remark};
use crate::http::accounts::WhoAmI;

/// What was typed after `cloudsignal login`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct LoginArgs {
    /// Where the broker's HTTP API answers: `https://broker.example:8443`
    #[arg(long, value_name = "URL", env = "CLOUDSIGNAL_API_URL")]
    pub url: String,

    /// Your e-mail address
    #[arg(long, value_name = "EMAIL")]
    pub email: String,

    /// File whose first line is your password; `-` for standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub password_file: PathBuf,

    /// The organization, if you are a member of several
    #[arg(long, value_name = "ORG", env = "CLOUDSIGNAL_ORG")]
    pub org: Option<String>,

    /// Certificates to trust, PEM
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// The profile to keep
    #[command(flatten)]
    pub profile: ProfileArgs,

    /// Print the answer as JSON, without the key
    #[arg(long)]
    pub json: bool,
}

/// What was typed after `cloudsignal logout`.
#[derive(Args, Clone, Debug)]
pub struct LogoutArgs {
    /// The profile to end
    #[command(flatten)]
    pub profile: ProfileArgs,

    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// What was typed after `cloudsignal whoami`.
#[derive(Args, Clone, Debug)]
pub struct WhoAmIArgs {
    /// The organization
    #[command(flatten)]
    pub org: OrgChoice,

    /// The broker
    #[command(flatten)]
    pub admin: AdminArgs,
}

const EXAMPLES: &str = "\
Examples:
  pass show broker/ada | cloudsignal login --url https://broker.example:8443 --email ada@example.com
  cloudsignal whoami
  cloudsignal user list
        as the member that is logged in, unless a broker runs with the data folder
  cloudsignal user list --profile work
        as the member that `cloudsignal login --profile work` has logged in
  cloudsignal logout";

#[derive(Debug, Deserialize)]
struct LoginAnswer {
    api_key: Secret,
    key: KeyView,
    member: MemberView,
    organization: OrgView,
}

/// Logs in, and keeps the profile.
pub(in crate::cli) async fn login(args: LoginArgs) -> Result<(), Failure> {
    let password = secret_from(&args.password_file)?;
    let ca_file = match &args.ca {
        None => None,
        Some(file) => Some(
            file.canonicalize()
                .with_context(|| format!("{} cannot be found", file.display()))?,
        ),
    };
    let access = AdminAccess {
        url: args.url.trim_end_matches('/').to_owned(),
        token: Secret::new(String::new()),
        ca_file,
        pid: 0,
    };
    check_url(&access.url)?;
    if is_readable_on_the_way(&access.url) {
        remark(format_args!(
            "warning: the password and the key travel unencrypted to {}; use https:// if you can",
            access.url
        ));
    }
    let body = json!({ "organization_id": args.org, "email": args.email, "password": password });
    let call = Call::post("/v2/login", body);
    let answer: LoginAnswer = call_at(&access, &call).await?;
    let profile = Profile {
        url: access.url,
        api_key: answer.api_key,
        expires_at: answer.key.expires_at,
        organization_id: answer.organization.id.clone(),
        email: answer.member.email.clone(),
        ca_file: access.ca_file,
    };
    let path = args.profile.write(&profile)?;
    let until = answer.key.expires_at.map(|end| end.to_string());
    let shown = json!({
        "profile": args.profile.name(), "url": profile.url, "organization": answer.organization,
        "member": answer.member, "key_id": answer.key.id, "expires_at": until,
    });
    let text = pairs(&[
        (
            "organization",
            format!("{} ({})", profile.organization_id, answer.organization.name),
        ),
        ("member", profile.email),
        ("until", until.unwrap_or_default()),
        ("kept in", path.display().to_string()),
    ]);
    print(args.json, &shown, &text)
}

fn check_url(url: &str) -> Result<(), Failure> {
    let uri: Option<Uri> = url.parse().ok();
    if uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https"))) {
        return Ok(());
    }
    let text = format!("{url:?} is not where an HTTP API answers: write https://HOST:PORT");
    Err(Failure::because(Exit::Usage, text))
}

/// Whether somebody between here and the broker could read along.
fn is_readable_on_the_way(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    uri.scheme_str() == Some("http") && !is_here
}

/// Ends the login and forgets the profile. A key that is worth nothing any more is no reason to keep it.
pub(in crate::cli) async fn logout(args: LogoutArgs) -> Result<(), Failure> {
    let Some(profile) = args.profile.read()? else {
        let text = format!("nobody is logged in as profile {}", args.profile.name());
        return Err(Failure::because(Exit::Failed, text));
    };
    let call = Call {
        method: Method::POST,
        ..Call::get("/v2/logout".to_owned())
    };
    let ended = call_at::<Value>(&profile.access(), &call).await;
    if let Err(failure) = ended
        && failure.exit() != Exit::LoginRefused
    {
        return Err(failure);
    }
    args.profile.remove()?;
    let shown = json!({ "profile": args.profile.name(), "email": profile.email });
    print(args.json, &shown, &format!("{} is logged out\n", profile.email))
}

/// Shows who commands are from.
pub(in crate::cli) async fn who_am_i(args: WhoAmIArgs) -> Result<(), Failure> {
    let access = way(&args.admin)?.access();
    let call = Call {
        org: args.org.named()?,
        ..Call::get("/v2/whoami".to_owned())
    };
    let who: WhoAmI = call_at(&access, &call).await?;
    let text = shown(&who, access.url);
    let json = serde_json::to_value(&who).context("the answer does not fit into JSON")?;
    print(args.admin.json, &json, &text)
}

fn shown(who: &WhoAmI, url: String) -> String {
    let is_operator = who.key_id.is_none();
    let organization = match &who.organization_id {
        Some(id) => id.clone(),
        None => "every one; a command is about the one that --org names".to_owned(),
    };
    let role = match who.role {
        Some(role) => format!("{role:?}").to_lowercase(),
        None if is_operator => "operator of this server".to_owned(),
        None => "-".to_owned(),
    };
    let scopes: Vec<_> = who.scopes.iter().map(|scope| scope.name()).collect();
    pairs(&[
        ("at", url),
        ("as", who.actor.clone()),
        ("organization", organization),
        ("role", role),
        ("may", scopes.join(" ")),
    ])
}

fn print(as_json: bool, json: &Value, text: &str) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if as_json {
        output.line(format!("{json:#}").as_bytes())?;
    } else {
        output.write(text.as_bytes())?;
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::ScopeSet;

    #[test]
    fn plain_http_is_fine_on_the_own_machine_only() {
        for (url, expected) in [
            ("http://broker.example:18080", true),
            ("http://192.0.2.7", true),
            ("http://[2001:db8::1]:18080", true),
            ("https://broker.example:8443", false),
            ("http://localhost:18080", false),
            ("http://127.0.0.1:18080", false),
            ("http://[::1]:18080", false),
        ] {
            assert_eq!(is_readable_on_the_way(url), expected, "{url}");
        }
    }

    #[test]
    fn an_address_of_something_else_is_refused() {
        assert!(check_url("https://broker.example:8443").is_ok());
        for url in ["mqtts://broker.example", "broker.example:8443", "", "https://"] {
            assert_eq!(check_url(url).unwrap_err().exit(), Exit::Usage, "{url}");
        }
    }

    #[test]
    fn an_operator_is_told_how_to_name_an_organization() {
        let operator = |organization_id: Option<&str>| WhoAmI {
            actor: "operator".into(),
            organization_id: organization_id.map(str::to_owned),
            key_id: None,
            kind: None,
            role: None,
            scopes: ScopeSet::ALL,
        };
        let text = shown(&operator(None), "http://127.0.0.1:18080".into());
        assert!(
            text.contains("--org") && text.contains("operator of this server"),
            "{text}"
        );
        let text = shown(&operator(Some("org_x")), String::new());
        assert!(text.contains("org_x") && !text.contains("--org"), "{text}");
    }
}
