//! The directory as a whole: commands, what stays after a restart, what open connections are told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::broadcast;

use cloudsignal_broker::{Identity, OrgId, Policy};
use cloudsignal_core::codec::ReasonCode;

use super::acl::{PolicyDocument, Preset};
use super::command::{
    CredentialFault, KeyView, OrgState, OrgView, PageRequest, PolicySource, TokenGrant, TokensOf, UserView,
};
use super::limits::{KEYS_PER_ORG_MAX, TOKEN_FACTS_BYTES_MAX, TOKEN_FACTS_MAX, TOKEN_TTL_SECS_MAX};
use super::names::{OrgRef, generate_org_id};
use super::token_scope::ScopeGrant;
use super::*;
use crate::authn::password::{HashCost, PasswordPool};
use crate::clock::{Clock, WallTime};
use crate::store::conformance::copy_folder;
use crate::store::{DataLoss, fjall, memory};

mod corpus;
mod doubt;
mod listening;
mod people;
mod providers;
mod tokens;
mod trail;

struct Bench {
    directory: Directory,
    clock: Clock,
}

fn clock() -> Clock {
    Clock::manual(WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap())
}

fn pool() -> PasswordPool {
    PasswordPool::start(HashCost::LEAST, 1).unwrap()
}

async fn bench() -> Bench {
    let clock = clock();
    let store = Arc::new(memory::open(clock.clone()).unwrap());
    Bench {
        directory: Directory::open(store, clock.clone(), pool()).await.unwrap(),
        clock,
    }
}

async fn on_disk(folder: &Path, clock: &Clock) -> Directory {
    let store = Arc::new(fjall::open(folder, clock.clone(), DataLoss::Refused).unwrap());
    Directory::open(store, clock.clone(), pool()).await.unwrap()
}

impl Bench {
    async fn run(&self, command: Command) -> Result<Outcome, CommandError> {
        self.directory.execute(command).await
    }

    async fn org(&self) -> OrgView {
        org(&self.directory).await
    }

    async fn token(&self, org: &str, email: &str, replace_existing: bool) -> TokenGrant {
        let command = Command::TokenCreate {
            org: org.into(),
            email: email.into(),
            ttl_secs: None,
            replace_existing,
            scope: None,
        };
        let Outcome::Token(grant) = self.run(command).await.unwrap() else {
            panic!()
        };
        grant
    }

    async fn provided(&self, org: &str, provider: &str) -> TokenGrant {
        let order = TokenOrder {
            provider: provider.into(),
            ..TokenOrder::new(org, "provided@example.com")
        };
        self.directory.issue_token(order).await.unwrap()
    }

    fn check(&self, grant: &TokenGrant) -> Result<WallTime, CredentialFault> {
        self.directory
            .check_token(grant.password.expose())
            .map(|token| token.connection_until)
    }

    async fn refresh(&self, grant: &TokenGrant) -> Result<TokenGrant, CommandError> {
        let (token_id, password) = (grant.token_id.to_string(), grant.password.clone());
        let Outcome::Token(grant) = self.run(Command::TokenRefresh { token_id, password }).await? else {
            panic!()
        };
        Ok(grant)
    }

    /// Who a connection made with this token is.
    fn identity(&self, grant: &TokenGrant) -> Identity {
        let token = self.directory.check_token(grant.password.expose()).unwrap();
        self.directory.note_token_seen(&token);
        token.identity(self.clock.instant_of(token.connection_until))
    }
}

async fn org(directory: &Directory) -> OrgView {
    let command = Command::OrgCreate {
        name: "Ada's workshop".into(),
        preset: Preset::PermitAll,
    };
    let Outcome::OrgCreated { org, .. } = directory.execute(command).await.unwrap() else {
        panic!()
    };
    org
}

async fn user(directory: &Directory, org: &str, name: &str) -> (UserView, Option<Secret>) {
    let command = Command::UserCreate {
        org: org.into(),
        name: name.into(),
        password: None,
    };
    let Outcome::User { user, password } = directory.execute(command).await.unwrap() else {
        panic!()
    };
    (user, password)
}

