//! The wire between a client and the broker: two byte streams that may be split anywhere, stall, and break.
//! Bytes are never lost inside a stream, never reordered: MQTT stands on TCP.

use std::collections::VecDeque;

use cloudsignal_core::Instant;
use cloudsignal_tests::random::Random;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    bytes: VecDeque<u8>,
    stalled_until: Instant,
    /// Nothing more will be written.
    is_ended: bool,
    /// The reader knows that nothing more will come.
    is_end_seen: bool,
}

/// What a reader got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Nothing for now.
    Nothing,
    Bytes(Vec<u8>),
    /// The writer is gone. Told once.
    End,
}

impl Pipe {
    pub(crate) fn write(&mut self, bytes: impl IntoIterator<Item = u8>) {
        if !self.is_ended {
            self.bytes.extend(bytes);
        }
    }

    /// The writer closes: what it wrote still arrives.
    pub(crate) const fn end(&mut self) {
        self.is_ended = true;
    }

    /// The connection breaks: of what is under way, a part still arrives.
    pub(crate) fn cut(&mut self, random: &mut Random) {
        let kept = random.index(self.bytes.len() + 1);
        self.bytes.truncate(kept);
        self.is_ended = true;
    }

    /// Nothing arrives before `until`.
    pub(crate) const fn stall(&mut self, until: Instant) {
        self.stalled_until = until;
    }

    pub(crate) const fn heal(&mut self) {
        self.stalled_until = Instant::ZERO;
    }

    /// Whether the reader would get something.
    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        now >= self.stalled_until && (!self.bytes.is_empty() || (self.is_ended && !self.is_end_seen))
    }

    /// Some of the bytes, at most `bytes_max`: a piece whose end has nothing to do with packets, or with `haste`
    /// percent everything.
    pub(crate) fn read(&mut self, random: &mut Random, haste: u64, bytes_max: usize, now: Instant) -> Read {
        if !self.is_ready(now) {
            return Read::Nothing;
        }
        if self.bytes.is_empty() {
            self.is_end_seen = true;
            return Read::End;
        }
        let all = self.bytes.len().min(bytes_max.max(1));
        let count = if random.chance(haste) {
            all
        } else if random.chance(30) {
            1
        } else {
            1 + random.index(all)
        };
        Read::Bytes(self.bytes.drain(..count.min(all)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_split_and_never_changed() {
        let mut random = Random::new(7);
        let mut pipe = Pipe::default();
        let written: Vec<u8> = (0..=255).cycle().take(3_000).collect();
        pipe.write(written.iter().copied());
        pipe.end();
        let (mut got, mut pieces) = (Vec::new(), 0);
        loop {
            match pipe.read(&mut random, 0, usize::MAX, Instant::ZERO) {
                Read::Bytes(piece) => got.extend(piece),
                Read::End => break,
                Read::Nothing => panic!("there is more"),
            }
            pieces += 1;
        }
        assert_eq!(got, written);
        assert!(pieces > 3, "{pieces} pieces");
        assert_eq!(
            pipe.read(&mut random, 0, 1, Instant::ZERO),
            Read::Nothing,
            "the end is told once"
        );
    }

    #[test]
    fn a_cut_keeps_a_beginning() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let mut pipe = Pipe::default();
            pipe.write(0..100);
            pipe.cut(&mut random);
            pipe.write(100..200);
            let Read::Bytes(got) = pipe.read(&mut random, 100, usize::MAX, Instant::ZERO) else {
                continue;
            };
            assert!(got.iter().copied().eq(0..u8::try_from(got.len()).expect("short")));
        }
    }

    #[test]
    fn a_stall_ends_at_its_moment() {
        let (mut random, mut pipe) = (Random::new(1), Pipe::default());
        pipe.write([1]);
        pipe.stall(Instant::from_micros(10));
        assert_eq!(
            pipe.read(&mut random, 100, 9, Instant::from_micros(9)),
            Read::Nothing
        );
        assert!(pipe.is_ready(Instant::from_micros(10)));
    }
}
