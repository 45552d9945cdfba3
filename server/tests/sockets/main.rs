//! A broker in this process, and real sockets: what the network side promises whatever the bytes say.
//!
//! | file | shows |
//! |---|---|
//! | [`stream`] | any cut of the byte stream, many packets at once, large packets |
//! | [`opening`] | until a client is let in |
//! | [`websocket`] | upgrade, frames, close codes |
//! | [`proxied`] | PROXY headers |
//! | [`encrypted`] | TLS versions, certificate reload, client certificates |
//! | [`bounds`] | limits on connections, clients that do not read |
//! | [`fair`] | clients that make others wait |
//! | [`life`] | metrics, health, drain |
//! | [`decisions`] | every decision about a credential, and the code its connections end with |
//! | [`reauthentication`] | tokens by the authentication method of MQTT 5 |
//! | [`process`] | the program itself, and its signals |
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod bounds;
mod broker;
mod decisions;
mod encrypted;
mod fair;
mod life;
mod opening;
mod operator;
mod process;
mod proxied;
mod reauthentication;
mod stream;
mod websocket;
