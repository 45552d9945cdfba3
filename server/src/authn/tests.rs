//! Logins of every kind, good and bad.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use cloudsignal_broker::{Access, Credential, Identity};

use super::password::HashCost;
use super::throttle::{FAILURES_PER_ACCOUNT_MAX, WINDOW_SECS};
use super::*;
use crate::accounts::acl::Preset;
use crate::accounts::command::{OrgView, TokenGrant};
use crate::accounts::names::generate_org_id;
use crate::accounts::{Command, Directory, Outcome, Secret};
use crate::clock::{Clock, WallTime};
use crate::store::memory;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const PASSWORD: &str = "correct horse";

struct Bench {
    authenticator: Authenticator,
    directory: Directory,
    clock: Clock,
    org: OrgView,
}

impl Bench {
    async fn new() -> Self {
        let clock = Clock::manual(WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap());
        let store = Arc::new(memory::open(clock.clone()).unwrap());
        let pool = PasswordPool::start(HashCost::LEAST, 1).unwrap();
        let directory = Directory::open(store, clock.clone(), pool.clone()).await.unwrap();
        let authenticator = Authenticator::new(directory.clone(), pool, clock.clone());
        let org = new_org(&directory).await;
        let bench = Self {
            authenticator,
            directory,
            clock,
            org,
        };
        let password = Some(Secret::new(PASSWORD.into()));
        bench
            .run(Command::UserCreate {
                org: bench.org.id.clone(),
                name: "ada".into(),
                password,
            })
            .await;
        bench
    }

    async fn run(&self, command: Command) -> Outcome {
        self.directory.execute(command).await.unwrap()
    }

    async fn login_from(&self, source: IpAddr, username: &str, password: &str) -> Result<Identity, Refusal> {
        let login = Login {
            username: Some(username),
            password: Some(password.as_bytes()),
            certificate: None,
            source,
        };
        self.authenticator.authenticate(login).await
    }

    async fn login(&self, username: &str, password: &str) -> Result<Identity, Refusal> {
        self.login_from(HOME, username, password).await
    }

    fn ada(&self) -> String {
        format!("ada@{}", self.org.id)
    }

    async fn token(&self, org: &str) -> TokenGrant {
        let email = "john@example.com".to_owned();
        let command = Command::TokenCreate {
            org: org.into(),
            email,
            ttl_secs: None,
            replace_existing: false,
            scope: None,
        };
        let Outcome::Token(grant) = self.run(command).await else {
            panic!()
        };
        grant
    }

    async fn key(&self, org: &str) -> (String, Secret) {
        let command = Command::KeyCreate {
            org: org.into(),
            name: "backend".into(),
            options: crate::accounts::command::KeyOptions::default(),
        };
        let Outcome::KeyCreated { key, secret_key } = self.run(command).await else {
            panic!()
        };
        (key.id, secret_key)
    }
}

async fn new_org(directory: &Directory) -> OrgView {
    let command = Command::OrgCreate {
        name: "Workshop".into(),
        preset: Preset::PermitAll,
    };
    let Outcome::OrgCreated { org, .. } = directory.execute(command).await.unwrap() else {
        panic!()
    };
    org
}

#[tokio::test]
async fn a_user_logs_in_with_either_id_of_the_organization() {
    let bench = Bench::new().await;
    let identity = bench.login(&bench.ada(), PASSWORD).await.unwrap();
    assert_eq!(
        (identity.org.as_str(), &*identity.username),
        (bench.org.id.as_str(), "ada")
    );
    assert_eq!(identity.credential, Credential::Password { user: "ada".into() });
    assert_eq!((identity.access, identity.expires_at), (Access::Policy, None));
    assert_eq!(bench.directory.standing(&identity), Ok(None));
    let by_uuid = bench
        .login(&format!("ada@{}", bench.org.uuid), PASSWORD)
        .await
        .unwrap();
    assert_eq!(by_uuid, identity);
}

