//! Who asks: the key or the administration token of a request, and what it may do.
//!
//! A key comes as `Authorization: Bearer KEY`, `X-API-Key: KEY` or `X-Secret-Key: KEY`, and decides the
//! organization: a request that names another one is told that there is no such organization. The
//! operator shows the administration token and names the organization with `?organization_id=…` or the
//! header `X-Organization-Id`.

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Query};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;

use cloudsignal_broker::OrgId;

use super::{Api, ApiError, Peer, Wire};
use crate::accounts::names::{Email, OrgRef};
use crate::accounts::secret::SecretDigest;
use crate::accounts::{Actor, KeyKind, Role, Scope, ScopeSet};

/// What counts failures of keys that nobody has.
const KEY_ACCOUNT: &str = "api key";
/// Where the operator names an organization, if not in the query.
const ORGANIZATION_HEADER: &str = "x-organization-id";

/// Whoever asks. As an argument of a handler it refuses requests without a good key.
#[derive(Clone, Debug)]
pub struct Caller {
    who: Who,
    org: Option<OrgId>,
}

#[derive(Clone, Debug)]
enum Who {
    /// Has the administration token: may do everything in any organization.
    Operator,
    /// Has a key of one organization.
    Key {
        id: Box<str>,
        kind: KeyKind,
        login: Option<(Email, Role)>,
    },
}

#[derive(Debug, Default, Deserialize)]
struct Named {
    organization_id: Option<String>,
}

impl Caller {
    /// The organization in which the caller asks for something that needs this scope.
    ///
    /// # Errors
    /// 403 `insufficient_scope`; 422 for an operator who names no organization.
    pub fn require(&self, scope: Scope) -> Result<&OrgId, ApiError> {
        match &self.who {
            Who::Operator => {}
            Who::Key { kind, .. } if kind.scopes().has(scope) => {}
            Who::Key { .. } => return Err(ApiError::insufficient_scope(scope)),
        }
        self.org()
    }

    /// The organization in which the caller asks.
    ///
    /// # Errors
    /// 422 for an operator who names none.
    pub fn org(&self) -> Result<&OrgId, ApiError> {
        self.org.as_ref().ok_or_else(|| {
            ApiError::invalid_value("name the organization with ?organization_id= or X-Organization-Id")
        })
    }

    /// Refuses everybody but the operator.
    ///
    /// # Errors
    /// 403 `operator_only`
    pub fn require_operator(&self) -> Result<(), ApiError> {
        match &self.who {
            Who::Operator => Ok(()),
            Who::Key { .. } => {
                let text = "this needs the administration token of the server";
                Err(ApiError::new(StatusCode::FORBIDDEN, "operator_only", text))
            }
        }
    }

    /// Refuses whoever would give away more than the own key may do.
    ///
    /// # Errors
    /// 403 `insufficient_scope`, naming the first scope that lacks.
    pub fn require_to_grant(&self, scopes: ScopeSet) -> Result<(), ApiError> {
        let own = self.scopes();
        match scopes.iter().find(|scope| !own.has(*scope)) {
            None => Ok(()),
            Some(scope) => Err(ApiError::insufficient_scope(scope)),
        }
    }

    /// What the caller may do.
    #[must_use]
    pub const fn scopes(&self) -> ScopeSet {
        match &self.who {
            Who::Operator => ScopeSet::ALL,
            Who::Key { kind, .. } => kind.scopes(),
        }
    }

    /// The role of a member who logged in.
    #[must_use]
    pub const fn role_of_login(&self) -> Option<Role> {
        match &self.who {
            Who::Key {
                login: Some((_, role)),
                ..
            } => Some(*role),
            Who::Operator | Who::Key { login: None, .. } => None,
        }
    }

    /// Whether everybody may know the key that was shown.
    #[must_use]
    pub const fn is_publishable(&self) -> bool {
        match &self.who {
            Who::Operator => false,
            Who::Key { kind, .. } => matches!(kind, KeyKind::Publishable),
        }
    }

    /// Which kind of key was shown; `None` for the operator.
    #[must_use]
    pub const fn key_kind(&self) -> Option<KeyKind> {
        match &self.who {
            Who::Operator => None,
            Who::Key { kind, .. } => Some(*kind),
        }
    }

