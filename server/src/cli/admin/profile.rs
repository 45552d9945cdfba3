//! Profiles: where a member is logged in, kept for the commands that follow.
//!
//! One file per profile, readable by its owner only: `NAME.json` in the folder that
//! `CLOUDSIGNAL_PROFILES` names, or else in `cloudsignal` below the user's configuration folder.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::access::AdminAccess;
use crate::accounts::Secret;
use crate::clock::WallTime;
use crate::first_run::folder::write_private;

/// The folder of profiles, if not the usual one.
const FOLDER_VARIABLE: &str = "CLOUDSIGNAL_PROFILES";
/// The profile that commands use.
const PROFILE_VARIABLE: &str = "CLOUDSIGNAL_PROFILE";
/// The profile if nobody names one.
const PROFILE_DEFAULT: &str = "default";
/// Length of a profile's name, bytes.
const NAME_BYTES_MAX: usize = 64;

/// Where somebody is logged in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Profile {
    /// Where the HTTP API answers.
    pub(super) url: String,
    /// The key that the login made.
    pub(super) api_key: Secret,
    /// When it ends.
    pub(super) expires_at: Option<WallTime>,
    /// Short id of the organization.
    pub(super) organization_id: String,
    /// The member.
    pub(super) email: String,
    /// Certificates to trust, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<PathBuf>,
}

impl Profile {
    fn read_in(folder: &Path, name: &str) -> Result<Option<Self>> {
        let path = path(folder, name)?;
        match fs::read(&path) {
            Ok(json) => {
                let profile = serde_json::from_slice(&json);
                Ok(Some(
                    profile.with_context(|| format!("{} is no profile", path.display()))?,
                ))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// In one step: a reader sees all of it or nothing.
    fn write_in(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        let path = path(folder, name)?;
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        write_private(&path, &json).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }

    /// The way to the broker.
    pub(super) fn access(&self) -> AdminAccess {
        AdminAccess {
            url: self.url.clone(),
            token: self.api_key.clone(),
            ca_file: self.ca_file.clone(),
            pid: 0,
        }
    }
}

/// Which profile.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Broker")]
pub struct ProfileArgs {
    /// Be the member that is logged in as this profile; preferred to a broker on this machine
    #[arg(long, value_name = "NAME", env = PROFILE_VARIABLE, global = true)]
    pub profile: Option<String>,

    /// Folder of the profiles
    #[arg(long, value_name = "DIR", env = FOLDER_VARIABLE, global = true, hide = true)]
    pub profile_dir: Option<PathBuf>,
}

impl ProfileArgs {
    /// The name of the profile.
    pub(super) fn name(&self) -> &str {
        self.name_given().unwrap_or(PROFILE_DEFAULT)
    }

    fn name_given(&self) -> Option<&str> {
        self.profile.as_deref().filter(|name| !name.is_empty())
    }

    /// The profile that is named; `None` if none is.
    pub(super) fn named(&self) -> Result<Option<Profile>> {
        let Some(name) = self.name_given() else {
            return Ok(None);
        };
        let profile = self.read()?;
        ensure!(
            profile.is_some(),
            "nobody is logged in as profile {name}: cloudsignal login --profile {name}"
        );
        Ok(profile)
    }

    /// The profile of whoever logged in without naming one.
    pub(super) fn usual(&self) -> Result<Option<Profile>> {
        Profile::read_in(&self.folder()?, PROFILE_DEFAULT)
    }

    /// Reads the profile; `None` if there is none of this name.
    pub(super) fn read(&self) -> Result<Option<Profile>> {
        Profile::read_in(&self.folder()?, self.name())
    }

    /// Keeps a profile.
    pub(super) fn write(&self, profile: &Profile) -> Result<PathBuf> {
        profile.write_in(&self.folder()?, self.name())
    }

    /// Forgets the profile.
    pub(super) fn remove(&self) -> Result<()> {
        match fs::remove_file(path(&self.folder()?, self.name())?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn folder(&self) -> Result<PathBuf> {
        if let Some(folder) = self
            .profile_dir
            .as_ref()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            return Ok(folder.clone());
        }
        let variable = |name: &str| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let config = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
        let config = config.map(|config| config.join("cloudsignal"));
        config.with_context(|| format!("there is no home folder for profiles: set {FOLDER_VARIABLE}"))
    }
}

fn path(folder: &Path, name: &str) -> Result<PathBuf> {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    ensure!(
        (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(is_plain),
        "the name of a profile has 1 to {NAME_BYTES_MAX} letters, digits, - and _"
    );
    Ok(folder.join(format!("{name}.json")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        Profile {
            url: "https://broker.example".into(),
            api_key: Secret::new("rk_x".into()),
            expires_at: None,
            organization_id: "org_x".into(),
            email: "ada@example.com".into(),
            ca_file: None,
        }
    }

    #[test]
    fn a_profile_is_kept_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Profile::read_in(folder.path(), "work").unwrap().is_none());
        let path = profile().write_in(folder.path(), "work").unwrap();
        profile().write_in(folder.path(), "work").unwrap();
        let read = Profile::read_in(folder.path(), "work").unwrap().unwrap();
        assert_eq!(
            (read.url.as_str(), read.api_key.expose()),
            ("https://broker.example", "rk_x")
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(path, "{").unwrap();
        assert!(Profile::read_in(folder.path(), "work").is_err());
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        for name in ["", "../work", "a/b", "a.b", "ä", &"x".repeat(65)] {
            assert!(path(Path::new("profiles"), name).is_err(), "{name}");
        }
    }
}
