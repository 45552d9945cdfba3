//! What a session is called and what it has subscribed to, in one piece of memory: a fleet has millions of
//! subscriptions, and a session mostly a few.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use cloudsignal_core::codec::SubscribeFilter;
use cloudsignal_core::{Qos, TopicFilter};

use crate::authz::SubscribePermit;

/// A session's subscription to one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription<'a> {
    /// As it was sent, `$share/…` included.
    pub(crate) filter: TopicFilter<'a>,
    pub(crate) id: Option<NonZeroU32>,
    /// As SUBSCRIBE has them on the wire, with the QoS that was granted.
    options: u8,
    /// Whether everything that matches may be delivered without asking the policy.
    pub(crate) covered: bool,
}

impl<'a> Subscription<'a> {
    /// `None` when the options could not have come in a SUBSCRIBE. [MQTT-3.8.3-5]
    pub(crate) fn new(filter: TopicFilter<'a>, id: Option<NonZeroU32>, options: u8) -> Option<Self> {
        let is_valid = Qos::from_bits(options & 0b11).is_some() && options >> 4 < 3;
        is_valid.then_some(Self {
            filter,
            id,
            options,
            covered: false,
        })
    }

    /// A subscription that is granted now.
    pub(crate) fn granted(
        filter: TopicFilter<'a>,
        id: Option<NonZeroU32>,
        wanted: &SubscribeFilter<'_>,
        permit: &SubscribePermit,
    ) -> Self {
        let options = permit.qos().bits()
            | u8::from(wanted.no_local) << 2
            | u8::from(wanted.retain_as_published) << 3
            | (wanted.retain_handling as u8) << 4;
        Self {
            filter,
            id,
            options,
            covered: permit.covered(),
        }
    }

    /// The same, with other permissions.
    pub(crate) const fn with_covered(self, covered: bool) -> Self {
        Self { covered, ..self }
    }

    /// What it has asked for and was granted, as SUBSCRIBE has it on the wire.
    pub(crate) const fn options(&self) -> u8 {
        self.options
    }

    /// What was granted.
    pub(crate) fn qos(&self) -> Qos {
        Qos::from_bits(self.options & 0b11).expect("invariant: checked when it was made")
    }

    pub(crate) const fn no_local(&self) -> bool {
        self.options & 1 << 2 != 0
    }

    pub(crate) const fn retain_as_published(&self) -> bool {
        self.options & 1 << 3 != 0
    }
}

/// A session's subscriptions, in filter order, one behind the other, and in front of them its client id with its
/// length in two bytes:
///
/// | bytes | what |
/// |---|---|
/// | 1 | options, [`COVERED`], [`HAS_ID`] |
/// | 2 | bytes of the filter |
/// | | the filter |
/// | 4, with [`HAS_ID`] | the subscription identifier |
///
/// One is found by walking over those in front of it: there are at most
/// [`subscriptions_max`](crate::Limits::subscriptions_max).
#[derive(Debug)]
pub(crate) struct Subscriptions(Box<[u8]>);

/// Options take the bits below.
const COVERED: u8 = 1 << 6;
const HAS_ID: u8 = 1 << 7;
/// Bytes in front of a filter.
const HEAD_BYTES: usize = 3;
const LEN_BYTES: usize = size_of::<u16>();
const ID_BYTES: usize = size_of::<u32>();

impl Subscriptions {
    /// None, of a session that goes by `client_id`.
    pub(crate) fn of(client_id: &str) -> Self {
        Self([&len_of(client_id)[..], client_id.as_bytes()].concat().into())
    }

    pub(crate) fn client_id(&self) -> &str {
        core::str::from_utf8(self.client_id_bytes()).expect(WHOLE)
    }

    /// Whether the session goes by `client_id`; faster than to compare it.
    pub(crate) fn is_of(&self, client_id: &str) -> bool {
        *self.client_id_bytes() == *client_id.as_bytes()
    }

    fn client_id_bytes(&self) -> &[u8] {
        &self.0[LEN_BYTES..self.begin()]
    }

