//! The order of questions that a login has to answer.

use std::net::IpAddr;

use cloudsignal_broker::{Access, Credential, Identity, OrgId};

use super::password::PasswordPool;
use super::refusal::Refusal;
use super::throttle::Throttle;
use super::verified::Verified;
use crate::accounts::Directory;
use crate::accounts::directory::EPOCH_CLAIM;
use crate::accounts::keys::SECRET_KEY_PREFIX;
use crate::accounts::limits::PASSWORD_BYTES_MAX;
use crate::accounts::names::{LoginName, SERVER_USER};
use crate::accounts::providers::ProviderChoice;
use crate::accounts::token::TOKEN_PREFIX;
use crate::clock::Clock;
use crate::identity::certificate::ClientCertificate;
use crate::identity::{IdentityOptions, IdentityVerifier};

/// What a client shows in CONNECT.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// The user name field.
    pub username: Option<&'a str>,
    /// The password field.
    pub password: Option<&'a [u8]>,
    /// The certificate that TLS has checked, if one was shown.
    pub certificate: Option<&'a ClientCertificate>,
    /// Where the connection comes from; behind a proxy that says so, the client's own address.
    pub source: IpAddr,
}

/// Tells who is connecting.
///
/// A credential may end between this answer and the moment the broker knows the connection. So whoever
/// registers the connection asks [`Directory::standing`] once more right after that; from then on the
/// directory's events reach it.
#[derive(Debug)]
pub struct Authenticator {
    directory: Directory,
    passwords: PasswordPool,
    clock: Clock,
    verified: Verified,
    throttle: Throttle,
    identities: IdentityVerifier,
}

impl Authenticator {
    /// An authenticator over a directory.
    #[must_use]
    pub fn new(directory: Directory, passwords: PasswordPool, clock: Clock) -> Self {
        let identities = IdentityVerifier::new(IdentityOptions::default(), clock.clone());
        Self {
            directory,
            passwords,
            clock,
            verified: Verified::new(),
            throttle: Throttle::default(),
            identities,
        }
    }

    /// The same with other decisions about identity providers.
    #[must_use]
    pub fn with_identity(mut self, options: IdentityOptions) -> Self {
        self.identities = IdentityVerifier::new(options, self.clock.clone());
        self
    }

    /// What checks the tokens of identity providers.
    #[must_use]
    pub const fn identities(&self) -> &IdentityVerifier {
        &self.identities
    }

    /// The counters of failures, which other ways to show a credential share.
    #[must_use]
    pub const fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// Who this is. Waits for a password to be hashed, or for an identity provider's keys, and for nothing else.
    ///
    /// # Errors
    /// [`Refusal`]
    pub async fn authenticate(&self, login: Login<'_>) -> Result<Identity, Refusal> {
        if let (None, Some(certificate)) = (login.password, login.certificate) {
            let name = login.username.map(LoginName::parse);
            let name = name.map(|name| name.ok_or(Refusal::BadCredentials)).transpose()?;
            return Ok(self.directory.admit_certificate(name.as_ref(), certificate)?);
        }
        let (Some(username), Some(password)) = (login.username, login.password) else {
            return Err(Refusal::BadCredentials);
        };
        let name = LoginName::parse(username).ok_or(Refusal::BadCredentials)?;
        if password.starts_with(TOKEN_PREFIX.as_bytes()) {
            return self.by_token(Some(&name), password);
        }
        if name.name == SERVER_USER && password.starts_with(SECRET_KEY_PREFIX.as_bytes()) {
            return self.by_key(&name, password);
        }
        if let Some(token) = as_jwt(password)
            && let Some(identity) = self.by_jwt(&name, token).await?
        {
            return Ok(identity);
        }
        self.by_password(username, &name, password, login.source).await
    }

    /// `None`: no provider of the organization has tokens that are good as passwords, so it is a password
    /// that only looks like one.
    async fn by_jwt(&self, name: &LoginName<'_>, token: &str) -> Result<Option<Identity>, Refusal> {
        let Some(org) = self.directory.org_of(&name.org) else {
            return Ok(None);
        };
        let providers = self
            .directory
            .trusted_providers(&org, ProviderChoice::MqttPassword);
        let Some(providers) = providers.ok().filter(|providers| !providers.is_empty()) else {
            return Ok(None);
        };
        let verified = self.identities.verify(&org, &providers, token).await;
        let external = verified.inspect_err(|fault| {
            tracing::debug!(%org, %fault, "an external token is refused");
        })?;
        let token = self.directory.admit_external(&org, &external, token)?;
        if token.claims.email.user_name() != name.name {
            return Err(Refusal::BadCredentials);
        }
        self.directory.note_token_seen(&token);
        Ok(Some(
            token.identity(self.clock.instant_of(token.connection_until)),
        ))
    }