#[tokio::test]
async fn what_is_wrong_or_missing_is_one_and_the_same_refusal() {
    let bench = Bench::new().await;
    let org = bench.org.id.clone();
    let other = new_org(&bench.directory).await.id;
    let long = "x".repeat(2_000);
    for (username, password) in [
        (bench.ada(), "wrong"),
        (bench.ada(), ""),
        (bench.ada(), &long),
        (format!("bob@{org}"), PASSWORD),
        (format!("ada@{other}"), PASSWORD),
        (format!("ada@{}", generate_org_id()), PASSWORD),
        (format!("@{org}"), PASSWORD),
        (format!(" ada@{org}"), PASSWORD),
        ("ada".into(), PASSWORD),
        ("ada@".into(), PASSWORD),
        (String::new(), PASSWORD),
        (format!("server@{org}"), "sk_wrong"),
        (format!("server@{org}"), PASSWORD),
        (bench.ada(), "tkn_wrong"),
    ] {
        assert_eq!(
            bench.login(&username, password).await,
            Err(Refusal::BadCredentials),
            "{username}"
        );
    }
    for login in [
        Login {
            username: None,
            password: Some(PASSWORD.as_bytes()),
            certificate: None,
            source: HOME,
        },
        Login {
            username: Some(&bench.ada()),
            password: None,
            certificate: None,
            source: HOME,
        },
        Login {
            username: Some(&bench.ada()),
            password: Some(b"tkn_\xff"),
            certificate: None,
            source: HOME,
        },
    ] {
        assert_eq!(
            bench.authenticator.authenticate(login).await,
            Err(Refusal::BadCredentials)
        );
    }
}

#[tokio::test]
async fn a_token_logs_its_principal_in_until_it_ends() {
    let bench = Bench::new().await;
    let grant = bench.token(&bench.org.id).await;
    let identity = bench
        .login(&grant.username, grant.password.expose())
        .await
        .unwrap();
    assert_eq!(
        (&*identity.username, &*identity.principal),
        ("john_example_com", "token/john@example.com")
    );
    assert_eq!(identity.claim("email"), Some("john@example.com"));
    assert_eq!(identity.expires_at, Some(bench.clock.now().after_secs(3_600)));
    assert_eq!(bench.directory.standing(&identity), Ok(identity.expires_at));
    let by_uuid = format!("john_example_com@{}", bench.org.uuid);
    assert_eq!(
        bench.login(&by_uuid, grant.password.expose()).await.unwrap(),
        identity
    );
    let password = grant.password.clone();
    bench.clock.advance(Duration::from_secs(1_800));
    bench
        .run(Command::TokenRefresh {
            token_id: grant.token_id.to_string(),
            password,
        })
        .await;
    let again = bench
        .login(&grant.username, grant.password.expose())
        .await
        .unwrap();
    assert_eq!(
        again.expires_at,
        Some(bench.clock.now().after_secs(3_600)),
        "the old password, the new deadline"
    );
    assert_eq!(again.principal, identity.principal);
    bench.clock.advance(Duration::from_secs(1_800));
    assert_eq!(
        bench.login(&grant.username, grant.password.expose()).await,
        Err(Refusal::Expired)
    );
}

#[tokio::test]
async fn a_token_is_good_for_its_own_name_and_organization_only() {
    let bench = Bench::new().await;
    let other = new_org(&bench.directory).await;
    let grant = bench.token(&bench.org.id).await;
    let password = grant.password.expose();
    for username in [
        bench.ada(),
        format!("john_example_com@{}", other.id),
        format!("john@example.com@{}", bench.org.id),
    ] {
        assert_eq!(
            bench.login(&username, password).await,
            Err(Refusal::BadCredentials),
            "{username}"
        );
    }
    let revoke = Command::TokenRevoke {
        org: bench.org.id.clone(),
        token_id: grant.token_id.to_string(),
    };
    bench.run(revoke).await;
    assert_eq!(
        bench.login(&grant.username, password).await,
        Err(Refusal::Revoked)
    );
}

#[tokio::test]
async fn a_secret_key_logs_the_server_in() {
    let bench = Bench::new().await;
    let other = new_org(&bench.directory).await;
    let (id, secret) = bench.key(&bench.org.id).await;
    let server = format!("server@{}", bench.org.id);
    let identity = bench.login(&server, secret.expose()).await.unwrap();
    assert_eq!(
        identity.credential,
        Credential::Key {
            id: id.as_str().into()
        }
    );
    assert_eq!(identity.access, Access::Full);
    assert_eq!(bench.directory.standing(&identity), Ok(None));
    let foreign = format!("server@{}", other.id);
    assert_eq!(
        bench.login(&foreign, secret.expose()).await,
        Err(Refusal::BadCredentials)
    );
    assert_eq!(
        bench.login(&bench.ada(), secret.expose()).await,
        Err(Refusal::BadCredentials)
    );
    bench
        .run(Command::KeyRevoke {
            org: bench.org.id.clone(),
            key_id: id,
        })
        .await;
    assert_eq!(
        bench.login(&server, secret.expose()).await,
        Err(Refusal::BadCredentials)
    );
    assert!(bench.directory.standing(&identity).is_err());
}