fn key_list(org: &str) -> Command {
    Command::KeyList {
        org: org.into(),
        page: PageRequest::default(),
    }
}

async fn key(directory: &Directory, org: &str) -> (KeyView, Secret) {
    let command = Command::KeyCreate {
        org: org.into(),
        name: "backend".into(),
        options: command::KeyOptions::default(),
    };
    let Outcome::KeyCreated { key, secret_key } = directory.execute(command).await.unwrap() else {
        panic!()
    };
    (key, secret_key)
}

fn next(events: &mut broadcast::Receiver<AccountEvent>) -> Option<AccountChange> {
    events.try_recv().ok().map(|event| event.change)
}

#[tokio::test]
async fn an_organization_is_made_shown_and_found_by_both_ids() {
    let bench = bench().await;
    let mut events = bench.directory.events();
    let org = bench.org().await;
    assert_eq!(next(&mut events), Some(AccountChange::OrgCreated));
    assert_eq!((org.state, org.users, org.keys), (OrgState::Active, 0, 0));
    for name in [org.id.clone(), org.uuid.to_string()] {
        let Outcome::Org(shown) = bench.run(Command::OrgShow { org: name }).await.unwrap() else {
            panic!()
        };
        assert_eq!(shown, org);
    }
    assert_eq!(
        bench.directory.policy(&OrgId::new(&org.id)),
        Some(Policy::permit_all())
    );
    let missing = bench
        .run(Command::OrgShow {
            org: generate_org_id().to_string(),
        })
        .await;
    assert_eq!(
        missing.unwrap_err(),
        CommandError::NotFound {
            what: "organization".into()
        }
    );
}

