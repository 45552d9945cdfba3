//! Decisions about accounts, from the directory to the connections that they are about.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cloudsignal_broker::CloseCause;
use cloudsignal_core::Version;
use cloudsignal_core::codec::Connect;

use super::*;
use crate::accounts::acl::Preset;
use crate::accounts::command::{KeyOptions, TokenGrant, TokensOf};
use crate::accounts::{Command, Outcome, PROVIDER_OWN, Secret, TokenOrder};
use crate::authn::password::{HashCost, PasswordPool};
use crate::authn::{Authenticator, Login};
use crate::clock::WallTime;
use crate::config::Config;
use crate::durable::Level;
use crate::history::History;
use crate::net::origin::Origin;
use crate::net::outbox::{Batch, Outbox};
use crate::store::{Store, memory};

const TTL_SECS: u32 = 60;

struct Bench {
    clock: Clock,
    directory: Directory,
    authenticator: Authenticator,
    orgs: Arc<Orgs>,
    events: broadcast::Receiver<AccountEvent>,
    org: String,
}

impl Bench {
    async fn new() -> Self {
        let clock = Clock::manual(WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap());
        let store: Arc<dyn Store> = Arc::new(memory::open(clock.clone()).unwrap());
        let history = History::new(Arc::clone(&store), clock.clone());
        let pool = PasswordPool::start(HashCost::LEAST, 1).unwrap();
        let directory = Directory::open(store, clock.clone(), pool.clone()).await.unwrap();
        let events = directory.events();
        let create = Command::OrgCreate {
            name: "Workshop".into(),
            preset: Preset::PermitAll,
        };
        let Outcome::OrgCreated { org, .. } = directory.execute(create).await.unwrap() else {
            panic!()
        };
        Self {
            authenticator: Authenticator::new(directory.clone(), pool, clock.clone()),
            orgs: Orgs::new(&Config::default(), directory.clone(), history, Level::Memory),
            clock,
            directory,
            events,
            org: org.id,
        }
    }

    async fn token(&self) -> TokenGrant {
        let create = Command::TokenCreate {
            org: self.org.clone(),
            email: "ada@example.com".into(),
            ttl_secs: Some(TTL_SECS),
            replace_existing: false,
            scope: None,
        };
        let Outcome::Token(grant) = self.directory.execute(create).await.unwrap() else {
            panic!()
        };
        grant
    }

    async fn user(&self, password: &str) -> Identity {
        let login = Login {
            username: Some(&format!("ada@{}", self.org)),
            password: Some(password.as_bytes()),
            certificate: None,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        self.authenticator.authenticate(login).await.unwrap()
    }

    async fn refresh(&self, grant: &TokenGrant) {
        let refresh = Command::TokenRefresh {
            token_id: grant.token_id.to_string(),
            password: grant.password.clone(),
        };
        self.directory.execute(refresh).await.unwrap();
    }

    async fn identity(&self, grant: &TokenGrant) -> Identity {
        let login = Login {
            username: Some(&grant.username),
            password: Some(grant.password.expose().as_bytes()),
            certificate: None,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        self.authenticator.authenticate(login).await.unwrap()
    }

    fn connect(&self, client_id: &str, identity: &Identity) -> (Arc<OrgCell>, ConnId, Arc<Outbox>) {
        let (cell, outbox) = (self.orgs.enter(&identity.org).unwrap(), Outbox::new());
        let now = self.clock.now();
        let conn = cell.hold(now, None, |org, effects| {
            let conn = effects.admit(&outbox, Origin::unknown());
            let connect = Connect::new(Version::V5, client_id);
            org.handle_connect(conn, &connect, identity.clone(), now, effects);
            (conn, Handover::Free)
        });
        (cell, conn.unwrap(), outbox)
    }

    /// A client that has logged in with a token of its own.
    async fn ada(&self) -> (Arc<OrgCell>, Arc<Outbox>, TokenGrant) {
        let grant = self.token().await;
        let (cell, _, outbox) = self.connect("ada", &self.identity(&grant).await);
        (cell, outbox, grant)
    }

    fn apply_all(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            apply(&self.orgs, &self.directory, &event, self.clock.now());
        }
    }

    /// Lets time pass, and answers why the connection was closed by then.
    fn pass(&self, cell: &OrgCell, outbox: &Outbox, secs: u32) -> Option<CloseCause> {
        self.clock.advance(Duration::from_secs(u64::from(secs)));
        let now = self.clock.now();
        cell.hold(now, None, |org, effects| {
            org.handle_timeout(now, effects);
            ((), Handover::Free)
        });
        outbox.take(0, &mut Batch::default()).close
    }
}

const TIME_IS_UP: Option<CloseCause> = Some(CloseCause::Server(ReasonCode::MaximumConnectTime));

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let bench = Bench::new().await;
    let (cell, outbox, _) = bench.ada().await;
    assert_eq!(bench.pass(&cell, &outbox, TTL_SECS - 1), None);
    assert_eq!(bench.pass(&cell, &outbox, 2), TIME_IS_UP);
}

