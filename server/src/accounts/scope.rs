//! What a key may do, as a closed list of scopes.

use core::fmt;

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! scopes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// One thing that a key may do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Scope {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl Scope {
            /// Every scope there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As it is written in requests and in errors.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

scopes! {
    /// Publish messages over HTTP.
    MessagesPublish = "messages:publish",
    /// Make, refresh and revoke tokens.
    TokensWrite = "tokens:write",
    /// List tokens.
    TokensRead = "tokens:read",
    /// List and show users and members.
    UsersRead = "users:read",
    /// Make, change and remove users and members.
    UsersWrite = "users:write",
    /// List and inspect sessions, read their history.
    SessionsRead = "sessions:read",
    /// Disconnect sessions.
    SessionsWrite = "sessions:write",
    /// Read, validate and simulate policies.
    AclRead = "acl:read",
    /// Replace the policy.
    AclWrite = "acl:write",
    /// List keys, masked.
    KeysRead = "keys:read",
    /// Make, rotate and revoke keys.
    KeysWrite = "keys:write",
    /// Show identity providers.
    ProvidersRead = "providers:read",
    /// Change identity providers.
    ProvidersWrite = "providers:write",
    /// Read quotas and usage.
    UsageRead = "usage:read",
    /// Read the audit trail.
    AuditRead = "audit:read",
    /// Show the organization.
    OrgRead = "org:read",
    /// Change the organization.
    OrgWrite = "org:write",
}

// By hand: the derive does not see names that a macro filled in.
impl PartialSchema for Scope {
    fn schema() -> RefOr<Schema> {
        let names = Self::ALL.iter().map(|scope| scope.name());
        let names = ObjectBuilder::new().enum_values(Some(names));
        names.schema_type(Type::String).into()
    }
}

impl ToSchema for Scope {}

impl Scope {
    /// The scope of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.name() == name)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A set of scopes. JSON: their names, in the order of [`Scope::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(value_type = Vec<Scope>)]
#[serde(from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct ScopeSet(u32);

impl ScopeSet {
    /// No scope.
    pub const NONE: Self = Self(0);
    /// Every scope.
    pub const ALL: Self = Self(u32::MAX >> (u32::BITS - Scope::ALL.len() as u32));

    /// These scopes.
    #[must_use]
    pub const fn of(scopes: &[Scope]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < scopes.len() {
            bits |= scopes[index].bit();
            index += 1;
        }
        Self(bits)
    }

    /// The scopes of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the scope is in it.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether every scope of the other set is in it.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Its scopes, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.has(*scope))
    }
}

impl From<Vec<Scope>> for ScopeSet {
    fn from(scopes: Vec<Scope>) -> Self {
        Self::of(&scopes)
    }
}

impl From<ScopeSet> for Vec<Scope> {
    fn from(set: ScopeSet) -> Self {
        set.iter().collect()
    }
}

/// What kind of key it is, and with that what it may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum KeyKind {
    /// `sk_…`: everything in its organization; also the MQTT password of `server`.
    #[default]
    Secret,
    /// `pk_…`: may be seen by everybody. Publishes under the policy, as the user `publishable`.
    Publishable,
    /// `rk_…`: its scopes.
    Restricted {
        /// What it may do.
        scopes: ScopeSet,
    },
}

/// The kinds of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyKindName {
    /// `sk_…`
    #[default]
    Secret,
    /// `pk_…`
    Publishable,
    /// `rk_…`
    Restricted,
}

impl KeyKind {
    /// How keys of this kind begin.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Secret => "sk_",
            Self::Publishable => "pk_",
            Self::Restricted { .. } => "rk_",
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> KeyKindName {
        match self {
            Self::Secret => KeyKindName::Secret,
            Self::Publishable => KeyKindName::Publishable,
            Self::Restricted { .. } => KeyKindName::Restricted,
        }
    }

    /// What keys of this kind may do over HTTP.
    #[must_use]
    pub const fn scopes(self) -> ScopeSet {
        match self {
            Self::Secret => ScopeSet::ALL,
            Self::Publishable => ScopeSet::of(&[Scope::MessagesPublish]),
            Self::Restricted { scopes } => scopes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_scopes_is_a_list_of_names_in_one_order() {
        let set = ScopeSet::of(&[Scope::OrgWrite, Scope::MessagesPublish]);
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(json, r#"["messages:publish","org:write"]"#);
        assert_eq!(serde_json::from_str::<ScopeSet>(&json).unwrap(), set);
        assert!(serde_json::from_str::<ScopeSet>(r#"["messages:eat"]"#).is_err());
        assert_eq!(ScopeSet::ALL.iter().count(), Scope::ALL.len());
        assert!(ScopeSet::ALL.covers(set) && !set.covers(ScopeSet::ALL));
    }

    #[test]
    fn every_name_leads_back_to_its_scope() {
        for scope in Scope::ALL {
            assert_eq!(Scope::of(scope.name()), Some(*scope));
        }
        assert_eq!(Scope::of("messages"), None);
    }

    #[test]
    fn records_of_before_there_were_kinds_are_secret_keys() {
        assert_eq!(KeyKind::default(), KeyKind::Secret);
    }
}
