//! What a seed decides before the first step. Every run emphasizes something else: runs that do a bit of
//! everything never do much of one thing, and bounds that are never near are never tested.

use cloudsignal_broker::Limits;
use cloudsignal_broker::policy::{Actions, Effect, Policy, Precedence, Rule, UserPattern};
use cloudsignal_core::{Qos, Version};
use cloudsignal_tests::random::Random;

use crate::steps::{STEPS, Step};

/// Topics of every organization: the same in each, so that a message could get lost between them.
pub(crate) const TOPICS: &[&str] = &[
    "a",
    "a/b",
    "a/b/c",
    "a/c",
    "b",
    "b/long-enough-for-an-alias",
    "b/another-long-topic-name",
    "team/red/news",
    "team/blue/news",
    "user/u0/in",
    "user/u1/in",
    "$odd/a",
    "a//b",
    "/a",
];

/// Filters that clients subscribe to.
pub(crate) const FILTERS: &[&str] = &[
    "#",
    "+",
    "a/#",
    "a/+",
    "a/b",
    "+/b",
    "+/+/c",
    "b/#",
    "b/long-enough-for-an-alias",
    "team/+/news",
    "team/red/news",
    "user/u0/in",
    "user/+/in",
    "$odd/#",
    "a/+/b",
    "/+",
    "$SYS/broker/clients/connected",
];

/// Shared subscriptions.
pub(crate) const SHARED_FILTERS: &[&str] = &["$share/g/a/#", "$share/g/a/b", "$share/h/#", "$share/h/b/+"];

/// The identifier that clients give to a shared subscription: nobody else uses it, so that a message says which way
/// it came.
pub(crate) fn shared_id(filter: &str) -> Option<u32> {
    let at = SHARED_FILTERS.iter().position(|shared| *shared == filter)?;
    u32::try_from(at + 10).ok()
}

/// The shared subscription with this identifier.
pub(crate) fn shared_filter(id: u32) -> Option<&'static str> {
    let at = usize::try_from(id.checked_sub(10)?).ok()?;
    SHARED_FILTERS.get(at).copied()
}

/// One client of one organization, for the length of a run.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    pub(crate) org: usize,
    /// Numbers the client inside its organization.
    pub(crate) place: usize,
    pub(crate) version: Version,
    /// How often it asks for a session that outlives the connection, in percent.
    pub(crate) persistence: u64,
    pub(crate) keep_alive_secs: u16,
    pub(crate) receive_max: Option<u16>,
    pub(crate) packet_bytes_max: Option<u32>,
    pub(crate) topic_alias_max: u16,
    /// Before v5 a message does not say which way it came: such a client has this shared subscription and no other,
    /// or only others.
    pub(crate) only_shared: Option<&'static str>,
    /// Lets the broker choose its client id.
    pub(crate) is_nameless: bool,
    /// Whether the organization's policy is not asked about it.
    pub(crate) has_full_access: bool,
    /// Whether its credential has an end.
    pub(crate) token_ends: bool,
}

/// What a seed decides.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) steps: u64,
    pub(crate) limits: Vec<Limits>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) clients: Vec<ClientSettings>,
    /// How often each step is taken, in the order of [`STEPS`].
    pub(crate) weights: Vec<u64>,
    /// Filters that this run subscribes to: few, so that they overlap.
    pub(crate) filters: Vec<&'static str>,
    pub(crate) topics: Vec<&'static str>,
    /// Bytes of most payloads, and of a few.
    pub(crate) payload_bytes: [usize; 2],
    /// How often the timers are served to the moment, in percent; they are late otherwise.
    pub(crate) punctuality: u64,
    /// How often the network gives everything it has, in percent.
    pub(crate) haste: u64,
}

