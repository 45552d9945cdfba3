//! The end of a run: everything that was broken heals, everybody comes home, and what is owed must arrive.

use cloudsignal_core::{Duration, Qos};

use crate::client::connecting::Manner;
use crate::disk::Disk;
use crate::faults::Fault;
use crate::host::Host;
use crate::ledger::direct::Due;
use crate::ledger::flagged::Place;
use crate::ledger::handout::Handout;
use crate::link::Phase;
use crate::model::Keep;
use crate::model::routing::fits;
use crate::scene::Scene;
use crate::world::World;

/// Rounds after which everything must have come to rest.
const ROUNDS_MAX: usize = 400;
/// How long messages may wait for a rate that there is no more, in microseconds.
const KEPT_BACK_MICROS: u64 = 20_000;
/// Steps of one kind in a round.
const STEPS_MAX: usize = 2_000;

impl World {
    /// Heals everything, brings every session's client back, and waits for rest.
    pub(crate) fn heal(&mut self) {
        self.scene.log.note(format_args!("heals"));
        self.settings.haste = 100;
        let mut kept_back = false;
        for host in &mut self.hosts {
            kept_back |= host.lift_bounds();
        }
        self.serve_timers();
        if kept_back {
            // What waited for a rate is looked at again within this time.
            self.scene.now = self.scene.now.after(Duration::from_micros(KEPT_BACK_MICROS));
            self.serve_timers();
        }
        for link in self.links.values_mut() {
            link.up.heal();
            link.down.heal();
            if link.client.is_none() {
                link.up.end();
            }
        }
        let may_read_at = self.hosts.iter().map(Host::may_read_at).max();
        if let Some(at) = may_read_at.filter(|&at| at > self.scene.now) {
            self.scene.now = at;
            self.serve_timers();
        }
        self.settle();
        self.hang_up_deserted();
        for at in 0..self.clients.len() {
            let client = &self.clients[at];
            let host = &self.hosts[client.settings.org];
            let is_away = host
                .model
                .sessions
                .get(&client.name)
                .is_some_and(|session| session.conn.is_none());
            if is_away {
                self.dial(at, Manner::Home);
            }
        }
        self.settle();
    }

    /// Who does not read for long is hung up on.
    fn hang_up_deserted(&mut self) {
        let deserted: Vec<u32> = self
            .links
            .values()
            .filter(|link| link.client.is_none() && link.broker_end.phase != Phase::Gone)
            .map(|link| link.number)
            .collect();
        for number in deserted {
            let org = self.links[&number].org;
            self.hosts[org].hang_up(number, &mut self.links, &mut self.scene);
        }
        self.settle();
    }

    /// Lets everything that can move move, until nothing does.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut has_moved = self.repeat(Self::upload);
            has_moved |= self.repeat(Self::verify);
            has_moved |= self.repeat(Self::drain);
            has_moved |= self.repeat(Self::download);
            for host in &mut self.hosts {
                host.seal(&mut self.scene);
                let groups = host.sealed.len();
                if groups > 0 {
                    has_moved = true;
                    host.store(groups, &mut self.links, &mut self.scene);
                }
                has_moved |= host.read_all(&mut self.links, &mut self.scene);
            }
            has_moved |= self.acknowledge_all();
            if self.scene.verdict.wrong().is_some() {
                return;
            }
            if !has_moved {
                let due = self
                    .hosts
                    .iter()
                    .any(|host| host.org.poll_timeout().is_some_and(|due| due <= self.scene.now));
                if !due {
                    return;
                }
                self.serve_timers();
            }
        }
        self.scene
            .verdict
            .fail(|| "liveness: the run never comes to rest".to_owned());
    }

    fn repeat(&mut self, act: fn(&mut Self) -> bool) -> bool {
        let done = (0..STEPS_MAX)
            .take_while(|_| self.scene.verdict.wrong().is_none() && act(self))
            .count();
        done > 0
    }

    fn acknowledge_all(&mut self) -> bool {
        let mut has_moved = false;
        for client in &mut self.clients {
            while client.owes() {
                let link = client.link().and_then(|link| self.links.get_mut(&link));
                let Some(link) = link else { break };
                client.acknowledge(link, 10, &mut self.scene);
                has_moved = true;
            }
        }
        has_moved
    }

    /// What must hold once everything has come to rest.
    pub(crate) fn check_end(&mut self) {
        for link in self.links.values() {
            let is_answered = link.tap.expected.is_empty() && link.tap.releases.is_empty();
            self.scene.verdict.require(is_answered, || {
                format!(
                    "liveness: link {} waits for {:?} and {:?}",
                    link.number, link.tap.expected, link.tap.releases
                )
            });
        }
        for client in self.clients.iter().filter(|client| client.is_welcome()) {
            self.scene.verdict.require(client.is_idle(), || {
                format!(
                    "liveness: client {} waits: {:?} {:?}",
                    client.number, client.memory, client.conn
                )
            });
        }
        for host in &self.hosts {
            host.check_end(&mut self.scene);
        }
    }
}

