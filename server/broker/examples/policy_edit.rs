//! What an edit of the policy costs while clients are connected.
//!
//! ```text
//! cargo run --release -p cloudsignal-broker --example policy_edit -- [SESSIONS] [QUEUED]
//! ```
//! `SESSIONS` (10 000) connected sessions with three subscriptions each; `QUEUED` (0) messages wait for each of them.
//! For each kind of policy: how long one edit holds the organization, and how long the same policy once more.
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::sync::Arc;
use std::time::Instant as Clock;

use cloudsignal_broker::change::Change;
use cloudsignal_broker::policy::{Actions, Effect, Rule, UserPattern};
use cloudsignal_broker::{
    Access, CloseCause, ConnId, Credential, Fetch, Identity, Limits, Message, Org, OrgId, Policy, Report,
    Sink,
};
use cloudsignal_core::codec::{Connect, Packet, PacketId, Publish, Subscribe, SubscribeFilter};
use cloudsignal_core::{Instant, Qos, TopicFilter, TopicName, Version};

/// Takes everything until a client is told to stop reading.
struct Nowhere {
    /// What a slow client's buffer holds.
    unsent_bytes: usize,
}

impl Sink for Nowhere {
    fn send(&mut self, _conn: ConnId, _bytes: &[u8]) -> usize {
        self.unsent_bytes
    }

    fn send_shared(&mut self, _conn: ConnId, _head: &[u8], _message: &Arc<Message>) -> usize {
        self.unsent_bytes
    }

    fn close(&mut self, conn: ConnId, cause: CloseCause) {
        panic!("{conn:?} was closed: {cause}");
    }

    fn store(&mut self, _change: Change) {}

    fn verify(&mut self, _conn: ConnId, _data: &[u8]) {}

    fn fetch(&mut self, _fetch: Fetch) {}

    fn report(&mut self, _report: Report<'_>) {}
}

fn identity(number: u32) -> Identity {
    let name: Box<str> = format!("user-{number}").into();
    Identity {
        org: OrgId::new("org_edit"),
        username: name.clone(),
        principal: name.clone(),
        credential: Credential::Password { user: name.clone() },
        claims: vec![("email".into(), format!("{name}@example.com").into())],
        expires_at: None,
        access: Access::Policy,
        scope: None,
    }
}

fn rule(user: UserPattern, pattern: &str, effect: Effect) -> Rule {
    Rule {
        name: "rules[]".into(),
        user,
        pattern: pattern.into(),
        binding: None,
        actions: Actions::BOTH,
        effect,
        qos_max: None,
        retain: true,
    }
}

/// Policies by what they say, all of which allow the subscriptions.
fn policies() -> Vec<(&'static str, Policy)> {
    let allow = |pattern: &str| rule(UserPattern::Any, pattern, Effect::Allow);
    let common = ["news/#", "users/{username}/#", "rooms/{email}/#"].map(allow);
    let with = |more: Vec<Rule>| Policy {
        rules: more.into_iter().chain(common.clone()).collect(),
        ..Policy::deny_all()
    };
    let exact = |n: usize| {
        rule(
            UserPattern::Exact(format!("user-{n}").into()),
            &format!("own/{n}/#"),
            Effect::Allow,
        )
    };
    let shared = |n: usize| allow(&format!("shared/{n}/#"));
    let bound = |n: usize| allow(&format!("bound/{n}/{{username}}/#"));
    vec![
        ("everything is allowed", Policy::permit_all()),
        ("3 rules", with(vec![])),
        (
            "3 rules, 1 deny rule about a part",
            with(vec![rule(UserPattern::Any, "news/secret/#", Effect::Deny)]),
        ),
        (
            "3 rules, 997 about one user each",
            with((0..997).map(exact).collect()),
        ),
        (
            "3 rules, 100 about everybody",
            with((0..100).map(shared).collect()),
        ),
        ("3 rules, 100 with a binding", with((0..100).map(bound).collect())),
        (
            "3 rules, 997 about everybody",
            with((0..997).map(shared).collect()),
        ),
    ]
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u32| {
        args.next()
            .map_or(default, |text| text.parse().expect("a number"))
    };
    let (sessions, queued) = (number(10_000), number(0));
    let limits = Limits::default();
    let mut sink = Nowhere {
        unsent_bytes: if queued > 0 { usize::MAX } else { 0 },
    };
    let mut org = Org::new(OrgId::new("org_edit"), limits, Policy::permit_all(), 1);
    for number in 0..sessions {
        let client_id = format!("client-{number}");
        let connect = Connect::new(Version::V5, &client_id);
        org.handle_connect(
            ConnId(number),
            &connect,
            identity(number),
            Instant::ZERO,
            &mut sink,
        );
        for filter in [
            "news/#".to_owned(),
            format!("users/user-{number}/#"),
            format!("rooms/user-{number}@example.com/#"),
        ] {
            let filter =
                SubscribeFilter::new(TopicFilter::parse(&filter).expect("a filter"), Qos::AtLeastOnce);
            let subscribe = Packet::Subscribe(Subscribe::new(PacketId::MIN, vec![filter]));
            org.handle_packet(ConnId(number), &subscribe, Instant::ZERO, &mut sink);
        }
    }
    for number in 0..queued {
        let topic = format!("news/{}", number % 10);
        let publish = Publish::new(TopicName::parse(&topic).expect("a topic"), b"something");
        org.handle_packet(ConnId(0), &Packet::Publish(publish), Instant::ZERO, &mut sink);
    }
    let waiting = org.counters().queue_messages_now;
    println!("{sessions} sessions, {waiting} messages wait");
    for (name, policy) in policies() {
        let mut times = Vec::new();
        for _ in 0..2 {
            let begin = Clock::now();
            org.handle_policy(policy.clone(), Instant::ZERO, &mut sink);
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        println!("{name}: {:.1} ms, again {:.1} ms", times[0], times[1]);
    }
}
