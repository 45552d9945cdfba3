//! Keys of every kind, members and their logins, users that are disabled, and the audit trail.

use cloudsignal_broker::Credential;

use super::*;
use crate::accounts::command::{KeyOptions, MemberView};
use crate::accounts::limits::{AUDIT_ENTRIES_MAX, AUDIT_SECS_MAX, LOGIN_SECS, LOGINS_PER_MEMBER_MAX};
use crate::store::{Key, Table};

async fn made_key(bench: &Bench, org: &str, options: KeyOptions) -> (KeyView, Secret) {
    let (org, name) = (org.to_owned(), "made".to_owned());
    let made = bench.run(Command::KeyCreate { org, name, options }).await;
    let Ok(Outcome::KeyCreated { key, secret_key }) = made else {
        panic!("{made:?}")
    };
    (key, secret_key)
}

fn holder(bench: &Bench, secret: &Secret) -> Result<KeyHolder, CredentialFault> {
    bench.directory.check_api_key(secret.expose().as_bytes())
}

pub(super) async fn sign_up(bench: &Bench, email: &str) -> (OrgView, MemberView, Secret) {
    let command = Command::SignUp {
        organization_name: "Workshop".into(),
        email: email.into(),
        password: Secret::new("correct horse".into()),
    };
    let made = bench.run(command).await;
    let Ok(Outcome::SignedUp {
        org,
        member,
        secret_key,
        ..
    }) = made
    else {
        panic!("{made:?}")
    };
    (org, member, secret_key)
}

async fn log_in(
    bench: &Bench,
    org: Option<&str>,
    email: &str,
    password: &str,
) -> Result<LoggedIn, CommandError> {
    bench.clock.advance(Duration::from_secs(1));
    bench
        .directory
        .log_in(org, email, &Secret::new(password.into()))
        .await
}

pub(super) async fn trail(bench: &Bench, org: Option<&str>, filter: &AuditFilter) -> Vec<AuditEntry> {
    let org = org.map(OrgId::new);
    let page = PageRequest::default();
    let page = bench.directory.audit(org.as_ref(), filter, &page).await.unwrap();
    page.entries
}

#[tokio::test]
async fn a_key_may_do_what_its_kind_says_and_ends_when_it_says() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let scopes = ScopeSet::of(&[Scope::UsersRead]);
    let restricted = KeyOptions {
        kind: KeyKind::Restricted { scopes },
        expires_in_secs: Some(60),
    };
    let (view, secret) = made_key(&bench, &org, restricted).await;
    assert!(secret.expose().starts_with("rk_") && view.masked.starts_with("rk_..."));
    let held = holder(&bench, &secret).unwrap();
    assert!(held.kind.scopes().has(Scope::UsersRead) && !held.kind.scopes().has(Scope::UsersWrite));
    let reference = OrgRef::parse(&org).unwrap();
    assert_eq!(
        bench.directory.check_key(&reference, secret.expose().as_bytes()),
        Err(CredentialFault::Unknown),
        "only secret keys are passwords"
    );
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(holder(&bench, &secret), Err(CredentialFault::Expired));
    made_key(&bench, &org, KeyOptions::default()).await;
    assert_eq!(
        holder(&bench, &secret),
        Err(CredentialFault::Unknown),
        "it went with the next change"
    );
    let nothing = KeyOptions {
        kind: KeyKind::Restricted {
            scopes: ScopeSet::NONE,
        },
        expires_in_secs: None,
    };
    let made = Command::KeyCreate {
        org,
        name: "made".into(),
        options: nothing,
    };
    assert!(matches!(bench.run(made).await, Err(CommandError::Invalid { .. })));
}

