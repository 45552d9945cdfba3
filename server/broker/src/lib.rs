//! How an MQTT broker thinks: one organization's sessions, routing, permissions and quotas.
//!
//! [`Org`] owns everything of one organization and is a plain value: whoever holds `&mut Org`
//! feeds it decoded packets and the time, and it answers by writing bytes and other effects
//! into the [`Sink`] given to the call. There is no socket, clock, lock or thread in here;
//! the compiler proves it, because the crate is built without `std`.
//!
//! | room | holds |
//! |---|---|
//! | [`org`] | the machine: `handle_*`, `poll_timeout`; `org/publish.rs` reads as the path of one PUBLISH |
//! | [`sink`] | the closed list of effects, and who a connection is |
//! | [`identity`] | who the connection is, as authentication found out |
//! | [`policy`], [`scope`], [`authz`] | access rules, what narrows them, and the permits without which nothing is routed |
//! | [`limits`], [`quota`] | every bound, with its unit; which of them a client can run into |
//! | `router` | the subscription tree, shared groups, retained messages |
//! | `session` | what lives with a session, and what lives with a connection |
//! | [`message`] | the immutable thing that is routed |
//! | `wire` | a PUBLISH as its bytes came, which is how most leave |
//! | [`change`], [`restore`] | what must be stored before an acknowledgement may leave, and how it comes back |
//! | [`fetch`] | queues that the store keeps |
//! | [`spare`] | when a list that was long gives its memory back |
//! | [`counters`] | plain numbers for the shell to export |
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod authz;
mod bucket;
pub mod change;
pub mod counters;
pub mod fetch;
pub mod identity;
pub mod limits;
pub mod message;
pub mod org;
pub mod policy;
pub mod quota;
mod random;
mod refusals;
mod router;
pub mod scope;
mod session;
pub mod sink;
pub mod spare;
mod timers;
mod turn;
mod wire;

pub use change::Storage;
pub use fetch::{Fetch, Fetched, StoredDelivery, Unreadable};
pub use identity::{Access, Credential, Identity, OrgId};
pub use limits::Limits;
pub use message::{Message, StoredMessage};
pub use org::{AUTH_DATA_BYTES_MAX, AUTH_METHOD, Org, restore};
pub use policy::Policy;
pub use quota::Quota;
pub use restore::{RETURN_GRACE_SECS, Restoring, StoredFacts, Unfit};
pub use scope::{Scope, ScopePart};
pub use session::Traffic;
pub use sink::{CloseCause, ConnId, Report, Sink, Ticket};
