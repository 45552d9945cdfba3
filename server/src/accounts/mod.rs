//! Organizations, users, keys, tokens and policies: who exists and what they may do.
//!
//! | file | holds |
//! |---|---|
//! | [`directory`] | the directory: everything in memory, written through to the store before any answer |
//! | [`command`] | what operators and APIs may ask of it, as values |
//! | `orgs`, `sign_up`, `users`, `members`, `logins`, `keys`, `tokens`, `policies`, `providers`, `certificates` | how each command is carried out |
//! | `key_check`, `token_check` | from a secret that is shown to whose it is |
//! | `change` | how a change happens: stored with its entry of the trail, then in force, then told |
//! | `doubt` | changes of which it is not known whether they are stored |
//! | [`scope`] | what a key may do |
//! | [`audit`] | who changed what |
//! | [`event`] | what changed, for open connections |
//! | [`quotas`] | plans, and what an operator allows beside them |
//! | [`acl`] | policy documents and presets |
//! | [`token`], [`token_scope`] | the bytes of temporary tokens, and what they may be limited to |
//! | `marks` | which tokens were revoked, replaced or renewed |
//! | [`names`] | organization ids, user names, e-mail addresses |
//! | [`secret`] | secrets: made, masked, digested, kept out of logs |
//! | [`limits`] | every bound |
//! | `record`, `account` | what is stored of it, and what is kept in memory |

mod account;
pub mod acl;
pub mod audit;
mod certificates;
mod change;
pub mod command;
pub mod directory;
mod doubt;
pub mod event;
mod expiring;
mod key_check;
pub(crate) mod keys;
pub mod limits;
mod listener;
mod logins;
mod marks;
pub mod members;
pub mod names;
mod orgs;
mod policies;
pub mod providers;
pub mod quotas;
pub(crate) mod record;
pub mod scope;
pub mod secret;
mod sign_up;
pub mod token;
mod token_check;
pub mod token_scope;
mod tokens;
mod users;

#[cfg(test)]
mod tests;

pub(crate) use audit::SentAway;
pub use audit::{Actor, AuditEntry, AuditFilter};
pub use command::{Command, CommandError, Outcome};
pub use directory::{Directory, Gone};
pub use event::{AccountChange, AccountEvent, LiveEffect};
pub use key_check::KeyHolder;
pub use listener::Listener;
pub use logins::LoggedIn;
pub use members::Role;
pub use quotas::{Allowance, Plan, QuotaSettings};
pub use scope::{KeyKind, Scope, ScopeSet};
pub use secret::Secret;
pub use sign_up::Provision;
pub use tokens::{PROVIDER_OWN, TokenOrder};
