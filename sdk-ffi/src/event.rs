//! Everything that a listener hears, in words that are the same in every language.

use cloudsignal::{Closed, Lost, Outcome, PublishError, State};

use crate::error::{Problem, closed};
use crate::message::{Message, QosLevel};

/// Something has happened. Events come in the order in which it did.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Event {
    /// The client does something else now. Changes that follow each other at once may be told as one.
    StateChanged {
        /// What it does.
        state: ConnectionState,
    },
    /// The broker has accepted the client.
    SessionOpened {
        /// Whether anything may have been missed.
        continuity: Continuity,
    },
    /// The broker could not be reached; another attempt follows.
    Unreachable {
        /// What the system says, for people.
        detail: String,
    },
    /// Somebody should know.
    Warned {
        /// What.
        warning: Warning,
    },
    /// A token is needed: answer by `provide_token` or `refuse_token`. Only the newest question counts; one that is not
    /// answered within 30 s has failed.
    TokenWanted {
        /// Which question.
        request: u64,
        /// Why it is asked.
        reason: TokenReason,
    },
    /// The broker has granted a subscription, which it may do again after it has lost the session.
    SubscriptionGranted {
        /// Which.
        subscription: u64,
        /// The highest QoS of its messages.
        qos: QosLevel,
    },
    /// No message of this subscription will follow.
    SubscriptionEnded {
        /// Which.
        subscription: u64,
        /// Why; `None` when the application has ended it.
        problem: Option<Problem>,
    },
    /// A message has arrived.
    MessageArrived {
        /// Which counts as dealt with when `done` was called with its `id`.
        message: Message,
    },
    /// QoS 0 messages were dropped because they were not taken in time.
    MessagesDropped {
        /// Which subscription has missed them.
        subscription: u64,
        /// How many since the last of these events.
        messages: u64,
    },
    /// A published message is in the store, and survives the end of the process.
    PublishStored {
        /// What `publish` has answered.
        ticket: u64,
    },
    /// A published message is over.
    PublishEnded {
        /// What `publish` has answered.
        ticket: u64,
        /// What became of it.
        outcome: PublishOutcome,
    },
    /// Everything that was published before a `flush` is over.
    FlushEnded {
        /// What `flush` has answered.
        ticket: u64,
    },
    /// What `give_up_message` has come to.
    GiveUpEnded {
        /// What it has answered.
        ticket: u64,
        /// Whether the message was there, of QoS 1, and not on its way just now.
        is_given_up: bool,
    },
    /// Somebody has answered a question.
    QuestionAnswered {
        /// What `ask` has answered.
        question: u64,
        /// The answer.
        message: Message,
    },
    /// No answer will come.
    QuestionFailed {
        /// What `ask` has answered.
        question: u64,
        /// Why.
        problem: Problem,
    },
}

/// What a client is doing. When it is closed, `on_closed` says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ConnectionState {
    /// Opening a connection, waiting for a token, or for the broker's word.
    Connecting,
    /// The broker has accepted the client.
    Connected,
    /// The last attempt failed, or the connection was lost; another attempt follows.
    Waiting {
        /// When, milliseconds from now.
        retry_in_ms: u64,
        /// Why.
        why: LossReason,
        /// The broker's reason code, if it was the broker.
        reason: Option<u8>,
    },
    /// Disconnected by `suspend`, until `resume`.
    Suspended,
}

/// Why there is no connection now, though there will be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum LossReason {
    /// The network: it could not be opened, or it was cut.
    Network,
    /// Nothing came for too long.
    Silence,
    /// The broker refused or ended it, and may think otherwise later.
    Server,
    /// The broker said what no broker may say.
    Nonsense,
    /// No token could be had.
    Token,
}

/// Why a client is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum CloseReason {
    /// The application wanted it.
    ByCaller,
    /// The broker will say the same again.
    Refused,
    /// Another client has come with the same identifier.
    TakenOver,
    /// The token provider has refused a token.
    TokenRefused,
    /// The library has a fault, which is ours.
    Fault,
}

/// How a client has ended.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Ending {
    /// Why.
    pub why: CloseReason,
    /// The same for people, and with the broker's reason code if it has said one.
    pub problem: Problem,
}

/// Whether anything may have been missed since the last connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Continuity {
    /// There was no earlier session.
    New,
    /// The session goes on where it was: nothing was missed.
    Resumed,
    /// The broker goes on with a session that this client knows nothing of.
    Adopted,
    /// The broker has lost the session: what was published meanwhile did not reach this client.
    Lost,
}

/// Why a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum TokenReason {
    /// There is none.
    Initial,
    /// The present one is about to end, or has ended.
    Expiring,
    /// The broker has refused the present one: a cached one will not do.
    Rejected,
}

/// What an operator should know, and no call can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Warning {
    /// A token could not be renewed; the connection lasts as long as the old one.
    TokenNotRenewed,
    /// The broker knows no renewal of tokens in band: another connection takes over each time.
    NoRenewalInBand,
    /// A subscription of an earlier process was ended, because nobody asked for it again.
    Unclaimed,
    /// The broker speaks MQTT 3.1.1 only: no reasons, no session expiry, no renewal in band.
    OldProtocol,
    /// The store has failed: what is published now may not survive the process.
    StoreFailed,
    /// Every connection ends over the same message, which is sent again and again: the broker does not take it.
    Stuck {
        /// Which one: `give_up_message` lets it go.
        message: u64,
        /// How large its packet is, bytes.
        bytes: u64,
    },
}

