//! More sessions than one request looks at. `CS_TEST_SESSIONS=1000000 cargo test -p cloudsignal-server --lib
//! sessions::find -- --nocapture` prints how long a publisher waits meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use cloudsignal_broker::org::Submission;
use cloudsignal_broker::{Identity, Limits, Org, OrgId, Policy};
use cloudsignal_core::codec::Connect;
use cloudsignal_core::{Instant, Qos, TopicName, Version};

use super::*;
use crate::clock::{Clock, WallTime};
use crate::config::ConnectionLog;
use crate::durable::{Durability, Level};
use crate::history::History;
use crate::net::origin::Origin;
use crate::net::outbox::Outbox;
use crate::orgs::cell::Handover;
use crate::store::{Store, memory};

/// A little more than one request looks at.
const SESSIONS_DEFAULT: usize = 140_000;

/// Enough for others to come in between.
const FEW_SESSIONS: usize = 20_000;

fn sessions(default: usize) -> usize {
    let wanted = std::env::var("CS_TEST_SESSIONS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn identity(username: &str) -> Identity {
    Identity::anonymous(OrgId::new("org_test"), username)
}

fn crowd(count: usize) -> OrgCell {
    let limits = Limits {
        sys_interval_secs: 0,
        ..Limits::default()
    };
    let org = Org::new(OrgId::new("org_test"), limits, Policy::permit_all(), 1);
    let clock = Clock::manual(WallTime::ZERO);
    let store: Arc<dyn Store> = Arc::new(memory::open(clock.clone()).unwrap());
    let history = History::new(Arc::clone(&store), clock.clone());
    let in_memory = Durability::new(store, clock, Level::Memory).fresh(org.id());
    let cell = OrgCell::new(
        org,
        in_memory,
        Arc::default(),
        Arc::default(),
        ConnectionLog::Debug,
        history,
    );
    let outbox = Outbox::new();
    for number in 0..count {
        let client_id = format!("c{number}");
        cell.hold(Instant::ZERO, None, |org, effects| {
            let conn = effects.admit(&outbox, Origin::unknown());
            let connect = Connect::new(Version::V5, &client_id);
            let user = if number % 1_000 == 0 { "rare" } else { "usual" };
            org.handle_connect(conn, &connect, identity(user), Instant::ZERO, effects);
            ((), Handover::Free)
        });
    }
    cell
}

async fn names(cell: &OrgCell, filter: &Filter, limit: usize) -> (Vec<String>, usize) {
    let (mut names, mut pages, mut from) = (Vec::new(), 0, Some(Place::default()));
    while let Some(place) = from {
        let found = find(cell, filter, place, limit, |view, _| view.client_id.to_owned()).await;
        assert!(found.found.len() <= limit);
        names.extend(found.found);
        (from, pages) = (found.next, pages + 1);
    }
    (names, pages)
}

#[tokio::test]
async fn a_crowd_is_listed_once_and_searched_in_bounded_steps() {
    let count = sessions(SESSIONS_DEFAULT);
    let cell = crowd(count);
    let (all, pages) = names(&cell, &Filter::default(), 1_000).await;
    assert_eq!(all.len(), count);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), count);
    assert!(pages >= count / 1_000);
    let nobody = Filter {
        search: Some("nobody".into()),
        ..Filter::default()
    };
    let first = find(&cell, &nobody, Place::default(), 10, |_, _| ()).await;
    assert!(first.found.is_empty());
    assert_eq!(
        first.next.is_some(),
        count > REQUEST_LOOKS_MAX,
        "one request looks at no more"
    );
    let rare = Filter {
        username: Some("rare".into()),
        ..Filter::default()
    };
    assert_eq!(names(&cell, &rare, 7).await.0.len(), count.div_ceil(1_000));
    let exact = Filter {
        client_id: Some("c77".into()),
        ..Filter::default()
    };
    assert_eq!(names(&cell, &exact, 7).await, (vec!["c77".to_owned()], 1));
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a measurement, printed")]
async fn a_search_leaves_the_organization_to_others() {
    let count = sessions(FEW_SESSIONS);
    let cell = Arc::new(crowd(count));
    let is_done = Arc::new(AtomicBool::new(false));
    let publisher = {
        let (cell, is_done) = (Arc::clone(&cell), Arc::clone(&is_done));
        thread::spawn(move || {
            let (mut turns, mut longest) = (0_u64, Duration::ZERO);
            while !is_done.load(Ordering::SeqCst) {
                let began = std::time::Instant::now();
                cell.hold(Instant::ZERO, None, |org, effects| {
                    let submission = Submission {
                        topic: TopicName::parse("x").unwrap(),
                        payload: b"x",
                        properties: Default::default(),
                        qos: Qos::AtMostOnce,
                        retain: false,
                    };
                    org.handle_submission(&identity("p"), &submission, Instant::ZERO, effects);
                    ((), Handover::Free)
                });
                (turns, longest) = (turns + 1, longest.max(began.elapsed()));
                thread::yield_now();
            }
            (turns, longest)
        })
    };
    let nobody = Filter {
        search: Some("nobody".into()),
        ..Filter::default()
    };
    let began = std::time::Instant::now();
    for _ in 0..10 {
        assert!(names(&cell, &nobody, 10).await.0.is_empty());
    }
    let took = began.elapsed();
    is_done.store(true, Ordering::SeqCst);
    let (turns, longest) = publisher.join().unwrap();
    println!(
        "ten searches of {count} sessions: {took:?}; meanwhile {turns} publishes, the longest took {longest:?}"
    );
    assert!(turns > 0, "others had their turns");
}