    /// The id of the key that was shown; `None` for the operator.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        match &self.who {
            Who::Operator => None,
            Who::Key { id, .. } => Some(id),
        }
    }

    /// As the audit trail names the caller.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match &self.who {
            Who::Operator => Actor::Operator,
            Who::Key {
                login: Some((email, _)),
                ..
            } => Actor::Member {
                email: email.as_str().into(),
            },
            Who::Key { id, .. } => Actor::Key { id: id.clone() },
        }
    }
}

/// `Option<Caller>` is `None` without a key; a bad key is refused all the same.
impl OptionalFromRequestParts<Api> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Option<Self>, ApiError> {
        match shown(&parts.headers) {
            None => Ok(None),
            Some(_) => <Self as FromRequestParts<Api>>::from_request_parts(parts, api)
                .await
                .map(Some),
        }
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let peer = Peer::from_request_parts(parts, api).await?;
        let Some(shown) = shown(&parts.headers) else {
            return Err(ApiError::unauthorized("send a key as Authorization: Bearer KEY"));
        };
        if SecretDigest::of(shown.as_bytes()).matches(&api.0.admin_token) {
            peer.require_encryption()?;
            let no_such_org = || ApiError::not_found("organization");
            let org = named(parts)?.map(|org| api.0.directory.org_id(&org).ok_or_else(no_such_org));
            return Ok(Self {
                who: Who::Operator,
                org: org.transpose()?,
            });
        }
        let checked = api.0.directory.check_api_key(shown.as_bytes());
        let holder = checked.map_err(|fault| api.refuse(peer, KEY_ACCOUNT, fault))?;
        api.pass(parts, &holder.org, &holder.id)?;
        Ok(Self {
            who: Who::Key {
                id: holder.id,
                kind: holder.kind,
                login: holder.login,
            },
            org: Some(holder.org),
        })
    }
}

impl Api {
    /// Counts the call of a key or token of `org`, and refuses one too many, and one that names another organization.
    pub(super) fn pass(&self, parts: &Parts, org: &OrgId, id: &str) -> Result<(), ApiError> {
        let orgs = &self.0.orgs;
        let counted = orgs.usage().call(org, id, &orgs.allowance(org));
        counted.map_err(ApiError::too_many_calls)?;
        let Some(named) = named(parts)? else {
            return Ok(());
        };
        let is_own = OrgRef::parse(&named).is_some_and(|named| self.0.directory.is_org(&named, org));
        if is_own {
            Ok(())
        } else {
            Err(ApiError::not_found("organization"))
        }
    }
}

impl Peer {
    /// Refuses what could be read on its way here.
    pub(super) fn require_encryption(self) -> Result<(), ApiError> {
        match self.wire {
            Wire::Tls => Ok(()),
            Wire::Plain if self.address.ip().to_canonical().is_loopback() => Ok(()),
            Wire::Plain => {
                let text = "management needs HTTPS, or a connection from the server's own machine";
                Err(ApiError::new(StatusCode::FORBIDDEN, "encryption_required", text))
            }
        }
    }
}

/// The key that a request shows.
pub(super) fn shown(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(AUTHORIZATION.as_str())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key);
    let key = bearer
        .or_else(|| text("x-api-key"))
        .or_else(|| text("x-secret-key"));
    key.map(str::trim).filter(|key| !key.is_empty())
}

/// The organization that a request names, if it does.
fn named(parts: &Parts) -> Result<Option<String>, ApiError> {
    let query = Query::<Named>::try_from_uri(&parts.uri);
    let query = query.map_err(|_| ApiError::invalid_request("the query cannot be read"))?;
    let header = parts.headers.get(ORGANIZATION_HEADER);
    let header = header.and_then(|value| value.to_str().ok()).map(str::to_owned);
    match (query.0.organization_id, header) {
        (Some(query), Some(header)) if query != header => Err(ApiError::invalid_request(
            "the query and the header name different organizations",
        )),
        (query, header) => Ok(query.or(header)),
    }
}