impl Host {
    fn check_end(&self, scene: &mut Scene) {
        self.shelf.check(&self.model, scene);
        self.check_disk(scene);
        let everybody_is_here = self.model.sessions.values().all(|session| session.conn.is_some());
        if everybody_is_here {
            self.shelf.check_settled(scene);
        }
        for view in self.org.sessions().filter(|view| view.connected) {
            let left = view.queue_messages + view.unacknowledged;
            scene.verdict.require(left == 0, || {
                format!("liveness: {} messages are left for {}", left, view.client_id)
            });
        }
        for (session, packet_id, entry) in self.ledger.windows.all() {
            let stands = self
                .model
                .by_key(session)
                .is_some_and(|session| session.conn.is_some());
            let is_shared = matches!(entry.claim, crate::ledger::Claim::Group(_));
            let is_excused = is_shared || entry.is_large || entry.may_be_forgotten;
            scene.verdict.require(!stands || is_excused, || {
                format!("liveness: session {session:x} never acknowledged {packet_id}: {entry:?}")
            });
        }
        self.check_paid(scene);
        self.check_flagged_arrived(scene);
    }

    /// What the store has on its disk is what the organization has.
    fn check_disk(&self, scene: &mut Scene) {
        if scene.fault.is_some_and(Fault::needs_crashes) {
            return;
        }
        let (mut there, mut stored) = (Disk::default(), self.disk.clone());
        self.org.snapshot(&mut |change| {
            if let Err(wrong) = there.apply(&change) {
                scene.verdict.fail(|| format!("changes: {wrong}"));
            }
        });
        // One that ends with the connection that it has is no longer told of.
        stored.sessions.retain(|_, session| session.expiry_secs > 0);
        if let Err(wrong) = there.add_spilled(&stored, &self.org) {
            scene.verdict.fail(|| format!("changes: {wrong}"));
        }
        let (there, stored) = (there.lines(false), stored.lines(false));
        scene.verdict.require(there == stored, || {
            format!("changes: {stored:#?} is stored, there is {there:#?}")
        });
    }

    /// Everything owed has arrived, give or take what was dropped and counted.
    fn check_paid(&self, scene: &mut Scene) {
        use cloudsignal_broker::sink::DropReason;

        let before = self.survival.as_ref().map_or(0, |survival| survival.dropped);
        let dropped = before + self.org.counters().dropped[DropReason::QueueFull.index()];
        let mut missing = self.check_flagged_paid(scene);
        for due in &self.ledger.dues {
            if due.is_flagged() || !self.must_be_paid(due, scene) {
                continue;
            }
            if due.received > 0 || self.ledger.has_spare(due) {
                continue;
            }
            missing += u64::from(due.may_be_dropped);
            scene.verdict.require(due.may_be_dropped, || {
                format!("lost: org {}: {due:?}", self.number)
            });
        }
        for due in &self.ledger.groups {
            let mut members = self
                .model
                .sessions
                .values()
                .filter(|session| self.model.members.contains(&(due.filter.clone(), session.key)));
            let is_late = due.may_have_expired(scene.now);
            let is_stuck = members.any(|session| session.conn.is_none());
            if !due.is_owed || is_late || is_stuck || due.received > 0 || self.ledger.has_spare_group(due) {
                continue;
            }
            missing += u64::from(due.may_be_dropped);
            scene.verdict.require(due.may_be_dropped, || {
                format!("lost: org {}: {due:?}", self.number)
            });
        }
        scene.verdict.require(missing <= dropped, || {
            format!(
                "lost: org {}: {missing} messages are missing, {dropped} were counted",
                self.number
            )
        });
    }

