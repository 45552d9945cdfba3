//! Where a run takes place: the cores, free ports, a fresh process.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::options::Cores;
use super::row::Scheduling;
use crate::workspace::{find_program, output_of};

/// Looks at what is awaited: half a minute.
const LOOKS_MAX: u32 = 1_500;
/// Time between two of them.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What all runs share.
#[derive(Debug)]
pub(super) struct Stage {
    cores: Cores,
    /// Makes the load.
    pub(super) generator: PathBuf,
    /// Who we are, for brokers that want to be somebody else.
    user: String,
    /// Whether the system lets us go before others.
    pub(super) real_time: RealTime,
    folder: TempDir,
}

/// Whether processes may be put before all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RealTime {
    Granted,
    Refused,
}

/// Who a process is in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Broker,
    Generator,
    /// The generator of another organization.
    Noise,
}

/// What a broker's configuration says.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) ports: Ports,
    pub(super) folder: TempDir,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) user: String,
    /// Cores that the broker has.
    pub(super) cores: usize,
}

/// Where a broker listens, on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) mqtt: u16,
    pub(super) mqtts: u16,
    pub(super) ws: u16,
    pub(super) wss: u16,
}

impl Stage {
    pub(super) fn new(cores: Cores, generator: PathBuf) -> Result<Self> {
        for program in ["taskset", "timeout", "strace"] {
            if find_program(program).is_none() {
                bail!("`cargo xtask bench` needs Linux and the program {program}");
            }
        }
        let user = output_of(Command::new("id").arg("-un")).context("the system does not say who we are")?;
        let mut before_others = Command::new("chrt");
        before_others.args(REAL_TIME).arg("true");
        let is_granted = output_of(&mut before_others).is_some();
        Ok(Self {
            cores,
            generator,
            user: user.trim().to_owned(),
            real_time: if is_granted {
                RealTime::Granted
            } else {
                RealTime::Refused
            },
            folder: tempfile::tempdir().context("a temporary folder cannot be made")?,
        })
    }

    /// A folder that lives as long as the command.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Which cores broker and generator have, in words.
    pub(super) fn cores_said(&self) -> &'static str {
        match self.cores {
            Cores::Pinned => "the broker on core 0, the generator (one thread) on core 1",
            Cores::Both => "broker and generator (one thread) on every core",
        }
    }

    /// A fresh place, with the certificate of the one broker that makes certificates.
    pub(super) fn place(&self, tls: &Path) -> Result<Place> {
        let all = thread::available_parallelism().map_or(1, usize::from);
        Ok(Place {
            ports: Ports::free()?,
            folder: tempfile::tempdir().context("a temporary folder cannot be made")?,
            certificate: tls.join("server.pem"),
            key: tls.join("server-key.pem"),
            user: self.user.clone(),
            cores: match self.cores {
                Cores::Pinned => 1,
                Cores::Both => all,
            },
        })
    }

    /// `program` on the cores of its role, with as many open files as the system allows.
    pub(super) fn command(&self, role: Role, scheduling: Scheduling, program: &Path) -> Command {
        let mut words: Vec<&str> = vec!["-c", RAISE];
        if scheduling.puts_first(role) && self.real_time == RealTime::Granted {
            words.push("chrt");
            words.extend(REAL_TIME);
        }
        match (self.cores, role) {
            (Cores::Pinned, Role::Broker) => words.extend(["taskset", "-c", "0"]),
            (Cores::Pinned, Role::Generator | Role::Noise) => words.extend(["taskset", "-c", "1"]),
            (Cores::Both, Role::Broker | Role::Generator | Role::Noise) => {}
        }
        let mut command = Command::new("sh");
        command.args(words).arg(program).stdin(Stdio::null());
        // What it does is what we say, nothing from around us.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CLOUDSIGNAL_") {
                command.env_remove(name);
            }
        }
        command.env_remove("RUST_LOG");
        command
    }
}

/// One descriptor for each connection. Every program here becomes the next one: the process stays the broker's.
const RAISE: &str = "ulimit -n \"$(ulimit -Hn)\" && exec \"$0\" \"$@\"";
const REAL_TIME: [&str; 2] = ["-f", "10"];

impl Ports {
    fn free() -> Result<Self> {
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("127.0.0.1 has no free port");
        // All are held at once, so that none is given twice.
        let held = [listen()?, listen()?, listen()?, listen()?];
        let port = |at: usize| -> Result<u16> { Ok(held[at].local_addr()?.port()) };
        Ok(Self {
            mqtt: port(0)?,
            mqtts: port(1)?,
            ws: port(2)?,
            wss: port(3)?,
        })
    }

    const fn all(self) -> [u16; 4] {
        [self.mqtt, self.mqtts, self.ws, self.wss]
    }

    fn are_open(self) -> bool {
        self.all()
            .iter()
            .all(|port| TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, *port))).is_ok())
    }
}

/// A process that ends with us.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a broker and awaits that its ports are open.
    pub(super) fn start(mut command: Command, place: &Place) -> Result<Self> {
        let log = place.folder.path().join("output");
        let output = fs::File::create(&log).context("the temporary folder takes no file")?;
        command.stdout(output.try_clone()?).stderr(output);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut process = Self { child, log };
        let listens = await_that("a broker that listens", || {
            if let Some(status) = process.child.try_wait()? {
                bail!("{command:?} ended with {status}");
            }
            Ok(place.ports.are_open().then_some(()))
        });
        listens.with_context(|| process.said())?;
        Ok(process)
    }

    /// Awaits its end, which somebody has asked for.
    pub(super) fn await_end(mut self) -> Result<()> {
        self.child
            .wait()
            .context("the system does not say how the broker ended")?;
        Ok(())
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Looks until `look` finds something.
pub(super) fn await_that<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = look()? {
            return Ok(found);
        }
        thread::sleep(LOOK_EVERY);
    }
    bail!("waited in vain for {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ() {
        let mut ports = Ports::free().unwrap().all().to_vec();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 4);
    }
}
