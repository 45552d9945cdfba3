//! Names: organization ids, user names, e-mail addresses and what they become.

use std::fmt;

use uuid::Uuid;

use cloudsignal_broker::OrgId;

use super::limits::{EMAIL_BYTES_MAX, TITLE_BYTES_MAX, USER_NAME_BYTES_MAX};
use super::secret::random;

const ORG_PREFIX: &str = "org_";
const ORG_RANDOM_CHARS: usize = 12;
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The user name that belongs to secret keys: `server@org_…` with an `sk_…` as password.
pub const SERVER_USER: &str = "server";

/// Why a name cannot be used; says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// Longer than allowed.
    #[error("must be at most {max} bytes long")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// A character that means something to MQTT, or cannot be seen.
    #[error("must not contain {what}")]
    Character {
        /// Which kind.
        what: &'static str,
    },
    /// Kept for us.
    #[error("is reserved for logins with a secret key; choose another name")]
    Reserved,
    /// Not `local@domain`.
    #[error("must be an e-mail address such as ada@example.com")]
    NotAnEmail,
}

/// A fresh short id: `org_` and 12 base32 characters.
#[must_use]
pub fn generate_org_id() -> OrgId {
    let chars: String = random::<ORG_RANDOM_CHARS>()
        .iter()
        .map(|byte| char::from(BASE32[usize::from(byte % 32)]))
        .collect();
    OrgId::new(&format!("{ORG_PREFIX}{chars}"))
}

/// How somebody names an organization: by short id or by UUID, which are accepted everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrgRef {
    /// `org_k7xm4pqr2n5t`
    Id(OrgId),
    /// `6f1d…`, hyphenated.
    Uuid(Uuid),
}

impl OrgRef {
    /// Reads either form; `None` if it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(random) = text.strip_prefix(ORG_PREFIX) {
            let is_id = random.len() == ORG_RANDOM_CHARS && random.bytes().all(|byte| BASE32.contains(&byte));
            return is_id.then(|| Self::Id(OrgId::new(text)));
        }
        // The library also reads forms with braces or without hyphens, which nobody documents.
        let hyphenated = text.len() == 36;
        hyphenated
            .then(|| Uuid::parse_str(text).ok())
            .flatten()
            .map(Self::Uuid)
    }
}

/// A login name split at its last `@`: who, and in which organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginName<'a> {
    /// The part before the last `@`.
    pub name: &'a str,
    /// The part after it.
    pub org: OrgRef,
}

impl<'a> LoginName<'a> {
    /// Splits `name@organization`; `None` if a part is missing or is no organization.
    #[must_use]
    pub fn parse(username: &'a str) -> Option<Self> {
        let (name, org) = username.rsplit_once('@')?;
        if name.is_empty() {
            return None;
        }
        Some(Self {
            name,
            org: OrgRef::parse(org)?,
        })
    }
}

/// Checks the name of a new user.
///
/// `/`, `+` and `#` are refused because a name is substituted into topic patterns.
///
/// # Errors
/// [`NameError`]
pub fn check_user_name(name: &str) -> Result<(), NameError> {
    check_length(name, USER_NAME_BYTES_MAX)?;
    for char in name.chars() {
        let what = match char {
            '/' | '+' | '#' => "/, + or #",
            char if char.is_whitespace() => "spaces",
            char if char.is_control() => "control characters",
            _ => continue,
        };
        return Err(NameError::Character { what });
    }
    if name.starts_with('$') {
        return Err(NameError::Character {
            what: "$ at its beginning",
        });
    }
    if name == SERVER_USER {
        Err(NameError::Reserved)
    } else {
        Ok(())
    }
}

/// Checks the display name of an organization or a key.
///
/// # Errors
/// [`NameError`]
pub fn check_title(title: &str) -> Result<(), NameError> {
    check_length(title, TITLE_BYTES_MAX)?;
    if title.chars().any(char::is_control) {
        return Err(NameError::Character {
            what: "control characters",
        });
    }
    if title.trim().is_empty() {
        Err(NameError::Empty)
    } else {
        Ok(())
    }
}

const fn check_length(text: &str, max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        Err(NameError::Empty)
    } else if text.len() > max {
        Err(NameError::TooLong { max })
    } else {
        Ok(())
    }
}

