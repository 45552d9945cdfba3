//! The thread of a client, and everything that lives on it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cloudsignal::{Builder, Client, Closed, PublishId, State};
use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::{Blame, ClientError, Problem};
use crate::event::{CloseReason, ConnectionState, Ending, Event, told};
use crate::listener::Desk;
use crate::receiving::Receiving;

/// What a debugger shows.
const THREAD: &str = "cloudsignal";

/// How many wishes of the application wait for the client, which takes them without waiting for the network.
pub(crate) const WISHES_MAX: usize = 1_024;

/// How many threads may do what blocks at once: one writes the store, the others look up names.
const BLOCKING_THREADS_MAX: usize = 3;

/// How many flushes may be waited for at once; then the next wish of the application waits.
const FLUSHES_MAX: usize = 64;

/// How long the lookup of a name is waited for when everything else has ended: it cannot be stopped.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);

/// What the application wants of the connection, in this order.
pub(crate) enum Wish {
    Suspend,
    Resume,
    Wake,
    /// A message over which connections end.
    GiveUp {
        message: u64,
        ticket: u64,
    },
    /// Tell when everything before it is over.
    Flush {
        ticket: u64,
    },
}

/// How the application wants it to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    #[default]
    NotYet,
    KeepSession,
    ForgetSession,
}

/// What a worker is given.
pub(crate) struct Work {
    pub(crate) desk: Arc<Desk>,
    pub(crate) receiving: Arc<Receiving>,
    pub(crate) wishes: mpsc::Receiver<Wish>,
    /// The listener may be called.
    pub(crate) begin: watch::Receiver<bool>,
    pub(crate) end: watch::Receiver<End>,
}

/// A client that runs.
pub(crate) struct Started {
    pub(crate) client: Client,
    pub(crate) runtime: Handle,
    pub(crate) thread: thread::JoinHandle<()>,
}

/// Makes the client on a new thread, and waits until it is made: as long as certificates and the store are read.
pub(crate) fn start(builder: Builder, work: Work) -> Result<Started, ClientError> {
    let (sender, made) = oneshot::channel();
    let run = move || run(builder, work, sender);
    let thread = thread::Builder::new().name(THREAD.into()).spawn(run);
    let fault = |problem: &dyn ToString| ClientError::Storage {
        detail: format!(
            "the system has no room for another client: {}",
            problem.to_string()
        ),
    };
    let thread = thread.map_err(|error| fault(&error))?;
    match made.blocking_recv() {
        Ok(Ok((client, runtime))) => Ok(Started {
            client,
            runtime,
            thread,
        }),
        failed => {
            let _it_has_ended = thread.join();
            Err(match failed {
                Ok(Err(error)) => error,
                Ok(Ok(_)) | Err(_) => fault(&"its thread has ended"),
            })
        }
    }
}

type Made = Result<(Client, Handle), ClientError>;

fn run(builder: Builder, work: Work, made: oneshot::Sender<Made>) {
    let (desk, receiving) = (Arc::clone(&work.desk), Arc::clone(&work.receiving));
    let runtime = match new_runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            let detail = error.to_string();
            let _nobody_waits = made.send(Err(ClientError::Storage { detail }));
            return;
        }
    };
    let client = match runtime.block_on(builder.start()) {
        Ok(client) => client,
        Err(error) => {
            let _nobody_waits = made.send(Err(error.into()));
            return;
        }
    };
    let _nobody_waits = made.send(Ok((client.clone(), runtime.handle().clone())));
    let living = AssertUnwindSafe(|| runtime.block_on(live(client, work)));
    let ending = catch_unwind(living).map_or_else(|_| fault(), Ending::from);
    // What is left are readers of subscriptions, and the lookup of a name perhaps: no store, and nobody's object.
    runtime.shutdown_timeout(LOOKUP_PATIENCE);
    receiving.clear();
    desk.empty();
    desk.close(ending);
}

fn new_runtime() -> std::io::Result<Runtime> {
    runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name(THREAD)
        .build()
}

fn fault() -> Ending {
    let problem = Problem::new(
        Blame::Usage,
        &"the library has a fault: please report what it has logged",
    );
    Ending {
        why: CloseReason::Fault,
        problem,
    }
}

/// From the first event to the last but one.
async fn live(client: Client, work: Work) -> Closed {
    let (desk, mut begin) = (Arc::clone(&work.desk), work.begin.clone());
    let telling = tokio::spawn(async move {
        // The application is told nothing before it has the client in its hands.
        let begun = begin.wait_for(|begun| *begun).await.is_ok();
        if begun {
            desk.hand_over().await;
        }
    });
    let why = watch(client, work).await;
    telling.abort();
    why
}

/// Tells what the client does, and carries out what the application wants of it.
async fn watch(client: Client, mut work: Work) -> Closed {
    let (mut states, mut events) = (client.states(), client.events());
    let mut flushes = JoinSet::new();
    states.mark_changed();
    loop {
        tokio::select! {
            biased;
            end = ended(&mut work.end) => {
                match end {
                    End::ForgetSession => client.close_and_forget().await,
                    End::KeepSession | End::NotYet => client.close().await,
                }
                return Closed::ByCaller;
            }
            _changed = states.changed() => {
                let state = *states.borrow_and_update();
                if let State::Closed { why } = state {
                    return why;
                }
                if let Some(state) = ConnectionState::new(state, Instant::now()) {
                    work.desk.put(Event::StateChanged { state });
                }
            }
            Some(event) = events.recv() => {
                if let Some(event) = told(event) {
                    work.desk.put(event);
                }
            }
            Some(wish) = work.wishes.recv(), if flushes.len() < FLUSHES_MAX => {
                obey(wish, &client, &mut flushes, &work.desk).await;
            }
            Some(_flushed) = flushes.join_next() => {}
        }
    }
}

async fn ended(end: &mut watch::Receiver<End>) -> End {
    // An application that lets go of the client without a word has ended it, too.
    let end = end.wait_for(|end| *end != End::NotYet).await;
    end.map_or(End::KeepSession, |end| *end)
}

async fn obey(wish: Wish, client: &Client, flushes: &mut JoinSet<()>, desk: &Arc<Desk>) {
    match wish {
        Wish::Suspend => client.suspend().await,
        Wish::Resume => client.resume().await,
        Wish::Wake => client.wake().await,
        Wish::GiveUp { message, ticket } => {
            let is_given_up = client.give_up_message(PublishId(message)).await;
            desk.put(Event::GiveUpEnded { ticket, is_given_up });
        }
        Wish::Flush { ticket } => {
            let (client, desk) = (client.clone(), Arc::clone(desk));
            flushes.spawn(async move {
                if client.flush().await.is_ok() {
                    desk.put(Event::FlushEnded { ticket });
                }
            });
        }
    }
}
