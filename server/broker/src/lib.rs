//! How an MQTT broker thinks: one organization's sessions, routing, permissions and quotas.
//!
//! `Org` owns everything of one organization and is a plain value: whoever holds `&mut Org`
//! feeds it decoded packets and the time, and it answers by writing bytes and other effects
//! into the sink given to the call. There is no socket, clock, lock or thread in here;
//! the compiler proves it, because the crate is built without `std`.
//!
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod identity;
pub mod limits;
pub mod policy;

pub use identity::{Access, Credential, Identity, OrgId};
pub use limits::Limits;
pub use policy::Policy;
