//! What every message of a run carries: who sent it, which one it is, and when.

use core::time::Duration;

use cloudsignal_core::Instant;

/// Bytes at the front of every payload.
pub(super) const STAMP_BYTES: usize = 24;

/// The front of a payload: run, publisher, sequence, moment; most significant byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Which run, so that what is left of another one is recognized.
    pub(super) run: u32,
    /// Which publisher of the run.
    pub(super) publisher: u32,
    /// Which of the publisher's messages, from 0.
    pub(super) sequence: u64,
    /// When it was sent or, with a rate, should have been.
    pub(super) sent_at: Instant,
}

impl Stamp {
    /// Writes it to the front of a payload.
    pub(super) fn write(&self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(&self.run.to_be_bytes());
        payload[4..8].copy_from_slice(&self.publisher.to_be_bytes());
        payload[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        payload[16..STAMP_BYTES].copy_from_slice(&self.sent_at.as_micros().to_be_bytes());
    }

    /// Reads it; `None` when the payload is too short to have one.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let (run, rest) = payload.split_first_chunk()?;
        let (publisher, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let micros = rest.first_chunk()?;
        Some(Self {
            run: u32::from_be_bytes(*run),
            publisher: u32::from_be_bytes(*publisher),
            sequence: u64::from_be_bytes(*sequence),
            sent_at: Instant::from_micros(u64::from_be_bytes(*micros)),
        })
    }

    /// How long it was on its way.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.since(self.sent_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back_and_a_short_payload_has_none() {
        let stamp = Stamp {
            run: 7,
            publisher: 49,
            sequence: u64::MAX,
            sent_at: Instant::from_micros(1_000),
        };
        let mut payload = [b'.'; 30];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(Stamp::read(&payload[..STAMP_BYTES - 1]), None);
        assert_eq!(stamp.age(Instant::from_micros(1_250)), Duration::from_micros(250));
    }
}
