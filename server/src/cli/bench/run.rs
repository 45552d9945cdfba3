//! `cloudsignal bench`: starts the threads of a run, shows how far they are, and tells what came of it.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{IsTerminal as _, stderr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;

use anyhow::Context as _;
use tokio::sync::oneshot;

use super::options::{BenchArgs, CommonArgs, ScenarioArgs};
use super::plan::Plan;
use super::report::Report;
use super::usage::Usage;
use super::worker::{News, Outcome, Worker};
use crate::cli::block_on;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::remark;
use crate::clock::Clock;

/// How often it is shown how far a run is.
const PROGRESS_PERIOD: Duration = Duration::from_secs(1);

/// Runs the command.
pub(crate) fn bench(args: BenchArgs) -> Result<(), Failure> {
    match args.scenario {
        ScenarioArgs::Pairs(args) => traffic(block_on(Plan::pairs(&args))?, &args.common),
    }
}

/// Runs a plan with messages, and prints what came of it.
fn traffic(plan: Plan, common: &CommonArgs) -> Result<(), Failure> {
    let resident_before = plan.pid.map(Usage::of).transpose()?;
    let plan = Arc::new(plan);
    let shows_progress = !common.json && !common.quiet && stderr().is_terminal();
    let outcomes = Crew::start(&plan)?.finish(shows_progress)?;
    let resident_before = resident_before.map(|usage| usage.resident_bytes);
    let report = Report::new(&plan, outcomes, resident_before);
    report.print(common.json)?;
    report.verdict()
}

/// The threads of a run.
struct Crew {
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
                clock: clock.clone(),
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
    fn finish(mut self, shows_progress: bool) -> Result<Vec<Outcome>, Failure> {
        let threads = self.progress.len();
        let (mut ready, mut outcomes, mut shown) = (0, Vec::new(), 0);
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
            if ready == threads {
                for start in self.starts.drain(..) {
                    let _ = start.send(()); // Who no longer waits has said so by its failure.
                }
            }
        }
        Ok(outcomes)
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
