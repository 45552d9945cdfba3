//! From the decision to close until the socket is closed: flush, say goodbye, and let the client read it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::Sleep;

use cloudsignal_broker::CloseCause;

use super::Round;
use super::link::{Filled, Link};

/// Time for what still waits to leave.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(5);
/// Time for the client to close after we have. Closing a socket with unread bytes in it resets the connection,
/// and a reset can overtake our last packet.
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);
/// Bytes that the client may still send in that time.
const LINGER_BYTES_MAX: usize = 1_048_576;

/// A connection that is being closed.
#[derive(Debug)]
pub(super) struct Closing {
    cause: CloseCause,
    step: Step,
    deadline: Pin<Box<Sleep>>,
    lingered_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Flush,
    Goodbye,
    Shutdown,
    Linger,
}

impl Closing {
    pub(super) fn new(cause: CloseCause) -> Self {
        Self {
            cause,
            step: Step::Flush,
            deadline: Box::pin(tokio::time::sleep(FLUSH_TIME_MAX)),
            lingered_bytes: 0,
        }
    }

    pub(super) fn round(&mut self, link: &mut Link, cx: &mut Context<'_>) -> io::Result<Round> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Ok(Round::End);
        }
        match self.step {
            Step::Flush | Step::Goodbye => {
                if link.flush(cx)?.is_blocked {
                    return Ok(Round::Wait);
                }
                self.step = match link.close_code(self.cause) {
                    Some(code) if self.step == Step::Flush => {
                        link.writing.begin_close(code);
                        Step::Goodbye
                    }
                    Some(_) | None => Step::Shutdown,
                };
                Ok(Round::Again)
            }
            Step::Shutdown => match Pin::new(&mut link.transport).poll_shutdown(cx) {
                Poll::Ready(done) => {
                    done?;
                    if link.is_at_end || !self.must_linger(link) {
                        return Ok(Round::End);
                    }
                    self.step = Step::Linger;
                    self.deadline.set(tokio::time::sleep(LINGER_TIME_MAX));
                    Ok(Round::Again)
                }
                Poll::Pending => Ok(Round::Wait),
            },
            Step::Linger => self.linger(link, cx),
        }
    }

    /// After DISCONNECT the client closes by itself, and there is no last packet that it could miss.
    const fn must_linger(&self, link: &Link) -> bool {
        match self.cause {
            CloseCause::Client | CloseCause::ClientWithWill => link.frames.is_some(),
            CloseCause::Transport | CloseCause::Refused(_) | CloseCause::Server(_) => true,
        }
    }

    fn linger(&mut self, link: &mut Link, cx: &mut Context<'_>) -> io::Result<Round> {
        let (bytes, filled) = link.discard(cx)?;
        self.lingered_bytes += bytes;
        if link.is_at_end || self.lingered_bytes > LINGER_BYTES_MAX {
            return Ok(Round::End);
        }
        Ok(match filled {
            Filled::More => Round::Again,
            Filled::Drained => Round::Wait,
        })
    }
}
