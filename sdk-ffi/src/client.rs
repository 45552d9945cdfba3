//! A client: every call.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cloudsignal::{Client, OutcomeListener, State, TokenError};
use cloudsignal_core::{TopicFilterBuf, TopicNameBuf};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::asking::{Questions, TokenDesk};
use crate::error::ClientError;
use crate::listener::{Desk, Listener, Outcomes};
use crate::message::{Publication, SubscribeOptions};
use crate::options::{ClientOptions, Login, Token, TokenFailure};
use crate::receiving::Receiving;
use crate::store::{Foreign, RecordStore};
use crate::worker::{End, Started, WISHES_MAX, Wish, Work, start};

/// A client of an MQTT broker. It keeps its connection until `finish`: it comes back after every loss, with its session
/// and its subscriptions, and what is published meanwhile waits.
///
/// Every call can be made from every thread and comes back at once; what comes of it is told to the listener, with the
/// number that the call has answered. Numbers are never used twice by one client.
#[derive(uniffi::Object)]
pub struct NativeClient {
    client: Client,
    runtime: Handle,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: thread::ThreadId,
    desk: Arc<Desk>,
    outcomes: Arc<dyn OutcomeListener>,
    receiving: Arc<Receiving>,
    tokens: Arc<TokenDesk>,
    questions: Arc<Questions>,
    wishes: mpsc::Sender<Wish>,
    begin: watch::Sender<bool>,
    end: watch::Sender<End>,
    numbers: Arc<AtomicU64>,
}

impl fmt::Debug for NativeClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("NativeClient")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

#[uniffi::export]
impl NativeClient {
    /// Makes a client, which begins to connect. It reads files, certificates and the store, and never waits for the
    /// network. The listener hears nothing before `begin`. A store that is given counts for more than `store_folder`.
    ///
    /// # Errors
    /// `Usage` when the options make no sense, `Storage` when the store cannot be opened or read.
    #[uniffi::constructor(default(store = None))]
    pub fn open(
        options: ClientOptions,
        listener: Box<dyn Listener>,
        store: Option<Box<dyn RecordStore>>,
    ) -> Result<Arc<Self>, ClientError> {
        let desk = Arc::new(Desk::new(listener));
        let (tokens, numbers) = (Arc::new(TokenDesk::default()), Arc::new(AtomicU64::new(1)));
        let has_tokens = matches!(options.login, Some(Login::Tokens));
        let mut builder = options.builder()?;
        if let Some(store) = store {
            builder = builder.store(Foreign(store));
        }
        if has_tokens {
            let (tokens, desk, numbers) = (Arc::clone(&tokens), Arc::clone(&desk), Arc::clone(&numbers));
            builder = builder.token_provider(move |ask| {
                let (tokens, desk) = (Arc::clone(&tokens), Arc::clone(&desk));
                let request = numbers.fetch_add(1, Ordering::Relaxed);
                async move { tokens.ask(request, ask, &desk).await }
            });
        }
        let receiving = Arc::new(Receiving::default());
        let (wishes, wanted) = mpsc::channel(WISHES_MAX);
        let (begin, begun) = watch::channel(false);
        let (end, ended) = watch::channel(End::NotYet);
        let work = Work {
            desk: Arc::clone(&desk),
            receiving: Arc::clone(&receiving),
            wishes: wanted,
            begin: begun,
            end: ended,
        };
        let Started {
            client,
            runtime,
            thread,
        } = start(builder, work)?;
        Ok(Arc::new(Self {
            client,
            runtime,
            thread_id: thread.thread().id(),
            thread: Mutex::new(Some(thread)),
            outcomes: Arc::new(Outcomes(Arc::clone(&desk))),
            desk,
            receiving,
            tokens,
            questions: Arc::default(),
            wishes,
            begin,
            end,
            numbers,
        }))
    }

    /// From here on the listener is called, with what has happened so far first.
    pub fn begin(&self) {
        self.begin.send_replace(true);
    }

    /// Its client identifier.
    pub fn client_id(&self) -> String {
        self.client.client_id().to_owned()
    }

    /// Publishes a message, now or as soon as there is a connection; messages of one caller leave in their order. Answers a
    /// ticket: the event `PublishEnded` tells what became of it, and `PublishStored` before, that a store has it.
    ///
    /// # Errors
    /// `Usage` when it cannot be said in MQTT, `Limit` when the queue is full and another 1 024 messages wait before it: try
    /// again after any `PublishEnded`.
    pub fn publish(&self, publication: Publication) -> Result<u64, ClientError> {
        let ticket = self.number();
        let publish = publication.prepare(&self.client);
        publish.try_send_numbered(ticket, Arc::clone(&self.outcomes))?;
        Ok(ticket)
    }

    /// Asks whoever listens to the topic, and answers the number of the question: `QuestionAnswered` or `QuestionFailed`
    /// follows, within `patience_ms` milliseconds; where nobody listens it fails at once. MQTT 5 only. Where to answer is
    /// said by the client; QoS is at least 1.
    ///
    /// # Errors
    /// `Usage` when the topic is none, `Limit` when 1 000 questions are open, `Closed`.
    pub fn ask(&self, publication: Publication, patience_ms: u64) -> Result<u64, ClientError> {
        self.check_open()?;
        TopicNameBuf::parse(publication.topic.as_str())
            .map_err(|error| ClientError::usage(&format!("the topic {error}")))?;
        let id = self.number();
        let give_up = self.questions.add(id)?;
        let (questions, desk) = (Arc::clone(&self.questions), Arc::clone(&self.desk));
        let client = self.client.clone();
        let patience = Duration::from_millis(patience_ms);
        self.runtime.spawn(async move {
            questions
                .run(id, give_up, client, publication, patience, &desk)
                .await;
        });
        Ok(id)
    }

