//! What holds of a plan, of what is allowed beside it, and of the server's own limits.

use super::*;

fn server() -> Allowance {
    Allowance {
        limits: Limits {
            connections_max: 500,
            publish_messages_per_sec: 20,
            ..Limits::default()
        },
        api_calls_per_sec: 0,
        api_key_calls_per_sec: 5,
        api_key_publishes_per_sec: 200,
        api_key_publish_burst: 300,
    }
}

fn of(plan: Plan, overrides: &[(&str, u64)]) -> Allowance {
    let overrides = overrides.iter().map(|(name, value)| ((*name).to_owned(), *value));
    QuotaSettings {
        plan,
        overrides: overrides.collect(),
    }
    .allowance(&server())
}

#[test]
fn an_unlimited_plan_is_what_the_server_allows() {
    assert_eq!(of(Plan::Unlimited, &[]), server());
    assert_eq!(QuotaSettings::default().plan, Plan::Unlimited);
}

#[test]
fn the_lower_of_plan_and_server_holds() {
    let free = of(Plan::Free, &[]);
    assert_eq!(free.limits.connections_max, 10);
    assert_eq!(free.limits.publish_messages_per_month, 100_000);
    assert_eq!(free.limits.publish_messages_per_sec, 20, "the server's");
    assert_eq!(free.api_calls_per_sec, 20, "where the server has none");
    assert_eq!(free.api_key_calls_per_sec, 5, "the server's");
    let publishes = (free.api_key_publishes_per_sec, free.api_key_publish_burst);
    assert_eq!(publishes, (100, 200));
    let business = of(Plan::Business, &[]);
    assert_eq!(business.limits.connections_max, 500, "the server's");
    assert_eq!(business.limits.publish_messages_per_month, 10_000_000);
    assert_eq!(of(Plan::Pro, &[]).limits.publish_messages_per_month, 1_000_000);
}

#[test]
fn an_override_holds_above_both() {
    let overrides = [("connections_max", 1_000), ("publish_messages_per_month", 0)];
    let free = of(Plan::Free, &overrides);
    assert_eq!(free.limits.connections_max, 1_000);
    let month = find("publish_messages_per_month").unwrap();
    assert_eq!(month.limit(&free), None, "0 is no limit");
}

#[test]
fn every_quota_can_be_read_as_it_was_written_and_every_plan_knows_its_quotas() {
    for quota in QUOTAS {
        let mut allowance = Allowance::default();
        (quota.write)(&mut allowance, quota.max);
        assert_eq!((quota.read)(&allowance), quota.max, "{quota:?}");
    }
    for (name, _) in Plan::ALL.into_iter().flat_map(Plan::quotas) {
        assert!(find(name).is_some(), "{name}");
    }
}

#[test]
fn what_is_no_quota_is_refused_by_name() {
    let check = |name: &str, value| {
        QuotaSettings {
            plan: Plan::Free,
            overrides: [(name.to_owned(), value)].into(),
        }
        .check()
    };
    assert_eq!(check("connections_max", 1), Ok(()));
    assert!(matches!(
        check("connections", 1),
        Err(CommandError::Invalid { .. })
    ));
    assert!(matches!(
        check("connections_max", 1 << 40),
        Err(CommandError::Invalid { .. })
    ));
}
