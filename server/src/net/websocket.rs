//! WebSocket frames around MQTT bytes (section 6 of MQTT 5.0), without a socket.
//!
//! tungstenite reads and judges the frames; what they carry is one byte stream, cut anywhere: several packets in
//! a frame, or a packet over several frames [MQTT-6.0.0-2]. On the way out everything that waits leaves in one
//! binary frame, because a browser pays for each frame.

use std::io::{self, Read, Write};

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// The subprotocol that client and server agree on [MQTT-6.0.0-3].
pub(crate) const SUBPROTOCOL: &str = "mqtt";

/// What clients of MQTT 3.1 offer, which is older than the rule; MQTT.js and Paho's JavaScript client do.
pub(crate) const SUBPROTOCOL_V31: &str = "mqttv3.1";

/// What an idle connection's read buffer takes. Frames that are larger make it grow.
const IDLE_BUFFER_BYTES: usize = 1_024;
/// A message of this size leaves a buffer behind that is worth giving back.
const LARGE_MESSAGE_BYTES: usize = 16 * 1_024;

/// The frames of one connection.
pub(crate) struct WebSocket {
    context: WebSocketContext,
    message_bytes_max: usize,
    /// Bytes of frames that went in since the context was made.
    bytes_in: u64,
    /// The least that the messages which came out can have taken as frames.
    bytes_out: u64,
    /// Whether the context's buffer has grown.
    has_grown: bool,
}

/// Why no more frames will be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed; the answer is among the control bytes.
    ClosedByClient,
    /// We must close, with this code.
    Refused(CloseCode),
}

impl WebSocket {
    /// A connection whose upgrade is done. A message, and so a frame, has at most `message_bytes_max` bytes.
    pub(crate) fn new(message_bytes_max: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(IDLE_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        Self {
            context: WebSocketContext::new(Role::Server, Some(config)),
            message_bytes_max,
            bytes_in: 0,
            bytes_out: 0,
            has_grown: false,
        }
    }

    /// Changes the largest message, from the next frame on.
    pub(crate) fn set_message_bytes_max(&mut self, message_bytes_max: usize) {
        self.message_bytes_max = message_bytes_max;
        self.context.set_config(|config| {
            config.max_message_size = Some(message_bytes_max);
            config.max_frame_size = Some(message_bytes_max);
        });
    }

    /// Takes in what the socket gave. Appends MQTT bytes to `plain`, and pongs and the like to `control`.
    ///
    /// What stands in `plain` before an [`End`] was sent before it, and counts.
    pub(crate) fn read(&mut self, input: &[u8], plain: &mut Vec<u8>, control: &mut Vec<u8>) -> Option<End> {
        self.bytes_in += input.len() as u64;
        let mut wire = Wire { input, control };
        loop {
            let payload_bytes = match self.context.read(&mut wire) {
                Ok(Message::Binary(payload)) => {
                    plain.extend_from_slice(&payload);
                    payload.len()
                }
                Ok(Message::Ping(payload) | Message::Pong(payload)) => payload.len(),
                // [MQTT-6.0.0-1]: data frames other than binary end the connection.
                Ok(Message::Text(_) | Message::Frame(_)) => {
                    return Some(End::Refused(CloseCode::Unsupported));
                }
                Ok(Message::Close(_)) => {
                    // The answer is written by the next call.
                    let _ = self.context.flush(&mut wire);
                    return Some(End::ClosedByClient);
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Some(end_of(&error)),
            };
            self.bytes_out += frame_bytes_min(payload_bytes);
            self.has_grown |= payload_bytes >= LARGE_MESSAGE_BYTES;
        }
        self.shrink();
        None
    }

    /// Gives a grown buffer back once it is known to be empty: when as many bytes came out as went in.
    ///
    /// Whoever sends fragments makes the two counts differ for good, and keeps the buffer.
    fn shrink(&mut self) {
        if self.has_grown && self.bytes_in == self.bytes_out {
            *self = Self::new(self.message_bytes_max);
        }
    }
}

/// Appends the header of a binary frame with a payload of `payload_bytes` [MQTT-6.0.0-1].
pub(crate) fn write_binary_header(payload_bytes: usize, out: &mut Vec<u8>) {
    let header = FrameHeader {
        opcode: OpCode::Data(Data::Binary),
        ..FrameHeader::default()
    };
    header
        .format(payload_bytes as u64, out)
        .expect("invariant: a Vec takes everything");
}

/// Appends a close frame.
pub(crate) fn write_close(code: CloseCode, out: &mut Vec<u8>) {
    let close = CloseFrame {
        code,
        reason: "".into(),
    };
    Frame::close(Some(close))
        .format(out)
        .expect("invariant: a Vec takes everything");
}

/// Bytes of a client's frame with a payload of this size: header, mask, payload.
const fn frame_bytes_min(payload_bytes: usize) -> u64 {
    let header_bytes = match payload_bytes {
        0..=125 => 2 + 4,
        126..=0xFFFF => 4 + 4,
        _ => 10 + 4,
    };
    header_bytes + payload_bytes as u64
}

fn end_of(error: &Error) -> End {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => End::ClosedByClient,
        Error::Capacity(_) => End::Refused(CloseCode::Size),
        Error::Utf8(_) => End::Refused(CloseCode::Invalid),
        Error::Io(_)
        | Error::Tls(_)
        | Error::Protocol(_)
        | Error::WriteBufferFull(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_) => End::Refused(CloseCode::Protocol),
    }
}

/// What tungstenite sees of the world: the bytes at hand, and a place for its answers.
struct Wire<'a> {
    input: &'a [u8],
    control: &'a mut Vec<u8>,
}

