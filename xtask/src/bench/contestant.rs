//! The brokers that take part.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::options::Options;
use super::ours::{Org, Prepared};
use super::peer_files;
use super::row::{Row, Scheduling, Transport};
use super::stage::{Place, Process, Role, Stage};
use crate::workspace::find_program;

/// A broker with a name.
#[derive(Debug)]
pub(super) struct Contestant {
    pub(super) name: String,
    kind: Kind,
    /// The folder of the certificate and its key, which all brokers have in common.
    tls: PathBuf,
}

#[derive(Debug)]
enum Kind {
    Ours(Prepared),
    Mosquitto(PathBuf),
    FlashMq(PathBuf),
    Command(String),
    Running { address: String, process: u32 },
}

/// A broker that can be measured now.
#[derive(Debug)]
pub(super) struct Running<'a> {
    process: Host,
    place: Place,
    contestant: &'a Contestant,
}

/// Who has started it.
#[derive(Debug)]
enum Host {
    Us(Process),
    Somebody { address: String, process: u32 },
}

/// Ours first, then the others: what was named, or what is found.
pub(super) fn all(options: &Options, stage: &Stage) -> Result<Vec<Contestant>> {
    let ours = Prepared::new("ours", &stage.generator, stage)?;
    let tls = ours.tls();
    let mut kinds = vec![("ours".to_owned(), Kind::Ours(ours))];
    for (name, program) in &options.ours {
        let prepared = Prepared::new(name, &whole(program)?, stage)?;
        kinds.push((name.clone(), Kind::Ours(prepared)));
    }
    for (name, program) in &options.mosquitto {
        kinds.push((name.clone(), Kind::Mosquitto(whole(program)?)));
    }
    for (name, program) in &options.flashmq {
        kinds.push((name.clone(), Kind::FlashMq(whole(program)?)));
    }
    for (name, command) in &options.peer_command {
        kinds.push((name.clone(), Kind::Command(command.clone())));
    }
    for (name, value) in &options.peer {
        kinds.push((name.clone(), running(value)?));
    }
    if options.mosquitto.is_empty() && !options.no_search {
        match find_program("mosquitto") {
            Some(program) => kinds.push(("mosquitto".to_owned(), Kind::Mosquitto(program))),
            None => println!("no mosquitto on the search path: `apt-get install mosquitto`, or --mosquitto"),
        }
    }
    let named = |(name, kind)| Contestant {
        name,
        kind,
        tls: tls.clone(),
    };
    Ok(kinds.into_iter().map(named).collect())
}

/// A path that holds from every folder.
fn whole(program: &str) -> Result<PathBuf> {
    fs::canonicalize(program).with_context(|| format!("there is no program {program}"))
}

fn running(value: &str) -> Result<Kind> {
    let parts = value.rsplit_once(',');
    let (address, process) = parts.context("write --peer as NAME=HOST:PORT,PID")?;
    let process = process.parse().context("write the process id as a number")?;
    let address = address.to_owned();
    Ok(Kind::Running { address, process })
}

impl Contestant {
    /// Whether it is a build of ours.
    pub(super) const fn is_ours(&self) -> bool {
        match self.kind {
            Kind::Ours(_) => true,
            Kind::Mosquitto(_) | Kind::FlashMq(_) | Kind::Command(_) | Kind::Running { .. } => false,
        }
    }

    /// A fresh process of it, which listens.
    pub(super) fn start(&self, row: &Row, stage: &Stage) -> Result<Running<'_>> {
        let place = stage.place(&self.tls)?;
        let scheduling = row.scheduling;
        let process = match &self.kind {
            Kind::Ours(prepared) => Host::Us(prepared.start(row, &place, stage)?),
            Kind::Mosquitto(program) => {
                let file = configured(&place, &peer_files::mosquitto(&place))?;
                Host::Us(started(program, "-c", &file, scheduling, &place, stage)?)
            }
            Kind::FlashMq(program) => {
                let file = configured(&place, &peer_files::flashmq(&place))?;
                Host::Us(started(
                    program,
                    "--config-file",
                    &file,
                    scheduling,
                    &place,
                    stage,
                )?)
            }
            Kind::Command(line) => Host::Us(commanded(line, scheduling, &place, stage)?),
            Kind::Running { address, process } => Host::Somebody {
                address: address.clone(),
                process: *process,
            },
        };
        Ok(Running {
            process,
            place,
            contestant: self,
        })
    }
}

impl Running<'_> {
    /// Its process id.
    pub(super) fn process_id(&self) -> u32 {
        match &self.process {
            Host::Us(process) => process.id(),
            Host::Somebody { process, .. } => *process,
        }
    }

    /// Sockets that it has open.
    pub(super) fn sockets(&self) -> Result<usize> {
        let folder = format!("/proc/{}/fd", self.process_id());
        let open = fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
        let is_socket = |link: &Path| link.to_string_lossy().starts_with("socket:");
        let links = open.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        Ok(links.filter(|link| is_socket(link)).count())
    }

    /// Options with which a generator reaches it and logs in to an organization, if it is ours.
    pub(super) fn reached_by(&self, transport: Transport, org: Org) -> Vec<String> {
        let ports = self.place.ports;
        let at = |port: u16| match &self.process {
            Host::Us(_) => format!("127.0.0.1:{port}"),
            Host::Somebody { address, .. } => address.clone(),
        };
        let url = match transport {
            Transport::Tcp => format!("mqtt://{}", at(ports.mqtt)),
            Transport::Tls => format!("mqtts://{}", at(ports.mqtts)),
            Transport::WebSocket => format!("ws://{}/mqtt", at(ports.ws)),
            Transport::WebSocketTls => format!("wss://{}/mqtt", at(ports.wss)),
        };
        let mut words = vec![format!("--url={url}")];
        if matches!(transport, Transport::Tls | Transport::WebSocketTls) {
            let ca = self.contestant.tls.join("ca.pem");
            words.push(format!("--ca={}", ca.display()));
        }
        if let Kind::Ours(prepared) = &self.contestant.kind {
            words.push(format!("--user={}", prepared.user(org)));
            words.push(format!("--password-file={}", prepared.password_file.display()));
        }
        words
    }
}

fn configured(place: &Place, text: &str) -> Result<PathBuf> {
    let file = place.folder.path().join("configuration");
    fs::write(&file, text).context("the temporary folder takes no file")?;
    Ok(file)
}

fn started(
    program: &Path,
    flag: &str,
    file: &Path,
    scheduling: Scheduling,
    place: &Place,
    stage: &Stage,
) -> Result<Process> {
    let mut command = stage.command(Role::Broker, scheduling, program);
    command.arg(flag).arg(file);
    Process::start(command, place)
}

/// `exec` keeps the process id, which is what is measured.
fn commanded(line: &str, scheduling: Scheduling, place: &Place, stage: &Stage) -> Result<Process> {
    let text = |path: &Path| path.display().to_string();
    let line = line
        .replace("{port}", &place.ports.mqtt.to_string())
        .replace("{tls_port}", &place.ports.mqtts.to_string())
        .replace("{ws_port}", &place.ports.ws.to_string())
        .replace("{wss_port}", &place.ports.wss.to_string())
        .replace("{dir}", &text(place.folder.path()))
        .replace("{cert}", &text(&place.certificate))
        .replace("{key}", &text(&place.key));
    let mut command = stage.command(Role::Broker, scheduling, Path::new("sh"));
    command.arg("-c").arg(format!("exec {line}"));
    Process::start(command, place)
}