/// An e-mail address in the one spelling we keep: lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(Box<str>);

impl Email {
    /// No address, and before every address.
    pub(super) fn least() -> Self {
        Self(Box::default())
    }

    /// Reads an address.
    ///
    /// # Errors
    /// [`NameError`]
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_length(text, EMAIL_BYTES_MAX)?;
        if text.chars().any(|char| char.is_whitespace() || char.is_control()) {
            return Err(NameError::Character {
                what: "spaces or control characters",
            });
        }
        let (local, domain) = text.rsplit_once('@').ok_or(NameError::NotAnEmail)?;
        if local.is_empty() || domain.is_empty() {
            return Err(NameError::NotAnEmail);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user name that stands for the address in topics and rules: `john@example.com` becomes
    /// `john_example_com`.
    ///
    /// Different addresses may share a name (`a.b@c.d`, `a@b.c.d`): rules that must tell them apart
    /// bind to `{email}`. Sessions belong to the address, never to this name.
    #[must_use]
    pub fn user_name(&self) -> String {
        self.0
            .chars()
            .map(|char| {
                if char.is_ascii_alphanumeric() || char == '-' {
                    char
                } else {
                    '_'
                }
            })
            .collect()
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_id_is_one_that_we_accept() {
        let id = generate_org_id();
        assert_eq!(OrgRef::parse(id.as_str()), Some(OrgRef::Id(id)));
    }

    #[test]
    fn an_organization_is_named_by_id_or_uuid_and_nothing_else() {
        let uuid = Uuid::new_v4();
        assert_eq!(OrgRef::parse(&uuid.to_string()), Some(OrgRef::Uuid(uuid)));
        assert_eq!(
            OrgRef::parse(&uuid.to_string().to_uppercase()),
            Some(OrgRef::Uuid(uuid))
        );
        for text in [
            "",
            "org_",
            "org_k7xm4pqr2n5",
            "org_k7xm4pqr2n5tt",
            "org_K7XM4PQR2N5T",
            "org_k7xm4pqr2n51",
        ] {
            assert_eq!(OrgRef::parse(text), None, "{text}");
        }
        for text in [
            uuid.simple().to_string(),
            uuid.braced().to_string(),
            uuid.urn().to_string(),
        ] {
            assert_eq!(OrgRef::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_login_name_is_split_at_the_last_at() {
        let login = LoginName::parse("ada@example.com@org_k7xm4pqr2n5t").unwrap();
        assert_eq!(login.name, "ada@example.com");
        for text in [
            "",
            "ada",
            "@org_k7xm4pqr2n5t",
            "ada@",
            "ada@ org_k7xm4pqr2n5t",
            "ada@org_k7xm4pqr2n5t ",
        ] {
            assert_eq!(LoginName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn user_names_that_would_break_topics_are_refused() {
        for name in ["ada", "sensor-17", "ada@example.com", "Ünal", "$", "a$b"] {
            assert_eq!(check_user_name(name).is_ok(), name != "$", "{name}");
        }
        for name in ["", "a/b", "a+b", "a#", "a b", "a\0", "a\u{7f}", "$a", "server"] {
            assert!(check_user_name(name).is_err(), "{name:?}");
        }
        assert_eq!(
            check_user_name(&"x".repeat(129)),
            Err(NameError::TooLong { max: 128 })
        );
    }

    #[test]
    fn an_email_becomes_a_name_by_the_documented_rule() {
        let email = Email::parse("John@Example.com").unwrap();
        assert_eq!(email.as_str(), "john@example.com");
        assert_eq!(email.user_name(), "john_example_com");
        assert_eq!(
            Email::parse("a+b/c#d@x-y.org").unwrap().user_name(),
            "a_b_c_d_x-y_org"
        );
        for text in [
            "",
            "john",
            "@example.com",
            "john@",
            "john @example.com",
            "john@example.com\n",
        ] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn titles_are_visible_text() {
        assert!(check_title("Ada's workshop").is_ok());
        for title in ["", "  ", "a\nb"] {
            assert!(check_title(title).is_err(), "{title:?}");
        }
    }
}
