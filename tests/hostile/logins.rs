//! Guessed passwords, by the thousand, from hundreds of addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::packets::connect_v5;
use cloudsignal_tests::wait;
use cloudsignal_tests::wire::Wire;

use crate::attack::{Attack, MIB, crowd, dial, rest, scaled, send};

const GUESSES: usize = 5_000;
const AT_ONCE: usize = 500;

/// One hash takes 19 MiB; there are as many threads as the machine has cores, at most 16.
fn growth_bytes_max() -> u64 {
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(16));
    threads as u64 * 19 * MIB + 32 * MIB
}

/// Reason codes that refuse a login for now: server unavailable, server busy, connection rate exceeded.
const LATER: [u8; 3] = [0x88, 0x89, 0x9F];

#[tokio::test]
async fn guessed_passwords_neither_get_in_nor_keep_others_out() {
    let attack = Attack::start("logins", BrokerOptions::default());
    let addr = attack.addr(Listener::Mqtt);
    let first_run = attack.broker.first_run();
    let org_id = first_run.org_id.clone();
    attack.broker.add_user("ada", "correct horse battery");
    let [refused, later] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));

    let good = {
        let username = format!("ada@{org_id}");
        tokio::task::spawn_blocking(move || {
            // Meanwhile somebody logs in for the first time, with the right password.
            wait::until("a login with the right password", || {
                let mut wire = Wire::connect(addr);
                wire.send(&connect_v5("ada", Some((&username, "correct horse battery"))));
                let connack = wire.packet();
                assert!(
                    connack[3] == 0x00 || LATER.contains(&connack[3]),
                    "{connack:02X?}"
                );
                (connack[3] == 0x00).then_some(())
            });
        })
    };
    let guesses = scaled(GUESSES);
    crowd(guesses, AT_ONCE, |number| {
        // Every third guesses at a user who exists.
        let name = if number % 3 == 0 {
            "demo".to_owned()
        } else {
            format!("user{number}")
        };
        let guess = format!("guess {number}");
        let connect = connect_v5(
            &format!("guess-{number}"),
            Some((&format!("{name}@{org_id}"), &guess)),
        );
        let (refused, later) = (Arc::clone(&refused), Arc::clone(&later));
        async move {
            let mut stream = dial(addr, number).await;
            send(&mut stream, &connect).await;
            let answer = rest(&mut stream).await;
            match answer.get(3) {
                Some(0x86) => refused.fetch_add(1, Ordering::Relaxed),
                Some(code) if LATER.contains(code) => later.fetch_add(1, Ordering::Relaxed),
                Some(_) | None => panic!("a guess was answered with {answer:02X?}"),
            };
        }
    })
    .await;
    good.await.expect("a good login gets in");
    let [refused, later] = [refused, later].map(|count| count.load(Ordering::Relaxed));
    attack.end(
        &format!("{guesses} guesses, {AT_ONCE} at once: {refused} refused, {later} told to come later"),
        growth_bytes_max(),
    );
}
