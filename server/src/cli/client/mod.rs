//! `pub` and `sub`: a real MQTT client for the shell.
//!
//! | file | holds |
//! |---|---|
//! | `publish` | `cloudsignal pub` |
//! | `subscribe` | `cloudsignal sub` |
//! | `options` | what both need to connect |
//! | `url`, `tls`, `transport` | from an address to a byte stream |
//! | `connection` | MQTT on that stream |
//! | `message` | a message, and its line of JSON |
//! | `input` | where `pub` takes messages from |

mod connection;
mod input;
mod message;
mod options;
mod publish;
mod subscribe;
mod tls;
mod transport;
mod url;

pub use options::{BrokerArgs, ConnectArgs, WillArgs};
pub use publish::{PropertyArgs, PubArgs};
pub use subscribe::SubArgs;
pub use tls::TlsArgs;
pub use url::{BrokerUrl, BrokerUrlError, Scheme};

pub(super) use connection::{Connection, Event, Wake, with_text};
pub(super) use input::whole;
pub(super) use options::qos;
pub(super) use publish::publish;
pub(super) use subscribe::subscribe;
pub(super) use transport::{ByteStream, Route, Transport, open_stream};

/// Waits for Ctrl-C or, where there are such signals, SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
