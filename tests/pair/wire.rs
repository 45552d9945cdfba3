//! Bytes on their way between a client and the broker.

use std::collections::VecDeque;

use cloudsignal_broker::ConnId;
use cloudsignal_core::Decoder;
use cloudsignal_tests::random::Random;

/// One connection, as the network sees it.
#[derive(Debug)]
pub(crate) struct Wire {
    /// From the client to the broker.
    pub(crate) up: VecDeque<u8>,
    /// From the broker to the client.
    pub(crate) down: VecDeque<u8>,
    /// The broker's number for it, once CONNECT was accepted.
    pub(crate) conn: Option<ConnId>,
    pub(crate) decoder: Decoder,
    /// What the broker has of a packet that is not whole.
    pub(crate) inbox: Vec<u8>,
    /// The client sends nothing more.
    pub(crate) client_is_gone: bool,
    /// The broker sends nothing more.
    pub(crate) broker_is_gone: bool,
    /// The broker has been told that the client is gone.
    pub(crate) is_over: bool,
    /// Nothing moves, and nobody is told.
    pub(crate) is_stalled: bool,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self {
            up: VecDeque::new(),
            down: VecDeque::new(),
            conn: None,
            decoder: Decoder::new(1 << 20),
            inbox: Vec::new(),
            client_is_gone: false,
            broker_is_gone: false,
            is_over: false,
            is_stalled: false,
        }
    }

    /// Some of what waits, at least one byte of it.
    pub(crate) fn take(bytes: &mut VecDeque<u8>, random: &mut Random) -> Vec<u8> {
        let all = bytes.len();
        let some = if all > 1 && random.chance(30) {
            random.index(all) + 1
        } else {
            all
        };
        bytes.drain(..some).collect()
    }

    /// The connection breaks: the end of what is on its way never arrives.
    pub(crate) fn cut(&mut self, random: &mut Random) {
        for bytes in [&mut self.up, &mut self.down] {
            let left = random.index(bytes.len() + 1);
            bytes.truncate(left);
        }
        self.client_is_gone = true;
        self.broker_is_gone = true;
        self.is_stalled = false;
    }
}
