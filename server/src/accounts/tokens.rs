//! Temporary tokens: made, renewed, revoked, listed. See [`super::token`] for their bytes and
//! [`super::marks`] for what is remembered about them.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::account::Account;
use super::audit::Trail;
use super::command::{CommandError, CredentialFault, Outcome, PageRequest, TokenGrant, TokenView, TokensOf};
use super::directory::{Directory, EPOCH_CLAIM, PROVIDER_CLAIM, event};
use super::event::AccountChange;
use super::limits::{
    PROVIDER_NAME_BYTES_MAX, TOKEN_FACT_NAME_BYTES_MAX, TOKEN_FACTS_BYTES_MAX, TOKEN_FACTS_MAX,
    TOKEN_TTL_SECS_DEFAULT, TOKEN_TTL_SECS_MAX, TOKEN_TTL_SECS_MIN, TOKENS_REPLACED_MAX, TOKENS_REVOKED_MAX,
};
use super::marks::Seen;
use super::names::Email;
use super::record::{self, encode, key_of};
use super::secret::{Secret, SigningKey};
use super::token::TokenClaims;
use super::token_scope::{self, ScopeGrant};
use crate::clock::WallTime;
use crate::store::{Commit, Expect, Table};

/// Marks about tokens are kept this long; older tokens have expired by themselves.
pub(super) const MARK_TTL: Duration = Duration::from_secs(TOKEN_TTL_SECS_MAX as u64 + 60);
/// A renewal that would move a deadline by less than this moves nothing: some clients ask in a loop.
const RENEWAL_STEP: Duration = Duration::from_secs(1);
/// The provider of tokens that were made with a secret key.
pub const PROVIDER_OWN: &str = "cloudsignal";
/// Claims that we set ourselves.
const CLAIMS_RESERVED: [&str; 3] = ["email", PROVIDER_CLAIM, EPOCH_CLAIM];
pub(super) const USER_ID_CLAIM: &str = "user_id";

/// A token to be made.
#[derive(Clone, Debug)]
pub struct TokenOrder {
    /// The organization, by short id or UUID.
    pub org: String,
    /// Whose it is.
    pub email: String,
    /// Seconds it lives, 60 to 86 400; 3 600 if absent.
    pub ttl_secs: Option<u32>,
    /// Whether earlier tokens of the address open no new connection from now on.
    pub replace_existing: bool,
    /// Who vouched for the user: [`PROVIDER_OWN`], or the name of an identity provider, at most
    /// [`PROVIDER_NAME_BYTES_MAX`].
    pub provider: Box<str>,
    /// What the provider said, for rules to bind to: at most [`TOKEN_FACTS_MAX`], with names together at
    /// most [`TOKEN_FACTS_BYTES_MAX`] bytes. `user_id` replaces the one that is made of the address.
    pub facts: Vec<(Box<str>, Box<str>)>,
    /// What it is limited to; nothing but the policy if absent.
    pub scope: Option<Vec<ScopeGrant>>,
}

impl TokenOrder {
    /// A token of our own that lives as long as tokens usually do.
    #[must_use]
    pub fn new(org: &str, email: &str) -> Self {
        Self {
            org: org.into(),
            email: email.into(),
            ttl_secs: None,
            replace_existing: false,
            provider: PROVIDER_OWN.into(),
            facts: Vec::new(),
            scope: None,
        }
    }

    fn life(&self) -> Result<Duration, CommandError> {
        let ttl_secs = self.ttl_secs.unwrap_or(TOKEN_TTL_SECS_DEFAULT);
        if !(TOKEN_TTL_SECS_MIN..=TOKEN_TTL_SECS_MAX).contains(&ttl_secs) {
            let problem = format!("must be {TOKEN_TTL_SECS_MIN} to {TOKEN_TTL_SECS_MAX} seconds");
            return Err(CommandError::invalid("ttl", problem));
        }
        Ok(Duration::from_secs(ttl_secs.into()))
    }

    fn check_facts(&self) -> Result<(), CommandError> {
        let refuse = |problem: String| Err(CommandError::invalid("claims", problem));
        if !(1..=PROVIDER_NAME_BYTES_MAX).contains(&self.provider.len()) {
            let problem = format!("must have 1 to {PROVIDER_NAME_BYTES_MAX} bytes");
            return Err(CommandError::invalid(PROVIDER_CLAIM, problem));
        }
        if self.facts.len() > TOKEN_FACTS_MAX {
            return refuse(format!("must be at most {TOKEN_FACTS_MAX}"));
        }
        let bytes = |(name, value): &(Box<str>, Box<str>)| name.len() + value.len();
        if self.facts.iter().map(bytes).sum::<usize>() > TOKEN_FACTS_BYTES_MAX {
            return refuse(format!(
                "must have at most {TOKEN_FACTS_BYTES_MAX} bytes together"
            ));
        }
        for (name, _) in &self.facts {
            if !(1..=TOKEN_FACT_NAME_BYTES_MAX).contains(&name.len()) {
                return refuse(format!(
                    "must have names of 1 to {TOKEN_FACT_NAME_BYTES_MAX} bytes"
                ));
            }
            if CLAIMS_RESERVED.contains(&&**name) {
                return refuse(format!("must not be named {name}: the server sets it"));
            }
        }
        Ok(())
    }
}

