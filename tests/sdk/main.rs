//! The Rust SDK against the real broker, over every transport and through cut connections.
//!
//! | file | holds |
//! |---|---|
//! | [`transports`] | TCP, TLS, WebSocket, and both; whom to trust |
//! | [`adopted`] | a process without a store, and the one after it |
//! | [`exchange`] | publishing and subscribing |
//! | [`offline`] | what is published while there is no connection |
//! | [`requests`] | questions and answers |
//! | [`child`] | processes that can be killed |
//! | [`killed`] | a process with a file store, killed again and again |
//! | [`loss`] | resets, restarts and renewals under traffic |
//! | [`stuck`] | a message that ends every connection |
//! | [`tokens`] | tokens: made by a server, used by a client |

mod adopted;
mod child;
mod exchange;
mod killed;
mod loss;
mod offline;
mod requests;
mod stuck;
mod tokens;
mod transports;

use cloudsignal::{Builder, Client};
use cloudsignal_tests::broker::{Broker, Listener};

/// A client of the broker's first user.
fn client(broker: &Broker, listener: Listener) -> Builder {
    let first_run = broker.first_run();
    Client::builder(broker.url(listener))
        .password(first_run.username, first_run.password)
        .ca_file(first_run.ca_file)
}
