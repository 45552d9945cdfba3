//! Where a message is published.

use alloc::boxed::Box;
use core::borrow::Borrow;
use core::fmt;

use super::{Levels, TOPIC_BYTES_MAX, TopicError};

/// A valid topic name: not empty, at most [`TOPIC_BYTES_MAX`] bytes, no U+0000, no wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// Checks `text` once; a `TopicName` is proof that it passed.
    ///
    /// # Errors
    /// `Empty`, `TooLong`, `Nul` or `WildcardInName`.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.len() > TOPIC_BYTES_MAX {
            return Err(TopicError::TooLong);
        }
        // Looking at every byte without an early exit lets the compiler take many at once.
        let forbidden = text
            .bytes()
            .fold(false, |found, byte| found | matches!(byte, 0 | b'+' | b'#'));
        if forbidden {
            return Err(if text.contains('\0') {
                TopicError::Nul
            } else {
                TopicError::WildcardInName
            });
        }
        Ok(Self(text))
    }

    /// The name as text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels between the slashes; at least one, each possibly empty.
    pub fn levels(self) -> impl Iterator<Item = &'a str> {
        Levels::of(self.0)
    }

    /// How many [`levels`](Self::levels) there are; faster than counting those.
    #[must_use]
    pub fn level_count(self) -> usize {
        1 + self.0.bytes().filter(|&byte| byte == b'/').count()
    }

    /// Whether the name begins with `$`: no filter that begins with a wildcard matches it [MQTT-4.7.2-1].
    #[must_use]
    pub fn is_dollar(self) -> bool {
        self.0.starts_with('$')
    }

    /// A copy that owns its text.
    #[must_use]
    pub fn to_owned(self) -> TopicNameBuf {
        TopicNameBuf(self.0.into())
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

/// A [`TopicName`] that owns its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicNameBuf(Box<str>);

impl TopicNameBuf {
    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// As [`TopicName::parse`].
    pub fn parse(text: impl Into<Box<str>>) -> Result<Self, TopicError> {
        let text = text.into();
        TopicName::parse(&text)?;
        Ok(Self(text))
    }

    /// The borrowed form.
    #[must_use]
    pub fn as_ref(&self) -> TopicName<'_> {
        TopicName(&self.0)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<TopicName<'_>> for TopicNameBuf {
    fn from(name: TopicName<'_>) -> Self {
        name.to_owned()
    }
}

impl Borrow<str> for TopicNameBuf {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicNameBuf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn any_text_without_wildcards_is_a_name() {
        for text in [
            "a",
            "/",
            "//",
            "a/b",
            " ",
            "$SYS/x",
            "Größe/°C",
            "\u{feff}",
            "$share/g/x",
        ] {
            let name = TopicName::parse(text).expect(text);
            assert_eq!(name.as_str(), text);
            let owned = name.to_owned();
            assert_eq!(owned.as_ref(), name);
            assert_eq!((owned.as_str(), Borrow::<str>::borrow(&owned)), (text, text));
            assert_eq!(TopicNameBuf::parse(text), Ok(owned));
        }
    }

    #[test]
    fn a_name_is_refused_for_one_of_four_reasons() {
        let longest = String::from_utf8(std::vec![b'a'; TOPIC_BYTES_MAX]).unwrap();
        assert!(TopicName::parse(&longest).is_ok());
        assert_eq!(TopicName::parse(&(longest + "a")), Err(TopicError::TooLong)); // [MQTT-4.7.3-3]
        assert_eq!(TopicName::parse(""), Err(TopicError::Empty)); // [MQTT-4.7.3-1]
        assert_eq!(TopicName::parse("a\0+"), Err(TopicError::Nul)); // [MQTT-4.7.3-2]
        // [MQTT-3.3.2-2]
        for text in [
            "+",
            "#",
            "a/+/b",
            "a/#",
            "a+b",
            "a#",
            "this is a rather long name with one #",
        ] {
            assert_eq!(TopicName::parse(text), Err(TopicError::WildcardInName), "{text}");
        }
    }

    #[test]
    fn empty_levels_are_levels() {
        let levels = |text| TopicName::parse(text).unwrap().levels().collect::<Vec<_>>();
        assert_eq!(levels("/finance"), ["", "finance"]);
        assert_eq!(levels("a//b/"), ["a", "", "b", ""]);
        assert_eq!(levels("a"), ["a"]);
    }

    #[test]
    fn only_the_first_character_makes_a_dollar_topic() {
        assert!(TopicName::parse("$SYS/a").unwrap().is_dollar());
        assert!(!TopicName::parse("a/$SYS").unwrap().is_dollar());
    }
}
