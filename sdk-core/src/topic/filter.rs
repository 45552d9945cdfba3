//! Which topic names a subscription wants.

use alloc::boxed::Box;
use core::borrow::Borrow;
use core::fmt;

use super::{Levels, TOPIC_BYTES_MAX, TopicError, TopicName};

/// What a shared subscription's filter begins with.
const SHARE: &str = "$share/";

/// A valid topic filter: a name in which `+` may stand for one level and a last `#` for all that follow,
/// optionally behind `$share/{group}/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// Checks `text` once; a `TopicFilter` is proof that it passed.
    ///
    /// # Errors
    /// Any [`TopicError`] except `WildcardInName`.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.len() > TOPIC_BYTES_MAX {
            return Err(TopicError::TooLong);
        }
        if text.contains('\0') {
            return Err(TopicError::Nul);
        }
        let path = match text.strip_prefix(SHARE) {
            Some(shared) => check_share(shared)?,
            None => text,
        };
        check_wildcards(path)?;
        Ok(Self(text))
    }

    /// The whole filter as sent, `$share/{group}/` included.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The group of a shared subscription.
    #[must_use]
    pub fn share(self) -> Option<&'a str> {
        self.split_share().map(|(group, _)| group)
    }

    /// The filter without `$share/{group}/`: what is matched against names.
    #[must_use]
    pub fn path(self) -> &'a str {
        self.split_share().map_or(self.0, |(_, path)| path)
    }

    /// The levels of [`path`](Self::path); at least one, each possibly empty.
    pub fn levels(self) -> impl Iterator<Item = &'a str> {
        Levels::of(self.path())
    }

    /// How many [`levels`](Self::levels) there are; faster than counting those.
    #[must_use]
    pub fn level_count(self) -> usize {
        1 + self.path().bytes().filter(|&byte| byte == b'/').count()
    }

    /// Whether it can match more than one name.
    #[must_use]
    pub fn has_wildcard(self) -> bool {
        has_wildcard(self.path())
    }

    /// Whether a message published to `name` is wanted. This is the definition; indexes only speed it up.
    ///
    /// `+` matches one level, `#` its parent level and everything below (section 4.7.1); other levels match
    /// when they are the same bytes [MQTT-4.7.3-4]. A filter that begins with a wildcard matches no name that
    /// begins with `$` [MQTT-4.7.2-1]. For a shared subscription, its [`path`](Self::path) counts.
    #[must_use]
    pub fn matches(self, name: TopicName<'_>) -> bool {
        let path = self.path();
        if name.is_dollar() && path.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = name.levels();
        for wanted in Levels::of(path) {
            match (wanted, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (literal, Some(level)) if literal == level => {}
                (_, _) => return false,
            }
        }
        levels.next().is_none()
    }

    /// Whether every name that `other` matches is matched by this filter too, whoever publishes.
    ///
    /// Exact, not an approximation: `#` and `+/#` cover each other, and so do `/#` and `/+/#`; `a/#` covers `a`
    /// and `a/+`; `+` does not cover `$SYS`. Only the [`path`](Self::path) of either counts. (The length limit of
    /// names is not considered: near it, a filter may match fewer names than its wildcards suggest.)
    #[must_use]
    pub fn covers(self, other: TopicFilter<'_>) -> bool {
        let (mine, theirs) = (self.path(), other.path());
        if theirs.starts_with('$') && mine.starts_with(['+', '#']) {
            return false;
        }
        let mut theirs = level_patterns(theirs);
        for wanted in level_patterns(mine) {
            match (wanted, theirs.next()) {
                (LevelPattern::Rest, _) => return true,
                (LevelPattern::Any, Some(LevelPattern::Any | LevelPattern::Literal(_))) => {}
                (LevelPattern::Literal(mine), Some(LevelPattern::Literal(theirs))) if mine == theirs => {}
                (LevelPattern::Any | LevelPattern::Literal(_), _) => return false,
            }
        }
        theirs.next().is_none()
    }

    /// Whether there is a name that both filters match, whoever publishes.
    ///
    /// Exact, as [`covers`](Self::covers) is: `a/+` and `+/b` overlap in `a/b`; `+` and `$SYS` do not. Only the
    /// [`path`](Self::path) of either counts.
    #[must_use]
    pub fn overlaps(self, other: TopicFilter<'_>) -> bool {
        let (mine, theirs) = (self.path(), other.path());
        let excludes = |wild: &str, dollar: &str| wild.starts_with(['+', '#']) && dollar.starts_with('$');
        if excludes(mine, theirs) || excludes(theirs, mine) {
            return false;
        }
        let (mut mine, mut theirs) = (level_patterns(mine), level_patterns(theirs));
        loop {
            match (mine.next(), theirs.next()) {
                (None, None) | (Some(LevelPattern::Rest), _) | (_, Some(LevelPattern::Rest)) => return true,
                (Some(LevelPattern::Literal(mine)), Some(LevelPattern::Literal(theirs)))
                    if mine != theirs =>
                {
                    return false;
                }
                (Some(_), Some(_)) => {}
                (None, Some(_)) | (Some(_), None) => return false,
            }
        }
    }

    /// A copy that owns its text.
    #[must_use]
    pub fn to_owned(self) -> TopicFilterBuf {
        TopicFilterBuf(self.0.into())
    }

    fn split_share(self) -> Option<(&'a str, &'a str)> {
        self.0.strip_prefix(SHARE)?.split_once('/')
    }
}

