//! Free ports for the listeners of a broker under test.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that systems give to outgoing connections, so that none of those takes one in between.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 that was free a moment ago, and that this process has not given out lately.
#[must_use]
pub fn free_port() -> u16 {
    // Test programs that run at the same time begin at different places.
    let start = u16::try_from(std::process::id() * 97 % u32::from(COUNT)).expect("a remainder of COUNT");
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(start) % COUNT;
        let port = FIRST + offset;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port of 127.0.0.1 from {FIRST} on");
}
