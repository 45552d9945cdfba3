//! Questions to others, and their answers: a message that names where to answer, and the answer that names it.

use alloc::string::String;
use alloc::vec::Vec;

use super::message::{Outcome, PublishId};
use super::output::{Output, Sink};
use super::{Accepted, Client, Message, Publication, PublishError, Subscription, SubscriptionId};
use crate::time::{Duration, Instant};
use crate::topic::{TopicFilter, TopicName};
use crate::{Qos, ReasonCode};

/// The name of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// The names of questions have 53 bits of dice, so that JavaScript can count them.
const UNUSED_BITS: u32 = 11;

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Nobody answered in time.
    TimedOut,
    /// Nobody listens there: the server said so.
    NobodyListens,
    /// The server has refused the question, or the place where the answer would come.
    Refused(ReasonCode),
    /// The client was closed before an answer came.
    Closed,
    /// It was on its way when the server lost the session; it may have been heard.
    Indeterminate,
}

#[derive(Debug)]
struct Open {
    id: RequestId,
    publish: PublishId,
    deadline: Instant,
}

/// Questions that wait for their answer.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: Vec<Open>,
    /// The subscription by which answers come.
    pub(super) replies: Option<SubscriptionId>,
}

impl Requests {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.iter().map(|open| open.deadline).min()
    }

    fn take(&mut self, is_it: impl Fn(&Open) -> bool) -> Option<RequestId> {
        let at = self.open.iter().position(is_it)?;
        Some(self.open.swap_remove(at).id)
    }

    /// A message has come where answers come. Late ones, and those to questions of an earlier process, are for nobody.
    pub(super) fn on_reply(&mut self, message: Message<'_>, sink: &mut dyn Sink) {
        let correlation = message.properties.correlation_data;
        let Some(id) = correlation
            .and_then(|data| data.try_into().ok())
            .map(u64::from_be_bytes)
        else {
            return;
        };
        if let Some(request) = self.take(|open| open.id == RequestId(id)) {
            sink.output(Output::Replied { request, message });
        }
    }

    /// The end of a message: if it was a question that will have no answer, that is said.
    pub(super) fn on_published(&mut self, id: PublishId, outcome: Outcome, sink: &mut dyn Sink) {
        let why = match outcome {
            Outcome::Acknowledged(ReasonCode::NoMatchingSubscribers) => Unanswered::NobodyListens,
            Outcome::Acknowledged(_) | Outcome::Sent => return,
            Outcome::Rejected(reason) => Unanswered::Refused(reason),
            Outcome::Expired => Unanswered::TimedOut,
            Outcome::Indeterminate => Unanswered::Indeterminate,
        };
        if let Some(request) = self.take(|open| open.publish == id) {
            sink.output(Output::RequestFailed { request, why });
        }
    }

    /// No question will have an answer.
    pub(super) fn end(&mut self, why: Unanswered, sink: &mut dyn Sink) {
        for open in core::mem::take(&mut self.open) {
            sink.output(Output::RequestFailed {
                request: open.id,
                why,
            });
        }
    }

    pub(super) fn check(&mut self, now: Instant, sink: &mut dyn Sink) {
        while let Some(request) = self.take(|open| open.deadline <= now) {
            sink.output(Output::RequestFailed {
                request,
                why: Unanswered::TimedOut,
            });
        }
    }
}

impl Client {
    /// Asks a question: publishes `question` with the topic where this client hears answers, and hands out
    /// [`Output::Replied`] or [`Output::RequestFailed`], once, within `patience`. MQTT 5 only.
    ///
    /// The question expires with the patience, so that nobody answers it later. At most
    /// [`Options::requests_max`](super::Options::requests_max) may be open.
    ///
    /// # Errors
    /// Why it was not even asked.
    pub fn request(
        &mut self,
        question: &Publication<'_>,
        patience: Duration,
        now: Instant,
        sink: &mut dyn Sink,
    ) -> Result<RequestId, PublishError> {
        if !self.version.is_v5() {
            return Err(PublishError::NotOffered("requests before MQTT 5"));
        }
        if self.requests.open.len() >= self.options.requests_max {
            return Err(PublishError::QueueFull);
        }
        self.name_itself();
        // Formatting would be the only one in the WebAssembly module, and brings 2 % of it; so, almost, does `concat`.
        let mut place = String::from("response/");
        place.push_str(&self.identity.client_id);
        let (Ok(place), Ok(filter)) = (TopicName::parse(&place), TopicFilter::parse(&place)) else {
            return Err(PublishError::NotOffered(
                "requests by a client with this identifier",
            ));
        };
        self.hear_answers(filter, now, sink)?;
        let id = RequestId(self.random.next() >> UNUSED_BITS);
        let correlation = id.0.to_be_bytes();
        let mut question = question.clone();
        question.qos = question.qos.max(Qos::AtLeastOnce); // Only then the server says whether anybody listens.
        question.properties.response_topic = Some(place);
        question.properties.correlation_data = Some(&correlation);
        let secs = patience.as_secs().saturating_add(1);
        question.properties.message_expiry_secs = Some(u32::try_from(secs).unwrap_or(u32::MAX));
        let Accepted::Queued(publish) = self.publish(&question, now, sink)? else {
            return Err(PublishError::Closed);
        };
        self.requests.open.push(Open {
            id,
            publish,
            deadline: now.after(patience),
        });
        Ok(id)
    }

    /// Nobody waits for that answer any more. Answers whether anybody did.
    pub fn cancel_request(&mut self, id: RequestId) -> bool {
        self.requests.take(|open| open.id == id).is_some()
    }

    /// The answers must have a way before the first question leaves.
    fn hear_answers(
        &mut self,
        filter: TopicFilter<'_>,
        now: Instant,
        sink: &mut dyn Sink,
    ) -> Result<(), PublishError> {
        if self.requests.replies.is_none() {
            let wanted = Subscription::new(filter, Qos::AtLeastOnce);
            let replies = self.subscribe(&wanted, now, sink);
            self.requests.replies = Some(replies.map_err(|_| PublishError::Closed)?);
        }
        Ok(())
    }
}
