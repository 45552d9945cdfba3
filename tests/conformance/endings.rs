//! What clients are told when the program ends, and what is there when it comes back.

use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::packets::connect_v5;
use cloudsignal_tests::wire::{Wire, hex};

use crate::{broker, client_v5, client_v311};

#[test]
fn clients_are_told_that_the_broker_shuts_down() {
    let mut broker = broker();
    let mut client = client_v5(&broker, "v5");
    let mut older = client_v311(&broker, b"v4");
    assert_eq!(broker.terminate(), Some(0));
    // DISCONNECT: server shutting down.
    let disconnect = client.packet();
    assert_eq!(
        (disconnect[0], disconnect[2]),
        (0xE0, 0x8B),
        "{}",
        hex(&disconnect)
    );
    client.expect_end();
    older.expect_end();
}

#[test]
fn accounts_survive_both_ways_to_end() {
    let mut broker = BrokerOptions::default().start();
    let first_run = broker.first_run();
    broker.add_user("ada", "correct horse battery");
    broker.kill();
    let mut broker = broker.start_again();
    assert_eq!(
        broker.first_run().org_id,
        first_run.org_id,
        "the first start was the first"
    );
    broker.terminate();
    let broker = broker.start_again();
    let ada = format!("ada@{}", first_run.org_id);
    for (username, password, reason) in [
        (ada.as_str(), "correct horse battery", 0x00),
        (&first_run.username, &first_run.password, 0x00),
        (&ada, "wrong", 0x86),
    ] {
        let mut wire = Wire::connect(broker.addr(Listener::Mqtt));
        wire.send(&connect_v5("again", Some((username, password))));
        let connack = wire.packet();
        assert_eq!(
            (connack[0], connack[3]),
            (0x20, reason),
            "{username}: {}",
            hex(&connack)
        );
    }
}
