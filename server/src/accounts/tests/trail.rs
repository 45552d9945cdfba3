//! The audit trail: stored with what it tells of, and judged at the same moment.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use uuid::Uuid;

use super::people::{sign_up, trail};
use super::*;
use crate::store::{Key, Seq, Table};

/// Where a key of the configuration was last written.
async fn written_at(directory: &Directory, table: Table, key: &Key) -> Seq {
    let entry = directory.store().get(table, key).await.unwrap();
    entry.expect("it is stored").seq
}

#[tokio::test]
async fn an_entry_is_stored_in_the_commit_of_its_change() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let id = OrgId::new(&org);
    let create = Command::UserCreate {
        org: org.clone(),
        name: "bob".into(),
        password: Some(Secret::new("correct horse".into())),
    };
    bench.run(create).await.unwrap();
    let rename = Command::OrgRename {
        org: org.clone(),
        name: "Renamed".into(),
    };
    bench.run(rename).await.unwrap();
    let directory = &bench.directory;
    let (user, entry) = (
        Key::of_org(&id, "user/bob"),
        Key::of_org(&id, &format!("{:016x}", 1)),
    );
    assert_eq!(
        written_at(directory, Table::Config, &user).await,
        written_at(directory, Table::Audit, &entry).await
    );
    let record = written_at(directory, Table::Config, &Key::of_system(&format!("org/{org}"))).await;
    let number = format!("{:016x}", 2);
    for entry in [Key::of_org(&id, &number), Key::of_system(&format!("{:016x}", 1))] {
        assert_eq!(
            written_at(directory, Table::Audit, &entry).await,
            record,
            "in both trails"
        );
    }
}

#[tokio::test]
async fn what_changes_nothing_or_is_refused_is_no_entry() {
    let bench = bench().await;
    let org = bench.org().await.id;
    let before = trail(&bench, Some(&org), &AuditFilter::default()).await.len();
    let resume = Command::OrgResume { org: org.clone() };
    bench.run(resume).await.unwrap();
    bench.token(&org, "ada@example.com", true).await;
    let delete = Command::UserDelete {
        org: org.clone(),
        name: "nobody".into(),
    };
    bench.run(delete).await.unwrap_err();
    let nobody = SentAway {
        client_id: None,
        chosen_by: vec![("all", json!(true))],
        forget: false,
        disconnected: 0,
        forgotten: 0,
    };
    bench
        .directory
        .note_sent_away(Actor::Operator, &OrgId::new(&org), nobody)
        .await;
    assert_eq!(
        trail(&bench, Some(&org), &AuditFilter::default()).await.len(),
        before
    );
}

#[tokio::test]
async fn revocations_at_once_and_clients_sent_away_have_an_entry_each() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let directory = on_disk(folder.path(), &clock).await;
    let bench = Bench { directory, clock };
    let org = bench.org().await.id;
    let ids: Vec<_> = (0..40).map(|_| Uuid::new_v4().to_string()).collect();
    let revocations = ids.iter().map(|token_id| Command::TokenRevoke {
        org: org.clone(),
        token_id: token_id.clone(),
    });
    for outcome in join_all(revocations.map(|revoke| bench.run(revoke))).await {
        outcome.unwrap();
    }
    let sent = SentAway {
        client_id: None,
        chosen_by: vec![("search", json!("x".repeat(5_000)))],
        forget: true,
        disconnected: 3,
        forgotten: 4,
    };
    let actor = Actor::Key { id: "key_x".into() };
    bench
        .directory
        .note_sent_away(actor, &OrgId::new(&org), sent)
        .await;
    drop(bench.directory);
    let directory = on_disk(folder.path(), &bench.clock).await;
    let bench = Bench { directory, ..bench };
    let entries = trail(&bench, Some(&org), &AuditFilter::default()).await;
    let revoked: BTreeSet<_> = entries
        .iter()
        .filter(|entry| entry.action == "token_revoked")
        .map(|entry| entry.entity_id.clone())
        .collect();
    assert_eq!(revoked, ids.into_iter().collect());
    let last = &entries[0];
    assert_eq!(
        (last.actor.as_str(), last.action.as_str()),
        ("key:key_x", "sessions_disconnected")
    );
    assert_eq!(
        (&last.details["disconnected"], &last.details["forgotten"]),
        (&json!(3), &json!(4))
    );
    assert!(last.details["search"].as_str().unwrap().len() < 300, "cut");
}

#[tokio::test]
async fn power_over_members_is_judged_as_it_is_when_the_change_happens() {
    let bench = bench().await;
    let (org, ..) = sign_up(&bench, "ada@example.com").await;
    for email in ["eve@example.com", "bob@example.com"] {
        let create = Command::MemberCreate {
            org: org.id.clone(),
            email: email.into(),
            role: Role::Admin,
            password: None,
        };
        bench.run(create).await.unwrap();
    }
    let eve = Actor::Member {
        email: "eve@example.com".into(),
    };
    let set = |email: &str, role| Command::MemberUpdate {
        org: org.id.clone(),
        email: email.into(),
        role: Some(role),
        password: None,
    };
    let as_eve = |command| bench.directory.execute_as(eve.clone(), command);
    as_eve(set("bob@example.com", Role::Member)).await.unwrap();
    for command in [
        set("ada@example.com", Role::Admin),
        set("bob@example.com", Role::Owner),
        set("eve@example.com", Role::Owner),
        Command::MemberDelete {
            org: org.id.clone(),
            email: "ada@example.com".into(),
        },
    ] {
        assert_eq!(as_eve(command).await.unwrap_err(), CommandError::InsufficientRole);
    }
    // Her own login was good when she asked; at the gate she is behind the change of her role.
    let account = bench.directory.account(&org.id).unwrap();
    let gate = bench.directory.lock(&account).await.unwrap();
    let (demoted, refused, ()) = tokio::join!(
        biased;
        bench.run(set("eve@example.com", Role::Viewer)),
        as_eve(set("bob@example.com", Role::Viewer)),
        async { drop(gate) },
    );
    demoted.unwrap();
    assert_eq!(refused.unwrap_err(), CommandError::InsufficientRole);
    let delete = Command::MemberDelete {
        org: org.id.clone(),
        email: "eve@example.com".into(),
    };
    bench.run(delete).await.unwrap();
    assert_eq!(
        as_eve(set("bob@example.com", Role::Viewer)).await.unwrap_err(),
        CommandError::from(CredentialFault::Revoked)
    );
}
