//! Waiting for a moment more exactly than to a millisecond, which is what the runtime's own timers are good for.

use core::time::Duration;
use std::io;

/// Wakes one task again and again.
#[cfg(target_os = "linux")]
pub(super) struct Alarm {
    /// A timer of the system. It is read like a pipe, and what the runtime has for pipes asks for nothing else.
    timer: tokio::net::unix::pipe::Receiver,
}

#[cfg(target_os = "linux")]
impl Alarm {
    /// Asks the system for a timer.
    pub(super) fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        use tokio::net::unix::pipe::Receiver;

        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self {
            timer: Receiver::from_owned_fd_unchecked(timer)?,
        })
    }

    /// Waits for so long.
    pub(super) async fn sleep(&mut self, time: Duration) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        const ONCE: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let it_value = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().max(1).into(), // Zero would switch the timer off.
        };
        let setting = Itimerspec {
            it_interval: ONCE,
            it_value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)?;
        loop {
            self.timer.readable().await?;
            match self.timer.try_read(&mut [0; 8]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(drop),
            }
        }
    }
}

/// Wakes one task again and again, to the millisecond.
#[cfg(not(target_os = "linux"))]
pub(super) struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    /// There is nothing to ask for.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits for so long.
    pub(super) async fn sleep(&mut self, time: Duration) -> io::Result<()> {
        tokio::time::sleep(time).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn it_never_rings_too_early_and_rings_again() {
        let clock = Clock::system();
        let mut alarm = Alarm::new().unwrap();
        for time in [
            Duration::ZERO,
            Duration::from_micros(300),
            Duration::from_millis(3),
        ] {
            let begin = clock.now();
            // sleep: that it lasts long enough is what is tested
            alarm.sleep(time).await.unwrap();
            assert!(clock.now().since(begin) + Duration::from_micros(1) >= time);
        }
    }
}