#[tokio::test]
async fn lists_come_page_by_page() {
    let bench = bench().await;
    let org = bench.org().await;
    for name in ["ada", "bob", "cyd"] {
        user(&bench.directory, &org.id, name).await;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = PageRequest {
            after,
            limit: Some(2),
        };
        let command = Command::UserList {
            org: org.id.clone(),
            prefix: None,
            page,
        };
        let Outcome::Users { users, next } = bench.run(command).await.unwrap() else {
            panic!()
        };
        seen.extend(users.into_iter().map(|user| user.name));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["ada", "bob", "cyd"]);
    bench.org().await;
    let first = Command::OrgList(PageRequest {
        after: None,
        limit: Some(1),
    });
    let Outcome::Orgs { orgs, next } = bench.run(first).await.unwrap() else {
        panic!()
    };
    assert_eq!((orgs.len(), next.as_ref()), (1, Some(&orgs[0].id)));
    let second = Command::OrgList(PageRequest {
        after: next,
        limit: Some(1),
    });
    let Outcome::Orgs { orgs, next } = bench.run(second).await.unwrap() else {
        panic!()
    };
    assert_eq!((orgs.len(), next), (1, None));
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_its_name() {
    let bench = bench().await;
    let org = bench.org().await.id;
    user(&bench.directory, &org, "ada").await;
    let create = |name: &str, password: Option<&str>| Command::UserCreate {
        org: org.clone(),
        name: name.into(),
        password: password.map(|password| Secret::new(password.into())),
    };
    for (command, expected) in [
        (create("a/b", None), "name must not contain /, + or #"),
        (create("bob", Some("short")), "password must have 8 to 1024 bytes"),
        (create("ada", None), "this user exists already"),
        (
            Command::UserDelete {
                org: org.clone(),
                name: "bob".into(),
            },
            "there is no such user",
        ),
        (
            Command::KeyRevoke {
                org: org.clone(),
                key_id: "key_x".into(),
            },
            "there is no such key",
        ),
        (
            Command::OrgCreate {
                name: "\n".into(),
                preset: Preset::Blank,
            },
            "name must not contain control characters",
        ),
        (
            Command::TokenRevoke {
                org: org.clone(),
                token_id: "tkn_".into(),
            },
            "token_id must be a UUID: the token's id, not its password",
        ),
    ] {
        assert_eq!(bench.run(command).await.unwrap_err().to_string(), expected);
    }
}

/// What an organization did before the restart.
struct Past {
    org: OrgView,
    ada: UserView,
    key: KeyView,
    secret_key: Secret,
    good: TokenGrant,
    replaced: TokenGrant,
    revoked: TokenGrant,
    cut: [TokenGrant; 2],
}

impl Past {
    async fn of(bench: &Bench) -> Self {
        let org = bench.org().await;
        let id = org.id.clone();
        let (ada, _) = user(&bench.directory, &id, "ada").await;
        user(&bench.directory, &id, "bob").await;
        bench
            .run(Command::UserDelete {
                org: id.clone(),
                name: "bob".into(),
            })
            .await
            .unwrap();
        let (key, secret_key) = key(&bench.directory, &id).await;
        let used = bench
            .directory
            .check_key(&OrgRef::parse(&id).unwrap(), secret_key.expose().as_bytes());
        assert!(used.is_ok());
        let good = bench.token(&id, "good@example.com", true).await;
        let good = bench.refresh(&good).await.unwrap();
        let replaced = bench.token(&id, "replaced@example.com", false).await;
        bench.token(&id, "replaced@example.com", true).await;
        let revoked = bench.token(&id, "revoked@example.com", false).await;
        let revoke = Command::TokenRevoke {
            org: id.clone(),
            token_id: revoked.token_id.to_string(),
        };
        bench.run(revoke).await.unwrap();
        let cut = [
            bench.token(&id, "cut@example.com", false).await,
            bench.provided(&id, "supabase").await,
        ];
        for of in [
            TokensOf::UserEmail("cut@example.com".into()),
            TokensOf::Provider("supabase".into()),
        ] {
            let org = id.clone();
            bench.run(Command::TokenRevokeAll { org, of }).await.unwrap();
        }
        let policy = PolicySource::Preset(Preset::OwnTopics);
        bench
            .run(Command::AclSet {
                org: id.clone(),
                policy,
                if_match: None,
            })
            .await
            .unwrap();
        bench.run(Command::OrgSuspend { org: id }).await.unwrap();
        Self {
            org,
            ada,
            key,
            secret_key,
            good,
            replaced,
            revoked,
            cut,
        }
    }
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let bench = Bench {
        directory: on_disk(folder.path(), &clock).await,
        clock,
    };
    let past = Past::of(&bench).await;
    let Bench { directory, clock } = bench;
    drop(directory);

    let bench = Bench {
        directory: on_disk(folder.path(), &clock).await,
        clock,
    };
    let org = past.org.id.clone();
    assert_eq!(bench.check(&past.good), Err(CredentialFault::Suspended));
    let resumed = bench.run(Command::OrgResume { org: org.clone() }).await.unwrap();
    let Outcome::Org(shown) = resumed else { panic!() };
    assert_eq!(
        shown,
        OrgView {
            users: 1,
            keys: 1,
            ..past.org
        }
    );
    let list = Command::UserList {
        org: org.clone(),
        prefix: None,
        page: PageRequest::default(),
    };
    let Outcome::Users { users, .. } = bench.run(list).await.unwrap() else {
        panic!()
    };
    assert_eq!(users, [past.ada]);
    let listed = bench.run(key_list(&org)).await.unwrap();
    let Outcome::Keys { keys, .. } = listed else {
        panic!()
    };
    assert_eq!(keys[0].last_used_at, Some(bench.clock.wall()));
    let reference = OrgRef::parse(&org).unwrap();
    let checked = bench
        .directory
        .check_key(&reference, past.secret_key.expose().as_bytes());
    assert_eq!(checked.unwrap().id, past.key.id.into());
    assert_eq!(bench.check(&past.good), Ok(past.good.expires_at));
    assert_eq!(bench.check(&past.replaced), Err(CredentialFault::Revoked));
    for grant in [&past.revoked, &past.cut[0], &past.cut[1]] {
        assert_eq!(bench.check(grant), Err(CredentialFault::Revoked));
    }
    let later = bench.provided(&org, "supabase").await;
    assert!(
        bench.check(&later).is_ok(),
        "marks are about what was before them"
    );
    let expected = PolicyDocument::of_preset(Preset::OwnTopics);
    assert_eq!(
        bench.directory.policy(&OrgId::new(&org)).as_ref(),
        Some(expected.policy())
    );
}

#[tokio::test]
async fn a_crash_right_after_an_answer_loses_nothing() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let bench = Bench {
        directory: on_disk(folder.path(), &clock).await,
        clock: clock.clone(),
    };
    let org = bench.org().await.id;
    for number in 0..10 {
        let name = format!("user-{number}");
        user(&bench.directory, &org, &name).await;
        let after_crash = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), after_crash.path());
        let directory = on_disk(after_crash.path(), &clock).await;
        let list = Command::UserList {
            org: org.clone(),
            prefix: None,
            page: PageRequest::default(),
        };
        let Outcome::Users { users, .. } = directory.execute(list).await.unwrap() else {
            panic!()
        };
        assert_eq!((users.len(), &users[number].name), (number + 1, &name));
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_good_until_it_is_revoked() {
    let bench = bench().await;
    let (org, other) = (bench.org().await, bench.org().await);
    let (view, secret) = key(&bench.directory, &org.id).await;
    assert!(secret.expose().starts_with("sk_"));
    assert!(
        secret
            .expose()
            .ends_with(view.masked.strip_prefix("sk_...").unwrap())
    );
    let check = |org: &str| {
        bench
            .directory
            .check_key(&OrgRef::parse(org).unwrap(), secret.expose().as_bytes())
            .map(|holder| (holder.org, holder.id))
    };
    assert_eq!(
        check(&org.uuid.to_string()),
        Ok((OrgId::new(&org.id), view.id.as_str().into()))
    );
    assert_eq!(
        check(&other.id),
        Err(CredentialFault::Unknown),
        "a key of another organization"
    );
    let Outcome::Keys { keys, .. } = bench.run(key_list(&org.id)).await.unwrap() else {
        panic!()
    };
    assert_eq!(
        keys,
        [KeyView {
            last_used_at: Some(bench.clock.wall()),
            ..view.clone()
        }]
    );
    let mut events = bench.directory.events();
    bench
        .run(Command::KeyRevoke {
            org: org.id.clone(),
            key_id: view.id.clone(),
        })
        .await
        .unwrap();
    assert_eq!(
        next(&mut events),
        Some(AccountChange::KeyRevoked { id: view.id.into() })
    );
    assert_eq!(check(&org.id), Err(CredentialFault::Unknown));
    for _ in 0..KEYS_PER_ORG_MAX {
        key(&bench.directory, &org.id).await;
    }
    let one_more = bench
        .run(Command::KeyCreate {
            org: org.id.clone(),
            name: "x".into(),
            options: command::KeyOptions::default(),
        })
        .await;
    assert!(matches!(one_more, Err(CommandError::Limit { .. })));
}

