//! `first-run.json`: what the first start of the broker made, for scripts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The organization, user and key of the first start.
#[derive(Clone, Debug, Deserialize)]
pub struct FirstRun {
    /// The organization's short id.
    pub org_id: String,
    /// The user's whole name, `name@organization`.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// The organization's secret key.
    pub secret_key: String,
    /// The certificate that has signed the broker's, PEM.
    pub ca_file: PathBuf,
    /// Listener to URL.
    pub endpoints: BTreeMap<String, String>,
}

impl FirstRun {
    /// Reads it from a data folder; `None` while it is not there.
    #[must_use]
    pub fn read(data_dir: &Path) -> Option<Self> {
        let file = data_dir.join("first-run.json");
        let text = fs::read_to_string(&file).ok()?;
        let read = serde_json::from_str(&text);
        Some(read.unwrap_or_else(|error| panic!("{} is not as promised: {error}", file.display())))
    }
}
