//! What has to be known about tokens besides what they say themselves.

use cloudsignal_broker::Identity;
use uuid::Uuid;

use super::command::{CommandError, CredentialFault, TokenView};
use super::directory::{EPOCH_CLAIM, PROVIDER_CLAIM};
use super::expiring::Expiring;
use super::limits::{
    TOKEN_PROVIDERS_CUT_MAX, TOKENS_RENEWED_MAX, TOKENS_REPLACED_MAX, TOKENS_REVOKED_MAX, TOKENS_SEEN_MAX,
};
use super::names::Email;
use super::token::TokenClaims;
use crate::clock::WallTime;

/// Marks about the tokens of one organization.
///
/// Epochs order tokens and marks: a token carries the latest epoch that was known of its owner and its
/// provider when it was made, so a later mark is about it and an earlier one is not.
#[derive(Debug)]
pub(super) struct TokenMarks {
    /// Revoked one by one.
    pub(super) revoked: Expiring<Uuid, ()>,
    /// Per owner: tokens of an earlier epoch open no new connection.
    pub(super) replaced: Expiring<Email, u64>,
    /// Per owner: tokens of an earlier epoch are revoked.
    pub(super) owners_cut: Expiring<Email, u64>,
    /// Per provider: tokens of an earlier epoch are revoked.
    pub(super) providers_cut: Expiring<Box<str>, u64>,
    /// Until when connections made with a token may stay, if that is later than it says.
    pub(super) renewed: Expiring<Uuid, WallTime>,
    /// Tokens that were made or have logged in, to be listed.
    pub(super) seen: Expiring<(Email, Uuid), Seen>,
    /// The last epoch that was given out.
    pub(super) epoch_last: u64,
}

/// What is known of a token that was made or has logged in.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) provider: Box<str>,
    pub(super) is_scoped: bool,
    pub(super) epoch: u64,
    pub(super) issued_at: WallTime,
    pub(super) expires_at: WallTime,
    pub(super) last_login_at: Option<WallTime>,
}

impl Seen {
    pub(super) fn view(&self, email: &Email, token_id: Uuid) -> TokenView {
        TokenView {
            token_id,
            user_email: email.as_str().into(),
            provider: self.provider.clone().into(),
            scoped: self.is_scoped,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            last_login_at: self.last_login_at,
        }
    }
}

/// What marks are asked about: one issue of one token.
#[derive(Clone, Debug)]
pub(super) struct Issue {
    id: Uuid,
    email: Email,
    provider: Box<str>,
    epoch: u64,
}

impl Issue {
    /// The token that opened a connection.
    pub(super) fn of_connection(id: Uuid, identity: &Identity) -> Option<Self> {
        Some(Self {
            id,
            email: Email::parse(identity.claim("email")?).ok()?,
            provider: identity.claim(PROVIDER_CLAIM)?.into(),
            epoch: identity.claim(EPOCH_CLAIM)?.parse().ok()?,
        })
    }
}

impl From<&TokenClaims> for Issue {
    fn from(claims: &TokenClaims) -> Self {
        Self {
            id: claims.id,
            email: claims.email.clone(),
            provider: claims.provider.clone(),
            epoch: claims.epoch,
        }
    }
}

impl TokenMarks {
    pub(super) const fn new() -> Self {
        Self {
            revoked: Expiring::new(TOKENS_REVOKED_MAX),
            replaced: Expiring::new(TOKENS_REPLACED_MAX),
            owners_cut: Expiring::new(TOKENS_REPLACED_MAX),
            providers_cut: Expiring::new(TOKEN_PROVIDERS_CUT_MAX),
            renewed: Expiring::new(TOKENS_RENEWED_MAX),
            seen: Expiring::new(TOKENS_SEEN_MAX),
            epoch_last: 0,
        }
    }

    /// The epoch of tokens that are made now.
    pub(super) fn epoch(&self, email: &Email, provider: &str, now: WallTime) -> u64 {
        let replaced = self.replaced.get(email, now).copied().unwrap_or(0);
        replaced.max(self.epoch_cut(email, provider, now))
    }

    /// The epoch before which everything is revoked.
    fn epoch_cut(&self, email: &Email, provider: &str, now: WallTime) -> u64 {
        let owner = self.owners_cut.get(email, now).copied().unwrap_or(0);
        let provider = self.providers_cut.get(&provider.into(), now).copied();
        owner.max(provider.unwrap_or(0))
    }

    pub(super) fn is_cut(&self, email: &Email, seen: &Seen, now: WallTime) -> bool {
        seen.epoch < self.epoch_cut(email, &seen.provider, now)
    }

    /// Never the same twice, and later than all before, also after a restart: it follows the clock.
    pub(super) fn new_epoch(&mut self, now: WallTime) -> u64 {
        self.epoch_last = now.unix_micros().max(self.epoch_last + 1);
        self.epoch_last
    }

    /// The epoch of a revocation of everything that a provider vouched for until now.
    ///
    /// # Errors
    /// [`CommandError::Limit`]
    pub(super) fn new_provider_cut(&mut self, provider: &str, now: WallTime) -> Result<u64, CommandError> {
        if !self.providers_cut.has_room(&provider.into(), now) {
            return Err(CommandError::limit(
                "revoked providers a day",
                TOKEN_PROVIDERS_CUT_MAX,
            ));
        }
        Ok(self.new_epoch(now))
    }

    /// Makes such a revocation count.
    pub(super) fn cut_provider(&mut self, provider: Box<str>, epoch: u64, until: WallTime, now: WallTime) {
        let cut = &mut self.providers_cut;
        let epoch = cut.get(&provider, now).map_or(epoch, |&known| known.max(epoch));
        cut.insert_evicting(provider, epoch, until, now);
    }

    /// Whether everything that a provider vouched for at `epoch` is revoked.
    pub(super) fn is_provider_cut(&self, provider: &str, epoch: u64, now: WallTime) -> bool {
        let cut = self.providers_cut.get(&provider.into(), now);
        cut.is_some_and(|&cut| epoch < cut)
    }

    /// May a token open a connection?
    pub(super) fn check_login(&self, issue: &Issue, now: WallTime) -> Result<(), CredentialFault> {
        self.check_stay(issue, now)?;
        let replaced = self.replaced.get(&issue.email, now).copied();
        if replaced.is_some_and(|epoch| issue.epoch < epoch) {
            return Err(CredentialFault::Revoked);
        }
        Ok(())
    }

    /// May a connection stay that a token opened? One whose token was replaced may, until its own end.
    pub(super) fn check_stay(&self, issue: &Issue, now: WallTime) -> Result<(), CredentialFault> {
        let is_cut = issue.epoch < self.epoch_cut(&issue.email, &issue.provider, now);
        if is_cut || self.revoked.get(&issue.id, now).is_some() {
            return Err(CredentialFault::Revoked);
        }
        Ok(())
    }
}
