//! What the broker answered, for people.

use super::table::{columns, pairs};
use crate::accounts::acl::Verdict;
use crate::accounts::command::{
    KeyView, MemberView, OrgState, OrgView, ProviderView, TokenGrant, TokenView, TokensOf, UserView,
};
use crate::accounts::{Outcome, QuotaSettings, Secret};
use crate::durable::Level;

/// The answer as text; every line ends.
#[expect(clippy::too_many_lines, reason = "one arm for each outcome")]
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Org(view) => org(view),
        Outcome::OrgCreated {
            org: view,
            preset,
            policy_meaning,
        } => {
            format!("{}rules         {}: {policy_meaning}\n", org(view), preset.name())
        }
        Outcome::Orgs { orgs: list, next } => orgs(list) + &more(next.as_deref()),
        Outcome::OrgDeleted { id } => format!("{id} is removed\n"),
        Outcome::User { user: view, password } => user(view, password.as_ref().map(|it| it.expose())),
        Outcome::Users { users: list, next } => users(list) + &more(next.as_deref()),
        Outcome::UserDeleted { name } => format!("{name} is removed\n"),
        Outcome::KeyCreated { key, secret_key } => {
            let shown = [
                ("name", key.name.clone()),
                ("key id", key.id.clone()),
                ("secret key", secret_key.expose().to_owned()),
            ];
            pairs(&shown) + SHOWN_ONCE
        }
        Outcome::Key(view) => keys(std::slice::from_ref(view)),
        Outcome::Keys { keys: list, next } => keys(list) + &more(next.as_deref()),
        Outcome::KeyRotated {
            key,
            secret_key,
            replaced_key_id,
            replaced_ends_at,
        } => {
            let shown = [
                ("name", key.name.clone()),
                ("key id", key.id.clone()),
                ("key", secret_key.expose().to_owned()),
                (
                    "instead of",
                    format!("{replaced_key_id}, which ends {replaced_ends_at}"),
                ),
            ];
            pairs(&shown) + SHOWN_ONCE
        }
        Outcome::SignedUp {
            org: view,
            member,
            key: _,
            secret_key,
            policy_meaning,
        } => {
            let more = [
                ("owner", member.email.clone()),
                ("secret key", secret_key.expose().to_owned()),
                ("rules", policy_meaning.clone()),
            ];
            org(view) + &pairs(&more) + SHOWN_ONCE
        }
        Outcome::Member {
            member: view,
            password,
        } => members(std::slice::from_ref(view)) + &made_password(password.as_ref()),
        Outcome::Members { members: list, next } => members(list) + &more(next.as_deref()),
        Outcome::MemberDeleted { email } => format!("{email} is removed\n"),
        Outcome::KeyRevoked { key_id } => format!("{key_id} is worth nothing now\n"),
        Outcome::Token(grant) => token(grant),
        Outcome::TokenRevoked { token_id } => format!("{token_id} is worth nothing now\n"),
        Outcome::TokensRevoked { of } => match of {
            TokensOf::UserEmail(email) => format!("every token of {email} is worth nothing now\n"),
            TokensOf::Provider(name) => format!("every token by way of {name} is worth nothing now\n"),
        },
        Outcome::Tokens { tokens: list, next } => tokens(list) + &more(next.as_deref()),
        Outcome::Provider(view) => providers(std::slice::from_ref(view)),
        Outcome::Providers { providers: list } => providers(list),
        Outcome::ProviderDeleted { name } => format!("{name} is removed\n"),
        // Who sets rules has them in a file already; `acl get` prints them itself.
        Outcome::Acl(view) => format!("the rules are in force (etag {})\n", view.etag),
        Outcome::AclReport(report) => report.to_string(),
        Outcome::AclVerdict(it) => verdict(it),
        Outcome::Quotas { settings } => quotas(settings),
    }
}

fn made_password(password: Option<&Secret>) -> String {
    let shown = |password: &Secret| pairs(&[("password", password.expose().to_owned())]) + SHOWN_ONCE;
    password.map(shown).unwrap_or_default()
}

fn members(members: &[MemberView]) -> String {
    let rows: Vec<_> = members
        .iter()
        .map(|member| {
            let role = format!("{:?}", member.role).to_lowercase();
            vec![member.email.clone(), role, member.created_at.to_string()]
        })
        .collect();
    columns(&["email", "role", "made"], &rows)
}

