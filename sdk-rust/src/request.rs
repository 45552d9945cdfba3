//! Questions to whoever listens to a topic, and answers to them.

use std::time::Duration;

use tokio::sync::oneshot;

use cloudsignal_core::client::Unanswered;

use crate::client::Client;
use crate::driver::Publishing;
use crate::error::PublishError;
use crate::message::Message;
use crate::payload::Payload;
use crate::publish::Publish;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It was not even asked.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// It was asked.
    #[error("{}", unanswered(*.0))]
    Unanswered(Unanswered),
}

fn unanswered(why: Unanswered) -> String {
    match why {
        Unanswered::TimedOut => "nobody has answered in time".to_owned(),
        Unanswered::NobodyListens => "nobody listens to the topic of the question".to_owned(),
        Unanswered::Refused(reason) => format!("the server has refused the question: {reason}"),
        Unanswered::Closed => "the client was closed before an answer came".to_owned(),
        Unanswered::Indeterminate => "the server lost the session before an answer came".to_owned(),
    }
}

impl Publish<'_> {
    /// Publishes it as a question, and waits for the answer, `patience` at most; where nobody listens it fails at once.
    /// MQTT 5 only. Where to answer, and how to know the answer, is said by the client; QoS is at least 1.
    ///
    /// Nothing here waits for room: at most 1 000 questions may be open. Dropping the future gives up the answer, not the
    /// question.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask(self, patience: Duration) -> Result<Message, RequestError> {
        let (client, draft) = self.into_parts();
        let (outgoing, _no_ticket) = draft?;
        let (reply, answer) = oneshot::channel();
        let question = Publishing::Question {
            outgoing,
            patience,
            reply,
        };
        let is_taken = client.publishes().send(question).await;
        let closed = || RequestError::Publish(PublishError::Closed(client.closed()));
        is_taken.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

impl Client {
    /// An answer to a question that has arrived, to be sent like every other message.
    ///
    /// One that asks for none cannot be answered, which is said when it is sent: [`PublishError::NotAsked`].
    pub fn answer(&self, question: &Message, payload: impl Payload) -> Publish<'_> {
        let answer = Publish::new(self, question.response_topic().unwrap_or_default(), payload);
        if question.response_topic().is_none() {
            return answer.refuse(PublishError::NotAsked);
        }
        match question.correlation_data() {
            Some(data) => answer.correlation_data(data.clone()),
            None => answer,
        }
    }
}
