//! Outputs as a shell has them: bytes are appended, and leave before they are many.

use std::sync::Arc;

use cloudsignal_broker::change::Change;
use cloudsignal_broker::{CloseCause, ConnId, Fetch, Message, Report, Sink};

/// Bytes at which a socket would have taken everything.
const FLUSH_BYTES: usize = 64 * 1_024;

/// The output of every connection.
#[derive(Debug, Default)]
pub(super) struct BenchSink(Vec<Vec<u8>>);

impl BenchSink {
    fn append(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        let at = conn.0 as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, Vec::new());
        }
        let out = &mut self.0[at];
        if out.len() > FLUSH_BYTES {
            out.clear();
        }
        out.extend_from_slice(bytes);
        0
    }
}

impl Sink for BenchSink {
    fn send(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        self.append(conn, bytes)
    }

    fn send_shared(&mut self, conn: ConnId, head: &[u8], message: &Arc<Message>) -> usize {
        self.append(conn, head) + self.append(conn, message.payload())
    }

    fn close(&mut self, conn: ConnId, cause: CloseCause) {
        panic!("{conn:?} was closed: {cause}");
    }

    fn verify(&mut self, conn: ConnId, _token: &[u8]) {
        panic!("{conn:?} sends no AUTH");
    }

    fn store(&mut self, change: Change) {
        panic!("nothing here outlives a connection, but {change:?} is to be stored");
    }

    fn fetch(&mut self, fetch: Fetch) {
        panic!("nothing is stored, but {fetch:?} is asked for");
    }

    fn report(&mut self, _report: Report<'_>) {}
}
