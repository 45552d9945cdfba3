//! The process dies and is started again: what was stored is all that the new one has, and the judge goes back to the
//! moment that it was stored at.
//!
//! What the judge goes back to has nothing to do with what the broker said was to be stored: it is its own idea of
//! the organization when the last stored group was sealed. Clients keep what they have.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cloudsignal_broker::change::Change;
use cloudsignal_broker::{Org, RETURN_GRACE_SECS};
use cloudsignal_core::{Instant, Qos};

use crate::faults::Fault;
use crate::host::{Host, Links};
use crate::ledger::handout::Handout;
use crate::ledger::window::Windows;
use crate::ledger::{Accepted, Ledger};
use crate::link::Phase;
use crate::model::quotas::Credit;
use crate::model::session::Session;
use crate::model::{Model, SessionKey};
use crate::scene::Scene;

/// How often a store with a planted fault loses what it should write, in percent.
const LOSSES: u64 = 5;

/// What survives a crash.
#[derive(Debug)]
pub(crate) struct Survival {
    /// How often the process has died.
    crashes: u64,
    /// What had dropped from queues when it died.
    pub(crate) dropped: u64,
    /// What the judge knew when the last stored group was sealed.
    then: Then,
    /// The same for groups that are not stored yet, by ticket.
    sealed: VecDeque<(u64, Then)>,
}

/// What the judge knew at a moment.
#[derive(Debug)]
struct Then {
    model: Model,
    windows: Windows,
}

impl Survival {
    pub(crate) fn new(model: Model) -> Self {
        Self {
            crashes: 0,
            dropped: 0,
            then: Then {
                model,
                windows: Windows::default(),
            },
            sealed: VecDeque::new(),
        }
    }

    /// A group is sealed.
    pub(crate) fn sealed(&mut self, ticket: u64, model: &Model, windows: &Windows) {
        let (model, windows) = (model.clone(), windows.clone());
        self.sealed.push_back((ticket, Then { model, windows }));
    }

    /// A group is stored.
    pub(crate) fn stored(&mut self, ticket: u64) {
        while let Some((_, then)) = self.sealed.pop_front_if(|(sealed, _)| *sealed <= ticket) {
            self.then = then;
        }
    }
}

impl Host {
    /// A change is written, or with a planted fault perhaps lost.
    pub(crate) fn write(&mut self, change: &Change, scene: &mut Scene) {
        let loses = match scene.fault {
            Some(Fault::StoreForgets) => matches!(change, Change::Queued { .. } | Change::Retained { .. }),
            Some(Fault::StoreRemembers) => matches!(change, Change::Settled { .. } | Change::Released { .. }),
            _ => false,
        };
        if loses && scene.random.chance(LOSSES) {
            return;
        }
        let forgives = scene.fault.is_some_and(Fault::needs_crashes);
        if let Err(wrong) = self.disk.apply(change)
            && !forgives
        {
            scene.verdict.fail(|| format!("changes: {wrong}"));
        }
    }

    pub(crate) fn crash(&mut self, links: &mut Links, scene: &mut Scene) {
        let now = scene.now;
        scene.log.note(format_args!(
            "org {}: crashes, stored up to {}",
            self.number, self.stored
        ));
        self.lose_links(links, scene);
        let dropped = cloudsignal_broker::sink::DropReason::QueueFull.index();
        let Some(survival) = &mut self.survival else {
            return;
        };
        survival.dropped += self.org.counters().dropped[dropped];
        survival.crashes += 1;
        survival.sealed.clear();
        self.model.go_back(&survival.then.model, now);
        let seed = scene.seed ^ survival.crashes << 32;
        let (limits, policy) = (self.model.limits.clone(), self.model.policy.clone());
        let mut org = Org::new(self.org.id().clone(), limits, policy, seed);
        // What was published in a month is the shell's to remember.
        org.handle_month(self.org.month_messages());
        self.org = self.disk.restore(org, now);
        self.org.invariants();
        self.ledger
            .crash(&self.model, &survival.then.windows, self.stored, now);
        self.forget_turn();
        self.forget_quota();
        self.serve_timers(links, scene);
        self.check_sessions(scene);
        self.check_retained(scene);
    }

