//! A well-behaved pair of clients: one publishes, the other gets every message, in order, while others do harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cloudsignal_tests::broker::{Broker, Listener};
use cloudsignal_tests::packets::{connect_v5, publish_v5, subscribe_v5};
use cloudsignal_tests::wait::Deadline;
use cloudsignal_tests::wire::Wire;

/// What the pair has seen.
pub(crate) struct Served {
    pub(crate) messages: u64,
    pub(crate) slowest: Duration,
}

pub(crate) struct Witness {
    stop: Arc<AtomicBool>,
    pair: JoinHandle<Served>,
}

impl Witness {
    /// Starts the pair and awaits its first message.
    pub(crate) fn start(broker: &Broker) -> Self {
        let first_run = broker.first_run();
        let login = Some((first_run.username.as_str(), first_run.password.as_str()));
        let open = |client_id| {
            let mut wire = Wire::connect(broker.addr(Listener::Mqtt));
            wire.send(&connect_v5(client_id, login));
            let connack = wire.packet();
            assert_eq!(connack[3], 0x00, "the witness is let in: {connack:02X?}");
            wire
        };
        let mut pair = Pair {
            publisher: open("witness-publisher"),
            subscriber: open("witness-subscriber"),
        };
        pair.subscriber.send(&subscribe_v5(1, TOPIC, 0x01));
        // SUBACK: packet id 1, no properties, granted QoS 1.
        pair.subscriber.expect(&[0x90, 0x04, 0x00, 0x01, 0x00, 0x01]);
        pair.pass_on(0);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self {
            stop,
            pair: thread::spawn(move || pair.run(&stopped)),
        }
    }

    /// Awaits the message that is under way and ends. Panics if one was lost.
    pub(crate) fn stop(self) -> Served {
        self.stop.store(true, Ordering::Relaxed);
        match self.pair.join() {
            Ok(served) => served,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

const TOPIC: &[u8] = b"witness";

struct Pair {
    publisher: Wire,
    subscriber: Wire,
}

impl Pair {
    fn run(mut self, stop: &AtomicBool) -> Served {
        let mut served = Served {
            messages: 0,
            slowest: Duration::ZERO,
        };
        while !stop.load(Ordering::Relaxed) {
            served.messages += 1;
            let sent = Deadline::start();
            self.pass_on(served.messages);
            served.slowest = served.slowest.max(sent.elapsed());
            // sleep: an ordinary client has pauses; the attacker gets the processor
            thread::sleep(Duration::from_millis(2));
        }
        served
    }

    /// One message from the publisher to the subscriber at QoS 1, acknowledged on both sides.
    fn pass_on(&mut self, number: u64) {
        let payload = format!("message {number}");
        self.publisher
            .send(&publish_v5(Some(1), TOPIC, payload.as_bytes()));
        // PUBACK for packet id 1; its reason, success, is left out.
        self.publisher.expect(&[0x40, 0x02, 0x00, 0x01]);
        let got = self.subscriber.packet();
        // The packet id is the broker's; everything around it is as it was sent.
        let start = 2 + 2 + TOPIC.len();
        let id = &got[start..start + 2];
        assert!(
            got[0] == 0x32 && got.ends_with(payload.as_bytes()),
            "{payload} came as {got:02X?}"
        );
        self.subscriber.send(&[0x40, 0x02, id[0], id[1]]);
    }
}
