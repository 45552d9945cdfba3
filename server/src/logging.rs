//! What is written to standard error, and at which level.
//!
//! | level | what |
//! |---|---|
//! | ERROR | someone must act |
//! | WARN | someone should look |
//! | INFO | the process's own life; connections, unless `log.connections` says debug |
//! | DEBUG | each decision: a refused login, a denied publish, a limit that was met |
//! | TRACE | each packet |
//!
//! Lines about a client carry its organization and client id. Never a payload, a password or a token.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

use crate::config::{Log, LogFormat};

/// The variable that wins over `log.level`, as everywhere in Rust.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// Libraries that say at INFO what an operator cannot use. A filter that names them wins.
const QUIET: &str = "fjall=warn,lsm_tree=warn";

/// Reads a filter: a level, or targets with levels.
///
/// # Errors
/// The text is neither. A bare word must be a level: `tracing` would take a mistyped one for a target.
pub fn filter(level: &str) -> Result<EnvFilter, FilterError> {
    for directive in level
        .split(',')
        .map(str::trim)
        .filter(|directive| !directive.contains(['=', '[']))
    {
        if directive.is_empty() || directive.parse::<LevelFilter>().is_err() {
            return Err(FilterError::NoLevel(directive.to_owned()));
        }
    }
    Ok(EnvFilter::builder().parse(format!("{QUIET},{level}"))?)
}

/// Why a text is no filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// A bare word that is no level.
    #[error("{0:?} is none of off, error, warn, info, debug, trace")]
    NoLevel(String),
    /// A target's part is wrong.
    #[error(transparent)]
    Directive(#[from] ParseError),
}

/// Starts logging for the whole process. A second call changes nothing.
pub fn start(log: &Log) {
    let variable = std::env::var(FILTER_VARIABLE)
        .ok()
        .filter(|level| !level.is_empty());
    let chosen = variable.as_deref().map_or_else(|| filter(&log.level), filter);
    let (filter, ignored) = match chosen {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(format!("{QUIET},info")), Some(error)),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let (Ok(()), Some(error)) = (started, ignored) {
        tracing::warn!(variable = FILTER_VARIABLE, %error, "filter not understood; logging at info");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_targets() {
        assert!(filter("info").is_ok());
        assert!(filter("warn,cloudsignal_server::net=trace").is_ok());
        for wrong in ["loud", "", "info,", "cloudsignal_server=loudly"] {
            assert!(filter(wrong).is_err(), "{wrong:?}");
        }
    }
}
