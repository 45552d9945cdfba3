//! From the password of a token to who may come in with it, and until when.

use cloudsignal_broker::{Access, Credential, Identity};
use cloudsignal_core::Instant;

use super::command::CredentialFault;
use super::directory::{Directory, EPOCH_CLAIM, PROVIDER_CLAIM};
use super::marks::Issue;
use super::token::{TokenClaims, Unverified};
use super::tokens::{USER_ID_CLAIM, principal};
use crate::clock::WallTime;

/// A token that is good right now.
#[derive(Clone, Debug)]
pub struct LiveToken {
    /// What it says.
    pub claims: TokenClaims,
    /// Until when a connection made with it may stay: its end, or that of its latest renewal.
    pub connection_until: WallTime,
}

impl Directory {
    /// What a token password says, if it may open a connection right now.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check_token(&self, password: &str) -> Result<LiveToken, CredentialFault> {
        let unverified = Unverified::parse(password).ok_or(CredentialFault::Unknown)?;
        let account = self
            .account_of(unverified.org())
            .ok_or(CredentialFault::Unknown)?;
        let claims = unverified
            .verify(&account.token_key())
            .ok_or(CredentialFault::Unknown)?;
        let now = self.0.clock.wall();
        if claims.expires_at <= now {
            return Err(CredentialFault::Expired);
        }
        if !account.is_active() {
            return Err(CredentialFault::Suspended);
        }
        let state = account.state.read();
        if state.is_disabled(&claims.provider) {
            return Err(CredentialFault::Revoked);
        }
        state.tokens.check_login(&Issue::from(&claims), now)?;
        let renewed = state.tokens.renewed.get(&claims.id, now).copied();
        let connection_until = renewed.map_or(claims.expires_at, |until| until.max(claims.expires_at));
        Ok(LiveToken {
            claims,
            connection_until,
        })
    }

    /// Notes that a token logged in, for the list.
    pub(crate) fn note_token_seen(&self, token: &LiveToken) {
        if let Some(account) = self.account_of(&token.claims.org) {
            self.note(&account, &token.claims, Some(self.0.clock.wall().whole_secs()));
        }
    }
}

impl LiveToken {
    /// Who a connection made with this token is; `until` is when it has to end.
    #[must_use]
    pub fn identity(&self, until: Instant) -> Identity {
        Identity {
            principal: principal(&self.claims.email),
            credential: Credential::Token {
                id: self.claims.id.to_string().into(),
            },
            claims: self.identity_claims(),
            expires_at: Some(until),
            access: Access::Policy,
            scope: self.claims.scope.clone(),
            org: self.claims.org.clone(),
            username: self.claims.email.user_name().into(),
        }
    }

    /// Facts that policies may bind to.
    fn identity_claims(&self) -> Vec<(Box<str>, Box<str>)> {
        let claims = &self.claims;
        let mut all: Vec<(Box<str>, Box<str>)> = vec![
            ("email".into(), claims.email.as_str().into()),
            (PROVIDER_CLAIM.into(), claims.provider.clone()),
            (EPOCH_CLAIM.into(), claims.epoch.to_string().into()),
        ];
        if !claims.facts.iter().any(|(name, _)| **name == *USER_ID_CLAIM) {
            all.push((USER_ID_CLAIM.into(), claims.email.user_name().into()));
        }
        all.extend(claims.facts.iter().cloned());
        all
    }
}