#[tokio::test]
async fn suspending_refuses_everybody_until_it_is_resumed() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let grant = bench.token(&org, "a@b.c", false).await;
    let (_, secret) = key(&bench.directory, &org).await;
    let identity = bench.identity(&grant);
    let mut events = bench.directory.events();
    bench.run(Command::OrgSuspend { org: org.clone() }).await.unwrap();
    let effect = LiveEffect::EndAll(ReasonCode::AdministrativeAction);
    assert_eq!(next(&mut events).unwrap().effect(), effect);
    let reference = OrgRef::parse(&org).unwrap();
    let suspended = CredentialFault::Suspended;
    assert_eq!(bench.check(&grant), Err(suspended));
    assert_eq!(
        bench.directory.check_key(&reference, secret.expose().as_bytes()),
        Err(suspended)
    );
    assert_eq!(
        bench.directory.standing(&identity),
        Err(Gone::Credential(suspended))
    );
    bench.run(Command::OrgResume { org: org.clone() }).await.unwrap();
    assert!(bench.check(&grant).is_ok());
}

#[tokio::test]
async fn a_deleted_organization_leaves_nothing_behind() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let directory = on_disk(folder.path(), &clock).await;
    let (gone, stays) = (org(&directory).await, org(&directory).await);
    user(&directory, &gone.id, "ada").await;
    user(&directory, &stays.id, "ada").await;
    let (_, secret) = key(&directory, &gone.id).await;
    directory
        .execute(Command::OrgDelete {
            org: gone.uuid.to_string(),
        })
        .await
        .unwrap();
    let reference = OrgRef::parse(&gone.id).unwrap();
    let unknown = Err(CredentialFault::Unknown);
    assert_eq!(
        directory.check_key(&reference, secret.expose().as_bytes()),
        unknown
    );
    assert_eq!(directory.org_ids(), [OrgId::new(&stays.id)]);
    drop(directory);
    let directory = on_disk(folder.path(), &clock).await;
    assert_eq!(directory.org_ids(), [OrgId::new(&stays.id)]);
    let Outcome::Org(shown) = directory
        .execute(Command::OrgShow { org: stays.id })
        .await
        .unwrap()
    else {
        panic!()
    };
    assert_eq!(shown.users, 1);
}

