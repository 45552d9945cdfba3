//! What handles ask for, given to the machine.

use std::task::{Context, Poll};
use std::time::Duration;

use cloudsignal_core::client::{self as core, Accepted, End, Outcome, Publication, Wake};

use super::command::{Command, Outgoing, Patience, Publishing, Wanted};
use super::questions::Reply;
use super::{Driver, PUBLISHES_MAX};
use crate::error::SubscribeError;
use crate::request::RequestError;
use crate::subscription::Attached;

impl Driver {
    /// What the application left in passing.
    pub(super) fn read_letters(&mut self) {
        let now = self.clock.now();
        for delivery in self.letters.done.drain(..) {
            self.machine.acknowledge(delivery, now, &mut self.hands);
        }
        for (id, buffer) in self.letters.left.drain(..) {
            if self.hands.receivers.detach(id, &buffer) {
                self.machine.unsubscribe(id, now, &mut self.hands);
            }
        }
    }

    pub(super) fn poll_commands(&mut self, cx: &mut Context<'_>) -> bool {
        if self.hands.closed.is_some() {
            return false;
        }
        match self.commands.poll_recv(cx) {
            Poll::Pending => false,
            Poll::Ready(Some(command)) => {
                self.obey(command);
                true
            }
            Poll::Ready(None) => {
                // Nobody holds the client any more.
                self.close(End::KeepSession);
                true
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Subscribe { wanted, reply } => {
                let attached = self.subscribe(wanted);
                // One that nobody waits for any more is dropped, which ends it.
                let _dropped = reply.send(attached);
            }
            Command::Unsubscribe { id, buffer, reply } => {
                if self.hands.receivers.detach(id, &buffer) {
                    self.hands.receivers.await_end(id, reply);
                    self.machine.unsubscribe(id, now, &mut self.hands);
                } else {
                    let _nobody_listens = reply.send(());
                }
            }
            Command::GiveUp { id, reply } => {
                let existed = self.machine.give_up_message(id, now, &mut self.hands);
                let _nobody_listens = reply.send(existed);
            }
            Command::Suspend => self.machine.suspend(now, &mut self.hands),
            Command::Resume => self.machine.connect(now, &mut self.hands),
            Command::Wake => self.machine.handle_wake(Wake::Now, now, &mut self.hands),
            Command::Close { end, reply } => {
                self.closing.push(reply);
                self.close(end);
            }
        }
    }

    /// What callers have sent before is published before: into the store, and on the connection if there is one.
    fn close(&mut self, end: End) {
        self.publishes.close();
        while let Ok(last) = self.publishes.try_recv() {
            self.waiting.push_back(last);
        }
        while let Some(next) = self.waiting.pop_front() {
            // One for which there is no room is dropped, and with it its promise.
            let _closed = self.publish(next);
        }
        self.machine.close(end, self.clock.now(), &mut self.hands);
    }

    /// The receiver is there before SUBSCRIBE leaves: nothing is written before the end of the round.
    fn subscribe(&mut self, wanted: Wanted) -> Result<Attached, SubscribeError> {
        let mut asked = core::Subscription::new(wanted.filter.as_ref(), wanted.qos);
        asked.no_local = wanted.no_local;
        asked.retain_as_published = wanted.retain_as_published;
        asked.retain_handling = wanted.retain_handling;
        let subscribed = self.machine.subscribe(&asked, self.clock.now(), &mut self.hands);
        match subscribed {
            Ok(id) => Ok(self.hands.receivers.attach(id, wanted)),
            Err(core::SubscribeError::TooMany) => Err(SubscribeError::TooMany),
            Err(core::SubscribeError::Closed) => Err(SubscribeError::Closed(core::Closed::ByCaller)),
        }
    }

    /// Takes messages as long as the queue and the connection take them.
    pub(super) fn poll_publishes(&mut self, cx: &mut Context<'_>) -> bool {
        if self.hands.closed.is_some() {
            return false;
        }
        let mut has_acted = self.publish_waiting();
        while self.waiting.is_empty() {
            let batch = &mut self.batch;
            match self.publishes.poll_recv_many(cx, batch, PUBLISHES_MAX) {
                Poll::Pending | Poll::Ready(0) => break,
                Poll::Ready(_) => self.waiting.extend(self.batch.drain(..)),
            }
            has_acted = true;
            self.publish_waiting();
            if self.hands.wires.are_clogged() {
                break;
            }
        }
        has_acted
    }

    fn publish_waiting(&mut self) -> bool {
        let mut has_acted = false;
        while !self.hands.wires.are_clogged() {
            let Some(next) = self.waiting.pop_front() else {
                break;
            };
            if let Err(back) = self.publish(next) {
                self.waiting.push_front(back);
                break;
            }
            has_acted = true;
        }
        has_acted
    }

    /// Gives one back while there is no room for it.
    fn publish(&mut self, publishing: Publishing) -> Result<(), Publishing> {
        let outgoing = match publishing {
            Publishing::Message(outgoing) => outgoing,
            Publishing::Question {
                outgoing,
                patience,
                reply,
            } => {
                self.ask(&outgoing, patience, reply);
                return Ok(());
            }
            Publishing::Flush(reply) => {
                self.hands.tickets.flush(reply);
                return Ok(());
            }
        };
        let publication = outgoing.publication();
        let now = self.clock.now();
        let accepted = self.machine.publish(&publication, now, &mut self.hands);
        match accepted {
            Err(core::PublishError::QueueFull) if outgoing.patience == Patience::Waits => {
                return Err(Publishing::Message(outgoing));
            }
            Ok(Accepted::Sent) => outgoing.promise.end(Ok(Outcome::Sent)),
            Ok(Accepted::Queued(id)) => self.hands.tickets.add(id, outgoing.promise),
            Err(error) => outgoing.promise.end(Err(error.into())),
        }
        Ok(())
    }

    fn ask(&mut self, outgoing: &Outgoing, patience: Duration, reply: Reply) {
        let question = outgoing.publication();
        let now = self.clock.now();
        let mut asked = self.machine.request(&question, patience, now, &mut self.hands);
        if asked == Err(core::PublishError::QueueFull) {
            while let Some(forgotten) = self.hands.questions.take_forgotten() {
                self.machine.cancel_request(forgotten);
            }
            asked = self.machine.request(&question, patience, now, &mut self.hands);
        }
        match asked {
            Ok(id) => self.hands.questions.add(id, reply),
            Err(error) => {
                let _nobody_listens = reply.send(Err(RequestError::Publish(error.into())));
            }
        }
    }
}

impl Outgoing {
    fn publication(&self) -> Publication<'_> {
        Publication {
            topic: self.topic.as_ref(),
            payload: &self.payload,
            qos: self.qos,
            retain: self.retain,
            properties: self
                .properties
                .as_ref()
                .map_or_else(Default::default, |it| it.as_packet()),
        }
    }
}
