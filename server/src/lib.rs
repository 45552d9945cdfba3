//! The CloudSignal broker: sockets, TLS, WebSocket, HTTP, disk and process around `cloudsignal-broker`.
//!
//! | room | holds |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`clock`] | the only reader of the time |
//! | [`store`] | stable storage |

pub mod cli;
pub mod clock;
pub mod store;
