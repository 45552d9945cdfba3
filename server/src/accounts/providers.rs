//! Identity providers of an organization: kept, listed, switched; and the people they vouch for.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use cloudsignal_broker::OrgId;

use super::account::Account;
use super::audit::{Actor, Trail};
use super::command::{CommandError, CredentialFault, Outcome, ProviderChanges, ProviderView, TokenGrant};
use super::directory::{Directory, event};
use super::event::AccountChange;
use super::marks::Issue;
use super::record::{self, ProviderRecord, encode, key_of};
use super::token::TokenClaims;
use super::token_check::LiveToken;
use super::tokens::{MARK_TTL, PROVIDER_OWN, TokenOrder};
use crate::identity::endpoint::Reach;
use crate::identity::limits::PROVIDERS_PER_ORG_MAX;
use crate::identity::provider::{ProviderSettings, ProviderType, SettingsError, Trust};
use crate::identity::{ExternalIdentity, TrustedProvider};
use crate::store::{Commit, Expect, Table};

/// A provider in memory.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    pub(super) record: ProviderRecord,
    trusted: Arc<TrustedProvider>,
}

/// Which of an organization's providers may vouch. Disabled ones never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderChoice<'a> {
    /// Whichever has the token's issuer.
    Any,
    /// The one of this name; or of this type, such as `supabase`, if there is one of it.
    Named(&'a str),
    /// Those whose tokens are good as MQTT passwords.
    MqttPassword,
}

impl Provider {
    /// # Errors
    /// What is wrong with the settings.
    pub(super) fn new(record: ProviderRecord, reach: Reach) -> Result<Self, SettingsError> {
        let issuers = record.settings.check(reach)?;
        let settings = record.settings.clone();
        let trusted = Arc::new(TrustedProvider { settings, issuers });
        Ok(Self { record, trusted })
    }

    fn view(&self) -> ProviderView {
        let ProviderRecord {
            settings,
            enabled,
            created_at,
            updated_at,
        } = self.record.clone();
        ProviderView {
            provider_type: settings.trust.provider_type(),
            settings: ProviderSettings {
                trust: settings.trust.masked(),
                ..settings
            },
            enabled,
            created_at,
            updated_at,
        }
    }
}

impl Directory {
    /// Which hosts new providers may name. Hosts are checked again at each fetch.
    pub fn set_provider_reach(&self, reach: Reach) {
        // Set before, by whoever started the server: that stands.
        let _ = self.0.provider_reach.set(reach);
    }

    fn provider_reach(&self) -> Reach {
        self.0.provider_reach.get().copied().unwrap_or_default()
    }

    pub(super) async fn provider_create(
        &self,
        trail: Trail,
        org: &str,
        settings: ProviderSettings,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let now = self.0.clock.wall().whole_secs();
        let record = ProviderRecord {
            settings,
            enabled: true,
            created_at: now,
            updated_at: now,
        };
        let provider = Provider::new(record, self.provider_reach())?;
        let name = provider.record.settings.name.as_str();
        if name == PROVIDER_OWN {
            return Err(CommandError::invalid(
                "name",
                "is the server's own; choose another one",
            ));
        }
        let gate = self.lock(&account).await?;
        {
            let state = account.state.read();
            if state.providers.contains_key(name) {
                let what = "provider".into();
                return Err(CommandError::Exists { what });
            }
            if state.providers.len() >= PROVIDERS_PER_ORG_MAX {
                return Err(CommandError::limit(
                    "providers of an organization",
                    PROVIDERS_PER_ORG_MAX,
                ));
            }
        }
        let key = key_of(&account.id, record::PROVIDERS, name);
        let commit = Commit::new().put(Table::Config, key, Expect::Absent, encode(&provider.record));
        let view = provider.view();
        self.change(&account, trail, commit, Some(gate), move |_, account| {
            let name = provider.record.settings.name.as_str().into();
            account.state.write().providers.insert(name, provider);
            Vec::new()
        })
        .await?;
        Ok(Outcome::Provider(view))
    }