#[tokio::test]
async fn a_rotated_key_ends_at_once_or_after_its_grace_and_stays_so_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let bench = Bench {
        directory: on_disk(folder.path(), &clock).await,
        clock: clock.clone(),
    };
    let org = bench.org().await.id;
    let rotate = async |key_id: &str, grace_secs| {
        let (org, key_id) = (org.clone(), key_id.to_owned());
        let rotated = bench
            .run(Command::KeyRotate {
                org,
                key_id,
                grace_secs,
            })
            .await;
        let Ok(Outcome::KeyRotated { key, secret_key, .. }) = rotated else {
            panic!("{rotated:?}")
        };
        (key, secret_key)
    };
    let (first, first_secret) = made_key(&bench, &org, KeyOptions::default()).await;
    let mut events = bench.directory.events();
    let (second, second_secret) = rotate(&first.id, 0).await;
    assert_eq!(holder(&bench, &first_secret), Err(CredentialFault::Unknown));
    assert_eq!(
        next(&mut events),
        Some(AccountChange::KeyRevoked { id: first.id.into() })
    );
    let (_, third_secret) = rotate(&second.id, 100).await;
    assert!(holder(&bench, &second_secret).is_ok() && holder(&bench, &third_secret).is_ok());
    assert!(matches!(
        next(&mut events).unwrap().effect(),
        LiveEffect::MoveDeadline(Credential::Key { .. }, _)
    ));
    drop(events);
    drop(bench);
    let bench = Bench {
        directory: on_disk(folder.path(), &clock).await,
        clock,
    };
    assert!(holder(&bench, &second_secret).is_ok() && holder(&bench, &third_secret).is_ok());
    bench.clock.advance(Duration::from_secs(100));
    assert_eq!(holder(&bench, &second_secret), Err(CredentialFault::Expired));
    assert!(holder(&bench, &third_secret).is_ok());
}

#[tokio::test]
async fn whoever_signs_up_owns_an_organization_and_can_log_in() {
    let bench = bench().await;
    let (org, member, secret_key) = sign_up(&bench, "Ada@Example.com").await;
    assert_eq!(
        (member.email.as_str(), member.role),
        ("ada@example.com", Role::Owner)
    );
    assert_eq!(holder(&bench, &secret_key).unwrap().kind, KeyKind::Secret);
    let login = log_in(&bench, None, "ada@example.com", "correct horse")
        .await
        .unwrap();
    assert_eq!(login.org.id, org.id);
    let held = holder(&bench, &login.secret).unwrap();
    let (email, role) = held.login.clone().unwrap();
    assert_eq!((email.as_str(), role), ("ada@example.com", Role::Owner));
    for (org, email, password) in [
        (None, "ada@example.com", "wrong"),
        (None, "bob@example.com", "correct horse"),
        (Some("org_k7xm4pqr2n5t"), "ada@example.com", "correct horse"),
    ] {
        let refused = log_in(&bench, org, email, password).await.map(|login| login.org);
        assert_eq!(
            refused,
            Err(CredentialFault::Unknown.into()),
            "{org:?} {email} {password}"
        );
    }
    bench.clock.advance(Duration::from_secs(LOGIN_SECS));
    assert_eq!(holder(&bench, &login.secret), Err(CredentialFault::Expired));
}

#[tokio::test]
async fn a_login_without_an_organization_finds_the_one_with_this_password() {
    let bench = bench().await;
    let (first, ..) = sign_up(&bench, "ada@example.com").await;
    let (second, ..) = sign_up(&bench, "ada@example.com").await;
    let update = Command::MemberUpdate {
        org: second.id.clone(),
        email: "ada@example.com".into(),
        role: None,
        password: Some(Secret::new("another horse".into())),
    };
    bench.run(update).await.unwrap();
    for (password, org) in [("correct horse", first.id), ("another horse", second.id)] {
        let login = log_in(&bench, None, "ada@example.com", password).await.unwrap();
        assert_eq!(login.org.id, org);
    }
}

