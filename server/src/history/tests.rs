use super::record::ReasonClass;
use super::*;
use crate::clock::WallTime;
use crate::net::origin::Carrier;
use crate::store::memory;

fn start() -> WallTime {
    WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap()
}

fn entry(number: u64, reason: EndReason) -> EndedConnection {
    EndedConnection {
        client_id: format!("c{number}"),
        username: "ada".into(),
        connected_at: start(),
        disconnected_at: start().after(Duration::from_secs(number)),
        reason,
        reason_code: None,
        protocol: "5.0".into(),
        transport: Carrier::Tls,
        address: "192.0.2.1:5000".parse().unwrap(),
        messages_in: 1,
        messages_out: 2,
        bytes_in: 3,
        bytes_out: 4,
    }
}

fn open() -> (History, Clock) {
    let clock = Clock::manual(start());
    let store = memory::open(clock.clone()).unwrap();
    (History::new(Arc::new(store), clock.clone()), clock)
}

fn wanted(limit: usize) -> Wanted {
    Wanted {
        limit,
        ..Wanted::default()
    }
}

async fn names(history: &History, org: &OrgId, wanted: &Wanted) -> Vec<String> {
    let page = history.page(org, wanted).await.unwrap();
    page.entries.into_iter().map(|entry| entry.client_id).collect()
}

#[tokio::test]
async fn the_latest_come_first_page_by_page() {
    let (history, _) = open();
    let (a, b) = (OrgId::new("org_a"), OrgId::new("org_b"));
    history.note(&a, (0..5).map(|number| entry(number, EndReason::Normal)));
    history.note(&b, std::iter::once(entry(9, EndReason::Normal)));
    let first = history.page(&a, &wanted(2)).await.unwrap();
    assert_eq!(first.entries[0], entry(4, EndReason::Normal));
    assert_eq!(first.entries.len(), 2);
    // Newer ones do not move the pages behind.
    history.note(&a, std::iter::once(entry(7, EndReason::Normal)));
    let next = |next| Wanted {
        before: next,
        ..wanted(2)
    };
    let second = history.page(&a, &next(first.next)).await.unwrap();
    assert_eq!(second.entries[0].client_id, "c2");
    let third = history.page(&a, &next(second.next)).await.unwrap();
    assert_eq!((third.entries.len(), third.next), (1, None));
    assert_eq!(names(&history, &b, &wanted(10)).await, ["c9"]);
    assert_eq!(names(&history, &OrgId::new("org_c"), &wanted(10)).await, [""; 0]);
}

#[tokio::test]
async fn filters_choose() {
    let (history, _) = open();
    let org = OrgId::new("org_a");
    let reasons = [
        EndReason::Normal,
        EndReason::KeepAliveTimeout,
        EndReason::ProtocolError,
        EndReason::Takeover,
    ];
    history.note(
        &org,
        (0..8).map(|number| entry(number, reasons[number as usize % 4])),
    );
    let of_class = |class| Wanted {
        class: Some(class),
        ..wanted(100)
    };
    assert_eq!(
        names(&history, &org, &of_class(ReasonClass::Timeouts)).await,
        ["c5", "c1"]
    );
    assert_eq!(
        names(&history, &org, &of_class(ReasonClass::Errors)).await,
        ["c6", "c2"]
    );
    let between = Wanted {
        since: Some(start().after(Duration::from_secs(2))),
        until: Some(start().after(Duration::from_secs(5))),
        ..wanted(100)
    };
    assert_eq!(names(&history, &org, &between).await, ["c4", "c3", "c2"]);
    let one = Wanted {
        client_id: Some("c3".into()),
        reason: Some(EndReason::Takeover),
        ..wanted(100)
    };
    assert_eq!(names(&history, &org, &one).await, ["c3"]);
}

#[tokio::test]
async fn the_newest_takes_the_place_of_the_oldest() {
    let (history, _) = open();
    let org = OrgId::new("org_a");
    let total = ENTRIES_PER_ORG_MAX + 300;
    for number in 0..total {
        history.note(&org, std::iter::once(entry(number, EndReason::Normal)));
        if number % 10_000 == 0 {
            history.flush().await.unwrap();
        }
    }
    let (mut seen, mut before) = (0, None);
    loop {
        let wanted = Wanted {
            before,
            ..wanted(1_000)
        };
        let page = history.page(&org, &wanted).await.unwrap();
        for entry in &page.entries {
            seen += 1;
            assert_eq!(entry.client_id, format!("c{}", total - seen));
        }
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, ENTRIES_PER_ORG_MAX);
}

