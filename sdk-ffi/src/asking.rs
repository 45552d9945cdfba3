//! Questions: for tokens, which the application answers, and to other clients.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloudsignal::{AskToken, Client, TokenError};
use tokio::sync::{Notify, oneshot};

use crate::error::ClientError;
use crate::event::Event;
use crate::listener::Desk;
use crate::message::{Message, Publication};

type Answer = Result<cloudsignal::Token, TokenError>;

/// The question for a token that is open: the newest one.
#[derive(Default)]
pub(crate) struct TokenDesk {
    open: Mutex<Option<(u64, oneshot::Sender<Answer>)>>,
}

impl TokenDesk {
    fn open(&self) -> MutexGuard<'_, Option<(u64, oneshot::Sender<Answer>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the application.
    pub(crate) async fn ask(&self, request: u64, ask: AskToken, desk: &Desk) -> Answer {
        let (sender, answer) = oneshot::channel();
        *self.open() = Some((request, sender));
        desk.put(Event::TokenWanted {
            request,
            reason: ask.reason.into(),
        });
        // A question that another one has replaced has failed.
        answer.await.unwrap_or(Err(TokenError::Failed))
    }

    /// The application's answer. One to an old question is of no use.
    pub(crate) fn answer(&self, request: u64, answer: Answer) {
        let mut open = self.open();
        if let Some((_, sender)) = open.take_if(|(asked, _)| *asked == request) {
            let _nobody_waits = sender.send(answer);
        }
    }
}

/// How many questions to other clients may be open.
const QUESTIONS_MAX: usize = 1_000;

/// Questions to other clients, and how each is given up.
#[derive(Default)]
pub(crate) struct Questions {
    open: Mutex<HashMap<u64, Arc<Notify>>>,
}

impl Questions {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Notify>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new question.
    pub(crate) fn add(&self, id: u64) -> Result<Arc<Notify>, ClientError> {
        let mut open = self.open();
        if open.len() >= QUESTIONS_MAX {
            return Err(ClientError::limit("1 000 questions are open already"));
        }
        let give_up = Arc::new(Notify::new());
        open.insert(id, Arc::clone(&give_up));
        Ok(give_up)
    }

    pub(crate) fn give_up(&self, id: u64) {
        if let Some(question) = self.open().get(&id) {
            question.notify_one();
        }
    }

    /// Asks, and tells the answer, unless the question is given up before.
    pub(crate) async fn run(
        &self,
        id: u64,
        give_up: Arc<Notify>,
        client: Client,
        publication: Publication,
        patience: Duration,
        desk: &Desk,
    ) {
        let answer = tokio::select! {
            () = give_up.notified() => None,
            answer = publication.prepare(&client).ask(patience) => Some(answer),
        };
        self.open().remove(&id);
        match answer {
            None => {}
            Some(Ok(message)) => desk.put(Event::QuestionAnswered {
                question: id,
                message: Message::new(0, 0, &message),
            }),
            Some(Err(error)) => desk.put(Event::QuestionFailed {
                question: id,
                problem: error.into(),
            }),
        }
    }
}
