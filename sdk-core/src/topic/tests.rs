//! Filters against names: the examples of the specification, then every small case there is.

use core::borrow::Borrow;
use std::string::String;
use std::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{TOPIC_BYTES_MAX, TopicError, TopicFilter, TopicFilterBuf, TopicName};

fn filter(text: &str) -> TopicFilter<'_> {
    TopicFilter::parse(text).unwrap_or_else(|error| panic!("{text:?} {error}"))
}

fn name(text: &str) -> TopicName<'_> {
    TopicName::parse(text).unwrap_or_else(|error| panic!("{text:?} {error}"))
}

#[test]
fn what_is_a_filter() {
    for text in [
        "#", "+", "a/#", "+/#", "+/a/#", "a/+/b", "/+", "//", "$SYS/#", "+/+", "a/", "/#", "$share",
    ] {
        assert_eq!(filter(text).as_str(), text);
        assert_eq!(filter(text).path(), text);
        assert_eq!(filter(text).share(), None);
        let owned = filter(text).to_owned();
        assert_eq!(owned.as_ref(), filter(text));
        assert_eq!((owned.as_str(), Borrow::<str>::borrow(&owned)), (text, text));
    }
    assert!(filter("a/+").has_wildcard() && filter("#").has_wildcard());
    assert!(!filter("a/b").has_wildcard());
    assert!(filter("a//+").levels().eq(["a", "", "+"]));
    for text in ["a", "/", "a//+", "$share/g/a/b"] {
        assert_eq!(
            filter(text).level_count(),
            filter(text).levels().count(),
            "{text}"
        );
    }
    assert_eq!(name("a//b/").level_count(), name("a//b/").levels().count());
}

#[test]
fn what_is_not_a_filter() {
    let refused = |text: &str| TopicFilter::parse(text).unwrap_err();
    assert_eq!(refused(""), TopicError::Empty); // [MQTT-4.7.3-1]
    assert_eq!(refused("a\0"), TopicError::Nul); // [MQTT-4.7.3-2]
    // [MQTT-4.7.1-1]
    for text in ["a#", "#a", "a/#/b", "##", "#/", "/#/"] {
        assert_eq!(refused(text), TopicError::MisplacedWildcard, "{text}");
    }
    // [MQTT-4.7.1-2]
    for text in ["a+", "+a", "a/+b/c", "++", "+#", "#+"] {
        assert_eq!(refused(text), TopicError::MisplacedWildcard, "{text}");
    }
    let longest = "a".repeat(TOPIC_BYTES_MAX);
    assert!(TopicFilter::parse(&longest).is_ok());
    assert_eq!(refused(&(longest + "a")), TopicError::TooLong); // [MQTT-4.7.3-3]
    assert_eq!(TopicFilterBuf::parse("a+"), Err(TopicError::MisplacedWildcard));
}

#[test]
fn shared_filters() {
    let shared = filter("$share/group one/a/+");
    assert_eq!(shared.as_str(), "$share/group one/a/+");
    assert_eq!(shared.share(), Some("group one"));
    assert_eq!(shared.path(), "a/+");
    assert!(shared.levels().eq(["a", "+"]));
    assert!(shared.has_wildcard() && !filter("$share/g/a").has_wildcard());
    // What follows the group is a filter like any other, also when its first level is empty.
    assert_eq!(filter("$share/g//a").path(), "/a");
    assert_eq!(filter("$share/g/$share/h/a").path(), "$share/h/a");

    let refused = |text: &str| TopicFilter::parse(text).unwrap_err();
    assert_eq!(refused("$share//a"), TopicError::EmptyShareName); // [MQTT-4.8.2-1]
    assert_eq!(refused("$share/"), TopicError::EmptyShareName);
    // [MQTT-4.8.2-2]
    for text in ["$share/+/a", "$share/#", "$share/a#/b", "$share/g+"] {
        assert_eq!(refused(text), TopicError::WildcardInShareName, "{text}");
    }
    assert_eq!(refused("$share/g"), TopicError::EmptySharedFilter);
    assert_eq!(refused("$share/g/"), TopicError::EmptySharedFilter);
    assert_eq!(refused("$share/g/a#"), TopicError::MisplacedWildcard);
}

