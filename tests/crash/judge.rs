//! The reckoning: when everybody is at rest and nothing comes any more, what is owed and has not come is lost.

use std::sync::Arc;

use crate::books::{Books, Stamp, State, describe};
use crate::fault::Kind;
use crate::message::{self, Name};
use crate::plan::StreamKind;

/// Messages that end each stream before a reckoning: when not even these have come by a subscription, it is gone.
pub(crate) const LAST_WORDS: usize = 2;

impl Books {
    /// Whether everything has come that must.
    pub(crate) fn is_complete(&self) -> bool {
        self.owed_of_acked().next().is_none()
    }

    /// What was acknowledged, is owed, and has not come: subscription and message.
    fn owed_of_acked(&self) -> impl Iterator<Item = (usize, Name)> {
        let routes = self.routes.iter().filter(|(_, route)| !route.is_complete());
        routes.flat_map(|(&(subscription, stream), route)| {
            let book = &self.streams[stream];
            let acked = move |number: &u64| book.sent(*number).is_some_and(|it| it.acked.is_some());
            let owed = route.owed().filter(acked);
            owed.map(move |number| (subscription, Name { stream, number }))
        })
    }

    /// Counts what the end of a cycle cuts off.
    pub(crate) fn count_cut(&mut self) {
        let unacked = self.streams.iter().flat_map(|stream| &stream.messages);
        self.tally.cut.unacked += unacked.filter(|it| it.acked.is_none()).count() as u64;
        self.tally.cut.owed += self.owed_of_acked().count() as u64;
    }

    /// Everybody is at rest and nothing comes any more. What is missing is lost, and a subscription by which nothing
    /// came that was sent after some moment is gone since then. Closes the books on all that was sent so far.
    pub(crate) fn reckon(&mut self) {
        let lost: Vec<_> = self.owed_of_acked().collect();
        let subscriptions = 0..self.plan.subscriptions.len();
        let gone_since: Vec<_> = subscriptions
            .map(|number| self.reckon_subscription(number, &lost))
            .collect();
        for &(subscription, name) in &lost {
            self.count_loss(subscription, name, gone_since[subscription]);
            let story = self.story_of_loss(subscription, name);
            self.faults.add(Kind::Lost, || story);
            let route = self.routes.get_mut(&(subscription, name.stream));
            route
                .expect("invariant: it was owed by this route")
                .give_up(name.number);
        }
        // What is left was never acknowledged: it may be anywhere.
        self.routes.values_mut().for_each(|route| route.waive());
        for stream in &mut self.streams {
            stream.first += stream.messages.len() as u64;
            stream.messages.clear();
        }
    }

    fn count_loss(&mut self, subscription: usize, name: Name, gone_since: Option<Stamp>) {
        let Some(message) = self.streams[name.stream].sent(name.number) else {
            return;
        };
        let mut holders = self.plan.holders_of(subscription);
        let cycle = message.sent.cycle;
        let has_lost_session = holders.any(|it| self.sessions[it].lost_in.iter().any(|&lost| lost >= cycle));
        let lost = &mut self.tally.lost;
        let count = if gone_since.is_some_and(|since| since <= message.sent) {
            &mut lost.with_subscription
        } else if has_lost_session {
            &mut lost.with_session
        } else {
            &mut lost.alone
        };
        *count += 1;
    }

    /// When a subscription is gone: since which message.
    fn reckon_subscription(&mut self, number: usize, lost: &[(usize, Name)]) -> Option<Stamp> {
        let plan = Arc::clone(&self.plan);
        let standing = &self.standings[number];
        if standing.state != State::Held {
            return None;
        }
        let sent = |name: &Name| self.streams[name.stream].sent(name.number).map(|it| it.sent);
        let own = lost.iter().filter(|(subscription, _)| *subscription == number);
        let trailing: Vec<_> = own
            .filter_map(|(_, name)| sent(name))
            .filter(|sent| sent.event > standing.newest_arrived)
            .collect();
        let first = trailing.iter().min().filter(|_| trailing.len() >= LAST_WORDS);
        let first = *first?;
        let subscription = &plan.subscriptions[number];
        let holders: Vec<_> = plan.holders_of(number).collect();
        let ids: Vec<_> = holders
            .iter()
            .map(|&it| plan.members[it].client_id.as_str())
            .collect();
        self.faults.add(Kind::Subscription, || {
            format!(
                "{} of {}: nothing came by it that was sent since event {} of cycle {}",
                subscription.filter,
                ids.join(" and "),
                first.event,
                first.cycle
            )
        });
        for member in holders {
            self.sessions[member].to_heal.insert(number);
        }
        self.standings[number].forget();
        Some(first)
    }

    fn story_of_loss(&self, subscription: usize, name: Name) -> String {
        let plan = &self.plan;
        let message = self.streams[name.stream].sent(name.number);
        let members = plan.holders_of(subscription).map(|member| {
            let lost_in = &self.sessions[member].lost_in;
            let client_id = &plan.members[member].client_id;
            let since = message.map_or(0, |it| it.sent.cycle);
            match lost_in.iter().find(|&&cycle| cycle >= since) {
                Some(cycle) => format!("{client_id} (its session was lost at the end of cycle {cycle})"),
                None => client_id.clone(),
            }
        });
        let members: Vec<_> = members.collect();
        format!(
            "{}, never came by {} to {}; ends of cycles since: {}",
            describe(plan, name, message),
            plan.subscriptions[subscription].filter,
            members.join(" or "),
            self.ends_since(message.map_or(self.cycle, |it| it.sent.cycle))
        )
    }

    fn ends_since(&self, cycle: u32) -> String {
        let ends: Vec<_> = (cycle..self.cycle).map(|it| it.to_string()).collect();
        if ends.is_empty() {
            "none".to_owned()
        } else {
            ends.join(", ")
        }
    }

    /// Retained topics as a new client has found them: each with its payload.
    pub(crate) fn reckon_retained(&mut self, found: &[(String, Vec<u8>)]) {
        for story in self.wrong_retained(found) {
            self.faults.add(Kind::Retained, || story);
        }
        let topics = self.plan.streams.iter();
        self.tally.retained_seen += topics.filter(|it| it.kind == StreamKind::Retained).count() as u64;
    }

    /// What is wrong with retained topics, if this is all there is.
    pub(crate) fn wrong_retained(&self, found: &[(String, Vec<u8>)]) -> Vec<String> {
        let streams = self.plan.streams.iter().enumerate();
        let retained = streams.filter(|(_, plan)| plan.kind == StreamKind::Retained);
        let mut wrong = Vec::new();
        for (number, plan) in retained {
            let allowed = self.streams[number].shelf.allowed();
            let payload = found.iter().find(|(topic, _)| *topic == plan.topic);
            let holds = match payload {
                None => Some(None),
                Some((_, payload)) => message::read(payload)
                    .filter(|name| name.stream == number)
                    .map(|name| Some(name.number)),
            };
            if holds.is_none_or(|holds| !allowed.contains(&holds)) {
                let holds = holds.map_or_else(|| "bytes that were never written".to_owned(), value_name);
                let allowed: Vec<_> = allowed.into_iter().map(value_name).collect();
                wrong.push(format!(
                    "{} holds {holds}, not {}; looked at in cycle {}",
                    plan.topic,
                    allowed.join(" or "),
                    self.cycle
                ));
            }
        }
        wrong
    }
}

fn value_name(value: Option<u64>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |number| format!("number {number}"))
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
