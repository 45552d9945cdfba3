//! Changes that failed in a way that leaves it open whether they were stored.

use super::*;
use crate::store::Store;
use crate::store::flaky::{Failure, Flaky};

struct Doubtful {
    bench: Bench,
    store: Arc<Flaky>,
    org: String,
}

impl Doubtful {
    async fn new() -> Self {
        let clock = clock();
        let inner: Arc<dyn Store> = Arc::new(memory::open(clock.clone()).unwrap());
        let store = Arc::new(Flaky::working(inner));
        let directory = Directory::open(Arc::clone(&store) as Arc<dyn Store>, clock.clone(), pool());
        let directory = directory.await.unwrap();
        let bench = Bench { directory, clock };
        let org = bench.org().await.id;
        Self { bench, store, org }
    }

    async fn make_user(&self, name: &str) -> Result<Outcome, CommandError> {
        let (org, name) = (self.org.clone(), name.into());
        let password = None;
        let create = Command::UserCreate { org, name, password };
        self.bench.run(create).await
    }

    /// Users, as memory has them, and as a start would find them.
    async fn users(&self) -> [Vec<String>; 2] {
        let list = Command::UserList {
            org: self.org.clone(),
            prefix: None,
            page: PageRequest::default(),
        };
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let restarted = Directory::open(store, self.bench.clock.clone(), pool())
            .await
            .unwrap();
        let mut found = [Vec::new(), Vec::new()];
        for (directory, found) in [&self.bench.directory, &restarted].into_iter().zip(&mut found) {
            let Ok(Outcome::Users { users, .. }) = directory.execute(list.clone()).await else {
                panic!("users can be listed")
            };
            found.extend(users.into_iter().map(|user| user.name));
        }
        found
    }
}

#[tokio::test]
async fn who_tries_again_is_told_the_truth() {
    for (failure, is_stored) in [(Failure::Before, false), (Failure::After, true)] {
        let doubtful = Doubtful::new().await;
        doubtful.store.break_down(failure);
        assert!(matches!(
            doubtful.make_user("ada").await,
            Err(CommandError::Storage)
        ));
        doubtful.store.works();
        let again = doubtful.make_user("ada").await;
        assert_eq!(
            matches!(again, Err(CommandError::Exists { .. })),
            is_stored,
            "{again:?}"
        );
        assert_eq!(again.is_ok(), !is_stored, "{again:?}");
        assert_eq!(doubtful.users().await, [["ada"], ["ada"]]);
        doubtful.make_user("bob").await.unwrap();
        assert_eq!(doubtful.users().await, [["ada", "bob"], ["ada", "bob"]]);
    }
}

#[tokio::test]
async fn while_the_store_fails_nothing_piles_up() {
    let doubtful = Doubtful::new().await;
    doubtful.store.break_down(Failure::Before);
    for _ in 0..3 {
        assert!(matches!(
            doubtful.make_user("ada").await,
            Err(CommandError::Storage)
        ));
    }
    doubtful.store.works();
    doubtful.make_user("ada").await.unwrap();
    assert_eq!(doubtful.users().await, [["ada"], ["ada"]]);
}

#[tokio::test]
async fn connections_hear_of_what_was_stored_though_nobody_asks_again() {
    let doubtful = Doubtful::new().await;
    doubtful.make_user("ada").await.unwrap();
    let mut events = doubtful.bench.directory.events();
    doubtful.store.break_down(Failure::After);
    let disable = Command::UserEnable {
        org: doubtful.org.clone(),
        name: "ada".into(),
        enabled: false,
    };
    let disabled = doubtful.bench.run(disable).await;
    assert!(matches!(disabled, Err(CommandError::Storage)));
    doubtful.store.works();
    let heard = events.recv().await.unwrap().change;
    assert!(matches!(heard, AccountChange::UserDisabled { user } if &*user == "ada"));
}

#[tokio::test]
async fn a_token_that_was_revoked_in_doubt_is_worth_nothing() {
    let doubtful = Doubtful::new().await;
    let grant = doubtful
        .bench
        .token(&doubtful.org, "ada@example.com", false)
        .await;
    doubtful.store.break_down(Failure::After);
    let revoke = || Command::TokenRevoke {
        org: doubtful.org.clone(),
        token_id: grant.token_id.to_string(),
    };
    let revoked = doubtful.bench.run(revoke()).await;
    assert!(matches!(revoked, Err(CommandError::Storage)));
    doubtful.store.works();
    // Anything that is changed finds it out first.
    doubtful.make_user("ada").await.unwrap();
    assert_eq!(doubtful.bench.check(&grant), Err(CredentialFault::Revoked));
}