    pub(super) fn provider_list(&self, org: &str) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let state = account.state.read();
        Ok(Outcome::Providers {
            providers: state.providers.values().map(Provider::view).collect(),
        })
    }

    pub(super) fn provider_show(&self, org: &str, name: &str) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        account
            .provider(name)
            .map(|provider| Outcome::Provider(provider.view()))
    }

    /// Changes what is given; with `end_connections` everybody it vouched for has to log in again.
    pub(super) async fn provider_update(
        &self,
        trail: Trail,
        org: &str,
        name: &str,
        changes: ProviderChanges,
        end_connections: bool,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let gate = self.lock(&account).await?;
        let mut record = account.provider(name)?.record;
        changes.apply(&mut record);
        record.updated_at = self.0.clock.wall().whole_secs();
        let provider = Provider::new(record, self.provider_reach())?;
        let key = key_of(&account.id, record::PROVIDERS, name);
        let commit = Commit::new().put(Table::Config, key, Expect::Any, encode(&provider.record));
        let view = provider.view();
        let name: Box<str> = name.into();
        let (commit, epoch) = self.with_cut(&account, commit, &name, end_connections)?;
        self.change(&account, trail, commit, Some(gate), move |inner, account| {
            let now = inner.clock.wall();
            let mut state = account.state.write();
            state.providers.insert(name.clone(), provider);
            let Some(epoch) = epoch else { return Vec::new() };
            state
                .tokens
                .cut_provider(name.clone(), epoch, now.after(MARK_TTL), now);
            vec![event(&account.id, AccountChange::ProviderCut { provider: name })]
        })
        .await?;
        Ok(Outcome::Provider(view))
    }

    /// Forgets a provider. Everybody it vouched for goes, or a namesake would inherit them.
    pub(super) async fn provider_delete(
        &self,
        trail: Trail,
        org: &str,
        name: &str,
    ) -> Result<Outcome, CommandError> {
        let account = self.account(org)?;
        let gate = self.lock(&account).await?;
        account.provider(name)?;
        let key = key_of(&account.id, record::PROVIDERS, name);
        let commit = Commit::new().delete(Table::Config, key, Expect::Any);
        let name: Box<str> = name.into();
        let (commit, epoch) = self.with_cut(&account, commit, &name, true)?;
        let gone = name.clone();
        self.change(&account, trail, commit, Some(gate), move |inner, account| {
            let now = inner.clock.wall();
            let mut state = account.state.write();
            state.providers.remove(&gone);
            if let Some(epoch) = epoch {
                state
                    .tokens
                    .cut_provider(gone.clone(), epoch, now.after(MARK_TTL), now);
            }
            vec![event(&account.id, AccountChange::ProviderCut { provider: gone })]
        })
        .await?;
        Ok(Outcome::ProviderDeleted { name: name.into() })
    }

    /// Adds to a commit that tokens of a provider are worth nothing from now on, if that is wanted.
    fn with_cut(
        &self,
        account: &Account,
        commit: Commit,
        name: &str,
        is_wanted: bool,
    ) -> Result<(Commit, Option<u64>), CommandError> {
        if !is_wanted {
            return Ok((commit, None));
        }
        let epoch = account
            .state
            .write()
            .tokens
            .new_provider_cut(name, self.0.clock.wall())?;
        let key = key_of(&account.id, record::PROVIDER_CUT, name);
        let commit = commit.put_for(Table::Config, key, Expect::Any, encode(&epoch), MARK_TTL);
        Ok((commit, Some(epoch)))
    }

    /// The providers that may vouch for somebody.
    ///
    /// # Errors
    /// No such organization; for a name, no such provider, or it is disabled.
    pub fn trusted_providers(
        &self,
        org: &OrgId,
        choice: ProviderChoice<'_>,
    ) -> Result<Vec<Arc<TrustedProvider>>, CommandError> {
        let account = self
            .account_of(org)
            .ok_or_else(|| CommandError::not_found("organization"))?;
        let state = account.state.read();
        let enabled = || {
            state
                .providers
                .values()
                .filter(|provider| provider.record.enabled)
        };
        let chosen: Vec<_> = match choice {
            ProviderChoice::Any => enabled().collect(),
            ProviderChoice::MqttPassword => enabled()
                .filter(|provider| provider.record.settings.mqtt_password)
                .collect(),
            ProviderChoice::Named(name) => {
                let named: Vec<_> = enabled()
                    .filter(|provider| provider.record.settings.name == name)
                    .collect();
                let typed: Vec<_> = enabled()
                    .filter(|provider| {
                        ProviderType::of(name) == Some(provider.trusted.settings.trust.provider_type())
                    })
                    .collect();
                match (named.len(), typed.len()) {
                    (1.., _) => named,
                    (0, 1) => typed,
                    (0, _) => return Err(CommandError::not_found("provider")),
                }
            }
        };
        Ok(chosen
            .into_iter()
            .map(|provider| Arc::clone(&provider.trusted))
            .collect())
    }

    /// Somebody whom a provider vouches for, as if the token that was shown were one of ours: revoking the
    /// owner's or the provider's tokens ends it too.
    ///
    /// # Errors
    /// The organization is suspended, the provider is not enabled any more, or the token is from before
    /// such a revocation.
    pub fn admit_external(
        &self,
        org: &OrgId,
        external: &ExternalIdentity,
        shown: &str,
    ) -> Result<LiveToken, CredentialFault> {
        let account = self.account_of(org).ok_or(CredentialFault::Unknown)?;
        if !account.is_active() {
            return Err(CredentialFault::Suspended);
        }
        let digest = Sha256::digest(shown.as_bytes());
        let (id, _) = digest
            .split_first_chunk::<16>()
            .expect("invariant: a SHA-256 has 32 bytes");
        let claims = TokenClaims {
            org: account.id.clone(),
            id: Uuid::from_bytes(*id),
            email: external.email.clone(),
            provider: external.provider.as_str().into(),
            facts: external.claims.clone(),
            scope: None,
            issued_at: external.issued_at,
            expires_at: external.expires_at,
            // Epochs are moments in microseconds.
            epoch: external.issued_at.unix_micros(),
        };
        let state = account.state.read();
        if state.is_disabled(&claims.provider) {
            return Err(CredentialFault::Revoked);
        }
        state
            .tokens
            .check_stay(&Issue::from(&claims), self.0.clock.wall())?;
        Ok(LiveToken {
            connection_until: claims.expires_at,
            claims,
        })
    }

    /// A temporary token for somebody whom a provider vouches for.
    ///
    /// # Errors
    /// [`CommandError`], also for what [`Directory::admit_external`] refuses.
    pub async fn exchange(
        &self,
        org: &OrgId,
        external: &ExternalIdentity,
        shown: &str,
        ttl_secs: Option<u32>,
    ) -> Result<TokenGrant, CommandError> {
        let admitted = self.admit_external(org, external, shown)?;
        tracing::debug!(actor = %Actor::Holder, org = %org, provider = external.provider, "token exchanged");
        self.issue_token(TokenOrder {
            ttl_secs,
            provider: admitted.claims.provider,
            facts: admitted.claims.facts,
            ..TokenOrder::new(org.as_str(), external.email.as_str())
        })
        .await
    }
}

