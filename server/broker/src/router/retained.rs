//! Retained messages: the last one of each topic, in topic order.
//!
//! A wildcard subscriber may match any number of them, so they are handed out by a [`Scan`] that
//! can stop anywhere and go on later, as fast as the subscriber reads. The scan leaps over topics
//! that cannot match instead of visiting them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use core::num::NonZeroU32;
use core::ops::Bound;

use cloudsignal_core::topic::{Levels, TopicFilterBuf};
use cloudsignal_core::{Instant, Qos, TopicFilter, TopicName};

use crate::message::Message;
use crate::quota::Quota;

/// The character after `/`: no topic that begins with `a/` sorts behind `a0`.
const AFTER_SLASH: char = '0';
/// The character after `$`.
const AFTER_DOLLAR: &str = "%";

/// The retained messages of one organization.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    by_topic: BTreeMap<Box<str>, Arc<Message>>,
    /// Messages with an end, by that end and their number.
    ends: BTreeMap<(Instant, u64), Box<str>>,
    bytes: usize,
}

/// The store is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are as many messages as there may be.
    Messages,
    /// There are as many bytes as there may be.
    Bytes,
}

impl Full {
    pub(crate) const fn quota(self) -> Quota {
        match self {
            Self::Messages => Quota::RetainedMessages,
            Self::Bytes => Quota::RetainedBytes,
        }
    }
}

impl Retained {
    pub(crate) fn len(&self) -> usize {
        self.by_topic.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The message of a topic.
    pub(crate) fn get(&self, topic: TopicName<'_>) -> Option<&Arc<Message>> {
        self.by_topic.get(topic.as_str())
    }

    /// Keeps `message` as the last one of its topic.
    pub(crate) fn set(
        &mut self,
        message: Arc<Message>,
        messages_max: usize,
        bytes_max: usize,
    ) -> Result<(), Full> {
        let old = self
            .by_topic
            .get(message.topic().as_str())
            .map_or(0, |old| old.size());
        let grows = old == 0;
        if grows && self.len() >= messages_max {
            return Err(Full::Messages);
        }
        // Under bounds that were lowered, a message that takes no more than the one before it still fits.
        if message.size() > old && self.bytes - old + message.size() > bytes_max {
            return Err(Full::Bytes);
        }
        self.clear(message.topic());
        self.bytes += message.size();
        let topic: Box<str> = message.topic().as_str().into();
        if let Some(at) = message.expires_at() {
            self.ends.insert((at, message.number()), topic.clone());
        }
        self.by_topic.insert(topic, message);
        Ok(())
    }

    /// Forgets the message of a topic. Answers whether there was one.
    pub(crate) fn clear(&mut self, topic: TopicName<'_>) -> bool {
        let Some(old) = self.by_topic.remove(topic.as_str()) else {
            return false;
        };
        self.bytes -= old.size();
        if let Some(at) = old.expires_at() {
            self.ends.remove(&(at, old.number()));
        }
        true
    }

    /// Takes one message whose expiry interval has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Arc<Message>> {
        let entry = self.ends.first_entry().filter(|entry| entry.key().0 <= now)?;
        let topic = entry.remove();
        let message = self
            .by_topic
            .remove(&topic)
            .expect("invariant: both maps hold it");
        self.bytes -= message.size();
        Some(message)
    }

    /// All of them, in the order of their topics.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.by_topic.values()
    }

    /// When the next message expires.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.ends.first_key_value().map(|(&(at, _), _)| at)
    }

    /// The next message that `scan` has to hand out. Every topic looked at costs one of `budget`;
    /// at zero the answer is `None` and the scan is not done.
    pub(crate) fn next(&self, scan: &mut Scan, budget: &mut usize, now: Instant) -> Option<&Arc<Message>> {
        while !scan.done && *budget > 0 {
            *budget -= 1;
            let Some((topic, message)) = self.by_topic.range::<str, _>(scan.from()).next() else {
                scan.done = true;
                return None;
            };
            if scan.visit(topic) && !message.is_expired(now) {
                return Some(message);
            }
        }
        None
    }
}

/// A subscription's walk through the retained messages.
#[derive(Debug)]
pub(crate) struct Scan {
    filter: TopicFilterBuf,
    pub(crate) qos: Qos,
    pub(crate) id: Option<NonZeroU32>,
    pub(crate) covered: bool,
    seek: String,
    seek_is_seen: bool,
    done: bool,
}