    /// Every connection is gone, with what waited to leave; what the network has may still arrive.
    fn lose_links(&mut self, links: &mut Links, scene: &mut Scene) {
        for link in links.values_mut().filter(|link| link.org == self.number) {
            if link.broker_end.phase == Phase::Gone {
                continue;
            }
            link.broker_end.phase = Phase::Gone;
            link.broker_end.outbox.clear();
            link.down.cut(&mut scene.random);
            link.tap.expected.clear();
            link.tap.releases.clear();
            self.ledger
                .link_ended(link.number, link.tap.session, &self.model, scene.now);
        }
    }
}

impl Model {
    /// What was stored is all there is: the organization is again what it was `then`, and nobody is connected.
    fn go_back(&mut self, then: &Self, now: Instant) {
        self.sessions = then
            .sessions
            .iter()
            .filter(|(_, session)| session.is_persistent())
            .map(|(client_id, session)| (client_id.clone(), session.restarted(now)))
            .collect();
        self.retained.clone_from(&then.retained);
        self.connects = Credit::new(self.limits.connects_per_sec);
        self.begin();
    }
}

impl Session {
    /// Whoever was connected has gone away now.
    fn restarted(&self, now: Instant) -> Self {
        let mut session = self.clone();
        let Some(conn) = session.conn.take() else {
            return session;
        };
        session.expires_at = match session.expiry_secs {
            u32::MAX => Instant::MAX,
            secs => now.after_secs(secs.max(RETURN_GRACE_SECS)),
        };
        session.will = conn.will.map(|will| {
            let secs = will.delay_secs.min(session.expiry_secs).max(RETURN_GRACE_SECS);
            (now.after_secs(secs), will)
        });
        session
    }
}

impl Ledger {
    /// What was accepted up to the ticket `stored` is still owed to the sessions that are there again.
    fn crash(&mut self, model: &Model, then: &Windows, stored: u64, now: Instant) {
        let known: BTreeSet<SessionKey> = self.dues.iter().map(|due| due.session).collect();
        let restored: BTreeSet<SessionKey> = model.sessions.values().map(|session| session.key).collect();
        for &gone in known.difference(&restored) {
            self.session_ended(gone, model, now);
        }
        self.windows.crash(then, &restored);
        self.forget_order();
        for keep in model.retained.values().flat_map(|kept| &kept.now).flatten() {
            // It may have been accepted again since, and that is lost.
            let (index, expires_at) = (keep.index, keep.expires_at);
            self.accepted.insert(keep.number, Accepted { index, expires_at });
        }
        self.crash_dues(&restored, stored);
        self.groups
            .iter_mut()
            .for_each(|due| due.crash(&restored, stored));
        self.crash_handouts(model);
        self.forget_denied(model);
        self.restored.extend(restored);
    }

    fn crash_dues(&mut self, restored: &BTreeSet<SessionKey>, stored: u64) {
        for due in &mut self.dues {
            if due.qos == Qos::AtMostOnce || due.ticket > stored {
                due.void();
            } else if restored.contains(&due.session) {
                due.crash(stored);
            }
        }
        self.flagged.crash(stored);
    }

    /// A walk through the retained messages may begin again. What it has begun to deliver comes in any case.
    fn crash_handouts(&mut self, model: &Model) {
        let mut again: BTreeMap<(SessionKey, String), Handout> = BTreeMap::new();
        for handout in &mut self.handouts {
            handout.due.clear();
            handout.is_over = true;
            let session = model.by_key(handout.session);
            let subscription = session.and_then(|session| session.subscriptions.get(&handout.filter));
            if let Some(subscription) = subscription {
                let key = (handout.session, handout.filter.clone());
                // It may have been made anew since, and be again what it was.
                let (qos, id) = (subscription.qos, subscription.id);
                let none_due = BTreeMap::new();
                again.insert(
                    key,
                    Handout::new(handout.session, &handout.filter, qos, id, none_due),
                );
            }
        }
        for handout in again.into_values() {
            self.owe_retained(handout);
        }
    }
}