impl fmt::Display for TopicFilter<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

fn has_wildcard(path: &str) -> bool {
    path.bytes().any(|byte| matches!(byte, b'+' | b'#'))
}

/// Checks what follows `$share/` and returns the filter after the group's name [MQTT-4.8.2-1, MQTT-4.8.2-2].
fn check_share(shared: &str) -> Result<&str, TopicError> {
    let (group, path) = shared.split_once('/').unwrap_or((shared, ""));
    if group.is_empty() {
        Err(TopicError::EmptyShareName)
    } else if has_wildcard(group) {
        Err(TopicError::WildcardInShareName)
    } else if path.is_empty() {
        Err(TopicError::EmptySharedFilter)
    } else {
        Ok(path)
    }
}

/// `#` fills the last level, `+` fills its level, and neither appears elsewhere [MQTT-4.7.1-1, MQTT-4.7.1-2].
fn check_wildcards(path: &str) -> Result<(), TopicError> {
    let mut levels = Levels::of(path).peekable();
    while let Some(level) = levels.next() {
        let well_placed = match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            literal => !has_wildcard(literal),
        };
        if !well_placed {
            return Err(TopicError::MisplacedWildcard);
        }
    }
    Ok(())
}

/// What one level of a filter asks for.
#[derive(Clone, Copy)]
enum LevelPattern<'a> {
    Literal(&'a str),
    Any,
    Rest,
}

/// The levels of a path, with a level that every name must have anyway spelled out: `#` is read as `+/#` because
/// a name has a first level, `/#` as `/+/#` because a name is not empty. So [`TopicFilter::covers`] need not know
/// these exceptions.
fn level_patterns(path: &str) -> impl Iterator<Item = LevelPattern<'_>> {
    let path = match path {
        "#" => "+/#",
        "/#" => "/+/#",
        other => other,
    };
    Levels::of(path).map(|level| match level {
        "+" => LevelPattern::Any,
        "#" => LevelPattern::Rest,
        literal => LevelPattern::Literal(literal),
    })
}

/// A [`TopicFilter`] that owns its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilterBuf(Box<str>);

impl TopicFilterBuf {
    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// As [`TopicFilter::parse`].
    pub fn parse(text: impl Into<Box<str>>) -> Result<Self, TopicError> {
        let text = text.into();
        TopicFilter::parse(&text)?;
        Ok(Self(text))
    }

    /// The borrowed form.
    #[must_use]
    pub fn as_ref(&self) -> TopicFilter<'_> {
        TopicFilter(&self.0)
    }

    /// The whole filter as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<TopicFilter<'_>> for TopicFilterBuf {
    fn from(filter: TopicFilter<'_>) -> Self {
        filter.to_owned()
    }
}

impl Borrow<str> for TopicFilterBuf {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicFilterBuf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