#[tokio::test]
async fn a_renewed_token_lets_its_connection_stay_until_the_new_end() {
    let mut bench = Bench::new().await;
    let (cell, outbox, grant) = bench.ada().await;
    assert_eq!(bench.pass(&cell, &outbox, TTL_SECS / 2), None);
    bench.refresh(&grant).await;
    bench.apply_all();
    assert_eq!(
        bench.pass(&cell, &outbox, TTL_SECS / 2 + 1),
        None,
        "past the first end"
    );
    assert_eq!(bench.pass(&cell, &outbox, TTL_SECS), TIME_IS_UP);
}

#[tokio::test]
async fn what_happened_between_login_and_connection_is_made_good() {
    let bench = Bench::new().await;
    let grant = bench.token().await;
    let identity = bench.identity(&grant).await;
    bench.refresh(&grant).await;
    let (cell, conn, outbox) = bench.connect("ada", &identity);
    settle(
        &cell,
        conn,
        &identity,
        bench.directory.standing(&identity),
        bench.clock.now(),
    );
    assert_eq!(bench.pass(&cell, &outbox, TTL_SECS - 1), None);

    let revoke = Command::TokenRevoke {
        org: bench.org.clone(),
        token_id: grant.token_id.to_string(),
    };
    bench.directory.execute(revoke).await.unwrap();
    settle(
        &cell,
        conn,
        &identity,
        bench.directory.standing(&identity),
        bench.clock.now(),
    );
    let cause = outbox.take(0, &mut Batch::default()).close;
    assert_eq!(cause, Some(CloseCause::Server(ReasonCode::NotAuthorized)));
}

#[tokio::test]
async fn a_stale_login_ends_alone() {
    let mut bench = Bench::new().await;
    let password = |password: &str| Some(Secret::new(password.to_owned()));
    let create = Command::UserCreate {
        org: bench.org.clone(),
        name: "ada".into(),
        password: password("long enough 1"),
    };
    bench.directory.execute(create).await.unwrap();
    let early = bench.user("long enough 1").await;
    let change = Command::UserSetPassword {
        org: bench.org.clone(),
        name: "ada".into(),
        password: password("long enough 2"),
    };
    bench.directory.execute(change).await.unwrap();
    let late = bench.user("long enough 2").await;
    let (cell, _, good) = bench.connect("new", &late);
    let (_, conn, stale) = bench.connect("old", &early);
    let standing = bench.directory.standing(&early);
    settle(&cell, conn, &early, standing, bench.clock.now());
    let (_, _, other) = bench.connect("older", &early);
    bench.apply_all();
    let close = |outbox: &Outbox| outbox.take(0, &mut Batch::default()).close;
    let ended = Some(CloseCause::Server(ReasonCode::NotAuthorized));
    assert_eq!(close(&stale), ended);
    assert_eq!(close(&other), ended, "the event finds it");
    assert_eq!(close(&good), None, "the new password is no reason to go");
}

#[tokio::test]
async fn all_tokens_of_a_person_or_a_provider_end_at_once_and_later_ones_stay() {
    for by_provider in [false, true] {
        let mut bench = Bench::new().await;
        let (first, second) = (bench.token().await, bench.token().await);
        let firsts = bench.identity(&first).await;
        let seconds = bench.identity(&second).await;
        let of = if by_provider {
            TokensOf::Provider(PROVIDER_OWN.into())
        } else {
            TokensOf::UserEmail("ada@example.com".into())
        };
        let org = bench.org.clone();
        let revoke = Command::TokenRevokeAll { org, of };
        let (_, _, one) = bench.connect("one", &firsts);
        let (_, _, two) = bench.connect("two", &seconds);
        bench.directory.execute(revoke).await.unwrap();
        let third = bench.token().await;
        let (_, _, three) = bench.connect("three", &bench.identity(&third).await);
        bench.apply_all();
        let close = |outbox: &Outbox| outbox.take(0, &mut Batch::default()).close;
        let ended = Some(CloseCause::Server(ReasonCode::NotAuthorized));
        assert_eq!([close(&one), close(&two), close(&three)], [ended, ended, None]);
    }
}

