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
    /// Nobody may do anything.
    Blank,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 3] = [Self::PermitAll, Self::OwnTopics, Self::Blank];

    /// Its name: `permit-all`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PermitAll => "permit-all",
            Self::OwnTopics => "own-topics",
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
            Self::Blank => json!({ "version": "2.1", "default": "deny" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudsignal_broker::policy::Effect;

    use super::*;
    use crate::accounts::acl::PolicyDocument;

    #[test]
    fn every_preset_is_valid_and_keeps_its_word() {
        for preset in Preset::ALL {
            let document = PolicyDocument::of_preset(preset);
            assert!(document.warnings().is_empty());
            assert_eq!(serde_json::to_value(preset).unwrap(), preset.name());
            assert_eq!(
                document.policy().default == Effect::Allow,
                preset == Preset::PermitAll
            );
            assert_eq!(
                document.policy().rules.len(),
                if preset == Preset::OwnTopics { 2 } else { 0 }
            );
        }
    }
}