    /// Nobody waits for the answer to this question any more: nothing more is told of it.
    pub fn give_up_question(&self, question: u64) {
        self.questions.give_up(question);
    }

    /// Subscribes, and answers the number of the subscription. `SubscriptionGranted` tells what the broker says, and
    /// `SubscriptionEnded` is the last event of it. Messages may come before either. With a store, a filter that an earlier
    /// process has subscribed to goes on with the messages that have come since.
    ///
    /// # Errors
    /// `Usage` when the filter is none, `Limit` when 65 536 subscriptions exist, `Closed`.
    pub fn subscribe(&self, options: SubscribeOptions) -> Result<u64, ClientError> {
        self.check_open()?;
        TopicFilterBuf::parse(options.filter.as_str())
            .map_err(|error| ClientError::usage(&format!("the topic filter {error}")))?;
        let id = self.number();
        let listening = self.receiving.open(id, &options, &self.desk)?;
        self.runtime.spawn(listening.run(self.client.clone(), options));
        Ok(id)
    }

    /// Ends a subscription. `SubscriptionEnded` comes when the broker has heard; messages that were handed over and are not
    /// done with count as done.
    pub fn unsubscribe(&self, subscription: u64) {
        self.receiving.leave(subscription);
    }

    /// The application is done with these messages: the broker hears that they were received, and as many more of their
    /// subscription may be handed over. So an application that is slow slows the broker, and loses nothing. Only QoS 1 and 2
    /// are acknowledged, but QoS 0 has to be done with, too.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "what crosses the border is given away"
    )]
    pub fn done(&self, messages: Vec<u64>) {
        self.receiving.done(&messages);
    }

    /// Answers the event `TokenWanted`.
    pub fn provide_token(&self, request: u64, token: Token) {
        self.tokens.answer(request, Ok(token.into()));
    }

    /// Answers the event `TokenWanted`: there is none.
    pub fn refuse_token(&self, request: u64, why: TokenFailure) {
        let error = match why {
            TokenFailure::Refused => TokenError::Refused,
            TokenFailure::Failed => TokenError::Failed,
        };
        self.tokens.answer(request, Err(error));
    }

    /// Answers a ticket: `FlushEnded` comes when everything that was published before is over, and what was published at
    /// QoS 0 is written.
    ///
    /// # Errors
    /// `Limit` when 1 024 wishes wait already, `Closed`.
    pub fn flush(&self) -> Result<u64, ClientError> {
        let ticket = self.number();
        self.wish(Wish::Flush { ticket })?;
        Ok(ticket)
    }

    /// Disconnects until `resume`; session, subscriptions and queue stay. For an application that goes to the background.
    ///
    /// # Errors
    /// `Limit` when 1 024 wishes wait already, `Closed`.
    pub fn suspend(&self) -> Result<(), ClientError> {
        self.wish(Wish::Suspend)
    }

    /// Connects again after `suspend`, or at once while it waits for the next attempt.
    ///
    /// # Errors
    /// `Limit` when 1 024 wishes wait already, `Closed`.
    pub fn resume(&self) -> Result<(), ClientError> {
        self.wish(Wish::Resume)
    }

    /// The device has noticed something, as after sleep or on another network: what looked like a connection may be dead.
    ///
    /// # Errors
    /// `Limit` when 1 024 wishes wait already, `Closed`.
    pub fn wake(&self) -> Result<(), ClientError> {
        self.wish(Wish::Wake)
    }

    /// Gives up a message that a warning has called stuck, so that what waits behind it goes on: it is `Indeterminate` then.
    /// One that is on its way just now stays, which the event `GiveUpEnded` says: try again. So does one of QoS 2, which the
    /// broker may know. Answers a ticket.
    ///
    /// # Errors
    /// `Limit` when 1 024 wishes wait already, `Closed`.
    pub fn give_up_message(&self, message: u64) -> Result<u64, ClientError> {
        let ticket = self.number();
        self.wish(Wish::GiveUp { message, ticket })?;
        Ok(ticket)
    }

    /// Says goodbye; `on_closed` comes when that is out and the store has everything. The broker keeps the session; what
    /// still waits to be sent stays in the store, or is lost if there is none: `flush` before.
    pub fn finish(&self) {
        self.end(End::KeepSession);
    }

    /// The same, and broker and store forget everything.
    pub fn finish_and_forget(&self) {
        self.end(End::ForgetSession);
    }

    /// Waits until the thread of the client has ended: to be called once `on_closed` was, when it has nothing left to do.
    /// After it nothing of this client runs, and nothing of the listener is called or touched until this object is let go.
    /// On the client's own thread it does nothing.
    pub fn join(&self) {
        if thread::current().id() == self.thread_id {
            return;
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _it_has_told = thread.join();
        }
    }
}

impl NativeClient {
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn check_open(&self) -> Result<(), ClientError> {
        let is_ending = *self.end.borrow() != End::NotYet;
        match self.client.state() {
            State::Closed { .. } => Err(ClientError::closed()),
            _ if is_ending => Err(ClientError::closed()),
            State::Connecting | State::Connected | State::Waiting { .. } | State::Suspended => Ok(()),
        }
    }

    fn wish(&self, wish: Wish) -> Result<(), ClientError> {
        self.wishes.try_send(wish).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ClientError::limit("1 024 wishes wait already"),
            mpsc::error::TrySendError::Closed(_) => ClientError::closed(),
        })
    }

    /// The first word counts.
    fn end(&self, end: End) {
        self.end.send_if_modified(|now| {
            let is_first = *now == End::NotYet;
            if is_first {
                *now = end;
            }
            is_first
        });
    }
}