impl Read for Wire<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.read(buf)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.control.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSocket")
            .field("message_bytes_max", &self.message_bytes_max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
    const FIN: u8 = 0x80;
    const CONTINUATION: u8 = 0x0;
    const TEXT: u8 = 0x1;
    const BINARY: u8 = 0x2;
    const CLOSE: u8 = 0x8;
    const PING: u8 = 0x9;

    /// A client's frame, byte by byte as RFC 6455 draws it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            bytes @ 0..=125 => frame.push(0x80 | bytes as u8),
            bytes @ 126..=0xFFFF => {
                frame.push(0x80 | 126);
                frame.extend((bytes as u16).to_be_bytes());
            }
            bytes => {
                frame.push(0x80 | 127);
                frame.extend((bytes as u64).to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(
            payload
                .iter()
                .zip(MASK.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        frame
    }

    struct Client {
        socket: WebSocket,
        plain: Vec<u8>,
        control: Vec<u8>,
        end: Option<End>,
    }

    impl Client {
        fn new(message_bytes_max: usize) -> Self {
            Self {
                socket: WebSocket::new(message_bytes_max),
                plain: Vec::new(),
                control: Vec::new(),
                end: None,
            }
        }

        fn send(&mut self, bytes: &[u8]) -> &mut Self {
            assert_eq!(self.end, None, "nothing is read after the end");
            self.end = self.socket.read(bytes, &mut self.plain, &mut self.control);
            self
        }
    }

    #[test]
    fn frames_are_one_byte_stream_however_they_are_cut() {
        let mut bytes = frame(FIN | BINARY, b"several packets ");
        bytes.extend(frame(BINARY, b"and one "));
        bytes.extend(frame(CONTINUATION, b"over "));
        bytes.extend(frame(FIN | PING, b"?"));
        bytes.extend(frame(FIN | CONTINUATION, b"frames"));
        bytes.extend(frame(FIN | BINARY, b""));
        for step in 1..=bytes.len() {
            let mut client = Client::new(64);
            for part in bytes.chunks(step) {
                client.send(part);
            }
            assert_eq!(
                client.plain, b"several packets and one over frames",
                "in steps of {step}"
            );
            assert_eq!(
                client.control, b"\x8a\x01?",
                "the ping is answered, in steps of {step}"
            );
        }
    }

    #[test]
    fn text_is_refused_after_what_came_before_it() {
        let mut client = Client::new(64);
        let mut bytes = frame(FIN | BINARY, b"before");
        bytes.extend(frame(FIN | TEXT, b"hello"));
        client.send(&bytes);
        assert_eq!(client.plain, b"before");
        assert_eq!(
            client.end,
            Some(End::Refused(CloseCode::Unsupported)),
            "[MQTT-6.0.0-1]"
        );
    }

    #[test]
    fn a_close_is_answered_once() {
        let mut client = Client::new(64);
        client.send(&frame(FIN | CLOSE, &1_000_u16.to_be_bytes()));
        assert_eq!(client.end, Some(End::ClosedByClient));
        assert_eq!(client.control, [0x88, 2, 0x03, 0xE8]);
    }

    #[test]
    fn what_breaks_the_rules_is_refused_with_a_code() {
        let reserved_bit = frame(FIN | 0x40 | BINARY, b"x");
        let unmasked = vec![FIN | BINARY, 1, b'x'];
        let unknown = frame(FIN | 0x3, b"x");
        let long_ping = frame(FIN | PING, &[0; 126]);
        let cut_ping = frame(PING, b"x");
        let loose = frame(FIN | CONTINUATION, b"x");
        for bytes in [reserved_bit, unmasked, unknown, long_ping, cut_ping, loose] {
            let end = Client::new(1_024).send(&bytes).end;
            assert_eq!(end, Some(End::Refused(CloseCode::Protocol)), "{bytes:02x?}");
        }
        let bad_text = frame(FIN | TEXT, &[0xFF]);
        let end = Client::new(64).send(&bad_text).end;
        assert_eq!(end, Some(End::Refused(CloseCode::Invalid)));
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused_by_its_header_and_fragments_by_their_sum() {
        let header = &frame(FIN | BINARY, &[0; 65])[..6];
        assert_eq!(
            Client::new(64).send(header).end,
            Some(End::Refused(CloseCode::Size))
        );
        let endless = [FIN | BINARY, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        let end = Client::new(64).send(&[&endless[..], &MASK].concat()).end;
        assert!(matches!(end, Some(End::Refused(_))), "{end:?}");

        let mut client = Client::new(64);
        client.send(&frame(BINARY, &[0; 40]));
        client.send(&frame(FIN | CONTINUATION, &[0; 40]));
        assert_eq!(client.end, Some(End::Refused(CloseCode::Size)));
    }

    #[test]
    fn the_limit_can_rise_once_a_client_is_known() {
        let mut client = Client::new(64);
        client.socket.set_message_bytes_max(1_024);
        client.send(&frame(FIN | BINARY, &[7; 1_000]));
        assert_eq!(client.plain, [7; 1_000]);
    }

    #[test]
    fn a_grown_buffer_is_given_back_when_nothing_waits_in_it() {
        let large = frame(FIN | BINARY, &[7; LARGE_MESSAGE_BYTES]);
        let mut client = Client::new(1_048_576);
        client.send(&large[..100]).send(&large[100..]);
        assert!(!client.socket.has_grown, "made anew");
        client.send(&large).send(&frame(FIN | BINARY, b"small"));
        assert_eq!(client.plain.len(), 2 * LARGE_MESSAGE_BYTES + 5);

        // With the beginning of another frame in it, it must stay.
        client.send(&[&large[..], &large[..7]].concat());
        assert!(client.socket.has_grown);
        client.send(&large[7..]);
        assert!(!client.socket.has_grown);
        assert_eq!(client.plain.len(), 4 * LARGE_MESSAGE_BYTES + 5);
    }

    #[test]
    fn headers_are_as_long_as_the_payload_needs() {
        let header = |bytes| {
            let mut out = Vec::new();
            write_binary_header(bytes, &mut out);
            out
        };
        assert_eq!(header(5), [0x82, 5]);
        assert_eq!(header(126), [0x82, 126, 0, 126]);
        assert_eq!(header(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        let mut close = Vec::new();
        write_close(CloseCode::Normal, &mut close);
        assert_eq!(close, [0x88, 2, 0x03, 0xE8]);
    }
}
