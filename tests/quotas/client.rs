//! A client that says what it is told to say, and shows the code it got.

use std::net::SocketAddr;

use cloudsignal_tests::packets::{field, packet, publish_v5, subscribe_v5};
use cloudsignal_tests::wire::{Wire, hex};

/// How a client logs in.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) addr: SocketAddr,
    pub(crate) username: String,
    pub(crate) password: String,
}

/// Protocol versions, by their byte in CONNECT.
pub(crate) const V5: u8 = 5;
pub(crate) const V311: u8 = 4;

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    wire: Wire,
    version: u8,
}

impl Door {
    /// The code of CONNACK, and the client behind it.
    pub(crate) fn knock(&self, version: u8, client_id: &str) -> (u8, Client) {
        let mut body = field(b"MQTT");
        // User name, password, clean start; no keep alive.
        body.extend([version, 0xC2, 0, 0]);
        if version == V5 {
            body.push(0);
        }
        for part in [client_id, &self.username, &self.password] {
            body.extend(field(part.as_bytes()));
        }
        let mut wire = Wire::connect(self.addr);
        wire.send(&packet(0x10, &body));
        let answer = wire.packet();
        assert_eq!(answer[0], 0x20, "CONNACK, not {}", hex(&answer));
        (answer[3], Client { wire, version })
    }

    /// A client that is let in.
    pub(crate) fn enter(&self, version: u8, client_id: &str) -> Client {
        let (code, client) = self.knock(version, client_id);
        assert_eq!(code, 0, "{client_id} is let in");
        client
    }

    /// A client that leaves a session behind in which one subscription waits for messages.
    pub(crate) fn leave_session(&self, client_id: &str, filter: &str) {
        let mut body = field(b"MQTT");
        // No clean start; session expiry 600 s.
        body.extend([V5, 0xC0, 0, 0, 5, 0x11, 0, 0, 2, 0x58]);
        for part in [client_id, &self.username, &self.password] {
            body.extend(field(part.as_bytes()));
        }
        let mut wire = Wire::connect(self.addr);
        wire.send(&packet(0x10, &body));
        assert_eq!(wire.packet()[3], 0, "{client_id} is let in");
        let mut client = Client { wire, version: V5 };
        assert_eq!(client.subscribe(filter, 1), 1);
        client.leave();
    }
}

impl Client {
    /// The code of SUBACK.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) -> u8 {
        let mut subscribe = subscribe_v5(7, filter.as_bytes(), qos);
        if self.version != V5 {
            let mut body = vec![0, 7];
            body.extend(field(filter.as_bytes()));
            body.push(qos);
            subscribe = packet(0x82, &body);
        }
        self.wire.send(&subscribe);
        let answer = self.wire.packet();
        assert_eq!(answer[0], 0x90, "SUBACK, not {}", hex(&answer));
        answer[answer.len() - 1]
    }

    /// The code of PUBACK; 3.1.1 has none, which is 0.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8]) -> u8 {
        self.publish_bytes(&self.publish_packet(topic, payload))
    }

    /// As [`Self::publish`], for later subscribers too.
    pub(crate) fn retain(&mut self, topic: &str, payload: &[u8]) -> u8 {
        let mut bytes = self.publish_packet(topic, payload);
        bytes[0] |= 1;
        self.publish_bytes(&bytes)
    }

    fn publish_packet(&self, topic: &str, payload: &[u8]) -> Vec<u8> {
        if self.version == V5 {
            return publish_v5(Some(9), topic.as_bytes(), payload);
        }
        let mut body = field(topic.as_bytes());
        body.extend([0, 9]);
        body.extend_from_slice(payload);
        packet(0x32, &body)
    }

    /// Sends a QoS 1 PUBLISH as it is. Answers the code of its PUBACK.
    pub(crate) fn publish_bytes(&mut self, bytes: &[u8]) -> u8 {
        self.wire.send(bytes);
        let answer = self.wire.packet();
        assert_eq!(answer[0], 0x40, "PUBACK, not {}", hex(&answer));
        answer.get(4).copied().unwrap_or(0)
    }

    /// Publishes at QoS 0.
    pub(crate) fn tell(&mut self, topic: &str, payload: &[u8]) {
        let mut bytes = publish_v5(None, topic.as_bytes(), payload);
        if self.version != V5 {
            let mut body = field(topic.as_bytes());
            body.extend_from_slice(payload);
            bytes = packet(0x30, &body);
        }
        self.wire.send(&bytes);
    }

    /// Sends bytes as they are.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.wire.send(bytes);
    }

    /// Reads whatever comes, until the connection ends.
    pub(crate) fn swallow(mut self) {
        self.wire.swallow();
    }

    /// Publishes at QoS 2, to the end of the exchange.
    pub(crate) fn publish_twice_sure(&mut self, topic: &str, payload: &[u8]) {
        let mut body = field(topic.as_bytes());
        body.extend([0, 11]);
        if self.version == V5 {
            body.push(0);
        }
        body.extend_from_slice(payload);
        self.wire.send(&packet(0x34, &body));
        let pubrec = self.wire.packet();
        assert_eq!(pubrec[0], 0x50, "PUBREC, not {}", hex(&pubrec));
        self.wire.send(&[0x62, 2, 0, 11]);
        let pubcomp = self.wire.packet();
        assert_eq!(pubcomp[0], 0x70, "PUBCOMP, not {}", hex(&pubcomp));
    }

    /// The payload of the next message, which is acknowledged if it wants to be. `None` at the answer to a ping that was
    /// sent before.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let got = self.wire.packet();
        if got[0] == 0xD0 {
            return None;
        }
        assert_eq!(got[0] & 0xF0, 0x30, "PUBLISH, not {}", hex(&got));
        assert!(got[1] < 0x80, "the messages of these tests are short");
        let topic_end = 4 + usize::from(u16::from_be_bytes([got[2], got[3]]));
        let is_reliable = got[0] & 0x06 != 0;
        let mut at = topic_end;
        if is_reliable {
            self.wire.send(&[0x40, 2, got[topic_end], got[topic_end + 1]]);
            at += 2;
        }
        if self.version == V5 {
            at += 1 + usize::from(got[at]);
        }
        Some(got[at..].to_vec())
    }

    pub(crate) fn ping(&mut self) {
        self.wire.send(&[0xC0, 0]);
    }

    /// The code of the DISCONNECT that comes next.
    pub(crate) fn sent_away(&mut self) -> u8 {
        loop {
            let got = self.wire.packet();
            if got[0] == 0xE0 {
                return got.get(2).copied().unwrap_or(0);
            }
        }
    }

    /// Whether the connection ends without another word, but for acknowledgements.
    pub(crate) fn is_cut(&mut self) -> bool {
        while let Some(got) = self.wire.packet_or_end() {
            if got[0] != 0x40 {
                return false;
            }
        }
        true
    }

    /// Says goodbye, and awaits that the broker has taken note.
    pub(crate) fn leave(mut self) {
        self.wire.send(&[0xE0, 0]);
        self.wire.expect_end();
    }
}
