//! What a client is doing, in words that an application can show.

use super::message::PublishId;
use super::subscriptions::SubscriptionId;
use crate::ReasonCode;
use crate::time::Instant;

/// What a client is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing yet: [`Client::connect`](super::Client::connect) was not called.
    #[default]
    Idle,
    /// Opening a connection, waiting for a token, or waiting for the server's word.
    Connecting,
    /// The server has accepted the client.
    Connected,
    /// The last attempt failed, or the connection was lost; another attempt follows.
    Waiting {
        /// When.
        until: Instant,
        /// Why.
        why: Lost,
    },
    /// Disconnected on the caller's word, and will come back on it.
    Suspended,
    /// Disconnected for good, unless [`Client::connect`](super::Client::connect) is called again.
    Closed {
        /// Why.
        why: Closed,
    },
}

/// Why there is no connection now, though there will be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The network: it could not be opened, or it was cut.
    Network,
    /// Nothing came for too long.
    Silence,
    /// The server refused or ended it, and may think otherwise later.
    Server(ReasonCode),
    /// The server said what no server may say.
    Nonsense,
    /// No token could be had.
    Token,
}

/// Why a client will not try again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The caller wanted it.
    ByCaller,
    /// The server will say the same again.
    Refused(ReasonCode),
    /// Another client has come with the same identifier.
    TakenOver,
    /// Whoever issues tokens has refused one.
    TokenRefused,
}

/// Whether anything may have been missed since the last connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// There was no earlier session.
    New,
    /// The session goes on where it was: nothing was missed.
    Resumed,
    /// The server goes on with a session that this client knows nothing of: messages sent to it may have been
    /// acknowledged by an earlier process. Those that come before anybody here has subscribed to their topics wait for that,
    /// for [`Patience::unclaimed`](super::Patience::unclaimed).
    Adopted,
    /// The server has lost the session: what was published meanwhile did not reach this client.
    Lost,
}

/// What an operator should know, and no call can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A token could not be renewed; the connection lasts as long as the old one.
    TokenNotRenewed,
    /// The server knows no renewal of tokens in band: another connection takes over each time.
    NoRenewalInBand,
    /// A subscription of an earlier process was ended, because nobody asked for it again.
    Unclaimed(SubscriptionId),
    /// The server speaks MQTT 3.1.1 only: no reasons, no session expiry, no renewal in band.
    OldProtocol,
    /// The store has failed: what is published now may not survive the process.
    StoreFailed,
    /// Six connections in a row have ended over this message, on the last three of them it was alone. It is sent again
    /// and again, and everything behind it waits: the server, or somebody on the way to it, does not take it, which
    /// before MQTT 5 nobody can say. If it cannot be made to, [`Client::give_up_message`](super::Client::give_up_message).
    Stuck {
        /// Which one.
        id: PublishId,
        /// How large its packet is.
        bytes: usize,
    },
}