impl Scan {
    pub(crate) fn new(filter: TopicFilter<'_>, qos: Qos, id: Option<NonZeroU32>, covered: bool) -> Self {
        let literal = filter.as_str().split(['+', '#']).next().unwrap_or_default();
        let seek = if filter.has_wildcard() {
            literal.trim_end_matches('/')
        } else {
            literal
        };
        Self {
            filter: filter.to_owned(),
            qos,
            id,
            covered,
            seek: seek.into(),
            seek_is_seen: false,
            done: false,
        }
    }

    /// The filter it walks for.
    pub(crate) fn filter(&self) -> TopicFilter<'_> {
        self.filter.as_ref()
    }

    /// Whether everything was handed out.
    pub(crate) const fn is_done(&self) -> bool {
        self.done
    }

    fn from(&self) -> (Bound<&str>, Bound<&str>) {
        let from = if self.seek_is_seen {
            Bound::Excluded(&*self.seek)
        } else {
            Bound::Included(&*self.seek)
        };
        (from, Bound::Unbounded)
    }

    /// Whether `topic` matches; moves on to the next topic that could.
    fn visit(&mut self, topic: &str) -> bool {
        match leap(self.filter.as_str(), topic) {
            Leap::Match => {
                self.done = !self.filter.as_ref().has_wildcard();
                self.seek_past(topic);
                true
            }
            Leap::Next => {
                self.seek_past(topic);
                false
            }
            Leap::To(seek) => {
                self.seek = seek;
                self.seek_is_seen = false;
                false
            }
            Leap::End => {
                self.done = true;
                false
            }
        }
    }

    fn seek_past(&mut self, topic: &str) {
        self.seek.clear();
        self.seek.push_str(topic);
        self.seek_is_seen = true;
    }
}

/// Where the walk goes after a topic.
enum Leap {
    /// The topic matches.
    Match,
    /// It does not, and the next one might.
    Next,
    /// Nothing before this text can match.
    To(String),
    /// Nothing further can match.
    End,
}

fn leap(filter: &str, topic: &str) -> Leap {
    if filter.starts_with(['+', '#']) && topic.starts_with('$') {
        return Leap::To(AFTER_DOLLAR.into());
    }
    let mut levels = Levels::of(topic);
    // Bytes of the topic before the level being compared.
    let mut at = 0;
    for wanted in Levels::of(filter) {
        if wanted == "#" {
            return Leap::Match;
        }
        let Some(level) = levels.next() else {
            return Leap::Next;
        };
        if wanted != "+" && wanted != level {
            return past(prefix(topic, at), wanted, topic);
        }
        at += level.len() + 1;
    }
    if levels.next().is_none() {
        Leap::Match
    } else {
        Leap::To(after(prefix(topic, at)))
    }
}

/// The topic has another level where the filter wants `wanted`, below `before` (which ends in `/` or is empty).
fn past(before: &str, wanted: &str, topic: &str) -> Leap {
    let mut target = String::from(before);
    target.push_str(wanted);
    if topic < &*target {
        return Leap::To(target);
    }
    target.push('/');
    if topic < &*target {
        return Leap::To(target);
    }
    if before.is_empty() {
        Leap::End
    } else {
        Leap::To(after(before))
    }
}

/// The first text behind everything that begins with `before`, which ends in `/`.
fn after(before: &str) -> String {
    let mut out = String::from(before.strip_suffix('/').unwrap_or(before));
    out.push(AFTER_SLASH);
    out
}

