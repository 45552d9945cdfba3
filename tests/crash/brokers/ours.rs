//! This workspace's broker: `CS_TEST_BROKER`, or the one that cargo built beside this test.

use std::env;
use std::net::SocketAddr;
use std::time::Duration;

use cloudsignal_tests::broker::{Broker as Process, BrokerOptions, Listener};

use super::{Api, Broker};
use crate::directory::Console;
use crate::member::Login;

/// The real program in a folder of its own.
#[derive(Debug)]
pub(crate) struct Ours {
    /// `None` before the first start.
    process: Option<Process>,
    settings: String,
}

impl Ours {
    /// With settings beside the default ones: `LIMITS_INFLIGHT_MAX=20 …`, named as the broker's own environment
    /// variables are, without `CLOUDSIGNAL_`.
    pub(crate) fn new(settings: &str) -> Self {
        Self {
            process: None,
            settings: settings.to_owned(),
        }
    }

    /// With the settings that `CS_TEST_CRASH_SET` names.
    pub(crate) fn from_environment() -> Self {
        Self::new(&env::var("CS_TEST_CRASH_SET").unwrap_or_default())
    }

    fn options(&self) -> BrokerOptions {
        let options = BrokerOptions::default();
        self.settings
            .split_whitespace()
            .fold(options, |options, setting| {
                let (key, value) = setting
                    .split_once('=')
                    .unwrap_or_else(|| panic!("a setting is NAME=VALUE, not {setting:?}"));
                options.with_text(key, value)
            })
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it was started")
    }
}

impl Broker for Ours {
    fn start(&mut self) -> SocketAddr {
        let process = match self.process.take() {
            None => self.options().start(),
            Some(process) => process.start_again(),
        };
        let addr = process.addr(Listener::Mqtt);
        self.process = Some(process);
        addr
    }

    fn stumble(&mut self, moment: Duration) -> Option<()> {
        self.process().stumble(moment);
        Some(())
    }

    fn kill(&mut self) {
        self.process().assert_alive();
        self.process().kill();
    }

    fn stop(&mut self) {
        self.process().assert_alive();
        let code = self.process().terminate();
        assert_eq!(code, Some(0), "the broker ends well after SIGTERM");
    }

    /// The user of the first start, whose organization the key of the first start publishes to.
    fn login(&self) -> Login {
        let first = self.process.as_ref().map(Process::first_run);
        let (username, password) = first.map(|it| (it.username, it.password)).unzip();
        Login { username, password }
    }

    fn api(&self) -> Api {
        Api::Known
    }

    fn console(&self) -> Option<Console> {
        let process = self.process.as_ref()?;
        Some(Console {
            http: process.addr(Listener::Http),
            mqtt: process.addr(Listener::Mqtt),
            key: process.first_run().secret_key,
        })
    }

    fn name(&self) -> String {
        format!("cloudsignal {}", self.settings).trim_end().to_owned()
    }
}
