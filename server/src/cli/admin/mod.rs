//! `org`, `user`, `key`, `token`, `acl`: administration of a running broker, over its HTTP API.
//!
//! | file | holds |
//! |---|---|
//! | [`access`] | how the commands find the broker, and may administrate it |

pub mod access;

pub use access::{ACCESS_FILE, AdminAccess};
