//! What the test binaries share: a broker process, raw sockets, named packets.
//!
//! | file | holds |
//! |---|---|
//! | [`broker`] | the real `cloudsignal` program, started with a fresh data folder on free ports |
//! | [`first_run`] | what its first start writes down for scripts |
//! | [`ports`] | free ports |
//! | [`programs`] | other people's programs, and what to do when one is missing |
//! | [`kotlin`] | programs in Kotlin, compiled against our library |
//! | [`package`] | our browser package, installed in an empty project |
//! | [`wheel`] | our Python package, installed in an empty environment |
//! | [`client`] | an MQTT client over anything that carries bytes |
//! | [`api`] | the HTTP API, beside other things that are awaited |
//! | [`link`] | a connection for measurements, and [`latencies`], what they measure |
//! | [`feeder`] | the far end of a client whose speed is measured |
//! | [`process`] | what the system knows of the broker's process |
//! | [`wire`] | a raw connection that sends and expects bytes |
//! | [`packets`] | packets as commented bytes |
//! | [`http`] | one plain HTTP request |
//! | [`proxy`] | what cuts connections, and [`tally`], what has become of numbered messages |
//! | [`random`] | dice that follow from a seed |
//! | [`wait`] | awaiting a condition with a deadline |
//!
//! Everything here is for tests: what goes wrong panics with a message that says what was expected.

pub mod api;
pub mod broker;
pub mod client;
pub mod feeder;
pub mod first_run;
pub mod http;
pub mod kotlin;
pub mod latencies;
pub mod link;
pub mod package;
pub mod packets;
pub mod ports;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod random;
pub mod tally;
pub mod wait;
pub mod wheel;
pub mod wire;
