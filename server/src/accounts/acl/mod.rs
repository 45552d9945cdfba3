//! Access rules as people write them: five formats, stored as they were given, with one meaning.
//!
//! What each format looks like, which rule decides, and what is bound to what: `docs/access-control.md`,
//! whose examples are a test.
//!
//! | file | holds |
//! |---|---|
//! | [`mod@format`] | which format a document is written in |
//! | `parse` | documents to rules, with every fault named |
//! | `lint` | rules that change nothing |
//! | [`mod@simulate`] | may this one do that, and which rule decides |
//! | [`preset`] | policies with a name |

pub mod format;
mod lint;
mod parse;
pub mod preset;
pub mod simulate;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use cloudsignal_broker::Policy;

pub use format::Format;
pub use preset::Preset;
pub use simulate::{Question, Verdict, simulate};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, utoipa::ToSchema)]
#[error("{path}: {problem}; {advice}")]
pub struct PolicyFault {
    /// Where: `rules[3].topic`.
    pub path: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub advice: String,
}

/// A policy, as shown.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AclView {
    /// The document as it was given; text is a string.
    pub policy: Value,
    /// The format it is written in.
    pub format: Format,
    /// Changes whenever the document does; for `If-Match`.
    pub etag: String,
    /// What is allowed but probably not meant.
    pub warnings: Vec<PolicyFault>,
}

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AclReport {
    /// Whether it could be put in force. Warnings do not matter.
    pub valid: bool,
    /// What has to be repaired; at most 20.
    pub errors: Vec<PolicyFault>,
    /// What is allowed but probably not meant; at most 20.
    pub warnings: Vec<PolicyFault>,
    /// The format, if it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Rules outside of the two other lists.
    pub rules: usize,
    /// Rules in `global`.
    pub global: usize,
    /// Rules in `publishers`.
    pub publishers: usize,
}

impl AclReport {
    /// About a document that could not be read.
    #[must_use]
    pub const fn of_faults(errors: Vec<PolicyFault>) -> Self {
        Self {
            valid: false,
            errors,
            warnings: Vec::new(),
            format: None,
            rules: 0,
            global: 0,
            publishers: 0,
        }
    }

    /// About a document that could.
    #[must_use]
    pub fn of(document: &PolicyDocument) -> Self {
        let rules = &document.policy.rules;
        let count = |list| rules.iter().filter(|rule| rule.name.starts_with(list)).count();
        let (global, publishers) = (count("global["), count("publishers["));
        Self {
            valid: true,
            errors: Vec::new(),
            warnings: document.warnings.clone(),
            format: Some(document.format()),
            rules: rules.len() - global - publishers,
            global,
            publishers,
        }
    }
}

/// For people; every line ends.
impl fmt::Display for AclReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.valid {
            let (rules, global) = (count(self.rules, "rule"), count(self.global, "global rule"));
            let publishers = count(self.publishers, "publisher");
            writeln!(out, "✓ Policy is valid ({rules}, {global}, {publishers})")?;
        } else {
            writeln!(out, "✗ Policy has errors:")?;
        }
        for (kind, faults) in [("error", &self.errors), ("warning", &self.warnings)] {
            for PolicyFault {
                path,
                problem,
                advice,
            } in faults
            {
                writeln!(out, "  {kind}: {path} - {problem} ({advice})")?;
            }
        }
        Ok(())
    }
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Reads a file with rules: JSON when it begins like it, else lines.
///
/// # Errors
/// It is neither.
pub fn read_document(bytes: &[u8]) -> Result<Value, PolicyFault> {
    let fault = |problem: String, advice: &str| PolicyFault {
        path: "$".into(),
        problem,
        advice: advice.into(),
    };
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| fault("the document is not UTF-8".into(), "write it as UTF-8"))?;
    if text.len() > DOCUMENT_BYTES_MAX {
        let problem = format!("larger than {DOCUMENT_BYTES_MAX} bytes");
        return Err(fault(problem, "use patterns instead of one rule per topic"));
    }
    if text.trim_start().starts_with(['{', '[']) {
        return serde_json::from_str(text)
            .map_err(|error| fault(format!("the document is not JSON: {error}"), "repair it there"));
    }
    Ok(text.into())
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

    /// The document, as shown.
    #[must_use]
    pub fn view(&self) -> AclView {
        AclView {
            policy: self.source.clone(),
            format: self.format(),
            etag: self.etag(),
            warnings: self.warnings.clone(),
        }
    }

    /// The format it is written in.
    #[must_use]
    pub fn format(&self) -> Format {
        Format::of(&self.source)
    }

    /// Changes whenever the document does: 16 hexadecimal digits.
    #[must_use]
    pub fn etag(&self) -> String {
        let digest = Sha256::digest(self.source.to_string());
        digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A rule as it is written, by its place.
    fn rule_source(&self, name: &str) -> Option<Value> {
        if let Value::String(lines) = &self.source {
            let number: usize = name.strip_prefix("line ")?.parse().ok()?;
            return Some(lines.lines().nth(number.checked_sub(1)?)?.trim().into());
        }
        // `rules[3]` is /rules/3.
        let pointer = format!("/{name}")
            .replace(['[', '.'], "/")
            .replace(']', "")
            .replace("//", "/");
        self.source.pointer(&pointer).cloned()
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
