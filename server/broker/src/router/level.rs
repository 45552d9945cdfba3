//! The text of one level of a filter, small where levels are short.

use alloc::boxed::Box;

/// Bytes of a level that take no memory of their own.
const SHORT_BYTES_MAX: usize = 14;

/// The text of a level. 16 bytes, and nothing beside them up to [`SHORT_BYTES_MAX`]: nearly every level there is.
#[derive(Debug)]
pub(super) enum Level {
    Short(u8, [u8; SHORT_BYTES_MAX]),
    /// One pointer: with a length beside it, every short level would be eight bytes larger.
    Long(Box<Box<str>>),
}

impl Level {
    pub(super) fn new(text: &str) -> Self {
        let mut bytes = [0; SHORT_BYTES_MAX];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(own), Ok(len)) => {
                own.copy_from_slice(text.as_bytes());
                Self::Short(len, bytes)
            }
            (None, _) | (_, Err(_)) => Self::Long(Box::new(text.into())),
        }
    }

    pub(super) fn is(&self, text: &str) -> bool {
        match self {
            Self::Short(len, bytes) => bytes[..usize::from(*len)] == *text.as_bytes(),
            Self::Long(own) => ***own == *text,
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(len, bytes) => &bytes[..usize::from(*len)],
            Self::Long(own) => own.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_it_was_given() {
        assert_eq!(size_of::<Level>(), 16);
        for text in [
            "",
            "a",
            "000123456",
            "exactly-14-byt",
            "fifteen-bytes-x",
            "ünïcödé-ünïcödé",
        ] {
            let level = Level::new(text);
            assert!(level.is(text) && level.as_bytes() == text.as_bytes(), "{text}");
            assert!(!level.is("another"), "{text}");
            let is_short = matches!(level, Level::Short(..));
            assert_eq!(is_short, text.len() <= SHORT_BYTES_MAX, "{text}");
        }
    }
}