#[tokio::test]
async fn a_new_policy_is_told_and_a_faulty_one_changes_nothing() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let mut events = bench.directory.events();
    let set = |document| Command::AclSet {
        org: org.clone(),
        policy: PolicySource::Document(document),
        if_match: None,
    };
    let faulty = bench
        .run(set(json!({ "version": "2.1", "rules": [{}] })))
        .await
        .unwrap_err();
    assert!(
        matches!(faulty, CommandError::Policy { ref faults } if faults.len() == 2),
        "{faulty}"
    );
    assert_eq!(next(&mut events), None);
    assert_eq!(
        bench.directory.policy(&OrgId::new(&org)),
        Some(Policy::permit_all())
    );
    let document = json!({ "version": "2.1", "rules": [{ "topic": "a", "action": "pub" }] });
    bench.run(set(document.clone())).await.unwrap();
    assert_eq!(next(&mut events).unwrap().effect(), LiveEffect::NewPolicy);
    assert_eq!(bench.directory.policy(&OrgId::new(&org)).unwrap().rules.len(), 1);
    let get = Command::AclGet { org: org.clone() };
    let Outcome::Acl(view) = bench.run(get).await.unwrap() else {
        panic!()
    };
    assert_eq!(view.policy, document);
    let set_if = |etag: &str| Command::AclSet {
        org: org.clone(),
        policy: PolicySource::Preset(Preset::Blank),
        if_match: Some(vec![etag.to_owned()]),
    };
    let stale = bench.run(set_if("0000000000000000")).await.unwrap_err();
    assert!(matches!(stale, CommandError::Stale { .. }), "{stale}");
    assert_eq!(bench.directory.policy(&OrgId::new(&org)).unwrap().rules.len(), 1);
    bench.run(set_if(&view.etag)).await.unwrap();
    assert_eq!(
        bench.directory.policy(&OrgId::new(&org)),
        Some(Policy::deny_all())
    );
}

#[tokio::test]
async fn of_many_racing_creations_of_a_user_one_wins() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let mut racing = Vec::new();
    for _ in 0..20 {
        let (directory, org) = (bench.directory.clone(), org.clone());
        racing.push(tokio::spawn(async move {
            let command = Command::UserCreate {
                org,
                name: "ada".into(),
                password: None,
            };
            directory.execute(command).await.is_ok()
        }));
    }
    let mut won = 0;
    for racer in racing {
        won += usize::from(racer.await.unwrap());
    }
    assert_eq!(won, 1);
}

#[test]
fn a_command_hides_its_secrets() {
    let secret = Command::UserCreate {
        org: "o".into(),
        name: "n".into(),
        password: Some(Secret::new("hidden".into())),
    };
    assert!(!format!("{secret:?}").contains("hidden"));
}
