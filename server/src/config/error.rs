//! What is wrong with a configuration, and who said it.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag.
    Flag(&'static str),
    /// Nobody: the default, refused only together with something else.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {path}: {problem}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system or the TOML parser says.
        problem: String,
    },
    /// No key has this name.
    #[error("{key}: there is no such key ({origin}){hint}")]
    UnknownKey {
        /// As written.
        key: String,
        /// Who wrote it.
        origin: Origin,
        /// Keys that may be meant.
        hint: String,
    },
    /// The value is not acceptable.
    #[error("{key} = {value}: {problem} ({origin})")]
    BadValue {
        /// The key.
        key: &'static str,
        /// As written.
        value: String,
        /// What is accepted instead.
        problem: String,
        /// Who wrote it.
        origin: Origin,
    },
}

/// Everything that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is refused:")?;
        for error in &self.0 {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
