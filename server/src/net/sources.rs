//! How many connections there are, in all and from one source, and what those not yet let in have sent.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::{Connections, IpPrefix};

/// The process's count of connections.
#[derive(Debug)]
pub(crate) struct Sources {
    limits: Connections,
    total: AtomicU32,
    opening_bytes: AtomicU64,
    /// At most as many entries as there are connections.
    per_source: Mutex<HashMap<IpPrefix, u32>>,
    /// Told when the last connection ends.
    empty: Notify,
}

/// Which limit a connection met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    /// `connections.total_max`.
    Total,
    /// `connections.per_source_max`.
    PerSource,
}

impl Sources {
    pub(crate) fn new(limits: Connections) -> Arc<Self> {
        Arc::new(Self {
            limits,
            total: AtomicU32::new(0),
            opening_bytes: AtomicU64::new(0),
            per_source: Mutex::default(),
            empty: Notify::new(),
        })
    }

    /// Waits until there is no connection.
    pub(crate) async fn drained(&self) {
        loop {
            let empty = self.empty.notified();
            if self.total() == 0 {
                return;
            }
            empty.await;
        }
    }

    /// Counts a connection that was accepted; it counts until the place is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Place, Refusal> {
        let max = self.limits.total_max;
        let entered = self
            .total
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| {
                (total < max).then(|| total + 1)
            });
        let place = |_| Place {
            sources: Arc::clone(self),
            source: None,
            opening_bytes: 0,
        };
        entered.map(place).map_err(|_| Refusal::Total)
    }

    /// Connections now.
    pub(crate) fn total(&self) -> u32 {
        self.total.load(Ordering::Relaxed)
    }

    /// Bytes that wait for clients to be let in.
    pub(crate) fn opening_bytes(&self) -> u64 {
        self.opening_bytes.load(Ordering::Relaxed)
    }
}

/// A connection's place in the count.
#[derive(Debug)]
pub(crate) struct Place {
    sources: Arc<Sources>,
    source: Option<IpPrefix>,
    opening_bytes: u64,
}

impl Place {
    /// Counts the connection for its source. Loopback is everybody behind a local proxy, so it is not counted.
    pub(crate) fn set_source(&mut self, ip: IpAddr) -> Result<(), Refusal> {
        let max = self.sources.limits.per_source_max;
        if max == 0 || ip.to_canonical().is_loopback() || self.source.is_some() {
            return Ok(());
        }
        let source = IpPrefix::of_source(ip);
        let mut per_source = self.sources.per_source.lock();
        let count = per_source.entry(source).or_insert(0);
        if *count >= max {
            return Err(Refusal::PerSource);
        }
        *count += 1;
        drop(per_source);
        self.source = Some(source);
        Ok(())
    }

    /// Says how many bytes the connection holds before it is let in. `false`: together they are too many.
    #[must_use]
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let before = self.opening_bytes;
        self.opening_bytes = bytes;
        let shared = &self.sources.opening_bytes;
        if bytes <= before {
            shared.fetch_sub(before - bytes, Ordering::Relaxed);
            return true;
        }
        let more = bytes - before;
        shared.fetch_add(more, Ordering::Relaxed) + more <= self.sources.limits.opening_bytes_max
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sources
            .opening_bytes
            .fetch_sub(self.opening_bytes, Ordering::Relaxed);
        if self.sources.total.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.sources.empty.notify_waiters();
        }
        let Some(source) = self.source else { return };
        let mut per_source = self.sources.per_source.lock();
        match per_source.get_mut(&source) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                per_source.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(total_max: u32, per_source_max: u32) -> Arc<Sources> {
        Sources::new(Connections {
            total_max,
            per_source_max,
            opening_bytes_max: 100,
            ..Connections::default()
        })
    }

    fn from(sources: &Arc<Sources>, ip: &str) -> Result<Place, Refusal> {
        let mut place = sources.enter()?;
        place.set_source(ip.parse().unwrap())?;
        Ok(place)
    }

    #[test]
    fn one_connection_too_many_is_refused_until_another_ends() {
        let sources = sources(2, 0);
        let first = from(&sources, "192.0.2.1").unwrap();
        let _second = from(&sources, "192.0.2.1").unwrap();
        assert_eq!(from(&sources, "192.0.2.2").unwrap_err(), Refusal::Total);
        drop(first);
        assert!(from(&sources, "192.0.2.2").is_ok());
        assert_eq!(sources.total(), 1);
    }

    #[test]
    fn a_source_has_its_own_limit_and_loopback_has_none() {
        let sources = sources(100, 2);
        let places = [
            "2001:db8::1",
            "2001:db8::2",
            "192.0.2.1",
            "::1",
            "::1",
            "::1",
            "127.0.0.1",
        ];
        let mut places: Vec<_> = places.iter().map(|ip| from(&sources, ip).unwrap()).collect();
        assert_eq!(from(&sources, "2001:db8::3").unwrap_err(), Refusal::PerSource);
        assert_eq!(sources.total(), 7, "a refused connection is counted no longer");
        places.remove(0);
        assert!(from(&sources, "2001:db8::3").is_ok());
        drop(places);
        assert_eq!(sources.total(), 0);
        assert!(sources.per_source.lock().is_empty());
    }

    #[test]
    fn what_waits_before_the_door_has_a_common_bound() {
        let sources = sources(10, 0);
        let (mut first, mut second) = (sources.enter().unwrap(), sources.enter().unwrap());
        assert!(first.hold(60));
        assert!(second.hold(40));
        assert!(!second.hold(41));
        drop(second);
        assert_eq!(sources.opening_bytes(), 60);
        assert!(first.hold(0));
        assert_eq!(sources.opening_bytes(), 0);
    }
}
