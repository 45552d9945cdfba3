//! Keys: every one begins with the organization it belongs to, or with `sys/`.

use std::fmt;

use bytes::Bytes;

use cloudsignal_broker::OrgId;

/// Longest key, bytes. What the embedded store can hold.
pub const KEY_BYTES_MAX: usize = 65_535;

/// Whose keys belong to no organization.
pub(super) const SYSTEM: &str = "sys";

/// A key of a table. Ordered as its bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// `{org}/{path}`. A key that is too long is refused when it is committed.
    #[must_use]
    pub fn of_org(org: &OrgId, path: &str) -> Self {
        Self(join(org.as_str(), path))
    }

    /// `sys/{path}`: what belongs to no organization.
    #[must_use]
    pub fn of_system(path: &str) -> Self {
        Self(join(SYSTEM, path))
    }

    pub(super) const fn from_stored(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What follows the organization or `sys`, if that is text.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        std::str::from_utf8(&self.0)
            .ok()?
            .split_once('/')
            .map(|(_, path)| path)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0.escape_ascii())
    }
}

/// The beginning of keys. Never crosses organizations.
#[derive(Clone, PartialEq, Eq)]
pub struct Prefix(Bytes);

impl Prefix {
    /// Keys that begin with `{org}/{path}`.
    #[must_use]
    pub fn of_org(org: &OrgId, path: &str) -> Self {
        Self(join(org.as_str(), path))
    }

    /// Keys that begin with `sys/{path}`.
    #[must_use]
    pub fn of_system(path: &str) -> Self {
        Self(join(SYSTEM, path))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the key begins so.
    #[must_use]
    pub fn holds(&self, key: &Key) -> bool {
        key.0.starts_with(&self.0)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({}*)", self.0.escape_ascii())
    }
}

fn join(owner: &str, path: &str) -> Bytes {
    let mut bytes = Vec::with_capacity(owner.len() + 1 + path.len());
    bytes.extend_from_slice(owner.as_bytes());
    bytes.push(b'/');
    bytes.extend_from_slice(path.as_bytes());
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_never_reaches_into_another_organization() {
        let (a, ab) = (OrgId::new("org_a"), OrgId::new("org_ab"));
        assert!(Prefix::of_org(&a, "user/").holds(&Key::of_org(&a, "user/ada")));
        assert!(!Prefix::of_org(&a, "").holds(&Key::of_org(&ab, "user/ada")));
        assert!(!Prefix::of_org(&a, "").holds(&Key::of_system("user/ada")));
    }

    #[test]
    fn the_path_is_what_follows_the_owner() {
        let key = Key::of_org(&OrgId::new("org_a"), "user/ada");
        assert_eq!(key.path(), Some("user/ada"));
        assert_eq!(format!("{key:?}"), "Key(org_a/user/ada)");
    }
}
