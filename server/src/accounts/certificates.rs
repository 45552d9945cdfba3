//! Logins by client certificate: which user of which organization a certificate stands for.

use cloudsignal_broker::{Access, Credential, Identity, OrgId};

use super::account::{Account, AccountState};
use super::command::CredentialFault;
use super::directory::{Directory, EPOCH_CLAIM, PROVIDER_CLAIM};
use super::marks::Issue;
use super::names::{LoginName, OrgRef};
use super::tokens::{USER_ID_CLAIM, principal};
use crate::identity::certificate::ClientCertificate;
use crate::identity::provider::{CertificateUser, Trust};

impl Directory {
    /// Who shows this certificate. The user name may be left out if the certificate names the organization
    /// by its id; one that is there has to be the certificate's.
    ///
    /// # Errors
    /// [`CredentialFault::Unknown`] if no provider of the organization takes it,
    /// [`CredentialFault::Suspended`].
    pub fn admit_certificate(
        &self,
        name: Option<&LoginName<'_>>,
        certificate: &ClientCertificate,
    ) -> Result<Identity, CredentialFault> {
        let named = |org: &OrgRef| self.account_by(org);
        let account = match name {
            Some(name) => named(&name.org),
            None => certificate
                .organizations
                .iter()
                .find_map(|org| named(&OrgRef::parse(org)?)),
        };
        let account = account.ok_or(CredentialFault::Unknown)?;
        if !account.is_active() {
            return Err(CredentialFault::Suspended);
        }
        let state = account.state.read();
        let is_named = |user: &str| name.is_none_or(|name| name.name == user);
        let mut found = state.enabled_trusts().filter_map(|(provider, trust)| {
            stand_for(&account, &state, trust, certificate, &is_named).map(|who| (provider, who))
        });
        let (provider, who) = found.next().ok_or(CredentialFault::Unknown)?;
        Ok(who.identity(&account.id, provider, certificate, self))
    }

    /// Whether a connection by certificate may stay.
    pub(super) fn check_certificate(
        &self,
        state: &AccountState,
        identity: &Identity,
    ) -> Result<(), CredentialFault> {
        let now = self.0.clock.wall();
        let epoch = identity.claim(EPOCH_CLAIM).and_then(|epoch| epoch.parse().ok());
        let (provider, epoch) = identity
            .claim(PROVIDER_CLAIM)
            .zip(epoch)
            .ok_or(CredentialFault::Unknown)?;
        if state.tokens.is_provider_cut(provider, epoch, now) {
            return Err(CredentialFault::Revoked);
        }
        match Issue::of_connection(uuid::Uuid::nil(), identity) {
            Some(issue) => state.tokens.check_stay(&issue, now),
            None => state
                .has_enabled_user(&identity.username)
                .then_some(())
                .ok_or(CredentialFault::Revoked),
        }
    }
}

/// Somebody a certificate stands for.
enum Who {
    User(Box<str>),
    Email(super::names::Email),
}

/// The one whom a certificate stands for by one rule.
fn stand_for(
    account: &Account,
    state: &AccountState,
    trust: &Trust,
    certificate: &ClientCertificate,
    is_named: &impl Fn(&str) -> bool,
) -> Option<Who> {
    let Trust::ClientCertificate { user, organization } = trust else {
        return None;
    };
    let uuid = state.record.uuid.to_string();
    let is_ours = |found: &str| match organization {
        Some(wanted) => found == wanted,
        None => found == account.id.as_str() || found == uuid,
    };
    if !certificate.organizations.iter().any(|found| is_ours(found)) {
        return None;
    }
    match user {
        CertificateUser::CommonName => {
            let name = certificate.common_name.clone()?;
            (is_named(&name) && state.has_enabled_user(&name)).then_some(Who::User(name))
        }
        CertificateUser::Email => {
            let mut fitting = certificate
                .emails
                .iter()
                .filter(|email| is_named(&email.user_name()));
            // Without a user name, several addresses say nothing.
            let email = fitting.next().filter(|_| fitting.next().is_none())?;
            Some(Who::Email(email.clone()))
        }
    }
}

impl Who {
    fn identity(
        self,
        org: &OrgId,
        provider: &str,
        certificate: &ClientCertificate,
        directory: &Directory,
    ) -> Identity {
        let clock = &directory.0.clock;
        let epoch = clock.wall().unix_micros().to_string();
        let mut claims: Vec<(Box<str>, Box<str>)> = vec![
            (PROVIDER_CLAIM.into(), provider.into()),
            (EPOCH_CLAIM.into(), epoch.into()),
        ];
        let (username, principal): (Box<str>, Box<str>) = match self {
            Self::User(name) => (name.clone(), format!("user/{name}").into()),
            Self::Email(email) => {
                claims.push(("email".into(), email.as_str().into()));
                (email.user_name().into(), principal(&email))
            }
        };
        claims.push((USER_ID_CLAIM.into(), username.clone()));
        Identity {
            org: org.clone(),
            username,
            principal,
            credential: Credential::Certificate {
                id: certificate.fingerprint.clone(),
            },
            claims,
            expires_at: Some(clock.instant_of(certificate.not_after)),
            access: Access::Policy,
            scope: None,
        }
    }
}

impl AccountState {
    fn has_enabled_user(&self, name: &str) -> bool {
        self.users.get(name).is_some_and(|user| !user.disabled)
    }
}
