//! Temporary tokens: made, renewed, revoked, checked. See [`super::token`] for their bytes.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use cloudsignal_broker::{Identity, OrgId};

use super::account::{Account, TokenMarks};
use super::command::{CommandError, CredentialFault, Outcome, TokenGrant};
use super::directory::{Directory, EPOCH_CLAIM, event};
use super::event::{AccountChange, AccountEvent};
use super::limits::{
    TOKEN_TTL_SECS_DEFAULT, TOKEN_TTL_SECS_MAX, TOKEN_TTL_SECS_MIN, TOKENS_REPLACED_MAX, TOKENS_REVOKED_MAX,
};
use super::names::Email;
use super::record::{self, encode, key_of};
use super::secret::{Secret, SigningKey};
use super::token::{TokenClaims, Unverified};
use crate::clock::WallTime;
use crate::store::{Commit, Expect, Table};

/// Marks about tokens are kept this long; older tokens have expired by themselves.
const MARK_TTL: Duration = Duration::from_secs(TOKEN_TTL_SECS_MAX as u64 + 60);
/// A renewal that would move a deadline by less than this moves nothing: some clients ask in a loop.
const RENEWAL_STEP: Duration = Duration::from_secs(1);

/// A token that is good right now.
#[derive(Clone, Debug)]
pub struct LiveToken {
    /// What it says.
    pub claims: TokenClaims,
    /// Until when a connection made with it may stay: its end, or that of its latest renewal.
    pub connection_until: WallTime,
}

impl Directory {
    /// Makes a token. Stores nothing, unless earlier tokens are replaced.
    pub(super) async fn token_create(
        &self,
        org: &str,
        email: &str,
        ttl_secs: Option<u32>,
        replace_existing: bool,
    ) -> Result<TokenGrant, CommandError> {
        let account = self.account(org)?;
        if !account.is_active() {
            return Err(CredentialFault::Suspended.into());
        }
        let email = Email::parse(email).map_err(|error| CommandError::name("user_email", error))?;
        let ttl_secs = ttl_secs.unwrap_or(TOKEN_TTL_SECS_DEFAULT);
        if !(TOKEN_TTL_SECS_MIN..=TOKEN_TTL_SECS_MAX).contains(&ttl_secs) {
            let problem = format!("must be {TOKEN_TTL_SECS_MIN} to {TOKEN_TTL_SECS_MAX} seconds");
            return Err(CommandError::invalid("ttl", problem));
        }
        let now = self.0.clock.wall();
        let epoch = if replace_existing {
            self.replace_tokens(&account, &email).await?
        } else {
            account.state.read().tokens.epoch(&email, now)
        };
        let issued_at = now.whole_secs();
        let expires_at = issued_at.after(Duration::from_secs(ttl_secs.into()));
        let claims = TokenClaims {
            org: account.id.clone(),
            id: Uuid::new_v4(),
            email,
            issued_at,
            expires_at,
            epoch,
        };
        Ok(grant(&claims, &account.token_key()))
    }

    /// Ends all tokens that a principal has; answers the epoch of those to come.
    async fn replace_tokens(&self, account: &Arc<Account>, email: &Email) -> Result<u64, CommandError> {
        let now = self.0.clock.wall();
        let epoch = {
            let mut state = account.state.write();
            if !state.tokens.replaced.has_room(email, now) {
                return Err(CommandError::limit(
                    "replaced principals a day",
                    TOKENS_REPLACED_MAX,
                ));
            }
            state.tokens.new_epoch(now)
        };
        let key = key_of(&account.id, record::REPLACED, email.as_str());
        let commit = Commit::new().put_for(Table::Config, key, Expect::Any, encode(&epoch), MARK_TTL);
        let (account, email) = (Arc::clone(account), email.clone());
        self.change(commit, None, move |_| {
            account
                .state
                .write()
                .tokens
                .replace(&account.id, email, epoch, now)
        })
        .await?;
        Ok(epoch)
    }

    /// A new password for a token that is still good: same token, same length of life from now. The old
    /// password stays good until its own end; connections of the token may stay until the new one.
    pub(super) async fn token_refresh(
        &self,
        token_id: &str,
        password: &Secret,
    ) -> Result<TokenGrant, CommandError> {
        let token = self.check_token(password.expose())?;
        let id = Uuid::parse_str(token_id).map_err(|_| CredentialFault::Unknown)?;
        if token.claims.id != id {
            return Err(CredentialFault::Unknown.into());
        }
        let account = self
            .account_of(&token.claims.org)
            .ok_or(CredentialFault::Unknown)?;
        let now = self.0.clock.wall();
        let life = token.claims.expires_at.since(token.claims.issued_at);
        let issued_at = now.whole_secs();
        let expires_at = issued_at.after(life);
        let moves = expires_at.since(token.connection_until) >= RENEWAL_STEP;
        let expires_at = expires_at.max(token.connection_until);
        if moves {
            let key = key_of(&account.id, record::RENEWED, &id.to_string());
            let left = expires_at.since(now);
            let commit = Commit::new().put_for(Table::Config, key, Expect::Any, encode(&expires_at), left);
            let changed = Arc::clone(&account);
            self.change(commit, None, move |inner| {
                let renewed = &mut changed.state.write().tokens.renewed;
                let until = renewed
                    .get(&id, now)
                    .copied()
                    .unwrap_or(expires_at)
                    .max(expires_at);
                renewed.insert_evicting(id, until, until, now);
                let expires_at = inner.clock.instant_of(until);
                let id = id.to_string().into();
                vec![event(
                    &changed.id,
                    AccountChange::TokenDeadlineMoved { id, expires_at },
                )]
            })
            .await?;
        }
        let claims = TokenClaims {
            issued_at,
            expires_at,
            ..token.claims
        };
        Ok(grant(&claims, &account.token_key()))
    }

