//! Mosquitto of the system, with its store in a folder of ours.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use cloudsignal_tests::{ports, programs, wait};
use tempfile::TempDir;

use super::Broker;
use crate::directory::Console;
use crate::member::Login;

/// A running mosquitto. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    folder: TempDir,
    autosave: Autosave,
    addr: SocketAddr,
    process: Option<Child>,
}

/// How often it writes its store while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Autosave {
    /// As it comes: every 1800 seconds.
    Default,
    /// `autosave_interval`.
    Secs(u32),
}

impl Autosave {
    /// `CS_TEST_CRASH_AUTOSAVE_SECS`, or the default.
    pub(crate) fn from_environment() -> Self {
        let Ok(text) = env::var("CS_TEST_CRASH_AUTOSAVE_SECS") else {
            return Self::Default;
        };
        let secs = text.parse();
        Self::Secs(secs.unwrap_or_else(|_| panic!("CS_TEST_CRASH_AUTOSAVE_SECS is a number, not {text:?}")))
    }
}

impl Mosquitto {
    pub(crate) fn new(autosave: Autosave) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
            autosave,
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free_port())),
            process: None,
        }
    }

    /// Everything but the store is as it comes. Without `user`, it would change to a user who may not write here.
    fn configuration(&self) -> String {
        let port = self.addr.port();
        let folder = self.folder.path().display();
        let autosave = match self.autosave {
            Autosave::Default => String::new(),
            Autosave::Secs(secs) => format!("autosave_interval {secs}\n"),
        };
        let user = env::var("USER").unwrap_or_else(|_| "root".to_owned());
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser {user}\n\
             persistence true\npersistence_location {folder}/\n{autosave}"
        )
    }

    fn launch(&self) -> Child {
        let file = self.folder.path().join("mosquitto.conf");
        fs::write(&file, self.configuration()).expect("the temporary folder takes files");
        let log = File::create(self.folder.path().join("log")).expect("the temporary folder takes files");
        programs::start(
            daemon()
                .arg("-c")
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("an open file has a second handle"))
                .stderr(log),
        )
    }

    fn end(&mut self, signal: &str) {
        let mut process = self.process.take().expect("it was started");
        let state = process.try_wait().expect("a child can be asked for its state");
        assert!(state.is_none(), "mosquitto has ended by itself: {state:?}");
        let pid = process.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.is_ok_and(|it| it.success()), "cannot signal {pid}");
        let _code = programs::ended("mosquitto", &mut process);
    }
}

impl Broker for Mosquitto {
    fn start(&mut self) -> SocketAddr {
        let process = self.launch();
        let process = self.process.insert(process);
        wait::until("mosquitto that lets clients in", || {
            let state = process.try_wait().expect("a child can be asked for its state");
            assert!(state.is_none(), "mosquitto does not start: {state:?}");
            TcpStream::connect(self.addr).ok()
        });
        self.addr
    }

    fn stumble(&mut self, moment: Duration) -> Option<()> {
        let mut process = self.launch();
        // sleep: the moment at which it is killed while it starts, by the seed
        thread::sleep(moment);
        process.kill().expect("our own child can be killed");
        process.wait().expect("a killed child ends");
        Some(())
    }

    fn kill(&mut self) {
        self.end("-KILL");
    }

    fn stop(&mut self) {
        self.end("-TERM");
    }

    fn login(&self) -> Login {
        Login::default()
    }

    fn console(&self) -> Option<Console> {
        None
    }

    fn name(&self) -> String {
        match self.autosave {
            Autosave::Default => "mosquitto, persistence true".to_owned(),
            Autosave::Secs(secs) => format!("mosquitto, persistence true, autosave_interval {secs}"),
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// Debian puts daemons where the paths of ordinary users do not lead.
fn daemon() -> Command {
    let path = std::path::Path::new("/usr/sbin/mosquitto");
    if path.is_file() {
        Command::new(path)
    } else {
        programs::installed("mosquitto")
    }
}
