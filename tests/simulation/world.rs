//! A run: organizations, clients, the wires between them, and one random thing after the other.

use cloudsignal_core::codec::ReasonCode;
use cloudsignal_tests::random::Random;

use crate::client::Client;
use crate::client::connecting::{Manner, intrude};
use crate::faults::Fault;
use crate::host::{Host, Links};
use crate::link::{Link, Phase};
use crate::net::Read;
use crate::reading::{self, Queues};
use crate::scene::Scene;
use crate::settings::{Settings, policy};
use crate::steps::{STEPS, Step};

/// Where organizations crash, about one does after so many steps.
const STEPS_BETWEEN_CRASHES: u64 = 150;

/// Everything of one run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) settings: Settings,
    pub(crate) hosts: Vec<Host>,
    pub(crate) links: Links,
    pub(crate) clients: Vec<Client>,
    last_link: u32,
    /// Says when an organization crashes, if any does: apart from the others, so that a seed means the same steps.
    dice: Option<Random>,
    /// Says when the store answers.
    reading: Random,
}

/// Whether organizations crash in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crashes {
    Never,
    Now,
}

impl World {
    pub(crate) fn new(
        seed: u64,
        keeps_lines: bool,
        fault: Option<Fault>,
        (crashes, queues): (Crashes, Queues),
    ) -> Self {
        let mut scene = Scene::new(seed, keeps_lines, fault);
        let mut settings = Settings::of(&mut scene.random);
        settings.tighten(seed);
        let mut reading = reading::dice(seed);
        queues.shape(&mut settings, &mut reading);
        // What dies comes back from what is stored, and has it there.
        let may_spill = crashes == Crashes::Now || queues == Queues::Long || reading.chance(80);
        scene.log.note(format_args!("seed {seed}: {settings:?}"));
        let mut hosts: Vec<_> = settings
            .limits
            .iter()
            .zip(&settings.policies)
            .enumerate()
            .map(|(number, (limits, policy))| {
                Host::new(
                    number,
                    limits.clone(),
                    policy.clone(),
                    seed,
                    crashes == Crashes::Now,
                )
            })
            .collect();
        hosts
            .iter_mut()
            .for_each(|host: &mut Host| host.may_spill(may_spill));
        let clients = settings
            .clients
            .iter()
            .enumerate()
            .map(|(number, client)| Client::new(number, client.clone()))
            .collect();
        Self {
            scene,
            settings,
            hosts,
            links: Links::new(),
            clients,
            last_link: 0,
            dice: (crashes == Crashes::Now).then(|| Random::new(!seed)),
            reading,
        }
    }

    /// Takes every step of the run, or stops where the judge finds something.
    pub(crate) fn run(&mut self) {
        for _ in 0..self.settings.steps {
            let at = self.scene.random.weighted(&self.settings.weights);
            let step = STEPS[at.expect("invariant: some weight is not 0")];
            self.step(step);
            self.read();
            self.crash();
            self.sweep();
            if self.scene.verdict.wrong().is_some() {
                return;
            }
        }
    }

    /// Perhaps the store answers what it was asked.
    fn read(&mut self) {
        for host in &mut self.hosts {
            if self.scene.verdict.wrong().is_none() {
                host.read_some(&mut self.reading, &mut self.links, &mut self.scene);
            }
        }
    }

