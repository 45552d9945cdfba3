//! The sink of a run: it writes down every effect, to be judged and done after the call.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudsignal_broker::change::Change;
use cloudsignal_broker::{CloseCause, ConnId, Fetch, Message, Report, Sink};

/// One effect.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Send(ConnId, Vec<u8>),
    Close(ConnId, CloseCause),
    Verify(ConnId, Vec<u8>),
    Store(Change),
    Fetch(Fetch),
    Connected { conn: ConnId, client_id: String },
}

/// Writes effects down.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) effects: Vec<Effect>,
    /// Bytes that wait to leave, by connection.
    pub(crate) waiting: BTreeMap<ConnId, usize>,
}

impl Sink for Recorder {
    fn send(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        self.effects.push(Effect::Send(conn, bytes.to_vec()));
        let waiting = self.waiting.entry(conn).or_default();
        *waiting += bytes.len();
        *waiting
    }

    fn send_shared(&mut self, conn: ConnId, head: &[u8], message: &Arc<Message>) -> usize {
        let mut bytes = head.to_vec();
        bytes.extend_from_slice(message.payload());
        self.send(conn, &bytes)
    }

    fn close(&mut self, conn: ConnId, cause: CloseCause) {
        self.effects.push(Effect::Close(conn, cause));
    }

    fn verify(&mut self, conn: ConnId, token: &[u8]) {
        self.effects.push(Effect::Verify(conn, token.to_vec()));
    }

    fn store(&mut self, change: Change) {
        self.effects.push(Effect::Store(change));
    }

    fn fetch(&mut self, fetch: Fetch) {
        self.effects.push(Effect::Fetch(fetch));
    }

    fn report(&mut self, report: Report<'_>) {
        match report {
            Report::Connected {
                conn,
                client_id,
                username: _,
                session_present: _,
            } => self.effects.push(Effect::Connected {
                conn,
                client_id: client_id.to_owned(),
            }),
            Report::Disconnected { .. }
            | Report::Denied { .. }
            | Report::Fault { .. }
            | Report::QuotaExceeded { .. }
            | Report::SessionEnded { .. } => {}
        }
    }
}
