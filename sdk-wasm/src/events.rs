//! The machine's outputs as bytes: see [`layout`](crate::layout).

use alloc::vec::Vec;

use cloudsignal_core::ReasonCode;
use cloudsignal_core::client::{
    Closed, Continuity, Key, Lost, Message, Outcome, Output, Server, State, TokenReason, Unanswered, Warning,
};

use crate::desk::millis;
use crate::topics::Topics;
use crate::{layout as at, properties};

/// What comes before the body of an event.
#[derive(Clone, Copy, Default)]
struct Head {
    kind: u8,
    detail: u8,
    code: u16,
    number: f64,
}

/// Adds one output. JavaScript counts in `f64`, which holds the names of nine quadrillion messages.
pub(crate) fn write(output: &Output<'_>, topics: &mut Topics, out: &mut Vec<u8>) {
    match output {
        Output::Message(message) => {
            let delivery = message.delivery.map_or(0, |delivery| delivery.0);
            write_message(message, 0, delivery, topics, out);
        }
        Output::Replied { request, message } => write_message(message, at::REPLY, request.0, topics, out),
        Output::Send { wire, bytes } => put(out, head(at::SEND, wire.0.into()), bytes),
        Output::Put { key, record } => put(out, of_key(at::PUT, *key), record),
        Output::Delete { key } => put(out, of_key(at::DELETE, *key), &[]),
        Output::Dial { wire, to } => {
            let (detail, body) = match to {
                Server::Configured => (0, ""),
                Server::Referred(reference) => (1, *reference),
            };
            let head = head(at::DIAL, wire.0.into());
            put(out, Head { detail, ..head }, body.as_bytes());
        }
        Output::Hangup { wire } => put(out, head(at::HANGUP, wire.0.into()), &[]),
        Output::AskToken { ask, reason } => {
            let detail = match reason {
                TokenReason::Initial => 0,
                TokenReason::Expiring => 1,
                TokenReason::Rejected => 2,
            };
            let head = head(at::ASK_TOKEN, ask.0.into());
            put(out, Head { detail, ..head }, &[]);
        }
        Output::Sync { ticket } => put(out, head(at::SYNC, ticket.0 as f64), &[]),
        Output::State(state) => put(out, of_state(*state), &[]),
        Output::Connected { continuity } => {
            let detail = match continuity {
                Continuity::New => 0,
                Continuity::Resumed => 1,
                Continuity::Adopted => 2,
                Continuity::Lost => 3,
            };
            let head = head(at::CONNECTED, 0.0);
            put(out, Head { detail, ..head }, &[]);
        }
        Output::Stored { id } => put(out, head(at::STORED, id.0 as f64), &[]),
        Output::Published { id, outcome } => {
            let (detail, code) = of_outcome(*outcome);
            let head = head(at::PUBLISHED, id.0 as f64);
            put(out, Head { detail, code, ..head }, &[]);
        }
        Output::Subscribed { id, granted } => {
            let head = head(at::SUBSCRIBED, id.0.into());
            let detail = granted.bits();
            put(out, Head { detail, ..head }, &[]);
        }
        Output::SubscribeRefused { id, reason } => {
            let head = head(at::SUBSCRIBE_REFUSED, id.0.into());
            let code = reason.byte().into();
            put(out, Head { code, ..head }, &[]);
        }
        Output::Unsubscribed { id } => put(out, head(at::UNSUBSCRIBED, id.0.into()), &[]),
        Output::RequestFailed { request, why } => {
            let (detail, code) = of_unanswered(*why);
            let head = head(at::REQUEST_FAILED, request.0 as f64);
            put(out, Head { detail, code, ..head }, &[]);
        }
        Output::Warning(warning) => put(out, of_warning(*warning), &[]),
    }
}

fn head(kind: u8, number: f64) -> Head {
    Head {
        kind,
        number,
        ..Head::default()
    }
}

fn of_key(kind: u8, key: Key) -> Head {
    let (detail, number) = match key {
        Key::Identity => (0, 0.0),
        Key::Mark => (1, 0.0),
        Key::Outgoing(order) => (2, order as f64),
        Key::Received(id) => (3, id.into()),
        Key::Subscription(id) => (4, id.into()),
    };
    Head {
        detail,
        ..head(kind, number)
    }
}

/// The key of a record that comes back; `None`: there is no such kind.
pub(crate) fn key(kind: u32, number: f64) -> Option<Key> {
    Some(match kind {
        0 => Key::Identity,
        1 => Key::Mark,
        2 => Key::Outgoing(number as u64),
        3 => Key::Received(number as u16),
        4 => Key::Subscription(number as u32),
        _ => return None,
    })
}

