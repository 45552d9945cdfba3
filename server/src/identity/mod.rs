//! Identity providers: people who log in with somebody else's word.
//!
//! | file | holds |
//! |---|---|
//! | [`provider`] | what an organization says about a provider |
//! | `presets` | what each kind of provider means |
//! | [`verifier`] | the order of questions that a token has to answer |
//! | `signature` | signatures, by ring |
//! | [`certificate`] | who a client's certificate is about |
//! | `claims` | times, e-mail address, claims that are kept |
//! | `key_set` | a provider's published keys |
//! | [`key_cache`] | when they are fetched, and for how long they count |
//! | `fetch` | one document of a provider's server, within bounds |
//! | [`endpoint`] | URLs, and which hosts are asked |
//! | [`fault`] | why not |
//! | [`limits`] | every bound |
//!
//! A provider's algorithms are pinned by its settings, never chosen by a token; a shared secret is only ever
//! compared as one, a published key never is. `none` is not an algorithm here.

pub mod certificate;
mod claims;
pub mod endpoint;
pub mod fault;
mod fetch;
pub mod key_cache;
mod key_set;
pub mod limits;
mod presets;
pub mod provider;
mod signature;
pub mod verifier;

pub use fault::IdentityFault;
pub use verifier::{ExternalIdentity, IdentityOptions, IdentityVerifier, TrustedProvider};
