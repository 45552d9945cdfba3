//! What can go wrong, sorted by who is to blame.

use cloudsignal::{Closed, ConnectError, PublishError, RequestError, SubscribeError, Unanswered};

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Blame {
    /// The caller: what was asked makes no sense, and never will.
    Usage,
    /// Nobody: as many as there may be are there already. Later there is room again.
    Limit,
    /// The client is closed.
    Closed,
    /// The broker, or whoever answers, has refused it.
    Refused,
    /// The network, or somebody who did not answer in time.
    Network,
    /// The store.
    Storage,
}

/// Why something did not come about, told by an event.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Problem {
    /// Who is to blame.
    pub blame: Blame,
    /// The broker's reason code, MQTT 5, where it has given one.
    pub reason: Option<u8>,
    /// What has happened, for people.
    pub detail: String,
}

/// Why a call did not do what it should. `detail` is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum ClientError {
    /// What was asked makes no sense, and never will.
    #[error("{detail}")]
    Usage {
        /// What is wrong with it.
        detail: String,
    },
    /// As many as there may be are there already. Later there is room again.
    #[error("{detail}")]
    Limit {
        /// Of what.
        detail: String,
    },
    /// The client is closed.
    #[error("{detail}")]
    Closed {
        /// Why, if that is known.
        detail: String,
    },
    /// The store cannot be opened or read.
    #[error("{detail}")]
    Storage {
        /// What the system says.
        detail: String,
    },
}

impl ClientError {
    pub(crate) fn usage(problem: &impl ToString) -> Self {
        let detail = problem.to_string();
        Self::Usage { detail }
    }

    pub(crate) fn limit(what: &str) -> Self {
        let detail = what.to_owned();
        Self::Limit { detail }
    }

    pub(crate) fn closed() -> Self {
        let detail = "the client is closed".to_owned();
        Self::Closed { detail }
    }
}

impl From<ConnectError> for ClientError {
    fn from(error: ConnectError) -> Self {
        let detail = error.to_string();
        match error {
            ConnectError::Url(_) | ConnectError::Certificate { .. } | ConnectError::WillTopic(_) => {
                Self::Usage { detail }
            }
            ConnectError::Store(_) => Self::Storage { detail },
            ConnectError::Closed(_) => Self::Closed { detail },
        }
    }
}

impl From<PublishError> for ClientError {
    fn from(error: PublishError) -> Self {
        let Problem { blame, detail, .. } = Problem::from(error);
        match blame {
            Blame::Limit => Self::Limit { detail },
            Blame::Closed => Self::Closed { detail },
            Blame::Storage => Self::Storage { detail },
            Blame::Usage | Blame::Refused | Blame::Network => Self::Usage { detail },
        }
    }
}

impl Problem {
    pub(crate) fn new(blame: Blame, problem: &impl ToString) -> Self {
        Self {
            blame,
            reason: None,
            detail: problem.to_string(),
        }
    }

    pub(crate) const fn with_reason(mut self, reason: Option<u8>) -> Self {
        self.reason = reason;
        self
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        let blame = match error {
            PublishError::Topic(_)
            | PublishError::Payload(_)
            | PublishError::Inexpressible(_)
            | PublishError::NotAsked => Blame::Usage,
            PublishError::QueueFull => Blame::Limit,
            PublishError::TooLarge { .. } | PublishError::NotOffered(_) => Blame::Refused,
            PublishError::Closed(_) => Blame::Closed,
        };
        Self::new(blame, &error)
    }
}

impl From<SubscribeError> for Problem {
    fn from(error: SubscribeError) -> Self {
        let (blame, reason) = match error {
            SubscribeError::Filter(_) => (Blame::Usage, None),
            SubscribeError::TooMany => (Blame::Limit, None),
            SubscribeError::Refused(reason) => (Blame::Refused, Some(reason.byte())),
            SubscribeError::Closed(_) => (Blame::Closed, None),
        };
        Self::new(blame, &error).with_reason(reason)
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let (blame, reason) = match error {
            RequestError::Publish(error) => return error.into(),
            RequestError::Unanswered(why) => match why {
                Unanswered::TimedOut | Unanswered::Indeterminate => (Blame::Network, None),
                Unanswered::NobodyListens => (
                    Blame::Refused,
                    Some(cloudsignal::ReasonCode::NoMatchingSubscribers.byte()),
                ),
                Unanswered::Refused(reason) => (Blame::Refused, Some(reason.byte())),
                Unanswered::Closed => (Blame::Closed, None),
            },
        };
        Self::new(blame, &error).with_reason(reason)
    }
}

/// The end of a client as everybody hears it who still waits for something.
pub(crate) fn closed(why: Closed) -> Problem {
    SubscribeError::Closed(why).into()
}
