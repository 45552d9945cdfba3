//! Who publishes: a key, or a temporary token.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use cloudsignal_broker::{Access, Credential, Identity};

use crate::accounts::names::SERVER_USER;
use crate::accounts::{KeyKind, Scope};
use crate::http::{Api, ApiError, Caller, Peer, caller};

/// How the password of a temporary token begins.
const TOKEN_PREFIX: &str = "tkn_";
/// Who publishes with a key that may be seen by everybody.
const PUBLISHABLE_USER: &str = "publishable";
/// What counts failures of tokens.
const TOKEN_ACCOUNT: &str = "publish token";

/// An organization, and one of its keys or tokens by id.
pub(super) type Holder = (Box<str>, Box<str>);

/// Whoever publishes. As an argument of a handler it refuses requests without a good key or token.
#[derive(Clone, Debug)]
pub(in crate::http) struct Publisher {
    /// As the organization sees it.
    pub(super) identity: Identity,
    /// Names the key or token; not secret.
    credential: Box<str>,
    /// Whether the holder may know which rule denies something.
    pub(super) sees_rules: bool,
}

impl Publisher {
    /// The organization and the key or token, which together have a rate and idempotency keys of their own.
    pub(super) fn holder(&self) -> Holder {
        (self.identity.org.as_str().into(), self.credential.clone())
    }

    fn of_caller(caller: &Caller) -> Result<Self, ApiError> {
        let org = caller.require(Scope::MessagesPublish)?.clone();
        let (username, access, sees_rules) = match caller.key_kind() {
            None | Some(KeyKind::Secret | KeyKind::Restricted { .. }) => (SERVER_USER, Access::Full, true),
            Some(KeyKind::Publishable) => (PUBLISHABLE_USER, Access::Policy, false),
        };
        let credential: Box<str> = caller.key_id().unwrap_or("operator").into();
        Ok(Self {
            identity: Identity {
                org,
                username: username.into(),
                principal: username.into(),
                credential: Credential::Key {
                    id: credential.clone(),
                },
                claims: Vec::new(),
                expires_at: None,
                access,
                scope: None,
            },
            credential,
            sees_rules,
        })
    }

    fn of_token(api: &Api, peer: Peer, parts: &Parts, password: &str) -> Result<Self, ApiError> {
        let checked = api.0.directory.check_token(password);
        let token = checked.map_err(|fault| api.refuse(peer, TOKEN_ACCOUNT, fault))?;
        let credential: Box<str> = token.claims.id.to_string().into();
        api.pass(parts, &token.claims.org, &credential)?;
        Ok(Self {
            identity: token.identity(api.0.clock.instant_of(token.connection_until)),
            credential,
            sees_rules: false,
        })
    }
}

impl FromRequestParts<Api> for Publisher {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        match caller::shown(&parts.headers) {
            Some(token) if token.starts_with(TOKEN_PREFIX) => {
                let token = token.to_owned();
                let peer = Peer::from_request_parts(parts, api).await?;
                Self::of_token(api, peer, parts, &token)
            }
            Some(_) | None => Self::of_caller(&Caller::from_request_parts(parts, api).await?),
        }
    }
}
