//! The real program, started as its users start it: a fresh data folder, free ports, then the network only.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, DirBuilder, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::first_run::FirstRun;
use crate::{http, ports, programs, wait};

/// A listener of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listener {
    /// MQTT over TCP.
    Mqtt,
    /// MQTT over TLS.
    Mqtts,
    /// MQTT over WebSocket.
    Ws,
    /// MQTT over WebSocket over TLS.
    Wss,
    /// HTTP API.
    Http,
    /// HTTP API over TLS.
    Https,
    /// Metrics and health.
    Metrics,
}

impl Listener {
    /// Every listener.
    pub const ALL: [Self; 7] = [
        Self::Mqtt,
        Self::Mqtts,
        Self::Ws,
        Self::Wss,
        Self::Http,
        Self::Https,
        Self::Metrics,
    ];

    /// Its scheme in a URL, which is also its name in `--listen-…`, but for metrics.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Http => "http",
            Self::Https => "https",
            Self::Metrics => "metrics",
        }
    }
}

/// How a broker is to be started.
#[derive(Clone, Debug, Default)]
pub struct BrokerOptions {
    variables: BTreeMap<String, String>,
    arguments: Vec<String>,
    program_prefix: Vec<String>,
    data_at: Option<PathBuf>,
}

impl BrokerOptions {
    /// A configuration key by its environment variable: `("LIMITS_RECEIVE_MAX", 20)`.
    #[must_use]
    pub fn with(mut self, key: &str, value: u64) -> Self {
        self.variables
            .insert(format!("CLOUDSIGNAL_{key}"), value.to_string());
        self
    }

    /// The same for a key whose value is text.
    #[must_use]
    pub fn with_text(mut self, key: &str, value: &str) -> Self {
        self.variables
            .insert(format!("CLOUDSIGNAL_{key}"), value.to_owned());
        self
    }

    /// Lets clients without a login into an organization, on the plain listener.
    #[must_use]
    pub fn with_anonymous_clients(mut self) -> Self {
        self.arguments
            .extend(["--dev-anonymous".to_owned(), DEV_ORG.to_owned()]);
        self
    }

    /// Lets the process have as many open files as the system allows: one per connection.
    #[must_use]
    pub fn with_many_connections(mut self) -> Self {
        let raise = "ulimit -n \"$(ulimit -Hn)\" && exec \"$0\" \"$@\"";
        self.program_prefix = ["sh", "-c", raise].map(str::to_owned).to_vec();
        self
    }

    /// Lets another program start it, which must leave it as the process that was started: `strace -D …`.
    #[must_use]
    pub fn under(mut self, program_and_arguments: Vec<String>) -> Self {
        self.program_prefix = program_and_arguments;
        self
    }

    /// Keeps its data in another folder, which it makes: on another disk.
    #[must_use]
    pub fn with_data_at(mut self, folder: &Path) -> Self {
        self.data_at = Some(folder.to_owned());
        self
    }

    /// Starts it and awaits that it is ready.
    #[must_use]
    pub fn start(self) -> Broker {
        Broker::start(self)
    }
}

/// The organization of clients without a login.
pub const DEV_ORG: &str = "org_testsuite2345";

/// A running broker. Dropping it kills it; a test that fails meanwhile shows the end of its log.
#[derive(Debug)]
pub struct Broker {
    process: Child,
    folder: TempDir,
    addresses: BTreeMap<Listener, SocketAddr>,
    options: BrokerOptions,
}

impl Broker {
    /// Starts the broker with a fresh data folder.
    #[must_use]
    pub fn start(options: BrokerOptions) -> Self {
        let folder = fresh_folder();
        if let Some(data_at) = &options.data_at {
            let made = DirBuilder::new().mode(0o700).create(data_at);
            made.expect("the other disk takes a folder");
            symlink(data_at, data_dir(&folder)).expect("a fresh folder takes a link");
        }
        Self::start_in(folder, options)
    }

    fn start_in(folder: TempDir, options: BrokerOptions) -> Self {
        for _ in 0..START_TRIES {
            let mut starting = Self::launch(&options, &folder);
            if starting.await_ready() {
                return Self {
                    process: starting.process,
                    addresses: starting.addresses,
                    folder,
                    options,
                };
            }
        }
        panic!("ports of 127.0.0.1 are taken away again and again");
    }

