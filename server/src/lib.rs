//! The CloudSignal broker: sockets, TLS, WebSocket, HTTP, disk and process around `cloudsignal-broker`.
//!
//! | room | holds |
//! |---|---|
//! | [`accounts`] | organizations, users, keys, tokens, policies |
//! | [`authn`] | from a login to an identity |
//! | `backup` | everything that is stored, in one file, and back |
//! | [`cli`] | the command line |
//! | [`clock`] | the only reader of the time |
//! | [`config`] | file, environment and flags become one checked value |
//! | [`first_run`] | data folder, certificates, the first organization |
//! | `history` | connections that have ended |
//! | [`http`] | the HTTP API |
//! | `idle_memory` | what connections leave behind goes back to the system |
//! | [`identity`] | identity providers: whose word counts for who somebody is |
//! | [`logging`] | what is written to standard error |
//! | `metrics` | what Prometheus sees |
//! | `net` | sockets: listeners, TLS, WebSocket, the loop of a connection |
//! | `open_files` | how many files the process may have open |
//! | `orgs` | the organizations of the process, and who holds them |
//! | [`serve`] | from the flags to the end of the process |
//! | [`server`] | a running broker: start, addresses, stop |
//! | `shutdown` | signals, and how clients are sent away |
//! | [`store`] | stable storage |

pub mod accounts;
pub mod authn;
mod backup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod durable;
pub mod first_run;
mod history;
pub mod http;
pub mod identity;
mod idle_memory;
pub mod logging;
mod metrics;
mod net;
mod open_files;
mod orgs;
pub mod serve;
pub mod server;
mod shutdown;
pub mod store;
mod usage;
