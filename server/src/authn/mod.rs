//! Who is connecting: from the user name and password of a login to an [`Identity`].
//!
//! | file | holds |
//! |---|---|
//! | [`authenticator`] | the order of questions |
//! | [`password`] | argon2id on threads of its own |
//! | [`verified`] | passwords that were right a moment ago, so that reconnect storms are cheap |
//! | [`throttle`] | sources that guess |
//! | [`refusal`] | why not, and which code the client gets |
//!
//! | user name | password | who |
//! |---|---|---|
//! | `name@org` | the user's | an individual user |
//! | `john_example_com@org` | `tkn_…` of john@example.com | a temporary token |
//! | `john_example_com@org` | a JWT about john@example.com | the word of an identity provider, where the organization takes it |
//! | `name@org`, or none | none | a client certificate, where the organization takes it |
//! | `server@org` | `sk_…` | a secret key; the policy does not bind it |
//!
//! [`Identity`]: cloudsignal_broker::Identity

pub mod authenticator;
pub mod password;
pub mod refusal;
pub mod throttle;
pub mod verified;

#[cfg(test)]
mod tests;

pub use authenticator::{Authenticator, Login};
pub use password::PasswordPool;
pub use refusal::Refusal;