    /// Who shows this token by the authentication method. The user name may be left out, as the token says it;
    /// one that is there has to be the token's.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn authenticate_token(
        &self,
        username: Option<&str>,
        token: Option<&[u8]>,
    ) -> Result<Identity, Refusal> {
        let token = token.ok_or(Refusal::BadCredentials)?;
        let name = username.map(|username| LoginName::parse(username).ok_or(Refusal::BadCredentials));
        self.by_token(name.transpose()?.as_ref(), token)
    }

    fn by_token(&self, name: Option<&LoginName<'_>>, password: &[u8]) -> Result<Identity, Refusal> {
        let password = std::str::from_utf8(password).map_err(|_| Refusal::BadCredentials)?;
        let token = self.directory.check_token(password)?;
        let username = token.claims.email.user_name();
        // The token has to be for this name and this organization, whichever way that is written.
        let is_of = |name: &LoginName<'_>| {
            username == name.name && self.directory.is_org(&name.org, &token.claims.org)
        };
        if !name.is_none_or(is_of) {
            return Err(Refusal::BadCredentials);
        }
        self.directory.note_token_seen(&token);
        Ok(token.identity(self.clock.instant_of(token.connection_until)))
    }

    fn by_key(&self, name: &LoginName<'_>, password: &[u8]) -> Result<Identity, Refusal> {
        let holder = self.directory.check_key(&name.org, password)?;
        Ok(Identity {
            org: holder.org,
            username: SERVER_USER.into(),
            // Sessions outlive the rotation of keys.
            principal: SERVER_USER.into(),
            credential: Credential::Key { id: holder.id },
            claims: Vec::new(),
            expires_at: holder.expires_at.map(|end| self.clock.instant_of(end)),
            access: Access::Full,
            scope: None,
        })
    }

    async fn by_password(
        &self,
        username: &str,
        name: &LoginName<'_>,
        password: &[u8],
        source: IpAddr,
    ) -> Result<Identity, Refusal> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(Refusal::BadCredentials);
        }
        let user = self.directory.user_to_verify(name)?;
        let proof = user.as_ref().map(|user| {
            self.verified
                .proof(user.org.as_str(), name.name, &user.epoch, password)
        });
        if let (Some(user), Some(proof)) = (&user, &proof)
            && self.verified.knows(proof, self.clock.now())
        {
            return Ok(user_identity(user.org.clone(), name.name, &user.epoch));
        }
        if !self.throttle.allows(source, username, self.clock.now()) {
            return Err(Refusal::TooMany);
        }
        let hash = user.as_ref().map(|user| user.hash.clone());
        let right = self
            .passwords
            .verify(password, hash)
            .await
            .map_err(|_busy| Refusal::Busy)?;
        let now = self.clock.now();
        let (Some(user), Some(proof), true) = (user, proof, right) else {
            self.throttle.note_failure(source, username, now);
            return Err(Refusal::BadCredentials);
        };
        self.throttle.note_success(source, username);
        self.verified.remember(&proof, now);
        let identity = user_identity(user.org, name.name, &user.epoch);
        // Deleted or changed while it was hashed.
        self.directory
            .standing(&identity)
            .map_err(|_gone| Refusal::BadCredentials)?;
        Ok(identity)
    }
}

/// The password, if it looks like a JWT: three parts, of which the first begins as JSON in base64url does.
fn as_jwt(password: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(password).ok()?;
    let is_jwt = text.starts_with("eyJ") && text.bytes().filter(|byte| *byte == b'.').count() == 2;
    is_jwt.then_some(text)
}

fn user_identity(org: OrgId, name: &str, epoch: &str) -> Identity {
    Identity {
        org,
        username: name.into(),
        principal: format!("user/{name}").into(),
        credential: Credential::Password { user: name.into() },
        claims: vec![
            ("user_id".into(), name.into()),
            (EPOCH_CLAIM.into(), epoch.into()),
        ],
        expires_at: None,
        access: Access::Policy,
        scope: None,
    }
}

impl std::fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
