//! When each message of a fixed rate is due. The publishers of a thread take turns.

use core::time::Duration;

use cloudsignal_core::Instant;

const MICROS_PER_SEC: f64 = 1e6;

/// A fixed rate from a first moment on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// Messages per second of all publishers of the thread.
    rate: f64,
    publishers: u64,
    begin: Instant,
}

impl Schedule {
    /// So many messages per second, shared by so many publishers. It begins now.
    pub(super) const fn new(rate: f64, publishers: usize, begin: Instant) -> Self {
        Self {
            rate,
            publishers: publishers as u64,
            begin,
        }
    }

    /// When the message with this sequence of the publisher at this place is due.
    pub(super) fn due(&self, place: usize, sequence: u64) -> Instant {
        self.turn_at(sequence * self.publishers + place as u64)
    }

    /// When a turn is, counted over all publishers.
    pub(super) fn turn_at(&self, turn: u64) -> Instant {
        let micros = turn as f64 * MICROS_PER_SEC / self.rate;
        self.begin.after(Duration::from_micros(micros as u64))
    }

    /// The first turn that is still to come.
    pub(super) fn turn_after(&self, now: Instant) -> u64 {
        let micros = now.since(self.begin).as_micros() as f64;
        let mut turn = (micros * self.rate / MICROS_PER_SEC) as u64;
        while self.turn_at(turn) <= now {
            turn += 1;
        }
        turn
    }

    /// Whose turn it is, by place.
    pub(super) const fn place_of(&self, turn: u64) -> usize {
        (turn % self.publishers) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_evenly_apart_and_belong_to_one_publisher_after_the_other() {
        let begin = Instant::from_micros(1_000);
        let schedule = Schedule::new(20_000.0, 3, begin);
        assert_eq!(schedule.turn_at(0), begin);
        assert_eq!(schedule.due(1, 0), begin.after(Duration::from_micros(50)));
        assert_eq!(schedule.due(0, 1), begin.after(Duration::from_micros(150)));
        assert_eq!(
            schedule.due(2, 20_000).since(begin),
            Duration::from_micros(3_000_100)
        );
        for turn in 0..9 {
            assert_eq!(
                schedule.due(schedule.place_of(turn), turn / 3),
                schedule.turn_at(turn)
            );
        }
    }

    #[test]
    fn the_next_turn_is_always_in_the_future_and_none_is_left_out() {
        for rate in [0.5, 7.0, 20_000.0, 2_999_999.0] {
            let schedule = Schedule::new(rate, 1, Instant::ZERO);
            for micros in [0, 1, 49, 50, 51, 333_333, 86_400_000_000] {
                let now = Instant::from_micros(micros);
                let next = schedule.turn_after(now);
                assert!(schedule.turn_at(next) > now, "{rate} {micros}");
                assert!(schedule.turn_at(next - 1) <= now, "{rate} {micros}");
            }
        }
    }
}
