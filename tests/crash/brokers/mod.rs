//! How a broker is started, ended and asked: one file for each that is known.

mod external;
mod mosquitto;
mod ours;

use std::env;
use std::net::SocketAddr;

pub(crate) use external::External;
pub(crate) use mosquitto::{Autosave, Mosquitto};
pub(crate) use ours::Ours;

use crate::directory::Console;
use crate::member::Login;

/// A broker that keeps its data over its ends.
pub(crate) trait Broker {
    /// Starts it, on the data that there is, and awaits that it lets clients in. Gives its MQTT address.
    fn start(&mut self) -> SocketAddr;

    /// Ends it: `SIGKILL`, nothing is flushed, nobody is told. The process is gone afterwards.
    fn kill(&mut self);

    /// Ends it as an operator does: `SIGTERM`. The process is gone afterwards.
    fn stop(&mut self);

    /// What clients log in with.
    fn login(&self) -> Login;

    /// Its HTTP API, if it has one that the harness knows. Asked for after each start.
    fn console(&self) -> Option<Console>;

    /// What the report calls it.
    fn name(&self) -> String;
}

/// The broker that `CS_TEST_CRASH_BROKER` names.
pub(crate) fn from_environment() -> Box<dyn Broker> {
    let name = env::var("CS_TEST_CRASH_BROKER").unwrap_or_else(|_| "ours".to_owned());
    match name.as_str() {
        "ours" => Box::new(Ours::new()),
        "mosquitto" => Box::new(Mosquitto::new(Autosave::from_environment())),
        "external" => Box::new(External::from_environment()),
        other => panic!("CS_TEST_CRASH_BROKER is ours, mosquitto or external, not {other:?}"),
    }
}
