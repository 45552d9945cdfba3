//! `cloudsignal bench`: starts the threads of a run, shows how far they are, and tells what came of it.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{IsTerminal as _, stderr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;

use anyhow::Context as _;
use cloudsignal_core::Instant;
use tokio::sync::oneshot;

use super::crowd::{connect, idle};
use super::options::{BenchArgs, CommonArgs, ScenarioArgs};
use super::plan::Plan;
use super::report::Report;
use super::stock::{queue, retained};
use super::usage::Usage;
use super::worker::{News, Outcome, Worker};
use crate::cli::block_on;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::remark;
use crate::clock::Clock;
use crate::open_files;

/// How often it is shown how far a run is.
const PROGRESS_PERIOD: Duration = Duration::from_secs(1);

/// Runs the command.
pub(crate) fn bench(args: BenchArgs) -> Result<(), Failure> {
    match args.scenario {
        ScenarioArgs::Pairs(args) => traffic(block_on(Plan::pairs(&args))?, &args.common),
        ScenarioArgs::FanOut(args) => traffic(block_on(Plan::fan_out(&args))?, &args.common),
        ScenarioArgs::FanIn(args) => traffic(block_on(Plan::fan_in(&args))?, &args.common),
        ScenarioArgs::Retained(args) => block_on(retained(args)),
        ScenarioArgs::Queue(args) => block_on(queue(args)),
        ScenarioArgs::Connect(args) => block_on(connect(args)),
        ScenarioArgs::Idle(args) => block_on(idle(args)),
        ScenarioArgs::Wildcards(args) => traffic(block_on(Plan::wildcards(&args))?, &args.common),
    }
}

/// Runs a plan with messages, and prints what came of it.
fn traffic(plan: Plan, common: &CommonArgs) -> Result<(), Failure> {
    let resident_before = plan.pid.map(Usage::of).transpose()?;
    has_files(plan.publishers() + plan.subscribers())?;
    let plan = Arc::new(plan);
    let shows_progress = !common.json && !common.quiet && stderr().is_terminal();
    let finished = Crew::start(&plan)?.finish(shows_progress)?;
    let resident_before = resident_before.map(|usage| usage.resident_bytes);
    let report = Report::new(&plan, finished, resident_before);
    report.print(common.json)?;
    report.verdict()
}

/// Sees to it that each connection may be an open file.
pub(super) fn has_files(connections: usize) -> Result<(), Failure> {
    open_files::make_room(connections as u64).map_err(|files| {
        let text = format!("{connections} connections need more than {files} open files (ulimit -n)");
        Failure::because(Exit::Failed, text)
    })
}

/// The threads of a run.
struct Crew {
    clock: Clock,
    begin: Instant,
    news: Receiver<News>,
    starts: Vec<oneshot::Sender<()>>,
    progress: Vec<Arc<AtomicU64>>,
}

impl Crew {
    fn start(plan: &Arc<Plan>) -> Result<Self, Failure> {
        let clock = Clock::system();
        let threads = plan.casts.len();
        let (sender, news) = sync_channel(2 * threads); // Each of them says two things.
        let mut crew = Self {
            begin: clock.now(),
            clock,
            news,
            starts: Vec::new(),
            progress: Vec::new(),
        };
        for thread in 0..threads {
            let (start, started) = oneshot::channel();
            let progress = Arc::default();
            crew.starts.push(start);
            crew.progress.push(Arc::clone(&progress));
            let worker = Worker {
                plan: Arc::clone(plan),
                thread,
                clock: crew.clock.clone(),
                progress,
                news: sender.clone(),
                start: started,
            };
            let thread = thread::Builder::new().name(format!("bench-{thread}"));
            thread
                .spawn(|| work(worker))
                .context("the system gives no thread")?;
        }
        Ok(crew)
    }

    /// Awaits all threads, or the first failure: the rest then ends with the program.
    fn finish(mut self, shows_progress: bool) -> Result<Finished, Failure> {
        let threads = self.progress.len();
        let (mut ready, mut outcomes, mut shown) = (0, Vec::new(), 0);
        let mut setup = Duration::ZERO;
        while outcomes.len() < threads {
            match self.news.recv_timeout(PROGRESS_PERIOD) {
                Ok(News::Ready) => ready += 1,
                Ok(News::Done(outcome)) => outcomes.push((*outcome)?),
                Err(RecvTimeoutError::Timeout) if shows_progress => shown = self.show(ready, shown),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::because(Exit::Failed, "a thread ended without a word"));
                }
            }
            if ready == threads && !self.starts.is_empty() {
                setup = self.clock.now().since(self.begin);
                for start in self.starts.drain(..) {
                    let _ = start.send(()); // Who no longer waits has said so by its failure.
                }
            }
        }
        Ok(Finished { setup, outcomes })
    }

    /// Says how far it is, and gives the number of messages so far.
    fn show(&self, ready: usize, shown: u64) -> u64 {
        if ready < self.progress.len() {
            remark(format_args!("connecting"));
            return shown;
        }
        let delivered = self.progress.iter().map(|it| it.load(Ordering::Relaxed)).sum();
        remark(format_args!("{:>12} messages/s", delivered - shown));
        delivered
    }
}

/// What came of a run.
pub(super) struct Finished {
    /// Until all clients were connected and subscribed.
    pub(super) setup: Duration,
    /// One for each thread.
    pub(super) outcomes: Vec<Outcome>,
}

fn work(worker: Worker) {
    let news: SyncSender<News> = worker.news.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime.context("the system gives no event queue") {
        Ok(runtime) => runtime.block_on(worker.run()),
        Err(error) => Err(error.into()),
    };
    // Nobody hears it when the command has ended meanwhile.
    let _ = news.send(News::Done(Box::new(outcome)));
}