#[tokio::test]
async fn a_suspended_organization_refuses_everybody_for_good() {
    let bench = Bench::new().await;
    let grant = bench.token(&bench.org.id).await;
    let (_, secret) = bench.key(&bench.org.id).await;
    bench
        .run(Command::OrgSuspend {
            org: bench.org.id.clone(),
        })
        .await;
    let server = format!("server@{}", bench.org.id);
    for (username, password) in [
        (bench.ada(), PASSWORD),
        (grant.username, grant.password.expose()),
        (server, secret.expose()),
    ] {
        assert_eq!(
            bench.login(&username, password).await,
            Err(Refusal::Suspended),
            "{username}"
        );
    }
}

#[tokio::test]
async fn a_changed_password_ends_the_old_one_at_once_even_in_the_cache() {
    let bench = Bench::new().await;
    let identity = bench.login(&bench.ada(), PASSWORD).await.unwrap();
    let password = Some(Secret::new("another horse".into()));
    let change = Command::UserSetPassword {
        org: bench.org.id.clone(),
        name: "ada".into(),
        password,
    };
    bench.run(change).await;
    assert_eq!(
        bench.login(&bench.ada(), PASSWORD).await,
        Err(Refusal::BadCredentials)
    );
    assert!(
        bench.directory.standing(&identity).is_err(),
        "the connection has to go"
    );
    let identity = bench.login(&bench.ada(), "another horse").await.unwrap();
    bench
        .run(Command::UserDelete {
            org: bench.org.id.clone(),
            name: "ada".into(),
        })
        .await;
    assert_eq!(
        bench.login(&bench.ada(), "another horse").await,
        Err(Refusal::BadCredentials)
    );
    bench.clock.advance(Duration::from_secs(1));
    let password = Some(Secret::new("another horse".into()));
    bench
        .run(Command::UserCreate {
            org: bench.org.id.clone(),
            name: "ada".into(),
            password,
        })
        .await;
    assert!(bench.login(&bench.ada(), "another horse").await.is_ok());
    assert!(
        bench.directory.standing(&identity).is_err(),
        "a namesake is somebody else"
    );
}

#[tokio::test]
async fn a_flood_of_failures_is_held_back_and_hurts_nobody_else() {
    let bench = Bench::new().await;
    assert!(bench.login(&bench.ada(), PASSWORD).await.is_ok());
    for _ in 0..FAILURES_PER_ACCOUNT_MAX {
        assert_eq!(
            bench.login(&bench.ada(), "wrong").await,
            Err(Refusal::BadCredentials)
        );
    }
    for _ in 0..1_000 {
        assert_eq!(bench.login(&bench.ada(), "wrong").await, Err(Refusal::TooMany));
    }
    assert!(
        bench.login(&bench.ada(), PASSWORD).await.is_ok(),
        "known from before, from the same source"
    );
    assert!(bench.login_from(AWAY, &bench.ada(), PASSWORD).await.is_ok());
    let grant = bench.token(&bench.org.id).await;
    assert!(
        bench
            .login(&grant.username, grant.password.expose())
            .await
            .is_ok(),
        "tokens are not held back"
    );
    bench.clock.advance(Duration::from_secs(u64::from(WINDOW_SECS)));
    assert_eq!(
        bench.login(&bench.ada(), "wrong").await,
        Err(Refusal::BadCredentials)
    );
}

#[tokio::test]
async fn unknown_users_are_held_back_like_known_ones() {
    let bench = Bench::new().await;
    let nobody = format!("nobody@{}", bench.org.id);
    for _ in 0..FAILURES_PER_ACCOUNT_MAX {
        assert_eq!(bench.login(&nobody, "wrong").await, Err(Refusal::BadCredentials));
    }
    assert_eq!(bench.login(&nobody, "wrong").await, Err(Refusal::TooMany));
}

#[test]
fn a_login_never_prints_its_password() {
    let login = Login {
        username: Some("ada@org"),
        password: Some(b"hidden"),
        certificate: None,
        source: HOME,
    };
    let printed = format!("{login:?}");
    assert!(printed.contains("ada") && !printed.contains("hidden") && !printed.contains("104, 105"));
}

#[tokio::test]
async fn a_password_that_looks_like_a_token_of_a_provider_is_a_password_where_there_is_none() {
    let bench = Bench::new().await;
    let looks = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ1cyJ9.";
    let password = Some(Secret::new(looks.into()));
    let change = Command::UserSetPassword {
        org: bench.org.id.clone(),
        name: "ada".into(),
        password,
    };
    bench.run(change).await;
    assert!(bench.login(&bench.ada(), looks).await.is_ok());
}