    fn must_be_paid(&self, due: &Due, scene: &Scene) -> bool {
        let session = self.model.by_key(due.session);
        let stands = session.is_some_and(|session| session.conn.is_some());
        let is_late = !due.sent && due.expires_at <= scene.now;
        due.is_owed && stands && !is_late
    }

    /// New subscriptions were given what was retained, and subscriptions that keep the retain flag what was published
    /// with it. Answers how many messages are missing that may have been dropped.
    fn check_flagged_paid(&self, scene: &mut Scene) -> u64 {
        let dues = self.ledger.dues.iter().enumerate();
        let owed = dues.filter(|(_, due)| due.is_flagged() && self.must_be_paid(due, scene));
        let (may_be_dropped, due): (Vec<_>, Vec<_>) = owed.partition(|(_, due)| due.may_be_dropped);
        let handouts = self.ledger.handouts.iter().enumerate();
        let steps = handouts.flat_map(|(at, handout)| {
            let topics = self.must_be_handed_out(handout, scene).into_iter();
            topics.map(move |topic| Place::Step(at, topic))
        });
        let place = |(at, _): (usize, &Due)| Place::Due(at);
        let (due, may_be_dropped) = (due.into_iter().map(place), may_be_dropped.into_iter().map(place));
        let all = due.chain(steps).chain(may_be_dropped);
        let mut missing = 0;
        for place in self.ledger.flagged.unpaid(all) {
            match place {
                Place::Due(at) => {
                    let due = &self.ledger.dues[at];
                    missing += u64::from(due.may_be_dropped);
                    scene.verdict.require(due.may_be_dropped, || {
                        format!("lost: org {}: {due:?}", self.number)
                    });
                }
                Place::Step(at, topic) => {
                    let handout = &self.ledger.handouts[at];
                    scene
                        .verdict
                        .fail(|| format!("retained: {topic} was never given to {handout:?}"));
                }
            }
        }
        missing
    }

    /// The topics that a walk must have handed out.
    fn must_be_handed_out(&self, handout: &Handout, scene: &Scene) -> Vec<String> {
        let session = self.model.by_key(handout.session);
        let session = session.filter(|session| session.conn.is_some() && !handout.is_over);
        let Some(session) = session else {
            return Vec::new();
        };
        let is_owed = |topic: &str, keep: &Keep| {
            let fits = fits(session, &scene.publications[keep.number]);
            let may_receive = session.may_receive(&self.model.policy, topic);
            let is_expired = keep.expires_at <= scene.now;
            fits && may_receive && !is_expired
        };
        let due = handout.due.iter();
        due.filter(|(topic, keep)| is_owed(topic, keep))
            .map(|(topic, _)| topic.clone())
            .collect()
    }

    /// What was sent with the retain flag at QoS 1 or 2 has arrived, whatever it was for.
    fn check_flagged_arrived(&self, scene: &mut Scene) {
        for flagged in self
            .ledger
            .flagged
            .sent
            .iter()
            .filter(|flagged| flagged.qos > Qos::AtMostOnce)
        {
            let session = self.model.by_key(flagged.session);
            let publication = &scene.publications[flagged.number];
            let must_arrive =
                session.is_some_and(|session| session.conn.is_some() && fits(session, publication));
            scene.verdict.require(!must_arrive || flagged.received > 0, || {
                format!("lost: org {}: {flagged:?}", self.number)
            });
        }
    }
}
