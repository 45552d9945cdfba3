//! A broker of a few bytes, MQTT 5: it accepts everybody, and sends some messages at QoS 1 to whoever subscribes.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use super::PATIENCE;

/// What a client has sent, after CONNECT.
enum Sent {
    /// The last byte of a message.
    Publish(u8),
    PubAck(u16),
    Disconnect,
}

pub(super) struct Broker {
    port: u16,
    sent: mpsc::Receiver<Sent>,
}

impl Broker {
    pub(super) fn start(messages: u8) -> Self {
        Self::with(messages, None)
    }

    /// One that ends the connection over messages that end in this byte.
    pub(super) fn that_hates(last: u8) -> Self {
        Self::with(0, Some(last))
    }

    fn with(messages: u8, hated: Option<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, sent) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), messages, hated, &sender);
            }
        });
        Self { port, sent }
    }

    pub(super) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    fn next(&self) -> Sent {
        self.sent.recv_timeout(PATIENCE).expect("the client is silent")
    }

    /// The packet ids of the next acknowledgements.
    pub(super) fn acknowledged(&self, count: usize) -> Vec<u16> {
        let mut ids = Vec::new();
        while ids.len() < count {
            if let Sent::PubAck(id) = self.next() {
                ids.push(id);
            }
        }
        ids
    }

    /// Those that came before the goodbye.
    pub(super) fn acknowledged_at_the_end(&self) -> Vec<u16> {
        let mut ids = Vec::new();
        loop {
            match self.next() {
                Sent::PubAck(id) => ids.push(id),
                Sent::Disconnect => return ids,
                Sent::Publish(_) => {}
            }
        }
    }

    /// The last byte of the next message.
    pub(super) fn published(&self) -> [u8; 1] {
        loop {
            if let Sent::Publish(last) = self.next() {
                return [last];
            }
        }
    }
}

/// Reads packets until the client is gone.
fn serve(mut stream: TcpStream, messages: u8, hated: Option<u8>, sent: &mpsc::Sender<Sent>) {
    while let Some((first, body)) = read(&mut stream) {
        let tell = match first >> 4 {
            1 => {
                // Success, and a session that lasts as long as the client wants.
                stream.write_all(&[0x20, 3, 0, 0, 0]).unwrap();
                None
            }
            3 if body.last().copied() == hated => return,
            3 => Some(Sent::Publish(*body.last().unwrap())),
            4 => Some(Sent::PubAck(u16::from_be_bytes([body[0], body[1]]))),
            8 => {
                // SUBACK: granted at QoS 1.
                stream.write_all(&[0x90, 4, body[0], body[1], 0, 1]).unwrap();
                for number in 0..messages {
                    let packet = [0x32, 7, 0, 1, b'a', 0, number + 1, 0, b'0' + number];
                    stream.write_all(&packet).unwrap();
                }
                None
            }
            12 => {
                stream.write_all(&[0xd0, 0]).unwrap();
                None
            }
            14 => Some(Sent::Disconnect),
            _ => None,
        };
        if let Some(tell) = tell {
            let _nobody_asks = sent.send(tell);
        }
    }
}

/// A packet: its first byte, and what follows the length.
fn read(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut byte = || {
        let mut one = [0];
        stream.read_exact(&mut one).ok().map(|()| one[0])
    };
    let first = byte()?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let next = byte()?;
        length |= usize::from(next & 0x7f) << shift;
        shift += 7;
        if next < 0x80 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((first, body))
}
