//! Any text as a filter, another filter and a name: they agree with the definition of "matches".
//!
//! Input: three texts, one a line.
#![no_main]

use cloudsignal_core::{TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let mut lines = input.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (mine, theirs, name) = (line(), line(), line());
    let owned = TopicFilterBuf::parse(mine);
    assert_eq!(
        owned.as_ref().map(TopicFilterBuf::as_ref),
        TopicFilter::parse(mine).as_ref().copied()
    );
    let Ok(mine) = TopicFilter::parse(mine) else {
        return;
    };
    assert!(mine.covers(mine));
    assert_eq!(mine.levels().collect::<Vec<_>>().join("/"), mine.path());

    let name = TopicName::parse(name);
    if let Ok(name) = name {
        assert_eq!(mine.matches(name), defined(mine.path(), name.as_str()));
        assert_eq!(TopicNameBuf::from(name).as_ref(), name);
    }
    let Ok(theirs) = TopicFilter::parse(theirs) else {
        return;
    };
    if mine.covers(theirs) {
        assert!(name.is_err() || name.is_ok_and(|name| !theirs.matches(name) || mine.matches(name)));
        // Covering one name is matching it.
        assert!(
            theirs.has_wildcard() || TopicName::parse(theirs.path()).is_ok_and(|name| mine.matches(name))
        );
    }
});

fn defined(filter: &str, name: &str) -> bool {
    let hidden = name.starts_with('$') && filter.starts_with(['+', '#']);
    !hidden && matches(filter.as_bytes(), name.as_bytes())
}

/// The definition, character by character, without levels.
fn matches(filter: &[u8], name: &[u8]) -> bool {
    match (filter, name) {
        ([], []) | ([b'#'], _) | ([b'/', b'#'], []) => true,
        ([b'+', filter @ ..], name) => {
            let level = name.iter().take_while(|byte| **byte != b'/').count();
            (0..=level).any(|taken| matches(filter, &name[taken..]))
        }
        ([wanted, filter @ ..], [byte, name @ ..]) => wanted == byte && matches(filter, name),
        (_, _) => false,
    }
}
