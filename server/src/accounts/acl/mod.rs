//! Access rules as people write them: the canonical policy document, version 2.1.
//!
//! ```json
//! {
//!   "version": "2.1",
//!   "default": "deny",
//!   "global": [{ "topic": "public/#", "action": "sub" }],
//!   "rules": [
//!     { "user": "sensor-*", "topic": "data/{username}/#", "action": "pub", "qos_max": 1, "retain": false },
//!     { "topic": "inbox/{$self}", "action": "sub", "binding": "email" },
//!     { "topic": "data/secret/#", "action": "pub+sub", "effect": "deny" }
//!   ],
//!   "publishers": [{ "user": "reporter", "topic": "reports/#" }]
//! }
//! ```
//! `global` rules are about everybody, `rules` about the users they name (everybody by default),
//! `publishers` may publish. Order does not matter: a matching deny wins over every allow, an allow over
//! the default. What a document leaves out is: `default` `"deny"`, `effect` `"allow"`, all QoS, retain allowed.

mod parse;
mod preset;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use cloudsignal_broker::Policy;

pub use preset::Preset;

/// Largest document, bytes of JSON.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// Most rules of a document, over all its lists.
pub const RULES_MAX: usize = 1_000;
/// Longest topic pattern, bytes.
pub const PATTERN_BYTES_MAX: usize = 1_024;
/// Faults reported at once; the rest shows when these are repaired.
pub const FAULTS_MAX: usize = 20;

/// A document that has been checked, with what it means.
#[derive(Clone, Debug)]
pub struct PolicyDocument {
    source: Value,
    policy: Policy,
    warnings: Vec<PolicyFault>,
}

/// Something in a document that has to be repaired, or should be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{path}: {problem}; {advice}")]
pub struct PolicyFault {
    /// Where: `rules[3].topic`.
    pub path: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub advice: String,
}

impl PolicyDocument {
    /// Checks a document and compiles it.
    ///
    /// # Errors
    /// Everything that is wrong with it, at most [`FAULTS_MAX`].
    pub fn parse(source: Value) -> Result<Self, Vec<PolicyFault>> {
        let (policy, warnings) = parse::compile(&source)?;
        Ok(Self {
            source,
            policy,
            warnings,
        })
    }

    /// The document of a preset.
    #[must_use]
    pub fn of_preset(preset: Preset) -> Self {
        Self::parse(preset.document()).expect("invariant: presets are valid documents, see their test")
    }

    /// The document as it was given.
    #[must_use]
    pub const fn source(&self) -> &Value {
        &self.source
    }

    /// What it means to the broker.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What is allowed but probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &[PolicyFault] {
        &self.warnings
    }
}
