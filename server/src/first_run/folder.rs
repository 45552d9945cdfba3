//! The data folder: everything that is kept, readable by its owner only.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::FirstRunError;

/// A data folder that exists.
///
/// ```text
/// store/             what the embedded store keeps
/// tls/ca.pem         the local certificate authority: what clients trust
/// tls/ca-key.pem     its key
/// tls/server.pem     the server's certificate
/// tls/server-key.pem its key
/// first-run.json     what the first start made
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFolder(PathBuf);

impl DataFolder {
    /// Makes the folder if it is missing (0700), and answers its absolute path.
    ///
    /// # Errors
    /// [`FirstRunError::File`]
    pub fn open(path: &Path) -> Result<Self, FirstRunError> {
        let fault = |error| FirstRunError::File {
            path: path.into(),
            error,
        };
        make_folder(path).map_err(fault)?;
        let path = fs::canonicalize(path).map_err(fault)?;
        warn_if_others_may_read(&path);
        let folder = Self(path);
        for inner in [folder.store(), folder.tls()] {
            make_folder(&inner).map_err(|error| FirstRunError::File { path: inner, error })?;
        }
        Ok(folder)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the embedded store lives.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        store_in(&self.0)
    }

    fn tls(&self) -> PathBuf {
        self.0.join("tls")
    }

    /// The certificate authority's certificate, PEM.
    #[must_use]
    pub fn ca_certificate(&self) -> PathBuf {
        self.tls().join("ca.pem")
    }

    /// The certificate authority's key, PEM.
    #[must_use]
    pub fn ca_key(&self) -> PathBuf {
        self.tls().join("ca-key.pem")
    }

    /// The server's certificate, PEM.
    #[must_use]
    pub fn server_certificate(&self) -> PathBuf {
        self.tls().join("server.pem")
    }

    /// The server's key, PEM.
    #[must_use]
    pub fn server_key(&self) -> PathBuf {
        self.tls().join("server-key.pem")
    }

    /// What the first start made.
    #[must_use]
    pub fn first_run(&self) -> PathBuf {
        self.0.join("first-run.json")
    }

    /// Writes a file that only its owner may read (0600): as a whole, and on the disk when this returns.
    ///
    /// # Errors
    /// [`FirstRunError::File`]
    pub fn write_private(&self, path: &Path, bytes: &[u8]) -> Result<(), FirstRunError> {
        write_private(path, bytes).map_err(|error| FirstRunError::File {
            path: path.into(),
            error,
        })
    }
}

/// Where the embedded store of a data folder lives.
#[must_use]
pub fn store_in(data_dir: &Path) -> PathBuf {
    data_dir.join("store")
}

fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The folder was there before us, so its permissions are somebody's decision; but they should know.
fn warn_if_others_may_read(path: &Path) {
    #[cfg(unix)]
    if let Ok(metadata) = fs::metadata(path) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "others may look into the data folder; chmod 700 closes it");
        }
    }
}

/// Writes a file that only its owner may read, as a whole, and on the disk when this returns.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("fresh");
    // Left behind by a crash, perhaps with other permissions.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    // The new name is on the disk only when the folder is.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
    }

    #[cfg(unix)]
    #[test]
    fn folder_and_secrets_belong_to_their_owner_only() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&temporary.path().join("a/data")).unwrap();
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.store()), 0o700);
        let secret = folder.first_run();
        folder.write_private(&secret, b"one").unwrap();
        folder.write_private(&secret, b"two").unwrap();
        assert_eq!(
            (mode(&secret), fs::read(&secret).unwrap()),
            (0o600, b"two".to_vec())
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            3,
            "nothing is left behind"
        );
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("file");
        fs::write(&file, "").unwrap();
        let error = DataFolder::open(&file).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
