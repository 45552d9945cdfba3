//! A run: load, the end of the broker, its start, load again; now and then rest for everybody, and a reckoning.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cloudsignal_tests::random::Random;
use cloudsignal_tests::wait::{DEADLINE, Deadline};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::books::Books;
use crate::brokers::Broker;
use crate::directory::Directory;
use crate::fault::Kind;
use crate::ledger::Ledger;
use crate::member::{Member, Orders, Stage};
use crate::plan::Plan;
use crate::reader;
use crate::report::Report;
use crate::settings::{Endings, Settings};
use crate::trace::Trace;

/// Cycles from one reckoning to the next.
const CYCLES_TO_REST: u32 = 4;
/// Ends that come while clients are still on their way back.
const EARLY_PERCENT: u64 = 20;
const EARLY_MILLIS_MAX: u64 = 100;
const STOPS_PERCENT: u64 = 15;
/// Starts that are cut off.
const STUMBLES_PERCENT: u64 = 20;
const STUMBLE_MILLIS_MAX: u64 = 200;

struct Director<'a> {
    broker: &'a mut dyn Broker,
    settings: Settings,
    plan: Arc<Plan>,
    ledger: Ledger,
    trace: Trace,
    orders: watch::Sender<Orders>,
    directory: Option<Directory>,
    runtime: Runtime,
    dice: Random,
    rests: u32,
}

/// Does what the settings say, and tells what came of it.
pub(crate) fn run(broker: &mut dyn Broker, settings: Settings) -> Report {
    let run = format!("{}-{}", settings.seed, std::process::id());
    let plan = Arc::new(Plan::from_seed(
        settings.seed,
        &run,
        settings.sharing,
        broker.api(),
    ));
    let ledger = Ledger::new(&plan, settings.patience);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (orders, _) = watch::channel(Orders {
        addr: None,
        stage: Stage::Load,
    });
    let mut director = Director {
        broker,
        plan,
        trace: Trace::from_environment(&ledger),
        ledger,
        orders,
        directory: None,
        runtime: runtime.expect("a runtime can be made"),
        dice: Random::new(settings.seed ^ 0xC4A5),
        rests: 0,
        settings,
    };
    director.run();
    director.report()
}