    fn launch(options: &BrokerOptions, folder: &TempDir) -> Starting {
        let mut command = match options.program_prefix.split_first() {
            None => Command::new(programs::broker()),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(programs::broker());
                command
            }
        };
        command.arg("serve").arg("--data-dir").arg(data_dir(folder));
        let mut addresses = BTreeMap::new();
        for listener in Listener::ALL {
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free_port()));
            addresses.insert(listener, addr);
            command
                .arg(format!("--listen-{}", listener.scheme()))
                .arg(addr.to_string());
        }
        let log = File::options()
            .append(true)
            .create(true)
            .open(log_file(folder))
            .expect("the log can be opened");
        without_inherited_settings(&mut command)
            .args(&options.arguments)
            .envs(&options.variables)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("an open file has a second handle"))
            .stderr(log);
        Starting {
            process: programs::start(&mut command),
            log: log_file(folder),
            addresses,
        }
    }

    /// Starts it again after its end, on the same data, at new addresses.
    #[must_use]
    pub fn start_again(mut self) -> Self {
        let folder = std::mem::replace(&mut self.folder, fresh_folder());
        Self::start_in(folder, self.options.clone())
    }

    /// The same under another program; see [`BrokerOptions::under`].
    #[must_use]
    pub fn start_again_under(mut self, program_and_arguments: Vec<String>) -> Self {
        self.options.program_prefix = program_and_arguments;
        self.start_again()
    }

    /// Starts it again after its end, on the same data, and kills it `moment` later, however far it has come.
    pub fn stumble(&mut self, moment: Duration) {
        self.process = Self::launch(&self.options, &self.folder).process;
        // sleep: how long it lives is what the caller has asked for
        thread::sleep(moment);
        self.kill();
    }

    /// Where a listener is.
    #[must_use]
    pub fn addr(&self, listener: Listener) -> SocketAddr {
        self.addresses[&listener]
    }

    /// A listener's URL. By name where a certificate is checked, so that the name is checked too.
    #[must_use]
    pub fn url(&self, listener: Listener) -> String {
        format!("{}://localhost:{}", listener.scheme(), self.addr(listener).port())
    }

    /// The organization, user and key of the first start.
    #[must_use]
    pub fn first_run(&self) -> FirstRun {
        FirstRun::read(&data_dir(&self.folder)).expect("the first start writes first-run.json")
    }

    /// Its data folder, for `cloudsignal --data-dir`.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        data_dir(&self.folder)
    }

    /// Folder for files of the test; gone with the broker.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// `cloudsignal` with the given arguments, for this broker's data folder.
    ///
    /// # Panics
    /// When it does not end with success.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(programs::broker());
        without_inherited_settings(&mut command)
            .args(arguments)
            .env("CLOUDSIGNAL_DATA_DIR", data_dir(&self.folder));
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        assert!(output.status.success(), "{command:?} failed: {output:?}");
        output
    }

    /// Replaces the access rules of the first organization.
    pub fn set_policy(&self, policy: &serde_json::Value) {
        let file = self.scratch().join("policy.json");
        fs::write(&file, policy.to_string()).expect("the temporary folder takes files");
        let file = file.to_str().expect("temporary folders have plain names");
        let org = self.first_run().org_id;
        drop(self.cli(&["acl", "set", file, "--org", &org]));
    }

    /// Makes a user of the first organization.
    pub fn add_user(&self, name: &str, password: &str) {
        let file = self.scratch().join("password");
        fs::write(&file, password).expect("the temporary folder takes files");
        let file = file.to_str().expect("temporary folders have plain names");
        let org = self.first_run().org_id;
        drop(self.cli(&["user", "create", name, "--password-file", file, "--org", &org]));
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Bytes of memory that the process holds (resident set).
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most memory it has held at once, in bytes.
    #[must_use]
    pub fn memory_bytes_peak(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// Lets [`Self::memory_bytes_peak`] begin anew.
    pub fn forget_memory_peak(&self) {
        let file = format!("/proc/{}/clear_refs", self.process.id());
        fs::write(&file, "5").unwrap_or_else(|error| panic!("{file}: {error}"));
    }

    fn status_bytes(&self, field: &str) -> u64 {
        let file = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or_else(|| panic!("{file} has no {field}")) * 1_024
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(log_file(&self.folder)).unwrap_or_default()
    }

    /// The number of its process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Panics if the process has ended.
    pub fn assert_alive(&mut self) {
        let state = self
            .process
            .try_wait()
            .expect("a child can be asked for its state");
        assert!(state.is_none(), "the broker has ended: {state:?}");
    }

    /// SIGTERM, and awaits the end. Gives the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot signal {pid}");
        programs::ended("the broker after SIGTERM", &mut self.process)
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub fn kill(&mut self) {
        self.process.kill().expect("our own child can be killed");
        self.process.wait().expect("a killed child ends");
    }
}

impl Drop for Broker {
    #[expect(
        clippy::print_stderr,
        reason = "a failing test shows what the broker had to say"
    )]
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let end = lines.len().saturating_sub(LOG_LINES_SHOWN);
            eprintln!(
                "--- the broker's log, last {LOG_LINES_SHOWN} lines\n{}\n---",
                lines[end..].join("\n")
            );
        }
    }
}

/// Ports may be taken between the look and the start.
const START_TRIES: u32 = 4;

const LOG_LINES_SHOWN: usize = 60;

/// What the broker reads from the environment is what the test says, nothing from around it.
fn without_inherited_settings(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("CLOUDSIGNAL_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG")
}

fn fresh_folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn data_dir(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

fn log_file(folder: &TempDir) -> PathBuf {
    folder.path().join("broker.log")
}

/// A process that may not be ready yet.
struct Starting {
    process: Child,
    log: PathBuf,
    addresses: BTreeMap<Listener, SocketAddr>,
}

impl Starting {
    /// Awaits that every listener answers; `false` when a port was taken.
    fn await_ready(&mut self) -> bool {
        wait::until("a broker that is ready", || {
            if let Some(status) = self
                .process
                .try_wait()
                .expect("a child can be asked for its state")
            {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                assert!(log.contains("in use"), "the broker ended with {status}:\n{log}");
                return Some(false);
            }
            let ready = http::get(self.addresses[&Listener::Metrics], "/readyz");
            let open = |addr: &SocketAddr| TcpStream::connect(addr).is_ok();
            let is_ready = ready.is_ok_and(|answer| answer.status == 200);
            (is_ready && self.addresses.values().all(open)).then_some(true)
        })
    }
}
