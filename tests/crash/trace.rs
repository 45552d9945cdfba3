//! Every packet of a run in a file, for whoever wants to know how a fault came about: `CS_TEST_CRASH_TRACE=FILE`.
//!
//! ```text
//! 1204 cycle 2 subscriber-15 < PUBLISH id 7 QoS 2 crash/…/m/1/1 number 666
//! 1204 cycle 2 subscriber-15 > PubRec id 7 Success
//! ```

use std::env;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use cloudsignal_core::codec::{Ack, Packet, PacketId};

use crate::connection::Got;
use crate::ledger::Ledger;
use crate::message;

/// Where one client's packets are written down, if anywhere.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    file: Option<Arc<Mutex<BufWriter<File>>>>,
    ledger: Ledger,
    client: String,
}

impl Trace {
    /// As the environment says.
    pub(crate) fn from_environment(ledger: &Ledger) -> Self {
        let file = env::var_os("CS_TEST_CRASH_TRACE").map(|path| {
            let file = File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            Arc::new(Mutex::new(BufWriter::new(file)))
        });
        Self {
            file,
            ledger: ledger.clone(),
            client: String::new(),
        }
    }

    /// The same file, for a client.
    pub(crate) fn of(&self, client: &str) -> Self {
        Self {
            client: client.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) fn sent(&self, packet: &Packet<'_>) {
        self.write(|| format!("> {}", sent_in_words(packet)));
    }

    pub(crate) fn got(&self, got: &Got) {
        self.write(|| format!("< {}", got_in_words(got)));
    }

    /// Something else that matters.
    pub(crate) fn say(&self, text: &str) {
        self.write(|| text.to_owned());
    }

    fn write(&self, line: impl FnOnce() -> String) {
        let Some(file) = &self.file else { return };
        let (now, cycle) = self.ledger.with(|books| (books.now, books.cycle));
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{now} cycle {cycle} {} {}", self.client, line()).expect("the trace can be written");
    }
}

fn got_in_words(got: &Got) -> String {
    match got {
        Got::Publish {
            qos,
            occasion,
            retain,
            topic,
            payload,
            packet_id,
        } => format!(
            "PUBLISH {} QoS {} {occasion:?} {retain:?} {topic} {}",
            id_in_words(*packet_id),
            qos.bits(),
            number_in_words(payload)
        ),
        Got::Ack(kind, id, reason) => format!("{kind:?} {} {reason:?}", id_in_words(Some(*id))),
        Got::ConnAck(_)
        | Got::SubAck(..)
        | Got::UnsubAck(_)
        | Got::PingResp
        | Got::Disconnect(_)
        | Got::Other(_) => {
            format!("{got:?}")
        }
    }
}

fn sent_in_words(packet: &Packet<'_>) -> String {
    let ack =
        |kind: &str, ack: &Ack<'_>| format!("{kind} {} {:?}", id_in_words(Some(ack.packet_id)), ack.reason);
    match packet {
        Packet::Connect(connect) => format!(
            "CONNECT {:?} clean start {}",
            connect.version, connect.clean_start
        ),
        Packet::Publish(publish) => format!(
            "PUBLISH {} QoS {} dup {} {} {}",
            id_in_words(publish.packet_id),
            publish.qos.bits(),
            publish.dup,
            publish.topic.map_or("", |topic| topic.as_str()),
            number_in_words(publish.payload)
        ),
        Packet::PubAck(it) => ack("PubAck", it),
        Packet::PubRec(it) => ack("PubRec", it),
        Packet::PubRel(it) => ack("PubRel", it),
        Packet::PubComp(it) => ack("PubComp", it),
        Packet::ConnAck(_)
        | Packet::Subscribe(_)
        | Packet::SubAck(_)
        | Packet::Unsubscribe(_)
        | Packet::UnsubAck(_)
        | Packet::PingReq
        | Packet::PingResp
        | Packet::Disconnect(_)
        | Packet::Auth(_) => format!("{packet:?}"),
    }
}

fn id_in_words(id: Option<PacketId>) -> String {
    id.map_or_else(|| "no id".to_owned(), |id| format!("id {id}"))
}

fn number_in_words(payload: &[u8]) -> String {
    match message::read(payload) {
        Some(name) => format!("number {}", name.number),
        None => format!("{} bytes", payload.len()),
    }
}