    /// Perhaps an organization crashes.
    fn crash(&mut self) {
        let is_time = |dice: &mut Random| dice.between(1, STEPS_BETWEEN_CRASHES) == 1;
        if let Some(dice) = self
            .dice
            .as_mut()
            .filter(|_| self.scene.verdict.wrong().is_none())
            && is_time(dice)
        {
            let org = dice.index(self.hosts.len());
            self.hosts[org].crash(&mut self.links, &mut self.scene);
        }
    }

    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Upload => {
                self.upload();
            }
            Step::Drain => {
                self.drain();
            }
            Step::Download => {
                self.download();
            }
            Step::Store => self.store(),
            Step::Tick => self.wait(20_000),
            Step::Wait => self.wait(3_000_000),
            Step::Jump => {
                let secs = *self.scene.random.pick(&[30, 90, 700, 4_000, 100_000]);
                self.wait(secs * 1_000_000);
            }
            Step::Connect => self.connect(),
            Step::Publish
            | Step::Subscribe
            | Step::Unsubscribe
            | Step::Acknowledge
            | Step::Ping
            | Step::Reauthenticate
            | Step::Disconnect => self.act(step),
            Step::Verify => {
                self.verify();
            }
            Step::Cut | Step::Abandon | Step::Stall => self.disturb(step),
            Step::Intrude => self.intrude(),
            Step::Policy
            | Step::EndCredential
            | Step::EndPrincipal
            | Step::Renew
            | Step::Kick
            | Step::Shutdown => self.operate(step),
        }
    }

    fn pick_link(&mut self, wanted: impl Fn(&Link, &Host) -> bool) -> Option<u32> {
        let fits: Vec<u32> = self
            .links
            .values()
            .filter(|link| wanted(link, &self.hosts[link.org]))
            .map(|link| link.number)
            .collect();
        (!fits.is_empty()).then(|| *self.scene.random.pick(&fits))
    }

    pub(crate) fn upload(&mut self) -> bool {
        let now = self.scene.now;
        let Some(number) =
            self.pick_link(|link, host| link.may_upload(host.org.limits().output_bytes_max, now))
        else {
            return false;
        };
        let link = self.links.get_mut(&number).expect("invariant: just picked");
        let host = &mut self.hosts[link.org];
        let haste = self.settings.haste;
        match link.up.read(&mut self.scene.random, haste, 4_096, now) {
            Read::Nothing => {}
            Read::Bytes(bytes) => {
                self.scene.log.note(format_args!(
                    "link {number}: {} bytes reach the broker",
                    bytes.len()
                ));
                host.upload(number, &bytes, &mut self.links, &mut self.scene);
                self.mix_orgs(number);
                if self.scene.random.chance(70) {
                    let org = self.links[&number].org;
                    self.hosts[org].seal(&mut self.scene);
                }
            }
            Read::End => host.hang_up(number, &mut self.links, &mut self.scene),
        }
        true
    }

    /// A planted fault: what one organization sends is taken for another one's.
    fn mix_orgs(&mut self, number: u32) {
        if self.scene.fault != Some(Fault::OrgsMixed) {
            return;
        }
        let link = &self.links[&number];
        let bytes: Vec<u8> = link.broker_end.outbox.iter().copied().collect();
        let is_publish = bytes.first().is_some_and(|first| first >> 4 == 3);
        let (org, is_v5) = (link.org, link.version.is_v5());
        let other = self.links.values_mut().find(|other| {
            let is_open = other.tap.is_welcome && other.broker_end.phase == Phase::Open;
            other.org != org && is_open && other.version.is_v5() == is_v5
        });
        if let Some(other) = other.filter(|_| is_publish) {
            self.hosts[other.org].watch(other, &bytes, &mut self.scene);
        }
    }

    pub(crate) fn drain(&mut self) -> bool {
        let Some(number) = self.pick_link(|link, _| link.may_drain()) else {
            return false;
        };
        let link = &self.links[&number];
        let waiting = link.broker_end.outbox.len();
        let bytes = if self.scene.random.chance(self.settings.haste) {
            waiting
        } else {
            self.scene.random.index(waiting + 1)
        };
        self.hosts[link.org].drain(number, bytes, &mut self.links, &mut self.scene);
        true
    }

    pub(crate) fn download(&mut self) -> bool {
        let now = self.scene.now;
        let Some(number) = self.pick_link(|link, _| link.client.is_some() && link.down.is_ready(now)) else {
            return false;
        };
        let link = self.links.get_mut(&number).expect("invariant: just picked");
        let client = &mut self.clients[link.client.expect("invariant: just asked")];
        let haste = self.settings.haste;
        match link.down.read(&mut self.scene.random, haste, 4_096, now) {
            Read::Nothing => {}
            Read::Bytes(bytes) => {
                let ledger = &mut self.hosts[link.org].ledger;
                client.receive(&bytes, link, ledger, &mut self.scene);
            }
            Read::End => {
                client.leave(link);
                link.up.end();
            }
        }
        true
    }

    /// The shell has an answer about a token, in any order.
    pub(crate) fn verify(&mut self) -> bool {
        let asked: Vec<usize> = (0..self.hosts.len())
            .filter(|&org| !self.hosts[org].asked.is_empty())
            .collect();
        if asked.is_empty() {
            return false;
        }
        let host = &mut self.hosts[*self.scene.random.pick(&asked)];
        let at = self.scene.random.index(host.asked.len());
        host.verify(at, &mut self.links, &mut self.scene);
        true
    }

    fn store(&mut self) {
        let org = self.scene.random.index(self.hosts.len());
        let host = &mut self.hosts[org];
        host.seal(&mut self.scene);
        let groups = self.scene.random.index(host.sealed.len() + 1);
        host.store(groups, &mut self.links, &mut self.scene);
    }

    /// Time passes: served to the moment, or all at once.
    fn wait(&mut self, micros_max: u64) {
        let micros = self.scene.random.between(1, micros_max);
        let end = self.scene.now.as_micros() + micros;
        if self.scene.random.chance(self.settings.punctuality) {
            while self.scene.verdict.wrong().is_none() {
                let due = self.hosts.iter().filter_map(|host| host.org.poll_timeout()).min();
                let Some(due) = due.filter(|due| due.as_micros() <= end) else {
                    break;
                };
                self.scene.now = self.scene.now.max(due);
                self.serve_timers();
            }
        }
        self.scene.now = cloudsignal_core::Instant::from_micros(end);
        self.scene
            .log
            .note(format_args!("now {}", self.scene.now.as_micros()));
        if micros_max > 1_000_000 || self.scene.random.chance(50) {
            self.serve_timers();
        }
    }

    pub(crate) fn serve_timers(&mut self) {
        for host in &mut self.hosts {
            host.serve_timers(&mut self.links, &mut self.scene);
        }
    }

    pub(crate) fn dial(&mut self, client: usize, manner: Manner) {
        let client = &mut self.clients[client];
        if let Some(old) = client.link().and_then(|old| self.links.get_mut(&old)) {
            client.leave(old); // It is taken over, or its end is noticed later.
        }
        self.last_link += 1;
        let identity = client.identity(manner, &mut self.scene);
        let (org, version) = (client.settings.org, client.settings.version);
        let mut link = Link::new(self.last_link, org, version, identity);
        link.set_bounds(self.settings.clients[client.number].packet_bytes_max);
        client.connect(&mut link, manner, &self.settings, &mut self.scene);
        self.links.insert(link.number, link);
    }

    fn connect(&mut self) {
        let at = self.scene.random.index(self.clients.len());
        // Who is connected comes back only now and then: that is a takeover.
        if self.clients[at].conn.is_none() || self.scene.random.chance(6) {
            self.dial(at, Manner::Any);
        }
    }

    fn act(&mut self, step: Step) {
        let ready: Vec<usize> = (0..self.clients.len())
            .filter(|&at| self.clients[at].is_welcome())
            .collect();
        if ready.is_empty() {
            return;
        }
        let client = &mut self.clients[*self.scene.random.pick(&ready)];
        let number = client.link().expect("invariant: it is connected");
        let Some(link) = self.links.get_mut(&number) else {
            return;
        };
        let (settings, scene) = (&self.settings, &mut self.scene);
        match step {
            Step::Publish => client.publish(link, settings, scene),
            Step::Subscribe => client.subscribe(link, settings, scene),
            Step::Unsubscribe => client.unsubscribe(link, settings, scene),
            Step::Acknowledge => client.acknowledge(link, 6, scene),
            Step::Disconnect => client.disconnect(link, scene),
            Step::Reauthenticate => client.reauthenticate(link, scene),
            _ => client.ping(link),
        }
    }

    fn disturb(&mut self, step: Step) {
        let Some(number) = self.pick_link(|link, _| link.client.is_some()) else {
            return;
        };
        let link = self.links.get_mut(&number).expect("invariant: just picked");
        let client = &mut self.clients[link.client.expect("invariant: just asked")];
        self.scene.log.note(format_args!("link {number}: {step:?}"));
        let secs = u32::try_from(self.scene.random.between(0, 20)).expect("invariant: small");
        let until = self.scene.now.after_secs(secs);
        match step {
            Step::Stall if self.scene.random.chance(50) => link.up.stall(until),
            Step::Stall => link.down.stall(until),
            Step::Cut => {
                link.up.cut(&mut self.scene.random);
                if self.scene.random.chance(40) {
                    link.up.stall(until);
                }
                client.leave(link);
            }
            _ => client.leave(link),
        }
    }

    fn intrude(&mut self) {
        let at = self.scene.random.index(self.clients.len());
        let client = &mut self.clients[at];
        if client.name.is_empty() {
            return;
        }
        self.last_link += 1;
        let mut identity = client.identity(Manner::Any, &mut self.scene);
        identity.principal = "stranger".into();
        identity.username = "stranger".into();
        let version = *self
            .scene
            .random
            .pick(&[cloudsignal_core::Version::V5, cloudsignal_core::Version::V311]);
        let mut link = Link::new(self.last_link, client.settings.org, version, identity);
        self.scene.log.note(format_args!(
            "link {}: somebody uses {}",
            link.number, client.name
        ));
        intrude(&client.name, &mut link, &mut self.scene);
        self.links.insert(link.number, link);
    }

    fn operate(&mut self, step: Step) {
        let at = self.scene.random.index(self.clients.len());
        let client = &self.clients[at];
        let host = &mut self.hosts[client.settings.org];
        let (links, scene) = (&mut self.links, &mut self.scene);
        let credential = client.credential();
        match step {
            Step::Policy => {
                let policy = policy(&mut scene.random);
                host.set_policy(policy, links, scene);
            }
            Step::EndCredential => {
                let reasons = [ReasonCode::NotAuthorized, ReasonCode::AdministrativeAction];
                let reason = *scene.random.pick(&reasons);
                host.end_credential(&credential, reason, links, scene);
            }
            Step::EndPrincipal => {
                let principal = format!("p{}", client.settings.place);
                host.end_principal(&principal, ReasonCode::NotAuthorized, links, scene);
            }
            Step::Renew => {
                let secs = u32::try_from(scene.random.between(1, 300)).expect("invariant: small");
                let until = scene.random.chance(80).then(|| scene.now.after_secs(secs));
                host.renew(&credential, until, scene);
            }
            Step::Shutdown => host.shut_down(ReasonCode::ServerShuttingDown, links, scene),
            Step::Kick => {
                let name = client.name.clone();
                host.kick(&name, links, scene);
            }
            Step::Upload
            | Step::Drain
            | Step::Download
            | Step::Store
            | Step::Tick
            | Step::Wait
            | Step::Jump
            | Step::Connect
            | Step::Publish
            | Step::Subscribe
            | Step::Unsubscribe
            | Step::Acknowledge
            | Step::Ping
            | Step::Reauthenticate
            | Step::Verify
            | Step::Disconnect
            | Step::Cut
            | Step::Abandon
            | Step::Stall
            | Step::Intrude => unreachable!("invariant: no operator does {step:?}"),
        }
    }

    /// Forgets links that nobody has an end of.
    fn sweep(&mut self) {
        self.links.retain(|_, link| !link.is_over());
    }
}