/// What became of a published message.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum PublishOutcome {
    /// QoS 0: it was given to the connection, which is all that is promised.
    Sent,
    /// The broker has it. Reason 0x10 says that nobody had subscribed.
    Acknowledged {
        /// The broker's reason code.
        reason: u8,
    },
    /// The broker has refused it.
    Rejected {
        /// The broker's reason code.
        reason: u8,
    },
    /// Its lifetime was over before it could be sent.
    Expired,
    /// A QoS 2 message was on its way when the broker lost the session. It may have arrived; to send it again might make
    /// two of it.
    Indeterminate,
    /// The client did not take it, or was closed before the broker had answered. With a store it is sent by the next
    /// client with that store if the client was closed.
    Failed {
        /// Why.
        problem: Problem,
    },
}

impl From<Result<Outcome, PublishError>> for PublishOutcome {
    fn from(end: Result<Outcome, PublishError>) -> Self {
        match end {
            Ok(Outcome::Sent) => Self::Sent,
            Ok(Outcome::Acknowledged(reason)) => Self::Acknowledged {
                reason: reason.byte(),
            },
            Ok(Outcome::Rejected(reason)) => Self::Rejected {
                reason: reason.byte(),
            },
            Ok(Outcome::Expired) => Self::Expired,
            Ok(Outcome::Indeterminate) => Self::Indeterminate,
            Err(error) => Self::Failed {
                problem: error.into(),
            },
        }
    }
}

impl ConnectionState {
    /// `None` for the end, which is told otherwise.
    pub(crate) fn new(state: State, now: tokio::time::Instant) -> Option<Self> {
        Some(match state {
            State::Connecting => Self::Connecting,
            State::Connected => Self::Connected,
            State::Waiting { until, why } => {
                let (why, reason) = LossReason::new(why);
                let wait = until.saturating_duration_since(now).as_millis();
                Self::Waiting {
                    retry_in_ms: u64::try_from(wait).unwrap_or(u64::MAX),
                    why,
                    reason,
                }
            }
            State::Suspended => Self::Suspended,
            State::Closed { .. } => return None,
        })
    }
}

impl LossReason {
    fn new(why: Lost) -> (Self, Option<u8>) {
        match why {
            Lost::Network => (Self::Network, None),
            Lost::Silence => (Self::Silence, None),
            Lost::Server(reason) => (Self::Server, Some(reason.byte())),
            Lost::Nonsense => (Self::Nonsense, None),
            Lost::Token => (Self::Token, None),
        }
    }
}

impl From<Closed> for Ending {
    fn from(why: Closed) -> Self {
        let problem = closed(why);
        let (why, reason) = match why {
            Closed::ByCaller => (CloseReason::ByCaller, None),
            Closed::Refused(reason) => (CloseReason::Refused, Some(reason.byte())),
            Closed::TakenOver => (CloseReason::TakenOver, None),
            Closed::TokenRefused => (CloseReason::TokenRefused, None),
        };
        Self {
            why,
            problem: problem.with_reason(reason),
        }
    }
}

impl From<cloudsignal::Continuity> for Continuity {
    fn from(continuity: cloudsignal::Continuity) -> Self {
        match continuity {
            cloudsignal::Continuity::New => Self::New,
            cloudsignal::Continuity::Resumed => Self::Resumed,
            cloudsignal::Continuity::Adopted => Self::Adopted,
            cloudsignal::Continuity::Lost => Self::Lost,
        }
    }
}

impl From<cloudsignal::TokenReason> for TokenReason {
    fn from(reason: cloudsignal::TokenReason) -> Self {
        match reason {
            cloudsignal::TokenReason::Initial => Self::Initial,
            cloudsignal::TokenReason::Expiring => Self::Expiring,
            cloudsignal::TokenReason::Rejected => Self::Rejected,
        }
    }
}

impl From<cloudsignal::Warning> for Warning {
    fn from(warning: cloudsignal::Warning) -> Self {
        match warning {
            cloudsignal::Warning::TokenNotRenewed => Self::TokenNotRenewed,
            cloudsignal::Warning::NoRenewalInBand => Self::NoRenewalInBand,
            cloudsignal::Warning::Unclaimed(_) => Self::Unclaimed,
            cloudsignal::Warning::OldProtocol => Self::OldProtocol,
            cloudsignal::Warning::StoreFailed => Self::StoreFailed,
            cloudsignal::Warning::Stuck { id, bytes } => Self::Stuck {
                message: id.0,
                bytes: bytes as u64,
            },
        }
    }
}

/// What the client says of itself, if anybody should hear it.
pub(crate) fn told(event: cloudsignal::Event) -> Option<Event> {
    Some(match event {
        cloudsignal::Event::Connected { continuity } => Event::SessionOpened {
            continuity: continuity.into(),
        },
        cloudsignal::Event::Unreachable { problem } => Event::Unreachable { detail: problem },
        cloudsignal::Event::Warning(warning) => Event::Warned {
            warning: warning.into(),
        },
        _ => return None, // The enum may grow, and what has no words yet is not told.
    })
}
