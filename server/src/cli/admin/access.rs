//! How the management commands find the running broker: it leaves its address and a token in the data folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::accounts::Secret;
use crate::first_run::folder::write_private;

/// Name of the file, inside the data folder.
pub const ACCESS_FILE: &str = "admin.json";

/// The way into the administration of a running broker.
///
/// `serve` makes a fresh token at every start, [writes](Self::write) this once its API listens, and
/// [removes](Self::remove) it when it drains. Whoever may read the file, and so the data folder, may administrate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdminAccess {
    /// Where the HTTP API answers, from this machine: `http://127.0.0.1:18080` or `https://localhost:8443`.
    pub url: String,
    /// The administration token, to be sent as `Authorization: Bearer …`.
    pub token: Secret,
    /// Certificates to trust when the address is encrypted, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Process id of the broker.
    pub pid: u32,
}

impl AdminAccess {
    /// Writes the file, readable by its owner only, in one step: a reader sees all of it or nothing.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let mut json = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        json.push(b'\n');
        write_private(&data_dir.join(ACCESS_FILE), &json)
    }

    /// Reads the file; `None` when there is none, so that no broker runs on this data folder.
    ///
    /// # Errors
    /// Those of the file system, and a file that holds something else.
    pub fn read(data_dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(data_dir.join(ACCESS_FILE)) {
            Ok(json) => Ok(Some(serde_json::from_slice(&json)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the file, if there is one.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove(data_dir: &Path) -> io::Result<()> {
        match fs::remove_file(data_dir.join(ACCESS_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let access = AdminAccess {
            url: "http://127.0.0.1:18080".to_owned(),
            token: Secret::new("adm_x".to_owned()),
            ca_file: None,
            pid: 7,
        };
        assert!(AdminAccess::read(folder.path()).unwrap().is_none());
        access.write(folder.path()).unwrap();
        access.write(folder.path()).unwrap();
        let read = AdminAccess::read(folder.path()).unwrap().unwrap();
        assert_eq!(
            (read.url, read.token.expose(), read.ca_file, read.pid),
            (access.url, "adm_x", None, 7)
        );
        AdminAccess::remove(folder.path()).unwrap();
        AdminAccess::remove(folder.path()).unwrap();
        assert!(AdminAccess::read(folder.path()).unwrap().is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let access = AdminAccess {
            url: String::new(),
            token: Secret::new(String::new()),
            ca_file: None,
            pid: 7,
        };
        access.write(folder.path()).unwrap();
        let mode = fs::metadata(folder.path().join(ACCESS_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
