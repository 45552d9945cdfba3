//! The broker's side of MQTT 5.0 and 3.1.1, told as short stories against the machine alone.
//!
//! A test cites the statements that it shows: `[MQTT-3.1.2-5]` of MQTT 5.0, or `3.1.1 [MQTT-3.3.1-9]` where the
//! older specification differs or numbers differently. `docs/conformance.md` has the whole list.
//!
//! | file | about |
//! |---|---|
//! | [`world`], [`client`] | the stage: clock, store, sink; what clients do and see |
//! | `connect`, `auth`, `session`, `keep_alive` | coming in, being known, coming back, staying |
//! | `publish`, `submission`, `qos`, `alias_and_limits` | sending and acknowledging, and what bounds it |
//! | `subscribe`, `shared`, `retain`, `will`, `dollar` | who gets what |
//! | `numbering` | messages with numbers, for clients that count |
//! | `quota` | the bounds of a whole organization |
//! | `acl`, `admin` | permissions, and what operators change while clients are connected |
//! | `spill` | queues that the store keeps |
//! | `queue`, `durable`, `storage`, `malformed` | what happens when things are slow, unstored or wrong |
//! | `restart`, `snapshot`, [`disk`] | what is there again after a crash |

mod acl;
mod admin;
mod alias_and_limits;
mod auth;
mod client;
mod connect;
mod disk;
mod dollar;
mod durable;
mod keep_alive;
mod malformed;
mod numbering;
mod publish;
mod qos;
mod queue;
mod quota;
mod restart;
mod retain;
mod session;
mod shared;
mod snapshot;
mod spill;
mod storage;
mod submission;
mod subscribe;
mod will;
mod world;