impl Settings {
    pub(crate) fn of(random: &mut Random) -> Self {
        let orgs = usize::try_from(random.between(1, 3)).expect("invariant: small");
        let clients = (0..orgs).flat_map(|org| {
            let count = random.between(2, 6);
            (0..count).map(move |place| (org, usize::try_from(place).expect("invariant: small")))
        });
        let places: Vec<_> = clients.collect();
        let subset = |list: &[&'static str], random: &mut Random| {
            let kept: Vec<_> = list.iter().copied().filter(|_| random.chance(50)).collect();
            if kept.is_empty() { list.to_vec() } else { kept }
        };
        Self {
            steps: random.between(300, 1_500),
            limits: (0..orgs).map(|_| limits(random)).collect(),
            policies: (0..orgs).map(|_| policy(random)).collect(),
            clients: places
                .into_iter()
                .map(|(org, place)| client(org, place, random))
                .collect(),
            weights: STEPS.iter().map(|&step| weight(step, random)).collect(),
            filters: subset(FILTERS, random),
            topics: subset(TOPICS, random),
            payload_bytes: [*random.pick(&[4, 8, 40]), *random.pick(&[8, 200, 1_000, 6_000])],
            punctuality: *random.pick(&[0, 50, 100]),
            haste: *random.pick(&[10, 50, 90]),
        }
    }
}

/// What the dice for tight bounds begin with: they are others than those of the run, so that a run without such
/// bounds is what it would be if there were none.
const TIGHT_SEED: u64 = 0x7161_6874_5F73_6431;

impl Settings {
    /// In some runs organizations have bounds that are felt.
    pub(crate) fn tighten(&mut self, seed: u64) {
        let mut random = Random::new(seed ^ TIGHT_SEED);
        if random.chance(50) {
            for limits in &mut self.limits {
                tighten(limits, &mut random);
            }
        }
    }
}

fn tighten(limits: &mut Limits, random: &mut Random) {
    if random.chance(15) {
        limits.connects_per_sec = *random.pick(&[1, 3]);
    }
    if random.chance(15) {
        limits.all_subscriptions_max = *random.pick(&[1, 4]);
    }
    if random.chance(15) {
        limits.wildcard_subscriptions_max = *random.pick(&[0, 1, 3]);
    }
    if random.chance(15) {
        limits.fan_out_max = *random.pick(&[0, 1, 2]);
    }
    if random.chance(20) {
        limits.deliver_messages_per_sec = *random.pick(&[1, 5, 30]);
    }
    if random.chance(15) {
        limits.deliver_bytes_per_sec = *random.pick(&[20, 300]);
    }
    if random.chance(15) {
        limits.all_queue_bytes_max = *random.pick(&[0, 600, 3_000]);
    }
    if random.chance(15) {
        limits.inflight_bytes_max = *random.pick(&[1, 600]);
    }
    if random.chance(15) {
        limits.payload_bytes_max = *random.pick(&[10, 300]);
    }
    if random.chance(10) {
        limits.publish_messages_per_month = *random.pick(&[5, 40]);
    }
    if random.chance(30) {
        limits.publish_messages_per_sec = *random.pick(&[1, 3]);
        limits.refused_publishes_per_sec = *random.pick(&[1, 3, 1_000]);
    }
}

/// Some runs never take a step, some take it often.
fn weight(step: Step, random: &mut Random) -> u64 {
    let usual = step.usual_weight();
    match random.below(8) {
        0 if step.may_be_left_out() => 0,
        1 => usual * 4,
        2 => usual.div_ceil(3),
        _ => usual,
    }
}

fn client(org: usize, place: usize, random: &mut Random) -> ClientSettings {
    let version = *random.pick(&[Version::V5, Version::V5, Version::V5, Version::V311, Version::V31]);
    let is_v5 = version.is_v5();
    ClientSettings {
        org,
        place,
        version,
        // In 3.1 CONNACK does not say whether there is a session, so a careful client asks for none.
        persistence: *random.pick(if version == Version::V31 {
            &[0]
        } else {
            &[0, 50, 90, 100]
        }),
        keep_alive_secs: *random.pick(&[0, 0, 2, 30]),
        receive_max: (is_v5 && random.chance(60))
            .then(|| u16::try_from(random.between(1, 6)).expect("invariant: small")),
        packet_bytes_max: (is_v5 && random.chance(15))
            .then(|| u32::try_from(random.between(80, 600)).expect("invariant: small")),
        topic_alias_max: if is_v5 { *random.pick(&[0, 0, 1, 3]) } else { 0 },
        only_shared: (!is_v5 && random.chance(40)).then(|| *random.pick(SHARED_FILTERS)),
        is_nameless: version != Version::V31 && random.chance(5),
        has_full_access: random.chance(15),
        token_ends: random.chance(20),
    }
}

