//! What a broker has acknowledged is there, whatever happens to its process, its power or its disk.
//!
//! | file | holds |
//! |---|---|
//! | [`client`] | a client with a persistent session |
//! | [`killed`] | the process is killed |
//! | [`full`], [`small_disk`] | the disk is full, with a real limit |
//! | [`queued`] | what waits for clients that are away costs disk and not memory |
//! | [`offline`] | what sessions of clients that are away cost |
//! | [`moment`] | what a broker takes at a moment of these two |
//! | [`power`] | the power goes at every point of a recorded run; single writes and syncs fail |
#![forbid(unsafe_code)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "clients wait for one packet of many, and judges look at a few"
)]

mod client;
mod full;
mod killed;
mod moment;
mod offline;
mod power;
mod queued;
mod small_disk;
