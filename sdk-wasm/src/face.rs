//! The calls. Each begins with what JavaScript has put into the input and ends with what it finds among the events.

use alloc::vec::Vec;

use cloudsignal_core::client::{
    AskId, Client, DeliveryId, End, Options, Publication, PublishError, PublishId, SubscribeError,
    Subscription, SubscriptionId, Ticket, Token, TokenError, Wake, WireId,
};
use cloudsignal_core::codec::RetainHandling;
use cloudsignal_core::time::{Duration, Instant};
use cloudsignal_core::topic::{TopicFilter, TopicName};
use cloudsignal_core::{Qos, client};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::desk::{Desk, Outgoing};
use crate::fields::text;
use crate::{events, layout as at, properties, settings};

/// A client and the buffers through which JavaScript speaks with it. Moments are milliseconds on a clock that never
/// runs backwards.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Face {
    client: Client,
    desk: Desk,
    /// User properties of a publication, encoded.
    user: Vec<u8>,
}

#[wasm_bindgen]
impl Face {
    /// The buffers; the client comes with [`configure`](Self::configure).
    #[wasm_bindgen(constructor)]
    #[expect(clippy::new_without_default, reason = "only JavaScript makes one")]
    pub fn new() -> Self {
        Self {
            client: Client::new(Options::default(), 0, Instant::ZERO, 0),
            desk: Desk::new(),
            user: Vec::new(),
        }
    }

    /// Input: options, a list of fields. Makes a client that does nothing yet, or answers `false` when they say what
    /// cannot be. `seed` must be different for each client, `unix` is the time of day at `now`, milliseconds since 1970.
    pub fn configure(&mut self, bytes: u32, seed: u64, now: f64, unix: f64) -> bool {
        let options = self.desk.input.get(..bytes as usize);
        let Some(options) = options.and_then(settings::read) else {
            return false;
        };
        self.client = Client::new(options, seed, moment(now), (unix * MICROS) as u64);
        true
    }

    /// Where the header is; it never moves.
    pub fn header(&self) -> u32 {
        self.desk.header_at()
    }

    /// Makes room for an input.
    pub fn reserve(&mut self, bytes: u32) {
        self.desk.reserve(bytes as usize);
        let timeout = self.client.poll_timeout();
        // An input of any size stays until the call that it is for.
        self.desk.tell(timeout);
    }

    /// Moves what waits to be sent into the events.
    pub fn collect(&mut self) {
        self.desk.begin();
        self.desk.outgoing.collect(None);
        self.desk.end(self.client.poll_timeout());
    }

    /// Input: a record of the store. Answers whether it is of use.
    pub fn restore(&mut self, kind: u32, number: f64, bytes: u32) -> bool {
        let record = self.desk.input.get(..bytes as usize);
        match (events::key(kind, number), record) {
            (Some(key), Some(record)) => self.client.restore(key, record).is_ok(),
            (None, _) | (_, None) => false,
        }
    }

    pub fn connect(&mut self, now: f64) {
        self.call(|client, _, out| client.connect(moment(now), out));
    }

    pub fn suspend(&mut self, now: f64) {
        self.call(|client, _, out| client.suspend(moment(now), out));
    }

    /// Closes for good; `forget` 1 ends the session, too.
    pub fn close(&mut self, forget: u32, now: f64) {
        let end = match forget {
            0 => End::KeepSession,
            _ => End::ForgetSession,
        };
        self.call(|client, _, out| client.close(end, moment(now), out));
    }

    pub fn handle_opened(&mut self, wire: u32, now: f64) {
        self.call(|client, _, out| client.handle_opened(WireId(wire), moment(now), out));
    }

    pub fn handle_closed(&mut self, wire: u32, now: f64) {
        self.desk.outgoing.forget(WireId(wire));
        self.call(|client, _, out| client.handle_closed(WireId(wire), moment(now), out));
    }

