//! A client under test, whatever it is made of: what it is told, and what it tells.

use std::path::PathBuf;

use tokio::sync::mpsc;

/// What every client is told at its start.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Its own way to the broker.
    pub(crate) url: String,
    /// Where tokens are made.
    pub(crate) api: String,
    pub(crate) secret_key: String,
    pub(crate) org_id: String,
    pub(crate) ca_file: PathBuf,
    /// Whose tokens.
    pub(crate) email: String,
    /// How long it believes in a token, seconds.
    pub(crate) token_secs: u64,
    /// Where it publishes.
    pub(crate) up: String,
    /// What it subscribes to.
    pub(crate) down: String,
    /// How many numbers it publishes, and how many each second.
    pub(crate) messages: u64,
    pub(crate) rate: u64,
}

/// What a client is told later. It ends with the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Begin to publish.
    Go,
    /// Everything was published, and is answered or never will be: publish the number that says so.
    Finish,
}

/// What a client tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It has subscribed.
    Ready,
    /// It has a connection, once more.
    Connected,
    /// It has a token, once more.
    Token,
    /// This number has arrived.
    Received(u64),
    /// The library says of this number that the server has it.
    Reported(u64),
    /// The library says of this number that it has failed.
    Refused(u64, String),
}

/// A client under test.
#[derive(Debug)]
pub(crate) struct Contestant {
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) told: mpsc::Receiver<Told>,
}

/// Words of clients that nobody has heard yet; then the client waits.
pub(crate) const TOLD_MAX: usize = 1_024;
