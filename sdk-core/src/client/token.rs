//! The life of a token: asked for once per need, renewed before it ends, asked for anew when it is refused.

use alloc::boxed::Box;
use core::fmt;

use super::options::Patience;
use super::output::{Output, Sink};
use crate::time::{Duration, Instant};

/// Names a question for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskId(pub u32);

/// Why a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenReason {
    /// There is none.
    Initial,
    /// The present one is about to end, or has ended.
    Expiring,
    /// The server has refused the present one.
    Rejected,
}

/// What a client logs in with.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// User name; `None` when the token says who it is for.
    pub username: Option<Box<str>>,
    /// The token.
    pub password: Box<[u8]>,
    /// How long it is valid from now on; `None` when that is unknown.
    pub lifetime: Option<Duration>,
}

impl fmt::Debug for Token {
    /// Never the token.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Token")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Whoever issues tokens will not issue one, however often it is asked: the user is not logged in.
    Refused,
    /// It could not be asked, or failed; later it may not.
    Failed,
}

/// A token this close to its end is not used for a new connection: it may end on the way.
const MARGIN: Duration = Duration::from_secs(5);
/// A token is renewed when this part of its life is left. One that never had as much as [`MARGIN`] is used until then, or
/// it would be asked for again and again.
const RENEWED_AT: u32 = 5;
/// One that lives shorter has ended already.
const LIFETIME_MIN: Duration = Duration::from_secs(1);
/// After a failed renewal it is tried again this many times before the token ends.
const RENEWALS: u32 = 8;

impl Token {
    /// Whether it is worth no attempt.
    pub(super) fn has_ended(&self) -> bool {
        self.lifetime.is_some_and(|lifetime| lifetime < LIFETIME_MIN)
    }
}

#[derive(Debug)]
struct Held {
    token: Token,
    ends_at: Instant,
    renew_at: Instant,
    /// How much of its life must be left for a new connection.
    margin: Duration,
}

#[derive(Debug)]
struct Question {
    id: AskId,
    deadline: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Keeper {
    held: Option<Held>,
    question: Option<Question>,
    asked: u32,
    /// The server has refused a token since the last steady connection: the next refusal is final.
    pub(super) was_rejected: bool,
}

impl Keeper {
    /// The token, if a connection can be made with it.
    pub(super) fn usable(&self, now: Instant) -> Option<&Token> {
        let held = self.held.as_ref()?;
        (held.ends_at > now.after(held.margin)).then_some(&held.token)
    }

    pub(super) fn current(&self) -> Option<&Token> {
        self.held.as_ref().map(|held| &held.token)
    }

    /// Why a token has to be asked for.
    pub(super) const fn reason(&self) -> TokenReason {
        match (&self.held, self.was_rejected) {
            (None, true) => TokenReason::Rejected,
            (None, false) => TokenReason::Initial,
            (Some(_), _) => TokenReason::Expiring,
        }
    }

    /// Asks, unless a question is open.
    pub(super) fn ask(&mut self, now: Instant, patience: &Patience, sink: &mut dyn Sink) {
        if self.question.is_some() {
            return;
        }
        self.asked = self.asked.wrapping_add(1);
        let ask = AskId(self.asked);
        self.question = Some(Question {
            id: ask,
            deadline: now.after(patience.token),
        });
        let reason = self.reason();
        sink.output(Output::AskToken { ask, reason });
    }

    /// The answer to a question. `false`: nobody asks any more.
    pub(super) fn answered(&mut self, ask: AskId) -> bool {
        let is_open = self.question.as_ref().is_some_and(|question| question.id == ask);
        if is_open {
            self.question = None;
        }
        is_open
    }

    pub(super) fn keep(&mut self, token: Token, now: Instant) {
        let ends_at = token
            .lifetime
            .map_or(Instant::MAX, |lifetime| now.after(lifetime));
        let renew_at = token.lifetime.map_or(Instant::MAX, |lifetime| {
            now.after(lifetime - lifetime / RENEWED_AT)
        });
        let margin = token
            .lifetime
            .map_or(MARGIN, |lifetime| MARGIN.min(lifetime / RENEWED_AT));
        self.held = Some(Held {
            token,
            ends_at,
            renew_at,
            margin,
        });
    }

    /// The server has refused it.
    pub(super) fn reject(&mut self) {
        self.held = None;
        self.was_rejected = true;
    }

    /// The server says that its time is over.
    pub(super) const fn expire(&mut self) {
        if let Some(held) = &mut self.held {
            held.ends_at = Instant::ZERO;
        }
    }

    /// A renewal has failed: when to try again.
    pub(super) fn postpone(&mut self, now: Instant) {
        if let Some(held) = &mut self.held {
            let left = held.ends_at.since(now);
            held.renew_at = now.after((left / RENEWALS).max(Duration::from_secs(1)));
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.question.is_none() && self.held.as_ref().is_some_and(|held| held.renew_at <= now)
    }

    /// Whether nobody has answered in time; the question is then closed.
    pub(super) fn is_unanswered(&mut self, now: Instant) -> bool {
        let is_late = self
            .question
            .as_ref()
            .is_some_and(|question| question.deadline <= now);
        if is_late {
            self.question = None;
        }
        is_late
    }

    pub(super) fn drop_question(&mut self) {
        self.question = None;
    }

    /// When something has to happen on a connection that is up, or while a question is open.
    pub(super) fn deadline(&self, is_connected: bool) -> Option<Instant> {
        match &self.question {
            Some(question) => Some(question.deadline),
            None => self
                .held
                .as_ref()
                .filter(|_| is_connected)
                .map(|held| held.renew_at),
        }
    }
}
