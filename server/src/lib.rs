//! The CloudSignal broker: sockets, TLS, WebSocket, HTTP, disk and process around `cloudsignal-broker`.
//!
//! | room | holds |
//! |---|---|
//! | [`accounts`] | organizations, users, keys, tokens, policies |
//! | [`authn`] | from a login to an identity |
//! | [`cli`] | the command line |
//! | [`clock`] | the only reader of the time |
//! | [`config`] | file, environment and flags become one checked value |
//! | [`first_run`] | data folder, certificates, the first organization |
//! | [`http`] | the HTTP API |
//! | [`logging`] | what is written to standard error |
//! | [`store`] | stable storage |

pub mod accounts;
pub mod authn;
pub mod cli;
pub mod clock;
pub mod config;
pub mod first_run;
pub mod http;
pub mod logging;
pub mod store;