    /// Input: a WebSocket frame.
    pub fn handle_bytes(&mut self, wire: u32, bytes: u32, now: f64) {
        self.call(|client, input, out| {
            let bytes = input.get(..bytes as usize).unwrap_or_default();
            client.handle_bytes(WireId(wire), bytes, moment(now), out);
        });
    }

    pub fn handle_timeout(&mut self, now: f64) {
        self.call(|client, _, out| client.handle_timeout(moment(now), out));
    }

    pub fn handle_wake(&mut self, now: f64) {
        self.call(|client, _, out| client.handle_wake(Wake::Now, moment(now), out));
    }

    /// Input: user name, then password. An empty user name is none. `lifetime` in milliseconds, `Infinity` when unknown.
    pub fn handle_token(&mut self, ask: u32, username_bytes: u32, bytes: u32, lifetime: f64, now: f64) {
        self.call(|client, input, out| {
            let input = input.get(..bytes as usize).unwrap_or_default();
            let (username, password) = input
                .split_at_checked(username_bytes as usize)
                .unwrap_or_default();
            let token = Token {
                username: text(username).filter(|it| !it.is_empty()).map(Into::into),
                password: password.into(),
                lifetime: lifetime.is_finite().then(|| span(lifetime)),
            };
            client.handle_token(AskId(ask), Ok(token), moment(now), out);
        });
    }

    /// There is no token: `refused` 1 when asking again is of no use.
    pub fn handle_no_token(&mut self, ask: u32, refused: u32, now: f64) {
        let error = match refused {
            0 => TokenError::Failed,
            _ => TokenError::Refused,
        };
        self.call(|client, _, out| client.handle_token(AskId(ask), Err(error), moment(now), out));
    }

    pub fn handle_stored(&mut self, ticket: f64, now: f64) {
        self.call(|client, _, out| client.handle_stored(Ticket(ticket as u64), moment(now), out));
    }

    pub fn handle_store_failed(&mut self, now: f64) {
        self.call(|client, _, out| client.handle_store_failed(moment(now), out));
    }

    /// Input: topic, payload, properties. Answers 0 when it is sent, a publish id, or a refusal. With `patience`,
    /// milliseconds and not 0, it is a question that has to be answered within that time; a request id is answered then.
    pub fn publish(
        &mut self,
        topic_bytes: u32,
        payload_bytes: u32,
        properties_bytes: u32,
        flags: u8,
        patience: f64,
        now: f64,
    ) -> f64 {
        self.desk.begin();
        let lengths = [topic_bytes, payload_bytes, properties_bytes];
        let answer = self.try_publish(lengths, flags, span(patience), moment(now));
        self.desk.end(self.client.poll_timeout());
        answer
    }

    fn try_publish(&mut self, lengths: [u32; 3], flags: u8, patience: Duration, now: Instant) -> f64 {
        let mut rest = self.desk.input.as_slice();
        let mut parts = [&[][..]; 3];
        for (part, bytes) in parts.iter_mut().zip(lengths) {
            (*part, rest) = rest.split_at_checked(bytes as usize).unwrap_or_default();
        }
        let [topic, payload, properties] = parts;
        let Some(topic) = text(topic).and_then(|it| TopicName::parse(it).ok()) else {
            return at::REFUSED_TOPIC;
        };
        let qos = Qos::from_bits(flags & at::QOS);
        let properties = properties::read(properties, &mut self.user);
        let (Some(qos), Some(properties)) = (qos, properties) else {
            return at::REFUSED_INEXPRESSIBLE;
        };
        let publication = Publication {
            topic,
            payload,
            qos,
            retain: flags & at::RETAIN != 0,
            properties,
        };
        let (client, out) = (&mut self.client, &mut self.desk.outgoing);
        let accepted = if patience == Duration::ZERO {
            client
                .publish(&publication, now, out)
                .map(|accepted| match accepted {
                    client::Accepted::Sent => 0,
                    client::Accepted::Queued(id) => id.0,
                })
        } else {
            let asked = client.request(&publication, patience, now, out);
            asked.map(|id| id.0)
        };
        match accepted {
            Ok(name) => name as f64,
            Err(PublishError::QueueFull) => at::REFUSED_FULL,
            Err(PublishError::TooLarge { .. }) => at::REFUSED_TOO_LARGE,
            Err(PublishError::NotOffered(_)) => at::REFUSED_NOT_OFFERED,
            Err(PublishError::Inexpressible(_)) => at::REFUSED_INEXPRESSIBLE,
            Err(PublishError::Closed) => at::REFUSED_CLOSED,
        }
    }

