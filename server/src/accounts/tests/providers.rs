//! Identity providers: what they vouched for ends when it should.

use super::*;
use crate::accounts::command::ProviderChanges;
use crate::accounts::names::Email;
use crate::identity::ExternalIdentity;
use crate::identity::provider::ProviderSettings;

const SHOWN: &str = "the token that was shown";

fn settings(name: &str) -> ProviderSettings {
    let secret = "x".repeat(32);
    let settings =
        json!({ "name": name, "trust": { "type": "shared_secret", "issuer": "us", "secret": secret } });
    serde_json::from_value(settings).unwrap()
}

impl Bench {
    async fn provider(&self, org: &str, name: &str) {
        let (org, settings) = (org.into(), settings(name));
        self.run(Command::ProviderCreate { org, settings }).await.unwrap();
    }

    async fn switch(&self, org: &str, enabled: bool, end_connections: bool) {
        let command = Command::ProviderUpdate {
            org: org.into(),
            name: "web".into(),
            changes: ProviderChanges {
                enabled: Some(enabled),
                ..ProviderChanges::default()
            },
            end_connections,
        };
        self.run(command).await.unwrap();
    }

    /// Somebody with a token that was made now.
    fn external(&self) -> ExternalIdentity {
        ExternalIdentity {
            provider: "web".into(),
            email: Email::parse("john@example.com").unwrap(),
            claims: vec![("user_id".into(), "7".into())],
            issued_at: self.clock.wall(),
            expires_at: self.clock.wall().after(Duration::from_secs(600)),
        }
    }

    fn admit(&self, org: &str, external: &ExternalIdentity) -> Result<Identity, CredentialFault> {
        let token = self.directory.admit_external(&OrgId::new(org), external, SHOWN)?;
        Ok(token.identity(self.clock.instant_of(token.connection_until)))
    }
}

#[tokio::test]
async fn revoking_an_owner_ends_logins_by_external_tokens_from_before() {
    let bench = bench().await;
    let org = bench.org().await.id;
    bench.provider(&org, "web").await;
    let before = bench.external();
    let identity = bench.admit(&org, &before).unwrap();
    assert_eq!(identity.username.as_ref(), "john_example_com");
    assert_eq!(identity.claim("user_id"), Some("7"));
    assert!(bench.directory.standing(&identity).is_ok());
    bench.clock.advance(Duration::from_secs(1));
    let revoke = Command::TokenRevokeAll {
        org: org.clone(),
        of: TokensOf::UserEmail("john@example.com".into()),
    };
    bench.run(revoke).await.unwrap();
    assert!(bench.directory.standing(&identity).is_err());
    assert_eq!(bench.admit(&org, &before), Err(CredentialFault::Revoked));
    let exchanged = bench
        .directory
        .exchange(&OrgId::new(&org), &before, SHOWN, None)
        .await;
    assert!(exchanged.is_err());
    bench.clock.advance(Duration::from_secs(1));
    assert!(bench.admit(&org, &bench.external()).is_ok());
}

#[tokio::test]
async fn a_disabled_provider_holds_its_tokens_back_and_ends_them_only_if_told() {
    let bench = bench().await;
    let org = bench.org().await.id;
    bench.provider(&org, "web").await;
    let external = bench.external();
    let identity = bench.admit(&org, &external).unwrap();
    let grant = bench
        .directory
        .exchange(&OrgId::new(&org), &external, SHOWN, None)
        .await;
    let grant = grant.unwrap();
    bench.switch(&org, false, false).await;
    assert!(bench.directory.standing(&identity).is_ok());
    assert_eq!(bench.check(&grant), Err(CredentialFault::Revoked));
    assert!(bench.refresh(&grant).await.is_err(), "no renewal either");
    assert_eq!(bench.admit(&org, &external), Err(CredentialFault::Revoked));
    bench.switch(&org, true, false).await;
    assert!(bench.check(&grant).is_ok() && bench.admit(&org, &external).is_ok());
    bench.clock.advance(Duration::from_secs(1));
    let mut events = bench.directory.events();
    bench.switch(&org, false, true).await;
    assert_eq!(events.try_recv().unwrap().change.effect(), LiveEffect::CheckAll);
    assert!(bench.directory.standing(&identity).is_err());
    bench.switch(&org, true, false).await;
    assert_eq!(bench.check(&grant), Err(CredentialFault::Revoked));
    assert_eq!(bench.admit(&org, &external), Err(CredentialFault::Revoked));
}

#[tokio::test]
async fn providers_are_there_after_a_restart_with_what_was_ended() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let directory = on_disk(folder.path(), &clock).await;
    let bench = Bench { directory, clock };
    let org = bench.org().await.id;
    bench.provider(&org, "web").await;
    let external = bench.external();
    bench.clock.advance(Duration::from_secs(1));
    bench.switch(&org, false, true).await;
    let Bench { directory, clock } = bench;
    drop(directory);
    let directory = on_disk(folder.path(), &clock).await;
    let bench = Bench { directory, clock };
    assert_eq!(bench.admit(&org, &external), Err(CredentialFault::Revoked));
    bench.switch(&org, true, false).await;
    assert_eq!(bench.admit(&org, &external), Err(CredentialFault::Revoked));
    bench.clock.advance(Duration::from_secs(1));
    assert!(bench.admit(&org, &bench.external()).is_ok());
}