/// Yes or no, and why.
pub(super) fn verdict(verdict: &Verdict) -> String {
    let answer = if verdict.allowed { "allowed" } else { "denied" };
    let mut text = format!("{answer}: {}\n", verdict.reason);
    if let Some(source) = &verdict.rule_source {
        let source = source.as_str().map_or_else(|| source.to_string(), str::to_owned);
        text.push_str(&format!("rule        {source}\n"));
    }
    if let Some(qos) = verdict.granted_qos {
        text.push_str(&format!("granted     QoS {qos}\n"));
    }
    if verdict.partly_kept_back == Some(true) {
        text.push_str("kept back   deny rules take out some of what the filter matches\n");
    }
    if !verdict.silent_rules.is_empty() {
        let rules = verdict.silent_rules.join(", ");
        text.push_str(&format!(
            "silent      {rules}: a value that they name is missing or cannot be used\n"
        ));
    }
    text
}

const SHOWN_ONCE: &str = "Keep the secret now: it is not shown again.\n";

fn quotas(settings: &QuotaSettings) -> String {
    let mut shown = vec![("plan", settings.plan.name().to_owned())];
    for (name, value) in &settings.overrides {
        shown.push((name, value.to_string()));
    }
    pairs(&shown)
}

fn org(org: &OrgView) -> String {
    pairs(&[
        ("organization", org.id.clone()),
        ("uuid", org.uuid.to_string()),
        ("name", org.name.clone()),
        ("state", state(org.state).to_owned()),
        ("made", org.created_at.to_string()),
        ("users", org.users.to_string()),
        ("keys", org.keys.to_string()),
        (
            "durability",
            org.durability.map_or("as the server", Level::name).to_owned(),
        ),
    ])
}

fn orgs(orgs: &[OrgView]) -> String {
    let rows: Vec<_> = orgs
        .iter()
        .map(|org| {
            let state = state(org.state).to_owned();
            vec![
                org.id.clone(),
                org.name.clone(),
                state,
                org.users.to_string(),
                org.keys.to_string(),
            ]
        })
        .collect();
    columns(&["organization", "name", "state", "users", "keys"], &rows)
}

const fn state(state: OrgState) -> &'static str {
    match state {
        OrgState::Active => "active",
        OrgState::Suspended => "suspended",
        OrgState::Deleting => "being removed",
    }
}

fn user(user: &UserView, password: Option<&str>) -> String {
    let mut shown = vec![("username", user.username.clone())];
    if let Some(password) = password {
        shown.push(("password", password.to_owned()));
        return pairs(&shown) + SHOWN_ONCE;
    }
    pairs(&shown)
}

fn users(users: &[UserView]) -> String {
    let rows: Vec<_> = users
        .iter()
        .map(|user| {
            vec![
                user.name.clone(),
                user.username.clone(),
                user.password_set_at.to_string(),
            ]
        })
        .collect();
    columns(&["name", "username", "password since"], &rows)
}

fn keys(keys: &[KeyView]) -> String {
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let used = key
                .last_used_at
                .map_or_else(|| "never".to_owned(), |at| at.to_string());
            vec![
                key.id.clone(),
                key.name.clone(),
                key.masked.clone(),
                key.created_at.to_string(),
                used,
            ]
        })
        .collect();
    columns(&["key id", "name", "key", "made", "last used"], &rows)
}

fn tokens(tokens: &[TokenView]) -> String {
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            vec![
                token.token_id.to_string(),
                token.user_email.clone(),
                token.provider.clone(),
                if token.scoped { "some topics" } else { "all" }.to_owned(),
                token.expires_at.to_string(),
                token
                    .last_login_at
                    .map_or_else(|| "never".to_owned(), |at| at.to_string()),
            ]
        })
        .collect();
    columns(&["id", "user", "by way of", "for", "ends", "last login"], &rows)
}

fn providers(providers: &[ProviderView]) -> String {
    let yes = |flag| if flag { "yes" } else { "no" }.to_owned();
    let rows: Vec<_> = providers
        .iter()
        .map(|provider| {
            vec![
                provider.settings.name.clone(),
                format!("{:?}", provider.provider_type).to_lowercase(),
                yes(provider.enabled),
                yes(provider.settings.mqtt_password),
                provider.created_at.to_string(),
            ]
        })
        .collect();
    columns(&["name", "type", "enabled", "as password", "made"], &rows)
}

fn token(grant: &TokenGrant) -> String {
    let shown = [
        ("token id", grant.token_id.to_string()),
        ("username", grant.username.clone()),
        ("password", grant.password.expose().to_owned()),
        ("ends", grant.expires_at.to_string()),
    ];
    pairs(&shown) + SHOWN_ONCE
}

/// How to see the rest of a list.
fn more(next: Option<&str>) -> String {
    next.map_or_else(String::new, |next| {
        format!("There are more: add --after {next}\n")
    })
}