fn limits(random: &mut Random) -> Limits {
    let mut limits = Limits {
        sys_interval_secs: *random.pick(&[0, 0, 30]),
        receive_max: *random.pick(&[256, 1, 2, 8]),
        inflight_max: *random.pick(&[256, 1, 2, 20]),
        topic_alias_max: *random.pick(&[32, 0, 2]),
        topic_alias_out_max: *random.pick(&[16, 0, 1]),
        shared_payload_bytes_min: *random.pick(&[8_192, 1, 100]),
        output_bytes_max: *random.pick(&[262_144, 100, 600, 3_000]),
        packet_bytes_max: 16_384,
        ..Limits::default()
    };
    if random.chance(25) {
        limits.queue_messages_max = *random.pick(&[2, 5, 20]);
    }
    if random.chance(15) {
        limits.queue_bytes_max = *random.pick(&[600, 3_000]);
    }
    if random.chance(15) {
        limits.retained_messages_max = *random.pick(&[1, 3]);
    }
    if random.chance(10) {
        limits.retained_bytes_max = 800;
    }
    if random.chance(10) {
        limits.subscriptions_max = *random.pick(&[1, 3]);
    }
    if random.chance(10) {
        limits.sessions_max = *random.pick(&[1, 3]);
    }
    if random.chance(10) {
        limits.connections_max = *random.pick(&[1, 2]);
    }
    if random.chance(20) {
        limits.session_expiry_secs_max = *random.pick(&[5, 100]);
        limits.session_expiry_secs_default = *random.pick(&[0, 50]);
    }
    if random.chance(15) {
        limits.keep_alive_secs_max = *random.pick(&[5, 20]);
    }
    if random.chance(10) {
        limits.publish_messages_per_sec = *random.pick(&[3, 20]);
    }
    if random.chance(5) {
        limits.publish_bytes_per_sec = 500;
    }
    limits
}

/// A policy: open, closed, or something between.
pub(crate) fn policy(random: &mut Random) -> Policy {
    if random.chance(40) {
        return Policy::permit_all();
    }
    let mut policy = if random.chance(50) {
        Policy::permit_all()
    } else {
        Policy::deny_all()
    };
    let patterns = [
        "#",
        "a/#",
        "a/b",
        "b/#",
        "+/b",
        "team/{team}/#",
        "team/{$self}/news",
        "user/{username}/in",
        "user/+/in",
        "{client_id}",
        "$odd/#",
        "{nobody}/x",
    ];
    for number in 0..random.between(1, 6) {
        let actions = *random.pick(&[(true, true), (true, false), (false, true)]);
        policy.rules.push(Rule {
            name: format!("rules[{number}]").into(),
            user: random
                .pick(&[
                    UserPattern::Any,
                    UserPattern::Any,
                    UserPattern::Exact("u1".into()),
                    UserPattern::Prefix("u".into()),
                ])
                .clone(),
            pattern: (*random.pick(&patterns)).into(),
            binding: Some("team".into()),
            actions: Actions {
                publish: actions.0,
                subscribe: actions.1,
            },
            effect: *random.pick(&[Effect::Allow, Effect::Allow, Effect::Deny]),
            qos_max: *random.pick(&[None, None, Some(Qos::AtMostOnce), Some(Qos::AtLeastOnce)]),
            retain: random.chance(80),
        });
    }
    if policy.rules.len().is_multiple_of(2) {
        policy.precedence = Precedence::FirstMatch;
    }
    policy
}