impl Directory {
    /// Makes a token. Stores nothing, unless earlier tokens are replaced.
    ///
    /// # Errors
    /// [`CommandError`]; nothing changed then.
    pub async fn issue_token(&self, order: TokenOrder) -> Result<TokenGrant, CommandError> {
        let account = self.account(&order.org)?;
        if !account.is_active() {
            return Err(CredentialFault::Suspended.into());
        }
        let email = Email::parse(&order.email).map_err(|error| CommandError::name("user_email", error))?;
        let life = order.life()?;
        order.check_facts()?;
        let scope = order.scope.as_deref().map(token_scope::compile).transpose()?;
        if order.replace_existing {
            self.replace_tokens(&account, &email).await?;
        }
        let now = self.0.clock.wall();
        let issued_at = now.whole_secs();
        let epoch = account.state.read().tokens.epoch(&email, &order.provider, now);
        let claims = TokenClaims {
            org: account.id.clone(),
            id: Uuid::new_v4(),
            email,
            provider: order.provider,
            facts: order.facts,
            scope: scope.map(Arc::new),
            issued_at,
            expires_at: issued_at.after(life),
            epoch,
        };
        self.note(&account, &claims, None);
        Ok(grant(&claims, &account.token_key()))
    }

    /// From now on earlier tokens of an owner open no new connection.
    async fn replace_tokens(&self, account: &Arc<Account>, email: &Email) -> Result<(), CommandError> {
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
        let email = email.clone();
        self.change(account, Trail::none(), commit, None, move |_, account| {
            let replaced = &mut account.state.write().tokens.replaced;
            let epoch = replaced.get(&email, now).map_or(epoch, |&known| known.max(epoch));
            replaced.insert_evicting(email, epoch, now.after(MARK_TTL), now);
            Vec::new()
        })
        .await
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
        let life = token.claims.expires_at.since(token.claims.issued_at.whole_secs());
        let expires_at = now.whole_secs().after(life);
        // Even within one second the new password is another one.
        let issued_at = now
            .whole_secs()
            .max(token.claims.issued_at.after(Duration::from_micros(1)));
        let moves = expires_at.since(token.connection_until) >= RENEWAL_STEP;
        let expires_at = expires_at.max(token.connection_until);
        if moves {
            let key = key_of(&account.id, record::RENEWED, &id.to_string());
            let left = expires_at.since(now);
            let commit = Commit::new().put_for(Table::Config, key, Expect::Any, encode(&expires_at), left);
            self.change(&account, Trail::none(), commit, None, move |inner, account| {
                let renewed = &mut account.state.write().tokens.renewed;
                let until = renewed
                    .get(&id, now)
                    .copied()
                    .unwrap_or(expires_at)
                    .max(expires_at);
                renewed.insert_evicting(id, until, until, now);
                let expires_at = inner.clock.instant_of(until);
                let id = id.to_string().into();
                vec![event(
                    &account.id,
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
        self.note(&account, &claims, None);
        Ok(grant(&claims, &account.token_key()))
    }

    pub(super) async fn token_revoke(
        &self,
        trail: Trail,
        org: &str,
        token_id: &str,
    ) -> Result<Outcome, CommandError> {
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
        self.change(&account, trail, commit, None, move |_, account| {
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

    /// Ends all tokens of an owner or of a provider, and their connections.
    pub(super) async fn token_revoke_all(
        &self,
        trail: Trail,
        org: &str,
        of: TokensOf,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        match &of {
            TokensOf::UserEmail(email) => {
                let email = Email::parse(email).map_err(|error| CommandError::name("user_email", error))?;
                self.cut_owner(trail, account, email).await?;
            }
            TokensOf::Provider(provider) => {
                self.cut_provider(trail, account, provider.as_str().into())
                    .await?;
            }
        }
        Ok(Outcome::TokensRevoked { of })
    }

    async fn cut_owner(&self, trail: Trail, account: Arc<Account>, email: Email) -> Result<(), CommandError> {
        let now = self.0.clock.wall();
        let epoch = {
            let mut state = account.state.write();
            if !state.tokens.owners_cut.has_room(&email, now) {
                return Err(CommandError::limit("revoked owners a day", TOKENS_REPLACED_MAX));
            }
            state.tokens.new_epoch(now)
        };
        let key = key_of(&account.id, record::OWNER_CUT, email.as_str());
        let commit = Commit::new().put_for(Table::Config, key, Expect::Any, encode(&epoch), MARK_TTL);
        self.change(&account, trail, commit, None, move |_, account| {
            let principal = principal(&email);
            let cut = &mut account.state.write().tokens.owners_cut;
            let epoch = cut.get(&email, now).map_or(epoch, |&known| known.max(epoch));
            cut.insert_evicting(email, epoch, now.after(MARK_TTL), now);
            vec![event(&account.id, AccountChange::OwnerCut { principal })]
        })
        .await
    }

    async fn cut_provider(
        &self,
        trail: Trail,
        account: Arc<Account>,
        provider: Box<str>,
    ) -> Result<(), CommandError> {
        let now = self.0.clock.wall();
        if !(1..=PROVIDER_NAME_BYTES_MAX).contains(&provider.len()) {
            return Err(CommandError::not_found("provider"));
        }
        let epoch = account.state.write().tokens.new_provider_cut(&provider, now)?;
        let key = key_of(&account.id, record::PROVIDER_CUT, &provider);
        let commit = Commit::new().put_for(Table::Config, key, Expect::Any, encode(&epoch), MARK_TTL);
        self.change(&account, trail, commit, None, move |_, account| {
            let tokens = &mut account.state.write().tokens;
            tokens.cut_provider(provider.clone(), epoch, now.after(MARK_TTL), now);
            vec![event(&account.id, AccountChange::ProviderCut { provider })]
        })
        .await
    }

    /// Tokens that were made or have logged in since the start, live, and are not revoked; by owner.
    pub(super) fn token_list(&self, org: &str, page: &PageRequest) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let now = self.0.clock.wall();
        let state = account.state.read();
        let first = page.after.as_deref().map(list_place).transpose()?;
        let from = first.clone().unwrap_or_else(|| (Email::least(), Uuid::nil()));
        let is_live = |(email, id): &(Email, Uuid), seen: &Seen| {
            let revoked = state.tokens.revoked.get(id, now).is_some();
            !revoked && !state.tokens.is_cut(email, seen, now)
        };
        let mut tokens: Vec<TokenView> = state
            .tokens
            .seen
            .from(&from, now)
            .filter(|(key, seen)| first.as_ref() != Some(key) && is_live(key, seen))
            .take(page.entries_max() + 1)
            .map(|((email, id), seen)| seen.view(email, *id))
            .collect();
        let next = page.next(&mut tokens, |token| {
            format!("{}/{}", token.token_id, token.user_email)
        });
        Ok(Outcome::Tokens { tokens, next })
    }

    /// Notes a token for the list.
    pub(super) fn note(&self, account: &Account, claims: &TokenClaims, login_at: Option<WallTime>) {
        let now = self.0.clock.wall();
        let seen = &mut account.state.write().tokens.seen;
        let key = (claims.email.clone(), claims.id);
        let known = seen.get(&key, now);
        let entry = Seen {
            provider: claims.provider.clone(),
            is_scoped: claims.scope.is_some(),
            epoch: claims.epoch,
            issued_at: known.map_or(claims.issued_at, |known| known.issued_at.max(claims.issued_at)),
            expires_at: known.map_or(claims.expires_at, |known| known.expires_at.max(claims.expires_at)),
            last_login_at: login_at.or_else(|| known.and_then(|known| known.last_login_at)),
        };
        let expires_at = entry.expires_at;
        seen.insert_evicting(key, entry, expires_at, now);
    }
}

/// The place in the list that a page begins after: `{id}/{e-mail}`.
fn list_place(after: &str) -> Result<(Email, Uuid), CommandError> {
    let place = after
        .split_once('/')
        .and_then(|(id, email)| Some((Email::parse(email).ok()?, Uuid::parse_str(id).ok()?)));
    place.ok_or_else(|| CommandError::invalid("after", "must be the cursor of an earlier page"))
}

/// The owner of sessions that tokens of an address open.
pub(super) fn principal(email: &Email) -> Box<str> {
    format!("token/{email}").into()
}

fn grant(claims: &TokenClaims, key: &SigningKey) -> TokenGrant {
    let issued_at = claims.issued_at.whole_secs();
    let life = claims.expires_at.since(issued_at);
    TokenGrant {
        token_id: claims.id,
        email: claims.email.as_str().into(),
        provider: claims.provider.clone().into(),
        username: format!("{}@{}", claims.email.user_name(), claims.org),
        password: claims.seal(key),
        issued_at,
        expires_at: claims.expires_at,
        refresh_recommended_at: claims.expires_at.before(life / 10),
        expires_in_secs: life.as_secs(),
    }
}

impl Account {
    pub(super) fn token_key(&self) -> SigningKey {
        self.state.read().record.token_key.clone()
    }
}