#[test]
fn the_examples_of_the_specification_match() {
    let wanted = [
        ("sport/tennis/player1/#", "sport/tennis/player1"),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking"),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
        ("sport/#", "sport"),
        ("#", "anything/at/all"),
        ("sport/tennis/+", "sport/tennis/player1"),
        ("sport/+", "sport/"),
        ("+/+", "/finance"),
        ("/+", "/finance"),
        ("$SYS/#", "$SYS/broker"),
        ("$SYS/monitor/+", "$SYS/monitor/Clients"),
        ("$share/g/sport/#", "sport/tennis"),
        ("a/$b/#", "a/$b"),
        ("+/$b", "a/$b"),
    ];
    for (text, topic) in wanted {
        assert!(filter(text).matches(name(topic)), "{text} wants {topic}");
    }
    let unwanted = [
        ("sport/tennis/+", "sport/tennis/player1/ranking"),
        ("sport/+", "sport"),
        ("+", "/finance"),
        ("ACCOUNTS", "Accounts"),
        ("/a", "a"),
        ("a/", "a"),
        ("é", "e\u{301}"), // [MQTT-4.7.3-4]: compared as they are, never normalized
        // [MQTT-4.7.2-1]
        ("#", "$SYS/broker"),
        ("+/broker", "$SYS/broker"),
        ("+/#", "$SYS"),
        ("$share/g/#", "$SYS/broker"),
    ];
    for (text, topic) in unwanted {
        assert!(!filter(text).matches(name(topic)), "{text} does not want {topic}");
    }
}

#[test]
fn covering_looks_at_all_names_and_not_at_texts() {
    let covered = [
        ("a/#", "a"),
        ("a/#", "a/+"),
        ("a/#", "a/b/#"),
        ("a/+", "a/b"),
        ("a/+", "a/"),
        ("+/#", "#"),
        ("#", "+/#"),
        ("/+/#", "/#"),
        ("#", "+"),
        ("+/+", "/a"),
        ("$SYS/#", "$SYS/+"),
        ("a/#", "$share/g/a/b"),
        ("$share/g/a/#", "a/b"),
    ];
    for (mine, theirs) in covered {
        assert!(filter(mine).covers(filter(theirs)), "{mine} covers {theirs}");
    }
    let not_covered = [
        ("+", "#"),
        ("a/+", "a/#"),
        ("a/+/#", "a/#"),
        ("+/+/#", "#"),
        ("//#", "/#"),
        ("#", "$SYS"),
        ("+/#", "$SYS/#"),
        ("a", "+"),
        ("a/b", "a"),
        ("#", "$share/g/$SYS/#"),
    ];
    for (mine, theirs) in not_covered {
        assert!(
            !filter(mine).covers(filter(theirs)),
            "{mine} does not cover {theirs}"
        );
    }
}

/// The definition once more, read off the specification character by character, without levels.
fn defined_to_match(filter: &[u8], name: &[u8]) -> bool {
    match (filter, name) {
        ([], []) | ([b'#'], _) | ([b'/', b'#'], []) => true,
        ([b'+', filter @ ..], name) => {
            let level = name.iter().take_while(|byte| **byte != b'/').count();
            (0..=level).any(|taken| defined_to_match(filter, &name[taken..]))
        }
        ([wanted, filter @ ..], [byte, name @ ..]) => wanted == byte && defined_to_match(filter, name),
        (_, _) => false,
    }
}

fn defined(filter: &str, name: &str) -> bool {
    let hidden = name.starts_with('$') && filter.starts_with(['+', '#']);
    !hidden && defined_to_match(filter.as_bytes(), name.as_bytes())
}

