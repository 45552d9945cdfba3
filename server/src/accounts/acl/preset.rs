//! Policies with a name, to start from.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A policy with a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Everybody may do everything inside the organization. What a new organization starts from.
    #[default]
    PermitAll,
    /// Everybody has the topics below `users/{username}/` and may read those below `public/`.
    OwnTopics,
    /// Users named `backend-…` publish notifications, everybody reads those to their own name.
    Notifications,
    /// Users named `agent-…` feed a pipeline and read their results, `orchestrator` sees all of it.
    AgentPipelines,
    /// Everybody talks in every channel, and below their own name.
    ChatChannels,
    /// Nobody may do anything.
    Blank,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 6] = [
        Self::PermitAll,
        Self::OwnTopics,
        Self::Notifications,
        Self::AgentPipelines,
        Self::ChatChannels,
        Self::Blank,
    ];

    /// Its name: `permit-all`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PermitAll => "permit-all",
            Self::OwnTopics => "own-topics",
            Self::Notifications => "notifications",
            Self::AgentPipelines => "agent-pipelines",
            Self::ChatChannels => "chat-channels",
            Self::Blank => "blank",
        }
    }

    /// What it means, in one sentence for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::PermitAll => "every user may publish and subscribe to every topic of the organization",
            Self::OwnTopics => {
                "every user may publish and subscribe below users/{username}/ and subscribe below public/"
            }
            Self::Notifications => {
                "users named backend-… may publish below notifications/, and every user may subscribe to notifications/{username}"
            }
            Self::AgentPipelines => {
                "users named agent-… may publish below pipeline/input/ and subscribe to pipeline/output/{username}, and orchestrator may do both below pipeline/"
            }
            Self::ChatChannels => {
                "every user may publish and subscribe below chat/{channel}/ for any channel, to presence/{channel}, and below dm/{username}/"
            }
            Self::Blank => "nobody may publish or subscribe",
        }
    }

    /// The policy document.
    #[must_use]
    pub fn document(self) -> Value {
        match self {
            Self::PermitAll => json!({ "version": "2.1", "default": "allow" }),
            Self::OwnTopics => json!({
                "version": "2.1",
                "default": "deny",
                "global": [{ "topic": "public/#", "action": "sub" }],
                "rules": [{ "user": "*", "topic": "users/{username}/#", "action": "pub+sub" }],
            }),
            Self::Notifications => json!({ "rules": [
                { "user": "backend-*", "topic": "notifications/#", "permission": "publish" },
                { "user": "*", "topic": "notifications/{username}", "permission": "subscribe" },
            ] }),
            Self::AgentPipelines => json!({ "rules": [
                { "user": "agent-*", "topic": "pipeline/input/#", "permission": "publish" },
                { "user": "agent-*", "topic": "pipeline/output/{username}", "permission": "subscribe" },
                { "user": "orchestrator", "topic": "pipeline/#", "permission": "both" },
            ] }),
            Self::ChatChannels => json!({ "rules": [
                { "user": "*", "topic": "chat/{channel}/#", "permission": "both" },
                { "user": "*", "topic": "presence/{channel}", "permission": "both" },
                { "user": "*", "topic": "dm/{username}/#", "permission": "both" },
            ] }),
            Self::Blank => json!({ "version": "2.1", "default": "deny" }),
        }
    }
}
