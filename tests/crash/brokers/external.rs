//! A broker that somebody else knows how to start: by commands from the environment.

use std::env;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::process::Command;

use cloudsignal_tests::wait;

use super::Broker;
use crate::directory::Console;
use crate::member::Login;

/// Commands for `sh -c`. Each returns when its work is done: the start command leaves the broker running in the
/// background, the others return when the process is gone.
#[derive(Debug)]
pub(crate) struct External {
    host: String,
    port: u16,
    start: String,
    kill: String,
    stop: Option<String>,
    login: Login,
}

impl External {
    /// `CS_TEST_CRASH_PORT`, `_START` and `_KILL`; and if wanted `_HOST`, `_STOP`, `_USERNAME` and `_PASSWORD`.
    pub(crate) fn from_environment() -> Self {
        let port = required("PORT");
        Self {
            host: optional("HOST").unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: port
                .parse()
                .unwrap_or_else(|_| panic!("CS_TEST_CRASH_PORT is a port, not {port:?}")),
            start: required("START"),
            kill: required("KILL"),
            stop: optional("STOP"),
            login: Login {
                username: optional("USERNAME"),
                password: optional("PASSWORD"),
            },
        }
    }

    fn addr(&self) -> SocketAddr {
        let mut found = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .unwrap_or_else(|error| panic!("CS_TEST_CRASH_HOST {:?}: {error}", self.host));
        found.next().expect("a name that is found has an address")
    }

    fn end(&self, command: &str) {
        run(command);
        wait::until("a broker that is gone", || {
            TcpStream::connect(self.addr()).is_err().then_some(())
        });
    }
}

impl Broker for External {
    fn start(&mut self) -> SocketAddr {
        run(&self.start);
        wait::until("a broker that lets clients in", || {
            TcpStream::connect(self.addr()).ok()
        });
        self.addr()
    }

    fn kill(&mut self) {
        self.end(&self.kill);
    }

    fn stop(&mut self) {
        self.end(self.stop.as_ref().unwrap_or(&self.kill));
    }

    fn login(&self) -> Login {
        self.login.clone()
    }

    fn console(&self) -> Option<Console> {
        None
    }

    fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

fn run(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status();
    assert!(
        status.as_ref().is_ok_and(|it| it.success()),
        "{command:?} failed: {status:?}"
    );
}

fn optional(name: &str) -> Option<String> {
    env::var(format!("CS_TEST_CRASH_{name}")).ok()
}

fn required(name: &str) -> String {
    optional(name).unwrap_or_else(|| panic!("an external broker needs CS_TEST_CRASH_{name}"))
}
