//! Bytes in, bytes out: what the running program says to hand-written packets, byte for byte.
//!
//! Every statement of the specifications is tested beside the machine that obeys it
//! (`server/broker/tests/conformance/`); here stands what only the whole program can show, and one example of each
//! exchange, so that no mistake that our encoder and decoder share goes unseen.
//!
//! | file | about |
//! |---|---|
//! | [`opening`] | CONNECT and its answers |
//! | [`exchanges`] | QoS 0, 1 and 2, retained messages, wills, sessions |
//! | [`malformed`] | packets that are none |
//! | [`numbering`] | numbered messages |
//! | [`endings`] | what clients are told when the program ends, and what is there when it comes back |

mod endings;
mod exchanges;
mod malformed;
mod numbering;
mod opening;

use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::packets::{CONNACK_V3, connect_v5, packet};
use cloudsignal_tests::wire::Wire;

/// A broker that lets everybody in without a login.
fn broker() -> Broker {
    BrokerOptions::default().with_anonymous_clients().start()
}

/// A client of MQTT 5 that is let in.
fn client_v5(broker: &Broker, client_id: &str) -> Wire {
    let mut wire = Wire::connect(broker.addr(Listener::Mqtt));
    wire.send(&connect_v5(client_id, None));
    let connack = wire.packet();
    assert!(
        connack[0] == 0x20 && connack[2..4] == [0x00, 0x00],
        "{connack:02X?}"
    );
    wire
}

/// A client of MQTT 3.1.1 that is let in.
fn client_v311(broker: &Broker, client_id: &[u8]) -> Wire {
    Wire::open(
        broker.addr(Listener::Mqtt),
        &connect_v311(client_id, 0x02),
        CONNACK_V3,
    )
}

/// CONNECT of MQTT 3.1.1 with these flags and no keep alive.
fn connect_v311(client_id: &[u8], flags: u8) -> Vec<u8> {
    let start = [0x00, 0x04, b'M', b'Q', b'T', b'T', 0x04, flags, 0x00, 0x00];
    let length = u16::try_from(client_id.len())
        .expect("a short client id")
        .to_be_bytes();
    packet(0x10, &[&start[..], &length, client_id].concat())
}