impl Account {
    fn provider(&self, name: &str) -> Result<Provider, CommandError> {
        let state = self.state.read();
        let provider = state.providers.get(name).cloned();
        provider.ok_or_else(|| CommandError::not_found("provider"))
    }
}

impl super::account::AccountState {
    /// Whom the enabled providers trust, by their names.
    pub(super) fn enabled_trusts(&self) -> impl Iterator<Item = (&str, &Trust)> {
        let enabled = self.providers.values().filter(|provider| provider.record.enabled);
        enabled.map(|provider| {
            let settings = &provider.record.settings;
            (settings.name.as_str(), &settings.trust)
        })
    }

    /// Whether a provider's word does not count for now. What one that was removed had said was revoked.
    pub(super) fn is_disabled(&self, provider: &str) -> bool {
        let known = self.providers.get(provider);
        known.is_some_and(|known| !known.record.enabled)
    }
}

impl ProviderChanges {
    /// The audit trail's word for it.
    pub(super) fn action(&self) -> &'static str {
        let switch = Self {
            enabled: self.enabled,
            ..Self::default()
        };
        match self.enabled {
            Some(true) if *self == switch => "provider_enabled",
            Some(false) if *self == switch => "provider_disabled",
            Some(_) | None => "provider_updated",
        }
    }

    fn apply(self, record: &mut ProviderRecord) {
        let settings = &mut record.settings;
        if let Some(trust) = self.trust {
            settings.trust = trust;
        }
        if let Some(email_claim) = self.email_claim {
            settings.email_claim = email_claim;
        }
        if let Some(email_verification) = self.email_verification {
            settings.email_verification = email_verification;
        }
        if let Some(claims) = self.claims {
            settings.claims = claims;
        }
        if let Some(mqtt_password) = self.mqtt_password {
            settings.mqtt_password = mqtt_password;
        }
        if let Some(enabled) = self.enabled {
            record.enabled = enabled;
        }
    }
}

impl From<SettingsError> for CommandError {
    fn from(error: SettingsError) -> Self {
        Self::invalid(error.field, error.problem)
    }
}