    /// Input: a topic filter. Answers the name of the subscription, or a refusal.
    pub fn subscribe(&mut self, filter_bytes: u32, flags: u8, now: f64) -> f64 {
        self.desk.begin();
        let answer = self.try_subscribe(filter_bytes as usize, flags, moment(now));
        self.desk.end(self.client.poll_timeout());
        answer
    }

    fn try_subscribe(&mut self, filter_bytes: usize, flags: u8, now: Instant) -> f64 {
        let filter = self.desk.input.get(..filter_bytes).and_then(text);
        let Some(filter) = filter.and_then(|it| TopicFilter::parse(it).ok()) else {
            return at::REFUSED_TOPIC;
        };
        let Some(qos) = Qos::from_bits(flags & at::QOS) else {
            return at::REFUSED_INEXPRESSIBLE;
        };
        let wanted = Subscription {
            filter,
            qos,
            no_local: flags & at::NO_LOCAL != 0,
            retain_as_published: flags & at::RETAIN_AS_PUBLISHED != 0,
            retain_handling: match flags >> at::RETAIN_HANDLING_SHIFT {
                0 => RetainHandling::SendAtSubscribe,
                1 => RetainHandling::SendIfNew,
                _ => RetainHandling::DoNotSend,
            },
        };
        match self.client.subscribe(&wanted, now, &mut self.desk.outgoing) {
            Ok(id) => id.0.into(),
            Err(SubscribeError::TooMany) => at::REFUSED_FULL,
            Err(SubscribeError::Closed) => at::REFUSED_CLOSED,
        }
    }

    pub fn unsubscribe(&mut self, id: u32, now: f64) {
        self.call(|client, _, out| {
            client.unsubscribe(SubscriptionId(id), moment(now), out);
        });
    }

    pub fn acknowledge(&mut self, delivery: f64, now: f64) {
        self.call(|client, _, out| {
            client.acknowledge(DeliveryId(delivery as u64), moment(now), out);
        });
    }

    /// Answers whether there was such a message, and it is not on its way.
    pub fn give_up(&mut self, message: f64, now: f64) -> bool {
        self.desk.begin();
        let id = PublishId(message as u64);
        let existed = self
            .client
            .give_up_message(id, moment(now), &mut self.desk.outgoing);
        self.desk.end(self.client.poll_timeout());
        existed
    }

    /// Writes the client identifier into the input and answers how many bytes it has: none until there is one.
    pub fn client_id(&mut self) -> u32 {
        let id = self.client.client_id().as_bytes();
        self.desk.reserve(id.len());
        self.desk.input[..id.len()].copy_from_slice(id);
        id.len() as u32
    }
}

impl Face {
    fn call(&mut self, what: impl FnOnce(&mut Client, &[u8], &mut Outgoing)) {
        self.desk.begin();
        what(&mut self.client, &self.desk.input, &mut self.desk.outgoing);
        self.desk.end(self.client.poll_timeout());
    }

    #[cfg(test)]
    pub(crate) fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }
}

/// Microseconds in a millisecond.
const MICROS: f64 = 1_000.0;

/// A time of JavaScript's. What is no number is none.
fn span(millis: f64) -> Duration {
    Duration::from_micros((millis * MICROS) as u64)
}

/// A moment of JavaScript's. What is no number is the origin.
fn moment(millis: f64) -> Instant {
    Instant::from_micros((millis * MICROS) as u64)
}