fn prefix(topic: &str, bytes: usize) -> &str {
    topic
        .get(..bytes)
        .expect("invariant: counted in whole levels of this topic")
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use cloudsignal_core::codec::PublishProperties;

    use super::*;
    use crate::message::Publication;
    use crate::random::Random;

    fn message(topic: &str, number: u64, expires_at: Option<Instant>) -> Arc<Message> {
        Publication {
            topic: TopicName::parse(topic).expect("a topic"),
            payload: b"x",
            properties: PublishProperties::default(),
            qos: Qos::AtMostOnce,
            retain: true,
            expires_at,
            publisher: 0,
            is_numbered: false,
            wire: None,
        }
        .keep(number)
    }

    fn scan(filter: &str) -> Scan {
        Scan::new(
            TopicFilter::parse(filter).expect("a filter"),
            Qos::AtMostOnce,
            None,
            true,
        )
    }

    /// Walks with `budget` looks per turn and answers the topics and the number of looks.
    fn walk(retained: &Retained, filter: &str, budget: usize) -> (Vec<String>, usize) {
        let (mut scan, mut found, mut looks) = (scan(filter), Vec::new(), 0);
        while !scan.is_done() {
            let mut left = budget;
            while let Some(message) = retained.next(&mut scan, &mut left, Instant::ZERO) {
                found.push(message.topic().as_str().into());
            }
            looks += budget - left;
        }
        (found, looks)
    }

    /// A topic or filter of up to four levels over a spiteful alphabet: `!` sorts before `/`, `0` behind it.
    fn random_text(random: &mut Random, wildcards: bool) -> String {
        const LEVELS: [&str; 8] = ["a", "a!", "a0", "", "b", "$x", "+", "#"];
        let mut text = String::new();
        for at in 0..=random.next() % 4 {
            let level =
                LEVELS[usize::try_from(random.next() % if wildcards { 8 } else { 6 }).expect("small")];
            if at > 0 {
                text.push('/');
            }
            text.push_str(level);
        }
        text
    }

    #[test]
    fn every_matching_topic_is_found_once_and_in_order() {
        let mut random = Random::new(42);
        for _ in 0..2_000 {
            let mut retained = Retained::default();
            for number in 0..20 {
                let topic = random_text(&mut random, false);
                if !topic.is_empty() {
                    retained
                        .set(message(&topic, number, None), 100, 1 << 20)
                        .expect("room");
                }
            }
            let text = random_text(&mut random, true);
            let Ok(filter) = TopicFilter::parse(&text) else {
                continue;
            };
            let expected: Vec<String> = retained
                .by_topic
                .keys()
                .filter(|topic| filter.matches(TopicName::parse(topic).expect("a topic")))
                .map(|topic| String::from(&**topic))
                .collect();
            assert_eq!(walk(&retained, &text, 3).0, expected, "{text}");
        }
    }

    #[test]
    fn topics_that_cannot_match_are_leapt_over() {
        let mut retained = Retained::default();
        for device in 0..100 {
            for sensor in ["x", "y", "z"] {
                for n in 0..10 {
                    let topic = alloc::format!("home/{device:03}/{sensor}/{n}");
                    retained
                        .set(message(&topic, 0, None), usize::MAX, usize::MAX)
                        .expect("room");
                }
            }
        }
        let (found, looks) = walk(&retained, "home/+/y/3", 1_000);
        assert_eq!(found.len(), 100);
        assert!(looks < 700, "{looks} looks for 100 of 3000 topics");
        assert_eq!(
            walk(&retained, "home/007/x/1", 1_000),
            (["home/007/x/1".into()].into(), 1)
        );
    }

    #[test]
    fn is_bounded_in_messages_and_bytes() {
        let mut retained = Retained::default();
        let size = message("a", 1, None).size();
        assert_eq!(retained.set(message("a", 1, None), 1, 10 * size), Ok(()));
        assert_eq!(
            retained.set(message("a", 2, None), 1, 10 * size),
            Ok(()),
            "replacing needs no room"
        );
        assert_eq!(
            retained.set(message("b", 3, None), 1, 10 * size),
            Err(Full::Messages)
        );
        assert_eq!(
            retained.set(message("b", 3, None), 2, 2 * size - 1),
            Err(Full::Bytes)
        );
        assert!(retained.clear(TopicName::parse("a").expect("a topic")));
        assert_eq!((retained.len(), retained.bytes()), (0, 0));
    }

    #[test]
    fn expires() {
        let mut retained = Retained::default();
        let at = Instant::from_micros;
        retained
            .set(message("a", 1, Some(at(10))), 9, 1 << 20)
            .expect("room");
        retained
            .set(message("b", 2, Some(at(5))), 9, 1 << 20)
            .expect("room");
        retained
            .set(message("b", 3, Some(at(20))), 9, 1 << 20)
            .expect("room");
        assert_eq!(retained.next_end(), Some(at(10)));
        assert!(retained.expire(at(9)).is_none());
        assert_eq!(retained.expire(at(10)).map(|message| message.number()), Some(1));
        assert!(retained.expire(at(19)).is_none());
        let mut looked = 10;
        assert!(
            retained.next(&mut scan("b"), &mut looked, at(20)).is_none(),
            "never delivered after its end"
        );
    }
}
