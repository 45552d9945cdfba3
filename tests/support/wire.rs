//! A raw connection: bytes out, bytes in, nothing that understands MQTT better than its frames.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::wait::DEADLINE;

/// A TCP connection whose every wait ends within the deadline.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
}

impl Wire {
    /// Connects.
    #[must_use]
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&addr, DEADLINE)
            .unwrap_or_else(|error| panic!("cannot connect to {addr}: {error}"));
        stream.set_nodelay(true).expect("an open socket takes options");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("an open socket takes options");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("an open socket takes options");
        let wire = Self { stream };
        wire.set_patience(DEADLINE);
        wire
    }

    /// Connects, sends a CONNECT and expects an answer with these bytes at its start.
    #[must_use]
    pub fn open(addr: SocketAddr, connect: &[u8], connack: &[u8]) -> Self {
        let mut wire = Self::connect(addr);
        wire.send(connect);
        let answer = wire.packet();
        assert!(
            answer.starts_with(connack),
            "CONNACK is {}, not {} …",
            hex(&answer),
            hex(connack)
        );
        wire
    }

    /// Sends all of it. A peer that closes meanwhile is no failure: what it says comes with the next read.
    pub fn send(&mut self, bytes: &[u8]) {
        let _closed = self.try_send(bytes);
    }

    /// Sends all of it; `false` when the peer has closed.
    #[must_use]
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) if is_closed(error.kind()) => false,
            Err(error) => panic!("cannot send: {error}"),
        }
    }

    /// The next `length` bytes.
    #[must_use]
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        assert!(
            self.fill(&mut bytes),
            "the connection ended where {length} bytes were awaited"
        );
        bytes
    }

    /// Reads one whole MQTT packet; `None` when the connection ends before it.
    #[must_use]
    pub fn packet_or_end(&mut self) -> Option<Vec<u8>> {
        let mut packet = vec![self.byte()?];
        let mut length = 0_usize;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            packet.push(byte);
            length |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let start = packet.len();
        packet.resize(start + length, 0);
        self.fill(&mut packet[start..]).then_some(packet)
    }

    /// Reads one whole MQTT packet.
    #[must_use]
    pub fn packet(&mut self) -> Vec<u8> {
        self.packet_or_end()
            .expect("the connection ended where a packet was awaited")
    }

    /// Reads one whole MQTT packet if it begins within `patience`.
    #[must_use]
    pub fn packet_within(&mut self, patience: Duration) -> Option<Vec<u8>> {
        self.set_patience(patience);
        let has_begun = self.stream.peek(&mut [0]);
        self.set_patience(DEADLINE);
        match has_begun {
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => None,
            Ok(_) | Err(_) => Some(self.packet()),
        }
    }

    fn set_patience(&self, patience: Duration) {
        let set = self.stream.set_read_timeout(Some(patience));
        set.expect("an open socket takes options");
    }

    /// The next bytes are exactly these.
    pub fn expect(&mut self, wanted: &[u8]) {
        let mut got = vec![0; wanted.len()];
        let whole = self.fill(&mut got);
        assert!(whole, "the connection ended where {} was awaited", hex(wanted));
        assert!(got == wanted, "got {}, not {}", hex(&got), hex(wanted));
    }

    /// Everything up to and with `end`, at most 64 KiB; `None` when the connection ends before it.
    #[must_use]
    pub fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        let mut got = Vec::new();
        while !got.ends_with(end) {
            assert!(got.len() < 65_536, "no {} among {}", hex(end), hex(&got));
            got.push(self.byte()?);
        }
        Some(got)
    }

    /// The broker closes the connection, and says nothing before.
    pub fn expect_end(&mut self) {
        let mut got = [0; 64];
        match self.stream.read(&mut got) {
            Ok(0) => {}
            Ok(length) => panic!("got {}, not the end of the connection", hex(&got[..length])),
            Err(error) if is_closed(error.kind()) => {}
            Err(error) => panic!("the connection does not end: {error}"),
        }
    }

    /// Everything until the broker closes the connection, at most `bytes_max`.
    #[must_use]
    pub fn rest(&mut self, bytes_max: usize) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut chunk = [0; 4_096];
        while rest.len() < bytes_max {
            match self.stream.read(&mut chunk) {
                Ok(0) => return rest,
                Ok(length) => rest.extend_from_slice(&chunk[..length]),
                Err(error) if is_closed(error.kind()) => return rest,
                Err(error) => panic!("the connection does not end: {error}; so far {}", hex(&rest)),
            }
        }
        panic!("more than {bytes_max} bytes came");
    }

    /// Reads and forgets everything until the connection ends.
    pub fn swallow(&mut self) {
        let mut chunk = vec![0; 65_536];
        while !matches!(self.stream.read(&mut chunk), Ok(0) | Err(_)) {}
    }

    /// Says that nothing more will be sent; what the broker sends can still be read.
    pub fn finish(&self) {
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// Ends the connection without a DISCONNECT, and awaits that the broker has noticed.
    pub fn close(mut self) {
        self.finish();
        let _last_words = self.rest(CLOSING_BYTES_MAX);
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.fill(&mut byte).then_some(byte[0])
    }

    /// Fills the buffer; `false` when the connection ends before.
    fn fill(&mut self, buffer: &mut [u8]) -> bool {
        match self.stream.read_exact(buffer) {
            Ok(()) => true,
            Err(error) if is_closed(error.kind()) => false,
            Err(error) => panic!("nothing came within {DEADLINE:?}: {error}"),
        }
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    [
        ErrorKind::UnexpectedEof,
        ErrorKind::ConnectionReset,
        ErrorKind::ConnectionAborted,
        ErrorKind::BrokenPipe,
    ]
    .contains(&kind)
}

/// `10 0C 00 04`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(HEX_BYTES_MAX) {
        write!(text, "{byte:02X} ").expect("a String takes all");
    }
    if bytes.len() > HEX_BYTES_MAX {
        write!(text, "… {} bytes", bytes.len()).expect("a String takes all");
    }
    text.trim_end().to_owned()
}

/// What may still come to a client that is going.
const CLOSING_BYTES_MAX: usize = 16 * 1_048_576;

const HEX_BYTES_MAX: usize = 256;
