//! Sockets: from an open port to bytes that an organization understands, and back.
//!
//! | file | holds |
//! |---|---|
//! | [`listener`] | accept, limits, PROXY header, TLS; hand to a connection |
//! | [`connection`] | THE loop: read → decode → turn → write |
//! | [`inbox`], [`outbox`] | what came and is not a whole packet; what waits to leave |
//! | [`transport`] | TCP or TLS |
//! | [`origin`] | where a connection comes from, as operators see it |
//! | [`websocket`] | frames around MQTT bytes |
//! | [`web`] | HTTP connections, and their upgrade |
//! | [`tls`] | certificates, read again when they change |
//! | [`proxy`] | the PROXY protocol |
//! | [`sources`] | how many connections, from where |
//! | [`buffers`] | memory that belongs to threads |
//! | [`shell`] | what all connections share |

pub(crate) mod buffers;
pub(crate) mod connection;
pub(crate) mod inbox;
pub(crate) mod listener;
pub(crate) mod origin;
pub(crate) mod outbox;
mod proxy;
pub(crate) mod shell;
pub(crate) mod sources;
pub(crate) mod tls;
pub(crate) mod transport;
pub(crate) mod web;
mod websocket;
