//! The CloudSignal broker: sockets, TLS, WebSocket, HTTP, disk and process around `cloudsignal-broker`.
//!
//! | room | holds |
//! |---|---|
//! | [`cli`] | the command line |

pub mod cli;