impl Director<'_> {
    /// What there is to tell so far.
    fn report(&self) -> Report {
        let told = |books: &mut Books| (books.tally.clone(), books.faults.clone());
        let (tally, faults) = self.ledger.with(told);
        Report {
            broker: self.broker.name(),
            settings: self.settings,
            tally,
            faults,
        }
    }

    fn run(&mut self) {
        let mut addr = self.start();
        let mut members = JoinSet::new();
        for number in 0..self.plan.members.len() {
            let login = self.broker.login();
            let member = Member::new(
                number,
                &self.plan,
                login,
                &self.trace,
                &self.ledger,
                self.orders.subscribe(),
            );
            members.spawn_on(member.live(), self.runtime.handle());
        }
        for cycle in 1..=self.settings.cycles {
            self.order(Some(addr), Stage::Load);
            // sleep: the moment at which the broker ends, by the seed
            thread::sleep(self.moment());
            self.end();
            self.stumble();
            addr = self.start();
            if cycle % CYCLES_TO_REST == 0 || cycle == self.settings.cycles {
                self.rest(addr);
            }
        }
        self.order(Some(addr), Stage::End);
        self.directory = None;
        let all = async { while members.join_next().await.is_some() {} };
        self.runtime
            .block_on(async { timeout(DEADLINE, all).await })
            .expect("everybody goes when it is over");
    }

    fn order(&self, addr: Option<SocketAddr>, stage: Stage) {
        self.orders.send_replace(Orders { addr, stage });
    }

    fn moment(&mut self) -> Duration {
        let millis = if self.dice.chance(EARLY_PERCENT) {
            self.dice.below(EARLY_MILLIS_MAX)
        } else {
            self.dice.between(EARLY_MILLIS_MAX, self.settings.load_millis_max)
        };
        Duration::from_millis(millis)
    }

    fn end(&mut self) {
        let is_kill = match self.settings.endings {
            Endings::Mixed => !self.dice.chance(STOPS_PERCENT),
            Endings::KillsOnly => true,
            Endings::StopsOnly => false,
        };
        self.ledger.with(|books| {
            books.count_cut();
            let ends = if is_kill {
                &mut books.tally.kills
            } else {
                &mut books.tally.stops
            };
            *ends += 1;
        });
        self.trace.say(if is_kill { "SIGKILL" } else { "SIGTERM" });
        if is_kill {
            self.broker.kill();
        } else {
            self.broker.stop();
        }
        self.order(None, Stage::Load);
        if let Some(directory) = &self.directory {
            directory.pause();
        }
    }

    /// Perhaps it is killed again before it is there.
    fn stumble(&mut self) {
        let may = self.settings.endings != Endings::StopsOnly;
        if may && self.dice.chance(STUMBLES_PERCENT) {
            let moment = Duration::from_millis(self.dice.below(STUMBLE_MILLIS_MAX));
            self.trace.say("SIGKILL while it starts");
            if self.broker.stumble(moment).is_some() {
                self.ledger.with(|books| books.tally.stumbles += 1);
            }
        }
    }

    /// Starts the broker and looks at what can be judged before anybody writes again.
    fn start(&mut self) -> SocketAddr {
        let started = Deadline::start();
        let addr = self.broker.start();
        let millis = started.elapsed().as_millis();
        self.ledger.with(|books| {
            let longest = &mut books.tally.start_millis_max;
            *longest = millis.max(*longest);
        });
        self.look_at_retained(addr);
        if let Some(console) = self.broker.console() {
            let directory = self.directory.get_or_insert_with(|| {
                let dice = Random::new(self.settings.seed ^ 0xD1CE);
                Directory::open(&self.plan, &self.ledger, self.orders.subscribe(), dice)
            });
            directory.resume(console);
        }
        self.ledger.with(|books| books.cycle += 1);
        addr
    }

    fn look_at_retained(&self, addr: SocketAddr) {
        let login = self.broker.login();
        let patience = self.settings.patience;
        let reading = reader::read(addr, &self.plan, &login, &self.trace, &self.ledger, patience);
        match self.runtime.block_on(reading) {
            Ok(found) => self.ledger.with(|books| books.reckon_retained(&found)),
            Err(error) => self.ledger.with(|books| {
                books.faults.add(Kind::Stuck, || {
                    format!("nobody can read retained topics: {error:?}")
                });
            }),
        }
    }

    /// Everybody says the last words and comes to rest; then what has not come is lost.
    fn rest(&mut self, addr: SocketAddr) {
        self.rests += 1;
        self.order(Some(addr), Stage::Rest(self.rests));
        self.await_rest();
        self.await_quiet();
        self.ledger.with(Books::reckon);
        self.look_at_retained(addr);
        self.report().write_down();
    }

    fn await_rest(&self) {
        let (rested, deadline) = (2 * self.rests, Deadline::start());
        self.ledger.watch(|books| {
            let restless = books.sessions.iter().zip(&self.plan.members);
            let restless = restless.filter(|(session, _)| session.rested_for < rested);
            let stories: Vec<_> = restless
                .map(|(session, plan)| format!("{} {}", plan.client_id, session.doing))
                .collect();
            if !stories.is_empty() && !deadline.is_over() {
                return Some(DEADLINE.saturating_sub(deadline.elapsed()));
            }
            for story in stories {
                books.faults.add(Kind::Stuck, || story);
            }
            None
        });
    }

    /// Until everything has come that must, or nothing has happened for long.
    fn await_quiet(&self) {
        let (mut still, mut last) = (Deadline::start(), 0);
        let patience = self.settings.patience;
        self.ledger.watch(|books| {
            if books.now != last {
                (still, last) = (Deadline::start(), books.now);
            }
            let left = patience.saturating_sub(still.elapsed());
            (!books.is_complete() && !left.is_zero()).then_some(left)
        });
    }
}
