//! How a broker is started, ended and asked: one file for each that is known.

mod cut;
mod external;
mod mosquitto;
mod ours;

use std::env;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use cut::Cut;
pub(crate) use external::External;
pub(crate) use mosquitto::{Autosave, Mosquitto};
pub(crate) use ours::Ours;

use crate::directory::Console;
use crate::member::Login;

/// A broker that keeps its data over its ends.
pub(crate) trait Broker {
    /// Starts it, on the data that there is, and awaits that it lets clients in. Gives its MQTT address.
    fn start(&mut self) -> SocketAddr;

    /// Starts it and ends it by `SIGKILL` after a moment, however far it has come. `None` from those of which nobody
    /// knows how to do that: they are not disturbed.
    fn stumble(&mut self, _moment: Duration) -> Option<()> {
        None
    }

    /// Ends it: `SIGKILL`, nothing is flushed, nobody is told. The process is gone afterwards.
    fn kill(&mut self);

    /// Ends it as an operator does: `SIGTERM`. The process is gone afterwards.
    fn stop(&mut self);

    /// What clients log in with.
    fn login(&self) -> Login;

    /// Whether it has an HTTP API that the harness knows.
    fn api(&self) -> Api {
        Api::Unknown
    }

    /// Where that API is. Asked for after each start.
    fn console(&self) -> Option<Console>;

    /// What the report calls it.
    fn name(&self) -> String;
}

/// Whether users, tokens and messages can be written over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Known,
    Unknown,
}

/// The broker that `CS_TEST_CRASH_BROKER` names.
pub(crate) fn from_environment() -> Box<dyn Broker> {
    let name = env::var("CS_TEST_CRASH_BROKER").unwrap_or_else(|_| "ours".to_owned());
    match name.as_str() {
        "ours" => Box::new(Ours::from_environment()),
        "cut" => Box::new(Cut::new()),
        "mosquitto" => Box::new(Mosquitto::new(Autosave::from_environment())),
        "external" => Box::new(External::from_environment()),
        other => panic!("CS_TEST_CRASH_BROKER is ours, cut, mosquitto or external, not {other:?}"),
    }
}
