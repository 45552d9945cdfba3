//! Queues that the store keeps: it is asked, and answers in any order, at any later moment, or that it cannot.

use cloudsignal_broker::{Fetch, Limits, Policy, Storage, Unreadable};
use cloudsignal_core::{Instant, Version};
use cloudsignal_tests::random::Random;

use crate::host::{Host, Links};
use crate::scene::Scene;
use crate::settings::Settings;
use crate::steps::{STEPS, Step};

/// What the dice of this file begin with: they are others than those of the run, so that a seed means the same steps.
const READING_SEED: u64 = 0x6665_7463_685f_6d65;
/// How often the store answers after a step, and cannot read then, in percent.
const ANSWERS: u64 = 30;
const FAILURES: u64 = 10;
/// As long as the broker waits before it asks again, in seconds.
const RETRY_SECS: u32 = 1;

/// What a host waits for.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Questions without an answer.
    pub(crate) asked: Vec<Fetch>,
    /// Until then some are not asked again.
    retry_at: Instant,
}

/// Decides how much of queues is in memory, and when the store answers.
pub(crate) fn dice(seed: u64) -> Random {
    Random::new(seed ^ READING_SEED)
}

/// Little stays in memory, so that nearly everything is read.
fn narrow(limits: &mut Limits, dice: &mut Random) {
    limits.queue_resident_messages_max = *dice.pick(&[1, 1, 2, 5, 64]);
    limits.queue_resident_bytes_max = *dice.pick(&[1, 300, 65_536]);
}

/// Whether clients are often away for long, and take messages one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queues {
    Usual,
    Long,
}

impl Queues {
    /// Makes the queues of a run what they are to be.
    pub(crate) fn shape(self, settings: &mut Settings, dice: &mut Random) {
        for limits in &mut settings.limits {
            narrow(limits, dice);
        }
        if self == Self::Usual {
            return;
        }
        settings.steps = 1_500;
        settings.haste = 90;
        settings.payload_bytes = [8, 200];
        (settings.filters, settings.topics) = (vec!["#", "a/#", "+/b", "a/b"], vec!["a", "a/b", "a/c", "b"]);
        for limits in &mut settings.limits {
            *limits = long(dice);
            narrow(limits, dice);
        }
        for policy in &mut settings.policies {
            if dice.chance(70) {
                *policy = Policy::permit_all();
            }
        }
        for client in settings
            .clients
            .iter_mut()
            .filter(|it| it.version != Version::V31)
        {
            client.persistence = 100;
            (client.keep_alive_secs, client.token_ends) = (0, false);
        }
        for (step, weight) in STEPS.iter().zip(&mut settings.weights) {
            *weight = weight_of(*step);
        }
    }
}

/// Room for long queues, and narrow ways out of them.
fn long(dice: &mut Random) -> Limits {
    Limits {
        inflight_max: *dice.pick(&[1, 2, 5, 256]),
        output_bytes_max: *dice.pick(&[100, 600, 262_144]),
        queue_messages_max: *dice.pick(&[20, 100, 10_000]),
        packet_bytes_max: 16_384,
        sys_interval_secs: 0,
        ..Limits::default()
    }
}

/// Much is published and little happens beside it.
const fn weight_of(step: Step) -> u64 {
    match step {
        Step::Upload => 600,
        Step::Drain | Step::Download | Step::Publish | Step::Acknowledge => 300,
        Step::Connect | Step::Store => 100,
        Step::Subscribe | Step::Tick => 60,
        Step::Cut => 25,
        Step::Disconnect | Step::Stall | Step::Wait => 10,
        Step::Unsubscribe | Step::Policy | Step::Abandon => 5,
        _ => 1,
    }
}

impl Host {
    /// Whether queues leave the memory at all.
    pub(crate) fn may_spill(&mut self, may: bool) {
        self.ledger.spills = may;
        if may {
            self.org.handle_storage(Storage::Working);
        }
    }

    /// The store answers one question, or none.
    pub(crate) fn read_some(&mut self, dice: &mut Random, links: &mut Links, scene: &mut Scene) {
        if !self.reading.asked.is_empty() && dice.chance(ANSWERS) {
            let at = dice.index(self.reading.asked.len());
            let fails = dice.chance(FAILURES);
            self.read(at, fails, links, scene);
        }
    }

    /// The store answers everything that it was asked. Answers whether that was anything.
    pub(crate) fn read_all(&mut self, links: &mut Links, scene: &mut Scene) -> bool {
        let has_read = !self.reading.asked.is_empty();
        while !self.reading.asked.is_empty() && scene.verdict.wrong().is_none() {
            self.read(0, false, links, scene);
        }
        has_read
    }

    fn read(&mut self, at: usize, fails: bool, links: &mut Links, scene: &mut Scene) {
        let fetch = self.reading.asked.remove(at);
        let now = scene.now;
        let answer = if fails {
            self.reading.retry_at = now.after_secs(RETRY_SECS);
            Err(Unreadable)
        } else {
            Ok(self.disk.fetch(&fetch))
        };
        let count = answer.as_ref().map(|fetched| fetched.deliveries.len());
        scene.log.note(format_args!(
            "org {}: {} has {count:?} behind {} up to {}",
            self.number, fetch.session.client_id, fetch.after, fetch.through
        ));
        let called = self.call(|org, sink| org.handle_fetched(&fetch, answer, now, sink));
        self.finish(called, links, scene);
    }

    /// When everything may be asked again.
    pub(crate) const fn may_read_at(&self) -> Instant {
        self.reading.retry_at
    }
}