/// Every text of one to `length_max` of these characters.
fn texts(alphabet: &str, length_max: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut longest = std::vec![String::new()];
    for _ in 0..length_max {
        let longer = longest.iter().flat_map(|text| {
            alphabet
                .chars()
                .map(move |last| text.chars().chain([last]).collect::<String>())
        });
        longest = longer.collect();
        all.extend_from_slice(&longest);
    }
    all
}

/// Exhaustive: all filters of up to four characters against all names of up to six. `b` stands for the words
/// that no filter mentions.
#[test]
fn every_small_filter_matches_and_covers_as_defined() {
    let names = texts("ab/$", 6);
    let filters = texts("a/$+#", 4);
    let filters: Vec<_> = filters
        .iter()
        .filter_map(|text| TopicFilter::parse(text).ok())
        .collect();
    assert!(filters.len() > 100 && names.len() > 5000);
    let mut wanted: Vec<Vec<u64>> = Vec::new();
    for filter in &filters {
        let mut bits = std::vec![0; names.len().div_ceil(64)];
        for (at, text) in names.iter().enumerate() {
            let matches = filter.matches(name(text));
            assert_eq!(matches, defined(filter.as_str(), text), "{filter} and {text}");
            bits[at / 64] |= u64::from(matches) << (at % 64);
        }
        assert!(bits.iter().any(|bits| *bits != 0), "{filter} matches something");
        wanted.push(bits);
    }
    for (mine, my_names) in filters.iter().zip(&wanted) {
        for (theirs, their_names) in filters.iter().zip(&wanted) {
            let covers = my_names
                .iter()
                .zip(their_names)
                .all(|(mine, theirs)| theirs & !mine == 0);
            assert_eq!(mine.covers(*theirs), covers, "{mine} and {theirs}");
            let overlaps = my_names
                .iter()
                .zip(their_names)
                .any(|(mine, theirs)| theirs & mine != 0);
            assert_eq!(mine.overlaps(*theirs), overlaps, "{mine} and {theirs}");
        }
    }
}

fn levels(words: &'static [&'static str], last: &'static [&'static str]) -> impl Strategy<Value = String> {
    (vec(select(words), 0..6), select(last)).prop_map(|(mut levels, last)| {
        levels.push(last);
        levels.join("/")
    })
}

proptest! {
    #[test]
    fn longer_filters_match_as_defined(
        text in levels(&["", "a", "bc", "$", "+"], &["a", "bc", "+", "#"]),
        topic in levels(&["", "a", "bc", "$"], &["a", "bc", "$"]),
    ) {
        prop_assert_eq!(filter(&text).matches(name(&topic)), defined(&text, &topic));
    }

    #[test]
    fn what_is_covered_is_matched(
        mine in levels(&["", "a", "+"], &["a", "+", "#"]),
        theirs in levels(&["", "a", "+"], &["a", "+", "#"]),
        topic in levels(&["", "a", "bc"], &["a", "bc"]),
    ) {
        let (mine, theirs) = (filter(&mine), filter(&theirs));
        if mine.covers(theirs) && theirs.matches(name(&topic)) {
            prop_assert!(mine.matches(name(&topic)), "{mine} covers {theirs}, which matches {topic}");
        }
        prop_assert!(mine.covers(mine));
    }

    #[test]
    fn any_text_is_answered(text in "[\\PC\0/+#]{0,20}|\\$share/[a+/#]{0,6}") {
        if let Ok(filter) = TopicFilter::parse(&text) {
            prop_assert!(!filter.path().is_empty());
            prop_assert_eq!(filter.has_wildcard(), TopicName::parse(filter.path()).is_err());
        }
        if let Ok(name) = TopicName::parse(&text) {
            // Every name is a filter for itself, unless it looks like a shared one.
            let itself = TopicFilter::parse(&text);
            prop_assert!(text.starts_with("$share/") || itself.is_ok_and(|filter| filter.matches(name)));
        }
    }
}