    /// Where the first one is.
    fn begin(&self) -> usize {
        let len = self.0.first_chunk().expect(WHOLE);
        LEN_BYTES + usize::from(u16::from_le_bytes(*len))
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    /// Bytes of all filters.
    pub(crate) fn filter_bytes(&self) -> usize {
        self.iter().map(|it| it.filter.as_str().len()).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Subscription<'_>> {
        Walk {
            bytes: &self.0,
            at: self.begin(),
        }
        .map(|(_, subscription)| subscription)
    }

    pub(crate) fn get(&self, filter: TopicFilter<'_>) -> Option<Subscription<'_>> {
        self.iter().find(|it| it.filter == filter)
    }

    pub(crate) fn contains(&self, filter: TopicFilter<'_>) -> bool {
        self.get(filter).is_some()
    }

    /// Adds or replaces the subscription to its filter.
    pub(crate) fn put(&mut self, subscription: &Subscription<'_>) {
        let (at, known_bytes) = self.place(subscription.filter);
        let filter = subscription.filter.as_str();
        let id = subscription.id.map(|id| id.get().to_le_bytes());
        let mut packed =
            Vec::with_capacity(self.0.len() - known_bytes + HEAD_BYTES + filter.len() + ID_BYTES);
        packed.extend_from_slice(&self.0[..at]);
        packed.push(subscription.flags());
        packed.extend_from_slice(&len_of(filter));
        packed.extend_from_slice(filter.as_bytes());
        packed.extend_from_slice(id.as_ref().map_or(&[], |id| &id[..]));
        packed.extend_from_slice(&self.0[at + known_bytes..]);
        self.0 = packed.into_boxed_slice();
    }

    /// Answers whether there was one.
    pub(crate) fn remove(&mut self, filter: TopicFilter<'_>) -> bool {
        let (at, known_bytes) = self.place(filter);
        if known_bytes > 0 {
            self.0 = [&self.0[..at], &self.0[at + known_bytes..]].concat().into();
        }
        known_bytes > 0
    }

    /// The permissions are others: `covered` says of each subscription of the client id whether it is covered now.
    pub(crate) fn cover(&mut self, mut covered: impl FnMut(&str, &Subscription<'_>) -> bool) {
        let mut at = self.begin();
        while let Some((next, subscription)) = read(&self.0, at) {
            let flags = subscription
                .with_covered(covered(self.client_id(), &subscription))
                .flags();
            self.0[at] = flags;
            at = next;
        }
    }

    /// Where `filter` is or belongs, and how many bytes of it are there.
    fn place(&self, filter: TopicFilter<'_>) -> (usize, usize) {
        let mut at = self.begin();
        while let Some((next, known)) = read(&self.0, at) {
            match known.filter.as_str().cmp(filter.as_str()) {
                core::cmp::Ordering::Less => at = next,
                core::cmp::Ordering::Equal => return (at, next - at),
                core::cmp::Ordering::Greater => break,
            }
        }
        (at, 0)
    }
}

impl Subscription<'_> {
    fn flags(&self) -> u8 {
        self.options | if self.covered { COVERED } else { 0 } | if self.id.is_some() { HAS_ID } else { 0 }
    }
}

/// From one subscription to the next.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Walk<'a> {
    type Item = (usize, Subscription<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let found = read(self.bytes, self.at)?;
        self.at = found.0;
        Some(found)
    }
}

const WHOLE: &str = "invariant: written by the functions above";

fn len_of(text: &str) -> [u8; LEN_BYTES] {
    let len = u16::try_from(text.len()).expect("invariant: no longer than MQTT's strings");
    len.to_le_bytes()
}

/// The subscription at `at`, and where the next one is; `None` at the end.
fn read(bytes: &[u8], at: usize) -> Option<(usize, Subscription<'_>)> {
    let (&[flags, low, high], rest) = bytes[at..].split_first_chunk()?;
    let filter_bytes = usize::from(u16::from_le_bytes([low, high]));
    let (filter, rest) = rest.split_at(filter_bytes);
    let filter = TopicFilter::parse(core::str::from_utf8(filter).expect(WHOLE)).expect(WHOLE);
    let id = (flags & HAS_ID != 0).then(|| *rest.first_chunk().expect(WHOLE));
    let next = at + HEAD_BYTES + filter_bytes + id.map_or(0, |_| ID_BYTES);
    let subscription = Subscription {
        filter,
        id: id.and_then(|id| NonZeroU32::new(u32::from_le_bytes(id))),
        options: flags & !(COVERED | HAS_ID),
        covered: flags & COVERED != 0,
    };
    Some((next, subscription))
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;

    const TEXTS: [&str; 6] = ["a", "a/b", "a/+", "#", "$share/g/a/#", "ünïcödé/with/many/levels"];

    fn filter(text: &str) -> TopicFilter<'_> {
        TopicFilter::parse(text).expect("a filter")
    }

    fn subscription() -> impl Strategy<Value = Subscription<'static>> {
        let options =
            (0..3_u8, 0..4_u8, 0..3_u8).prop_map(|(qos, flags, retain)| qos | flags << 2 | retain << 4);
        (0..TEXTS.len(), options, any::<Option<u32>>(), any::<bool>()).prop_map(
            |(text, options, id, covered)| {
                let id = id.and_then(NonZeroU32::new);
                let subscription = Subscription::new(filter(TEXTS[text]), id, options).expect("options");
                subscription.with_covered(covered)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 500 }))]

        #[test]
        fn they_are_what_a_map_of_them_would_be(
            steps in proptest::collection::vec((subscription(), 0..4_u8), 0..40),
        ) {
            let (mut packed, mut model) = (Subscriptions::of("who"), BTreeMap::<String, Subscription<'static>>::new());
            for (subscription, step) in steps {
                let text = subscription.filter.as_str();
                if step == 0 {
                    prop_assert_eq!(packed.remove(subscription.filter), model.remove(text).is_some());
                } else if step == 1 {
                    packed.cover(|_, it| it.qos() == subscription.qos());
                    model.values_mut().for_each(|it| it.covered = it.qos() == subscription.qos());
                } else {
                    packed.put(&subscription);
                    model.insert(text.into(), subscription);
                }
                prop_assert!(packed.iter().eq(model.values().copied()));
                prop_assert_eq!(packed.get(subscription.filter), model.get(text).copied());
                prop_assert_eq!(packed.len(), model.len());
                prop_assert_eq!(packed.client_id(), "who");
                prop_assert_eq!(packed.filter_bytes(), model.keys().map(String::len).sum::<usize>());
            }
        }
    }
}
