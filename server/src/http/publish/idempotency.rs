//! The same request twice is done once: a client that does not know whether its request arrived sends it again
//! with the same `Idempotency-Key`, and gets the answer of the first.
//!
//! Only requests that published something are remembered, in memory: for [`LIFETIME_SECS`], or until the
//! process ends, or until an organization has more of them than [`ANSWERS_PER_ORG_MAX`] or
//! [`ANSWER_BYTES_PER_ORG_MAX`], when the oldest makes room.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;

use axum::http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::watch;

use cloudsignal_core::Instant;

use super::answer::Reply;
use super::publisher::Holder;
use crate::clock::Clock;
use crate::http::ApiError;

/// How long an answer is remembered, seconds: a day.
pub(super) const LIFETIME_SECS: u32 = 86_400;
/// Answers of one organization that are remembered.
const ANSWERS_PER_ORG_MAX: usize = 10_000;
/// Bytes of them, keys included.
const ANSWER_BYTES_PER_ORG_MAX: usize = 8 * 1024 * 1024;
/// Bytes that an answer is charged beside its key and its body.
const OVERHEAD_BYTES: usize = 256;
/// Length of a key, bytes.
pub(super) const KEY_BYTES_MAX: usize = 255;

/// What identifies what was asked, whatever its key.
pub(super) type Fingerprint = [u8; 32];

/// The answers of all organizations.
#[derive(Debug)]
pub(super) struct Idempotency {
    clock: Clock,
    orgs: Arc<Mutex<HashMap<Box<str>, OrgAnswers>>>,
}

/// The answers of one organization.
#[derive(Debug, Default)]
struct OrgAnswers {
    /// By key or token, and idempotency key.
    answers: HashMap<Name, Answer>,
    /// Of those that are there, in the order of their ends.
    ends: VecDeque<(Instant, Name)>,
    bytes: usize,
}

type Name = (Box<str>, Box<str>);

#[derive(Debug)]
struct Answer {
    fingerprint: Fingerprint,
    /// `None` while the first request is at work.
    reply: watch::Receiver<Option<Reply>>,
}

/// What to do about a request.
enum Turn {
    /// It is the first: it says here what it answers.
    First(watch::Sender<Option<Reply>>),
    /// Another was first.
    Later(watch::Receiver<Option<Reply>>),
}

impl Idempotency {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            orgs: Arc::default(),
        }
    }

    /// Does `work`, unless it was done before or is being done.
    ///
    /// # Errors
    /// 422 for a key that was used for something else.
    pub(super) async fn once(
        &self,
        (org, holder): &Holder,
        key: &str,
        fingerprint: Fingerprint,
        work: impl Future<Output = Reply> + Send + 'static,
    ) -> Result<Reply, ApiError> {
        let name: Name = (holder.clone(), key.into());
        let mut work = Some(work);
        loop {
            match self.turn(org, &name, fingerprint)? {
                Turn::First(tell) => {
                    let work = work.take().expect("invariant: a request is first once");
                    return Ok(self.work(org, name, tell, work).await);
                }
                Turn::Later(mut told) => {
                    // An error, or an answer that is not worth remembering: the next one is the first.
                    let reply = told.wait_for(Option::is_some).await;
                    if let Ok(Some(reply)) = reply.map(|reply| (*reply).clone()) {
                        return Ok(reply.replayed());
                    }
                }
            }
        }
    }

    fn turn(&self, org: &str, name: &Name, fingerprint: Fingerprint) -> Result<Turn, ApiError> {
        let mut orgs = self.orgs.lock();
        let answers = orgs.entry(org.into()).or_default();
        answers.forget_until(self.clock.now());
        if let Some(answer) = answers.answers.get(name) {
            if answer.fingerprint != fingerprint {
                return Err(ApiError::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "idempotency_key_reused",
                    "this Idempotency-Key was sent with another request",
                ));
            }
            return Ok(Turn::Later(answer.reply.clone()));
        }
        let (tell, told) = watch::channel(None);
        answers.answers.insert(
            name.clone(),
            Answer {
                fingerprint,
                reply: told,
            },
        );
        Ok(Turn::First(tell))
    }

    /// In a task of its own: what was begun is finished and remembered, also when its client has gone.
    async fn work(
        &self,
        org: &str,
        name: Name,
        tell: watch::Sender<Option<Reply>>,
        work: impl Future<Output = Reply> + Send + 'static,
    ) -> Reply {
        let (orgs, clock, org) = (Arc::clone(&self.orgs), self.clock.clone(), Box::<str>::from(org));
        let working = tokio::spawn(async move {
            let unfinished = Unfinished {
                orgs: &orgs,
                org: &org,
                name: Some(name),
            };
            let reply = work.await;
            if reply.is_worth_remembering() {
                tell.send_replace(Some(reply.clone()));
                unfinished.finish(&reply, clock.now());
            }
            reply
        });
        working.await.unwrap_or_else(|_panicked| Reply::of_panic())
    }
}

/// Forgets a request that ends without an answer worth remembering.
struct Unfinished<'a> {
    orgs: &'a Mutex<HashMap<Box<str>, OrgAnswers>>,
    org: &'a str,
    name: Option<Name>,
}

impl Unfinished<'_> {
    fn finish(mut self, reply: &Reply, now: Instant) {
        if let Some(name) = self.name.take()
            && let Some(answers) = self.orgs.lock().get_mut(self.org)
        {
            answers.remember(name, reply, now.after_secs(LIFETIME_SECS));
        }
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        let mut orgs = self.orgs.lock();
        if let Some(answers) = orgs.get_mut(self.org) {
            answers.answers.remove(&name);
            if answers.answers.is_empty() {
                orgs.remove(self.org);
            }
        }
    }
}

impl OrgAnswers {
    fn remember(&mut self, name: Name, reply: &Reply, end: Instant) {
        self.bytes += cost(&name, reply);
        self.ends.push_back((end, name));
        while self.ends.len() > ANSWERS_PER_ORG_MAX
            || (self.bytes > ANSWER_BYTES_PER_ORG_MAX && self.ends.len() > 1)
        {
            self.forget_oldest();
        }
    }

    fn forget_until(&mut self, now: Instant) {
        while self.ends.front().is_some_and(|(end, _)| *end <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, name)) = self.ends.pop_front() else {
            return;
        };
        if let Some(answer) = self.answers.remove(&name)
            && let Some(reply) = &*answer.reply.borrow()
        {
            self.bytes -= cost(&name, reply);
        }
    }
}

fn cost(name: &Name, reply: &Reply) -> usize {
    OVERHEAD_BYTES + 2 * (name.0.len() + name.1.len()) + reply.bytes()
}

#[cfg(test)]
mod tests;