fn of_state(state: State) -> Head {
    let why = |why: u16, reason: Option<ReasonCode>| why | reason.map_or(0, |it| u16::from(it.byte()) << 8);
    let (detail, code, number) = match state {
        State::Idle => (0, 0, 0.0),
        State::Connecting => (1, 0, 0.0),
        State::Connected => (2, 0, 0.0),
        State::Waiting { until, why: lost } => {
            let code = match lost {
                Lost::Network => why(0, None),
                Lost::Silence => why(1, None),
                Lost::Server(reason) => why(2, Some(reason)),
                Lost::Nonsense => why(3, None),
                Lost::Token => why(4, None),
            };
            (3, code, millis(until))
        }
        State::Suspended => (4, 0, 0.0),
        State::Closed { why: closed } => {
            let code = match closed {
                Closed::ByCaller => why(0, None),
                Closed::Refused(reason) => why(1, Some(reason)),
                Closed::TakenOver => why(2, None),
                Closed::TokenRefused => why(3, None),
            };
            (5, code, 0.0)
        }
    };
    Head {
        detail,
        code,
        ..head(at::STATE, number)
    }
}

fn of_outcome(outcome: Outcome) -> (u8, u16) {
    match outcome {
        Outcome::Acknowledged(reason) => (0, reason.byte().into()),
        Outcome::Rejected(reason) => (1, reason.byte().into()),
        Outcome::Expired => (2, 0),
        Outcome::Sent => (3, 0),
        Outcome::Indeterminate => (4, 0),
    }
}

fn of_unanswered(why: Unanswered) -> (u8, u16) {
    match why {
        Unanswered::TimedOut => (0, 0),
        Unanswered::NobodyListens => (1, 0),
        Unanswered::Refused(reason) => (2, reason.byte().into()),
        Unanswered::Closed => (3, 0),
        Unanswered::Indeterminate => (4, 0),
    }
}

fn of_warning(warning: Warning) -> Head {
    let (detail, number) = match warning {
        Warning::TokenNotRenewed => (0, 0.0),
        Warning::NoRenewalInBand => (1, 0.0),
        Warning::Unclaimed(id) => (2, id.0.into()),
        Warning::OldProtocol => (3, 0.0),
        Warning::StoreFailed => (4, 0.0),
        Warning::Stuck { id, .. } => (5, id.0 as f64),
    };
    Head {
        detail,
        ..head(at::WARNING, number)
    }
}

fn put(out: &mut Vec<u8>, head: Head, body: &[u8]) {
    begin(out, head, at::EVENT_BYTES + body.len());
    out.extend_from_slice(body);
}

/// What does not fit a `u32` cannot be in linear memory.
fn begin(out: &mut Vec<u8>, head: Head, bytes: usize) {
    out.extend_from_slice(&[head.kind, head.detail]);
    out.extend_from_slice(&head.code.to_le_bytes());
    out.extend_from_slice(&size(bytes));
    out.extend_from_slice(&head.number.to_le_bytes());
}

fn size(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

/// `name` is that of the delivery or, with [`REPLY`](at::REPLY) among the flags, of the question.
fn write_message(message: &Message<'_>, flags: u8, name: u64, topics: &mut Topics, out: &mut Vec<u8>) {
    let topic = message.topic.as_str();
    let (slot, is_known) = topics.place(topic);
    let topic = if is_known { "" } else { topic };
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let start = out.len();
    let head = Head {
        kind: at::MESSAGE,
        detail: flags
            | message.qos.bits()
            | flag(message.retain, at::RETAIN)
            | flag(message.dup, at::DUP)
            | flag(!is_known, at::HAS_TOPIC),
        code: slot,
        number: name as f64,
    };
    begin(out, head, 0);
    // Topics end at 65 535 bytes, and a message has no more receivers than a list of that length names.
    let receivers = message.subscriptions.len().min(usize::from(u16::MAX));
    out.extend_from_slice(&(topic.len() as u16).to_le_bytes());
    out.extend_from_slice(&(receivers as u16).to_le_bytes());
    out.extend_from_slice(&size(message.payload.len()));
    for id in &message.subscriptions[..receivers] {
        out.extend_from_slice(&id.0.to_le_bytes());
    }
    out.extend_from_slice(topic.as_bytes());
    out.extend_from_slice(message.payload);
    properties::write(message.properties, out);
    let bytes = size(out.len() - start);
    out[start + 4..start + 8].copy_from_slice(&bytes);
}