#[tokio::test]
async fn records_survive_a_restart_and_go_when_their_time_is_over() {
    let clock = Clock::manual(start());
    let store: Arc<dyn Store> = Arc::new(memory::open(clock.clone()).unwrap());
    let org = OrgId::new("org_a");
    let history = History::new(Arc::clone(&store), clock.clone());
    history.note(&org, std::iter::once(entry(1, EndReason::Normal)));
    history.flush().await.unwrap();
    clock.advance(ENTRY_LIFETIME / 2);
    let history = History::new(store, clock.clone());
    history.note(&org, std::iter::once(entry(2, EndReason::Normal)));
    assert_eq!(names(&history, &org, &wanted(10)).await, ["c2", "c1"]);
    clock.advance(ENTRY_LIFETIME / 2 + Duration::from_secs(3));
    assert_eq!(
        names(&history, &org, &wanted(10)).await,
        [""; 0],
        "both ended at the begin"
    );
}

#[tokio::test]
async fn a_block_that_is_written_again_loses_what_is_old() {
    let (history, clock) = open();
    let org = OrgId::new("org_a");
    history.note(&org, std::iter::once(entry(1, EndReason::Normal)));
    history.flush().await.unwrap();
    clock.advance(ENTRY_LIFETIME - Duration::from_secs(1));
    history.note(&org, std::iter::once(entry(2, EndReason::Normal)));
    history.flush().await.unwrap();
    clock.advance(Duration::from_millis(2_500));
    let later = ENTRY_LIFETIME + Duration::from_secs(1);
    history.note(&org, std::iter::once(entry(later.as_secs(), EndReason::Normal)));
    let name = format!("c{}", later.as_secs());
    assert_eq!(names(&history, &org, &wanted(10)).await, [&*name, "c2"]);
    // No longer in the store, so that a clock that goes back does not show it either.
    clock.set_wall(start());
    assert_eq!(names(&history, &org, &wanted(10)).await, [&*name, "c2"]);
}

#[tokio::test]
async fn records_that_come_one_by_one_are_found_as_if_they_had_come_together() {
    let (history, _) = open();
    let org = OrgId::new("org_a");
    for number in 0..100 {
        history.note(&org, std::iter::once(entry(number, EndReason::Normal)));
        history.flush().await.unwrap();
    }
    let expected: Vec<_> = (0..100).rev().map(|number| format!("c{number}")).collect();
    assert_eq!(names(&history, &org, &wanted(100)).await, expected);
    for before in [1, 15, 16, 17, 33] {
        let wanted = Wanted {
            before: Some(before),
            ..wanted(100)
        };
        let found = names(&history, &org, &wanted).await;
        assert_eq!(found, expected[100 - before as usize..], "before {before}");
    }
}

#[tokio::test]
async fn records_that_come_together_take_little_room() {
    let (history, _) = open();
    let org = OrgId::new("org_a");
    history.note(&org, (0..160).map(|number| entry(number, EndReason::Normal)));
    history.flush().await.unwrap();
    let prefix = crate::store::Prefix::of_org(&org, "");
    let page = history
        .0
        .store
        .scan(crate::store::Table::History, &prefix, None, 100);
    let stored = page.await.unwrap().entries;
    let bytes: usize = stored.iter().map(|entry| entry.value.len()).sum();
    assert_eq!(stored.len(), 11, "blocks and the head");
    assert!(bytes < 160 * 80, "{} bytes each", bytes / 160);
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let (history, _) = open();
    let org = OrgId::new("org_a");
    let many = PENDING_ENTRIES_MAX as u64 + 10;
    history.note(&org, (0..many).map(|number| entry(number, EndReason::Normal)));
    assert_eq!(history.0.pending.lock().entries.len(), PENDING_ENTRIES_MAX);
    assert_eq!(history.0.pending.lock().lost, 10);
}

#[test]
fn every_cause_has_its_reason() {
    use cloudsignal_broker::CloseCause;
    use cloudsignal_core::codec::ReasonCode;
    for (cause, reason, code) in [
        (CloseCause::Client, EndReason::Normal, None),
        (CloseCause::ClientWithWill, EndReason::ClientDisconnect, None),
        (CloseCause::Transport, EndReason::ConnectionLost, None),
        (
            CloseCause::Server(ReasonCode::KeepAliveTimeout),
            EndReason::KeepAliveTimeout,
            Some(0x8D),
        ),
        (
            CloseCause::Server(ReasonCode::SessionTakenOver),
            EndReason::Takeover,
            Some(0x8E),
        ),
        (
            CloseCause::Server(ReasonCode::MaximumConnectTime),
            EndReason::AuthFailure,
            Some(0xA0),
        ),
        (
            CloseCause::Server(ReasonCode::ProtocolError),
            EndReason::ProtocolError,
            Some(0x82),
        ),
        (
            CloseCause::Server(ReasonCode::AdministrativeAction),
            EndReason::ServerDisconnect,
            Some(0x98),
        ),
        (
            CloseCause::Server(ReasonCode::ServerShuttingDown),
            EndReason::ServerDisconnect,
            Some(0x8B),
        ),
    ] {
        assert_eq!(
            (EndReason::of(cause), record::code_of(cause)),
            (reason, code),
            "{cause}"
        );
    }
}
