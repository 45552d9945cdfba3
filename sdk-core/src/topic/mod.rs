//! Topic names and filters, and the one definition of "matches".
//!
//! A *name* says where a message is published; a *filter* says which names a subscription wants. Both are
//! UTF-8 text cut into levels by `/`. An empty level is a level: `/a` has two.
//!
//! | here | is |
//! |---|---|
//! | [`TopicName`], [`TopicNameBuf`] | a validated name, borrowed or owned |
//! | [`TopicFilter`], [`TopicFilterBuf`] | a validated filter, borrowed or owned |
//! | [`Levels`] | the levels of a path |
//! | [`TopicFilter::matches`] | whether a filter wants a name; everything else in the project asks this |
//! | [`TopicFilter::covers`] | whether a filter wants all that another one wants, for access rules |

mod filter;
mod levels;
mod name;
#[cfg(test)]
mod tests;

pub use filter::{TopicFilter, TopicFilterBuf};
pub use levels::Levels;
pub use name::{TopicName, TopicNameBuf};

/// Longest topic name or filter, in bytes of UTF-8: its length travels in two bytes [MQTT-4.7.3-3].
pub const TOPIC_BYTES_MAX: usize = 65_535;

/// Why a text is not a topic name or not a topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TopicError {
    /// It has no character [MQTT-4.7.3-1].
    #[error("is empty")]
    Empty,
    /// It has more than [`TOPIC_BYTES_MAX`] bytes [MQTT-4.7.3-3].
    #[error("is longer than {TOPIC_BYTES_MAX} bytes")]
    TooLong,
    /// It contains U+0000 [MQTT-4.7.3-2].
    #[error("contains the character U+0000")]
    Nul,
    /// It is a name and contains `+` or `#` [MQTT-3.3.2-2].
    #[error("contains a wildcard, which only a topic filter may have")]
    WildcardInName,
    /// `+` shares its level with other characters, or `#` does, or `#` is not last [MQTT-4.7.1-1, MQTT-4.7.1-2].
    #[error("has a wildcard that does not fill its level, or `#` before the last level")]
    MisplacedWildcard,
    /// It is `$share//…`: the name of the group is missing [MQTT-4.8.2-1].
    #[error("has an empty share name")]
    EmptyShareName,
    /// The name of the group contains `+` or `#` [MQTT-4.8.2-2].
    #[error("has a wildcard in its share name")]
    WildcardInShareName,
    /// It is `$share/group` or `$share/group/`: the filter of the group is missing [MQTT-4.8.2-2].
    #[error("has a share name but no filter after it")]
    EmptySharedFilter,
}