#[tokio::test]
async fn the_oldest_login_makes_room_and_a_changed_member_logs_in_again() {
    let bench = bench().await;
    let (org, ..) = sign_up(&bench, "ada@example.com").await;
    let mut logins = Vec::new();
    for _ in 0..=LOGINS_PER_MEMBER_MAX {
        logins.push(
            log_in(&bench, None, "ada@example.com", "correct horse")
                .await
                .unwrap()
                .secret,
        );
    }
    let good = |login: &Secret| holder(&bench, login).is_ok();
    assert_eq!(
        logins.iter().map(good).filter(|good| *good).count(),
        LOGINS_PER_MEMBER_MAX
    );
    assert!(!good(&logins[0]));
    let update = Command::MemberUpdate {
        org: org.id.clone(),
        email: "ada@example.com".into(),
        role: None,
        password: Some(Secret::new("another horse".into())),
    };
    bench.run(update).await.unwrap();
    assert!(!logins.iter().any(good));
    assert!(
        log_in(&bench, None, "ada@example.com", "correct horse")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_organization_keeps_an_owner() {
    let bench = bench().await;
    let (org, ..) = sign_up(&bench, "ada@example.com").await;
    let demote = Command::MemberUpdate {
        org: org.id.clone(),
        email: "ada@example.com".into(),
        role: Some(Role::Viewer),
        password: None,
    };
    let remove = Command::MemberDelete {
        org: org.id.clone(),
        email: "ada@example.com".into(),
    };
    for command in [&demote, &remove] {
        let refused = bench.run(command.clone()).await;
        assert!(
            matches!(refused, Err(CommandError::Invalid { .. })),
            "{refused:?}"
        );
    }
    let create = Command::MemberCreate {
        org: org.id.clone(),
        email: "bob@example.com".into(),
        role: Role::Owner,
        password: None,
    };
    bench.run(create.clone()).await.unwrap();
    assert!(matches!(
        bench.run(create).await,
        Err(CommandError::Exists { .. })
    ));
    let login = log_in(&bench, None, "ada@example.com", "correct horse")
        .await
        .unwrap();
    bench.run(remove).await.unwrap();
    assert!(holder(&bench, &login.secret).is_err());
    let list = Command::MemberList {
        org: org.id,
        page: PageRequest::default(),
    };
    let Ok(Outcome::Members { members, .. }) = bench.run(list).await else {
        panic!()
    };
    assert_eq!(
        members.iter().map(|member| &member.email).collect::<Vec<_>>(),
        ["bob@example.com"]
    );
}

#[tokio::test]
async fn a_disabled_user_has_no_connections_until_enabled() {
    let bench = bench().await;
    let org = bench.org().await.id;
    user(&bench.directory, &org, "ada").await;
    let mut events = bench.directory.events();
    let enable = async |enabled| {
        let (org, name) = (org.clone(), "ada".to_owned());
        let command = Command::UserEnable { org, name, enabled };
        let Ok(Outcome::User { user, .. }) = bench.run(command).await else {
            panic!()
        };
        user.enabled
    };
    assert!(!enable(false).await);
    assert_eq!(
        next(&mut events),
        Some(AccountChange::UserDisabled { user: "ada".into() })
    );
    let username = format!("ada@{org}");
    let login = names::LoginName::parse(&username).unwrap();
    assert!(bench.directory.user_to_verify(&login).unwrap().is_none());
    assert!(enable(true).await);
    assert!(bench.directory.user_to_verify(&login).unwrap().is_some());
}

#[tokio::test]
async fn lists_of_users_can_be_narrowed_to_a_prefix() {
    let bench = bench().await;
    let org = bench.org().await.id;
    for name in ["a", "sensor-1", "sensor-2", "sensor-3", "z"] {
        user(&bench.directory, &org, name).await;
    }
    let list = async |after: Option<&str>| {
        let page = PageRequest {
            after: after.map(Into::into),
            limit: Some(2),
        };
        let (org, prefix) = (org.clone(), Some("sensor-".to_owned()));
        let Ok(Outcome::Users { users, next }) = bench.run(Command::UserList { org, prefix, page }).await
        else {
            panic!()
        };
        (users.into_iter().map(|user| user.name).collect::<Vec<_>>(), next)
    };
    let (first, next) = list(None).await;
    assert_eq!(
        (first, next.as_deref()),
        (
            vec!["sensor-1".to_owned(), "sensor-2".to_owned()],
            Some("sensor-2")
        )
    );
    assert_eq!(list(next.as_deref()).await, (vec!["sensor-3".to_owned()], None));
    assert_eq!(list(Some("a")).await.0.len(), 2);
}

#[tokio::test]
async fn every_change_is_in_the_trail_without_secrets() {
    let bench = bench().await;
    let (org, _, secret_key) = sign_up(&bench, "ada@example.com").await;
    let key = Actor::Key {
        id: holder(&bench, &secret_key).unwrap().id,
    };
    let create = Command::UserCreate {
        org: org.id.clone(),
        name: "bob".into(),
        password: Some(Secret::new("very secret text".into())),
    };
    bench
        .directory
        .execute_as(key.clone(), create.clone())
        .await
        .unwrap();
    bench.directory.execute_as(key.clone(), create).await.unwrap_err();
    made_key(&bench, &org.id, KeyOptions::default()).await;
    let all = trail(&bench, Some(&org.id), &AuditFilter::default()).await;
    let shown: Vec<_> = all
        .iter()
        .map(|entry| (entry.actor.as_str(), entry.action.as_str()))
        .collect();
    let by_key = key.to_string();
    assert_eq!(
        shown,
        [
            ("operator", "key_created"),
            (by_key.as_str(), "user_created"),
            ("operator", "organization_signed_up"),
        ]
    );
    assert_eq!(
        (all[1].entity.as_str(), all[1].entity_id.as_str()),
        ("user", "bob")
    );
    let text = serde_json::to_string(&all).unwrap();
    assert!(
        !text.contains("very secret text") && !text.contains("correct horse"),
        "{text}"
    );
    let only = AuditFilter {
        actor: Some(by_key),
        ..AuditFilter::default()
    };
    assert_eq!(trail(&bench, Some(&org.id), &only).await, [all[1].clone()]);
    let later = AuditFilter {
        since: Some(bench.clock.wall().after(Duration::from_secs(1))),
        ..AuditFilter::default()
    };
    assert_eq!(trail(&bench, Some(&org.id), &later).await, []);
}

#[tokio::test]
async fn the_operator_keeps_a_trail_of_organizations_that_are_gone() {
    let bench = bench().await;
    let (org, ..) = sign_up(&bench, "ada@example.com").await;
    bench
        .run(Command::OrgDelete { org: org.id.clone() })
        .await
        .unwrap();
    let of_operator: Vec<_> = trail(&bench, None, &AuditFilter::default())
        .await
        .into_iter()
        .map(|entry| (entry.action, entry.entity_id))
        .collect();
    assert_eq!(
        of_operator,
        [
            ("organization_deleted".to_owned(), org.id.clone()),
            ("organization_signed_up".to_owned(), org.id.clone()),
        ]
    );
    let (id, page) = (OrgId::new(&org.id), PageRequest::default());
    let gone = bench
        .directory
        .audit(Some(&id), &AuditFilter::default(), &page)
        .await;
    assert!(matches!(gone, Err(CommandError::NotFound { .. })));
}

#[tokio::test]
async fn the_trail_is_paged_bounded_and_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let directory = on_disk(folder.path(), &clock).await;
    let org = org(&directory).await.id;
    let id = OrgId::new(&org);
    let rename = async |directory: &Directory, number: u64| {
        let (org, name) = (org.clone(), format!("name {number}"));
        directory.execute(Command::OrgRename { org, name }).await.unwrap();
    };
    for number in 0..4 {
        rename(&directory, number).await;
    }
    drop(directory);
    let directory = on_disk(folder.path(), &clock).await;
    rename(&directory, 4).await;
    let (mut after, mut names) = (None, Vec::new());
    loop {
        let page = PageRequest {
            after,
            limit: Some(2),
        };
        let page = directory
            .audit(Some(&id), &AuditFilter::default(), &page)
            .await
            .unwrap();
        assert!(page.entries.len() <= 2);
        names.extend(
            page.entries
                .into_iter()
                .map(|entry| entry.details["name"].clone()),
        );
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let wanted = ["name 4", "name 3", "name 2", "name 1", "name 0", "Ada's workshop"];
    assert_eq!(names, wanted.map(|name| json!(name)));
    clock.advance(Duration::from_secs(AUDIT_SECS_MAX));
    let page = directory
        .audit(Some(&id), &AuditFilter::default(), &PageRequest::default())
        .await
        .unwrap();
    assert_eq!(page.entries, [], "entries end with their time");
    assert_eq!(AUDIT_ENTRIES_MAX % 1_000, 0);
}

#[tokio::test]
async fn the_oldest_entry_of_the_trail_makes_room() {
    let bench = bench().await;
    let org = bench.org().await.id;
    // As if all the others had been made.
    bench.directory.account(&org).unwrap().state.write().audit_next = AUDIT_ENTRIES_MAX;
    let rename = Command::OrgRename {
        org: org.clone(),
        name: "newer".into(),
    };
    bench.run(rename).await.unwrap();
    let made = AuditFilter {
        action: Some("organization_created".into()),
        ..AuditFilter::default()
    };
    assert_eq!(
        trail(&bench, Some(&org), &made).await,
        [],
        "the first entry is gone"
    );
    let all = trail(&bench, Some(&org), &AuditFilter::default()).await;
    assert_eq!((all.len(), &all[0].details["name"]), (1, &json!("newer")));
    let key = Key::of_org(&OrgId::new(&org), &format!("{:016x}", 0));
    assert_eq!(bench.directory.0.store.get(Table::Audit, &key).await, Ok(None));
}