    pub(super) async fn token_revoke(&self, org: &str, token_id: &str) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let id = Uuid::parse_str(token_id).map_err(|_| {
            CommandError::invalid("token_id", "must be a UUID: the token's id, not its password")
        })?;
        let now = self.0.clock.wall();
        if !account.state.write().tokens.revoked.has_room(&id, now) {
            return Err(CommandError::limit("revoked tokens a day", TOKENS_REVOKED_MAX));
        }
        let key = key_of(&account.id, record::REVOKED, &id.to_string());
        let commit = Commit::new().put_for(Table::Config, key, Expect::Any, "", MARK_TTL);
        self.change(commit, None, move |_| {
            let revoked = &mut account.state.write().tokens.revoked;
            revoked.insert_evicting(id, (), now.after(MARK_TTL), now);
            let id = id.to_string().into();
            vec![event(&account.id, AccountChange::TokenRevoked { id })]
        })
        .await?;
        Ok(Outcome::TokenRevoked {
            token_id: token_id.into(),
        })
    }

    /// What a token password says, if it is good right now.
    ///
    /// # Errors
    /// Why it is not.
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
        state.tokens.check(&claims.id, &claims.email, claims.epoch, now)?;
        let renewed = state.tokens.renewed.get(&claims.id, now).copied();
        let connection_until = renewed.map_or(claims.expires_at, |until| until.max(claims.expires_at));
        Ok(LiveToken {
            claims,
            connection_until,
        })
    }

    /// Notes that a token opened a connection, so that replacing it finds the connection.
    pub(crate) fn note_token_seen(&self, token: &LiveToken) {
        let Some(account) = self.account_of(&token.claims.org) else {
            return;
        };
        let now = self.0.clock.wall();
        let tokens = &mut account.state.write().tokens;
        let key = (token.claims.email.clone(), token.claims.id);
        // Renewed by others meanwhile, it may live longer; a day covers every token.
        let full = tokens.seen.insert(key, (), now.after(MARK_TTL), now).is_err();
        tokens.seen_overflowed |= full;
    }
}

impl LiveToken {
    /// Facts that policies may bind to.
    #[must_use]
    pub fn identity_claims(&self) -> Vec<(Box<str>, Box<str>)> {
        vec![
            ("email".into(), self.claims.email.as_str().into()),
            ("user_id".into(), self.claims.email.user_name().into()),
            (EPOCH_CLAIM.into(), self.claims.epoch.to_string().into()),
        ]
    }
}

fn grant(claims: &TokenClaims, key: &SigningKey) -> TokenGrant {
    let life = claims.expires_at.since(claims.issued_at);
    TokenGrant {
        token_id: claims.id,
        email: claims.email.as_str().into(),
        username: format!("{}@{}", claims.email.user_name(), claims.org),
        password: claims.seal(key),
        issued_at: claims.issued_at,
        expires_at: claims.expires_at,
        refresh_recommended_at: claims.expires_at.before(life / 10),
        expires_in_secs: life.as_secs(),
    }
}

impl Account {
    fn token_key(&self) -> SigningKey {
        self.state.read().record.token_key.clone()
    }
}

impl TokenMarks {
    fn epoch(&self, email: &Email, now: WallTime) -> u64 {
        self.replaced.get(email, now).copied().unwrap_or(0)
    }

    /// Never the same twice, and later than all before, also after a restart: it follows the clock.
    fn new_epoch(&mut self, now: WallTime) -> u64 {
        self.epoch_last = now.unix_micros().max(self.epoch_last + 1);
        self.epoch_last
    }

    fn check(&self, id: &Uuid, email: &Email, epoch: u64, now: WallTime) -> Result<(), CredentialFault> {
        if self.revoked.get(id, now).is_some() || epoch < self.epoch(email, now) {
            return Err(CredentialFault::Revoked);
        }
        Ok(())
    }

    /// The same question about a connection.
    pub(super) fn check_live(
        &self,
        id: Uuid,
        identity: &Identity,
        now: WallTime,
    ) -> Result<(), CredentialFault> {
        let email = identity.claim("email").and_then(|email| Email::parse(email).ok());
        let epoch = identity.claim(EPOCH_CLAIM).and_then(|epoch| epoch.parse().ok());
        let (email, epoch) = email.zip(epoch).ok_or(CredentialFault::Unknown)?;
        self.check(&id, &email, epoch, now)
    }

    /// Notes that only tokens of `epoch` and later count; answers which connections have to end.
    fn replace(&mut self, org: &OrgId, email: Email, epoch: u64, now: WallTime) -> Vec<AccountEvent> {
        let epoch = epoch.max(self.epoch(&email, now));
        let first = (email.clone(), Uuid::nil());
        let mine = self
            .seen
            .from(&first, now)
            .take_while(|((owner, _), ())| *owner == email);
        let mut events: Vec<_> = mine
            .map(|((_, id), ())| {
                event(
                    org,
                    AccountChange::TokenRevoked {
                        id: id.to_string().into(),
                    },
                )
            })
            .collect();
        if self.seen_overflowed {
            events.push(event(org, AccountChange::TokensReplaced));
        }
        self.replaced
            .insert_evicting(email, epoch, now.after(MARK_TTL), now);
        events
    }
}
