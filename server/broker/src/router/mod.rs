//! Who gets a message: the subscription tree, a bounded memory of its answers, shared groups,
//! and the retained messages.

mod cache;
mod level;
pub(crate) mod retained;
pub(crate) mod shared;
mod subscribers;
mod trie;

pub(crate) use cache::MatchCache;
pub(crate) use retained::{Retained, Scan};
pub(crate) use shared::{GroupName, Groups, Member};
pub(crate) use subscribers::Direct;
pub(crate) use trie::Trie;
