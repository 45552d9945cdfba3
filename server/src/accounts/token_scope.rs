//! What a token may be limited to, as it is asked for and shown.
//!
//! ```json
//! [ { "topic": "chat/42/#", "action": "pub+sub" }, { "topic": "news/+", "action": "sub" } ]
//! ```

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use cloudsignal_broker::policy::Actions;
use cloudsignal_broker::scope::SCOPE_PARTS_MAX;
use cloudsignal_broker::{Scope, ScopePart};
use cloudsignal_core::TopicFilter;

use super::command::CommandError;
use super::limits::TOKEN_SCOPE_BYTES_MAX;

/// Some topics that a token is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopeGrant {
    /// A topic filter.
    pub topic: String,
    /// What may be done there.
    pub action: ScopeAction,
}

/// What a token may do with some topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ScopeAction {
    /// Publish.
    #[serde(rename = "pub")]
    Publish,
    /// Subscribe.
    #[serde(rename = "sub")]
    Subscribe,
    /// Both.
    #[serde(rename = "pub+sub", alias = "sub+pub")]
    Both,
}

impl ScopeAction {
    const fn actions(self) -> Actions {
        let (publish, subscribe) = match self {
            Self::Publish => (true, false),
            Self::Subscribe => (false, true),
            Self::Both => (true, true),
        };
        Actions { publish, subscribe }
    }

    const fn of(actions: Actions) -> Option<Self> {
        match (actions.publish, actions.subscribe) {
            (true, false) => Some(Self::Publish),
            (false, true) => Some(Self::Subscribe),
            (true, true) => Some(Self::Both),
            (false, false) => None,
        }
    }
}

/// Reads what a token is asked to be limited to.
///
/// # Errors
/// [`CommandError::Invalid`] names the part.
pub(super) fn compile(grants: &[ScopeGrant]) -> Result<Scope, CommandError> {
    let count = grants.len();
    if !(1..=SCOPE_PARTS_MAX).contains(&count) {
        let problem = format!("must have 1 to {SCOPE_PARTS_MAX} parts; leave it out for no limit");
        return Err(CommandError::invalid("scope", problem));
    }
    if grants.iter().map(|grant| grant.topic.len()).sum::<usize>() > TOKEN_SCOPE_BYTES_MAX {
        let problem = format!("must have at most {TOKEN_SCOPE_BYTES_MAX} bytes of topics");
        return Err(CommandError::invalid("scope", problem));
    }
    let parts = grants.iter().enumerate().map(|(at, grant)| {
        let field = format!("scope[{at}].topic");
        let filter = TopicFilter::parse(&grant.topic)
            .map_err(|error| CommandError::invalid(&field, error.to_string()))?;
        if filter.share().is_some() {
            let problem = "must be a topic filter without $share: it covers shared subscriptions too";
            return Err(CommandError::invalid(&field, problem));
        }
        Ok(ScopePart {
            filter: filter.to_owned(),
            actions: grant.action.actions(),
        })
    });
    Ok(Scope {
        parts: parts.collect::<Result<_, _>>()?,
    })
}

/// The same, to be shown.
#[must_use]
pub fn show(scope: &Scope) -> Vec<ScopeGrant> {
    let parts = scope.parts.iter().filter_map(|part| {
        Some(ScopeGrant {
            topic: part.filter.as_ref().as_str().into(),
            action: ScopeAction::of(part.actions)?,
        })
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_scope_is_read_and_shown_again() {
        let text = json!([{ "topic": "a/#", "action": "pub+sub" }, { "topic": "b", "action": "pub" }]);
        let grants: Vec<ScopeGrant> = serde_json::from_value(text.clone()).unwrap();
        let scope = compile(&grants).unwrap();
        assert_eq!(serde_json::to_value(show(&scope)).unwrap(), text);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let grant = |topic: &str| ScopeGrant {
            topic: topic.into(),
            action: ScopeAction::Both,
        };
        let refuse = |grants: &[ScopeGrant]| compile(grants).unwrap_err().to_string();
        assert!(refuse(&[]).starts_with("scope must have 1 to 16 parts"));
        assert!(refuse(&vec![grant("a"); SCOPE_PARTS_MAX + 1]).starts_with("scope must have 1 to 16 parts"));
        assert!(refuse(&[grant("a"), grant("a/#/b")]).starts_with("scope[1].topic"));
        assert!(refuse(&[grant("$share/g/a")]).contains("without $share"));
        assert!(refuse(&[grant(&"a".repeat(TOKEN_SCOPE_BYTES_MAX + 1))]).contains("bytes"));
        assert!(serde_json::from_value::<ScopeGrant>(json!({ "topic": "a", "action": "all" })).is_err());
    }
}