#[tokio::test]
async fn a_key_that_ends_or_is_replaced_takes_its_connections_with_it_at_that_moment() {
    for rotates in [false, true] {
        let mut bench = Bench::new().await;
        let life = if rotates { 3_600 } else { 60 };
        let options = KeyOptions {
            expires_in_secs: Some(life),
            ..KeyOptions::default()
        };
        let create = Command::KeyCreate {
            org: bench.org.clone(),
            name: "backend".into(),
            options,
        };
        let Outcome::KeyCreated { key, secret_key } = bench.directory.execute(create).await.unwrap() else {
            panic!()
        };
        let login = Login {
            username: Some(&format!("server@{}", bench.org)),
            password: Some(secret_key.expose().as_bytes()),
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            certificate: None,
        };
        let identity = bench.authenticator.authenticate(login).await.unwrap();
        let (cell, _, outbox) = bench.connect("backend", &identity);
        if rotates {
            let rotate = Command::KeyRotate {
                org: bench.org.clone(),
                key_id: key.id,
                grace_secs: 60,
            };
            bench.directory.execute(rotate).await.unwrap();
            bench.apply_all();
        }
        assert_eq!(bench.pass(&cell, &outbox, 59), None);
        assert_eq!(bench.pass(&cell, &outbox, 2), TIME_IS_UP);
    }
}

#[tokio::test]
async fn replaced_tokens_keep_their_connections_until_their_own_end() {
    let mut bench = Bench::new().await;
    let (cell, outbox, _earlier) = bench.ada().await;
    let replace = TokenOrder {
        replace_existing: true,
        ..TokenOrder::new(&bench.org, "ada@example.com")
    };
    bench.directory.issue_token(replace).await.unwrap();
    bench.apply_all();
    assert_eq!(bench.pass(&cell, &outbox, TTL_SECS - 1), None);
    check_all(&cell, &bench.directory, bench.clock.now());
    assert_eq!(bench.pass(&cell, &outbox, 0), None);
    assert_eq!(bench.pass(&cell, &outbox, 2), TIME_IS_UP);
}

#[tokio::test]
async fn after_missed_events_every_connection_is_checked() {
    let bench = Bench::new().await;
    let (cell, outbox, grant) = bench.ada().await;
    check_all(&cell, &bench.directory, bench.clock.now());
    assert_eq!(bench.pass(&cell, &outbox, 1), None);
    let revoke = Command::TokenRevoke {
        org: bench.org.clone(),
        token_id: grant.token_id.to_string(),
    };
    bench.directory.execute(revoke).await.unwrap();
    check_all(&cell, &bench.directory, bench.clock.now());
    assert_eq!(
        bench.pass(&cell, &outbox, 0),
        Some(CloseCause::Server(ReasonCode::NotAuthorized))
    );
}

#[tokio::test]
async fn an_organization_that_is_deleted_is_forgotten() {
    let mut bench = Bench::new().await;
    let grant = bench.token().await;
    let identity = bench.identity(&grant).await;
    let (_, _, outbox) = bench.connect("ada", &identity);
    let delete = Command::OrgDelete {
        org: bench.org.clone(),
    };
    bench.directory.execute(delete).await.unwrap();
    bench.apply_all();
    let cause = outbox.take(0, &mut Batch::default()).close;
    assert_eq!(cause, Some(CloseCause::Server(ReasonCode::AdministrativeAction)));
    assert!(bench.orgs.enter(&identity.org).is_none());
}

#[tokio::test]
async fn an_organization_that_is_deleted_while_it_is_broken_is_forgotten_too() {
    let mut bench = Bench::new().await;
    let (cell, ..) = bench.ada().await;
    let answer: Option<()> = cell.hold(bench.clock.now(), None, |_, _| panic!("on purpose"));
    assert_eq!(answer, None);
    let delete = Command::OrgDelete {
        org: bench.org.clone(),
    };
    bench.directory.execute(delete).await.unwrap();
    bench.apply_all();
    assert!(bench.orgs.cells().is_empty());
}
