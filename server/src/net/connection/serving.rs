//! While the client is in: read, decode, one turn, write.

use std::fmt;
use std::io;
use std::mem;
use std::slice;
use std::task::{Context, Poll};

use tokio::time::sleep;

use cloudsignal_broker::{CloseCause, ConnId, Org};
use cloudsignal_core::Instant;
use cloudsignal_core::codec::DecodeError;

use super::Round;
use super::link::{Filled, Link, Scratch, small};
use super::portion::{PACKET_WORK, Portion};
use crate::accounts::Secret;
use crate::net::inbox::{Arrived, Packets};
use crate::net::shell::Answer;
use crate::orgs::cell::{Handover, OrgCell, SENDS_PER_HOLD_MAX};
use crate::orgs::sink::Effects;

/// Packets that are decoded before the organization's lock is taken for them.
const PACKETS_PER_HOLD_MAX: usize = 128;
/// One turn in so many is timed.
const TIMED_ONE_IN: u32 = 64;

/// What one turn was.
#[derive(Clone, Copy, Debug)]
struct Turn {
    began: Instant,
    /// As a [`Portion`] counts it.
    work: usize,
    /// Until when the client is not to be read.
    rest_until: Option<Instant>,
}

/// The check of a token that an open connection has shown. One at a time; everything else goes on meanwhile.
pub(super) struct Checking(Answer);

impl fmt::Debug for Checking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checking")
    }
}

impl Link {
    /// One round of an open connection.
    pub(super) fn serve(&mut self, cell: &OrgCell, conn: ConnId, cx: &mut Context<'_>) -> io::Result<Round> {
        let mut filled = Filled::Drained;
        let mut has_read = false;
        if self.may_read() && self.poll_rested(cx).is_ready() && !cell.pauses(conn, cx.waker()) {
            filled = self.read(cx, |link, bytes, packets, turns| {
                has_read = true;
                *turns = turns.wrapping_add(1);
                let turn = link.turn(cell, conn, bytes, packets);
                if cell.has_company(turn.began) {
                    link.portion.learn(bytes.len(), turn.work);
                    link.work_in_poll = link.work_in_poll.saturating_add(small(turn.work));
                } else {
                    link.portion = Portion::LARGEST;
                }
                if let Some(until) = turn.rest_until {
                    link.resting = Some(Box::pin(sleep(until.since(turn.began))));
                }
                if turns.is_multiple_of(TIMED_ONE_IN) {
                    link.shell
                        .metrics
                        .turn_took(link.shell.clock.now().since(turn.began));
                }
            })?;
        }
        if self.writing.is_done() && self.gathering.waits(self.outbox.unsent_bytes(), has_read) {
            cx.waker().wake_by_ref();
            return Ok(Round::Wait);
        }
        let flushed = self.flush(cx)?;
        if let Some(cause) = flushed.close {
            return Ok(Round::Close(cause));
        }
        if self.is_at_end {
            return Ok(Round::End);
        }
        if let Some(end) = self.frames_end() {
            tracing::debug!(peer = %self.peer.addr, ?end, "WebSocket ended");
            return Ok(Round::Close(CloseCause::Transport));
        }
        if flushed.is_asked {
            self.checking = self.outbox.take_question().map(|token| self.check(&token));
        }
        if self.poll_checked(cell, conn, cx).is_ready() {
            return Ok(Round::Again);
        }
        if flushed.is_writable_due {
            let now = self.shell.clock.now();
            let turn = cell.hold(now, Some(conn), |org, effects| {
                org.handle_writable(conn, now, effects);
                ((), Handover::Free)
            });
            return Ok(turn.map_or(Round::End, |()| Round::Again));
        }
        if flushed.is_blocked && self.poll_stalled(cx).is_ready() {
            self.metrics.stalled();
            return Ok(Round::End);
        }
        Ok(match filled {
            Filled::More => Round::Again,
            Filled::Drained => Round::Wait,
        })
    }

    fn check(&self, token: &Secret) -> Checking {
        Checking(self.shell.check_token(token))
    }

    /// Ready: the organization was told what the check of a token found.
    fn poll_checked(&mut self, cell: &OrgCell, conn: ConnId, cx: &mut Context<'_>) -> Poll<()> {
        let Some(Checking(answer)) = &mut self.checking else {
            return Poll::Pending;
        };
        let Poll::Ready(verified) = answer.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        self.checking = None;
        let watched = verified.as_ref().ok().cloned();
        let verified = verified.map_err(|refusal| {
            tracing::debug!(peer = %self.peer.addr, %refusal, "re-authentication refused");
            refusal.reason()
        });
        let now = self.shell.clock.now();
        let lives = cell.hold(now, Some(conn), |org, effects| {
            (org.handle_verified(conn, verified, now, effects), Handover::Free)
        });
        if let (Some(true), Some(identity)) = (lives, watched) {
            self.shell.check_standing(cell, conn, &identity);
        }
        Poll::Ready(())
    }

    /// Hands bytes that arrived before the client was let in to the organization.
    pub(super) fn turn_early(&mut self, cell: &OrgCell, conn: ConnId, bytes: &[u8]) {
        Scratch::lend(|scratch| self.turn(cell, conn, bytes, &mut scratch.packets));
    }

    /// Decodes all whole packets and gives them to the organization, a bounded number per hold.
    fn turn(
        &mut self,
        cell: &OrgCell,
        conn: ConnId,
        bytes: &[u8],
        scratch: &mut Vec<Arrived<'static>>,
    ) -> Turn {
        let mut turn = Turn {
            began: self.shell.clock.now(),
            work: 0,
            rest_until: None,
        };
        self.inbox.read(bytes, |stream| {
            let mut packets = recycle(mem::take(scratch));
            loop {
                let error = decode_some(stream, &mut packets);
                let has_more = packets.len() == PACKETS_PER_HOLD_MAX && error.is_none();
                let held = hand_over(cell, conn, &packets, error, &mut turn);
                packets.clear();
                if held.is_none() || !has_more {
                    break;
                }
            }
            *scratch = recycle(packets);
        });
        turn
    }
}

/// Decodes until there are enough packets for one hold, or no more. Answers what is wrong with the next one.
fn decode_some<'a>(stream: &mut Packets<'a>, packets: &mut Vec<Arrived<'a>>) -> Option<DecodeError> {
    while packets.len() < PACKETS_PER_HOLD_MAX {
        match stream.next()? {
            Ok(packet) => packets.push(packet),
            Err(error) => return Some(error),
        }
    }
    None
}

/// Gives packets to the organization, and then the error behind them. `None`: the organization is broken.
fn hand_over(
    cell: &OrgCell,
    conn: ConnId,
    packets: &[Arrived<'_>],
    error: Option<DecodeError>,
    turn: &mut Turn,
) -> Option<()> {
    let now = turn.began;
    turn.work += PACKET_WORK * packets.len();
    let mut left = packets.iter();
    loop {
        let handover = cell.hold(now, Some(conn), |org, effects| {
            let handover = hand_some(org, conn, &mut left, now, effects);
            if let (Handover::Free, Some(error)) = (handover, &error) {
                org.handle_decode_error(conn, error, now, effects);
            }
            turn.work += effects.sends();
            turn.rest_until = effects.rest_until().or(turn.rest_until);
            (handover, handover)
        })?;
        if handover == Handover::Free {
            return Some(());
        }
    }
}

/// What fits into one hold. Fair: there is more.
fn hand_some(
    org: &mut Org,
    conn: ConnId,
    left: &mut slice::Iter<'_, Arrived<'_>>,
    now: Instant,
    effects: &mut Effects<'_>,
) -> Handover {
    for Arrived { packet, frame } in left {
        org.handle_framed(conn, packet, frame, now, effects);
        if effects.sends() >= SENDS_PER_HOLD_MAX {
            return Handover::Fair;
        }
    }
    Handover::Free
}

/// An empty list with the memory of another one, whose packets borrowed from something else.
fn recycle<'b>(mut packets: Vec<Arrived<'_>>) -> Vec<Arrived<'b>> {
    packets.clear();
    packets
        .into_iter()
        .map(|_| unreachable!("invariant: the list is empty"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_list_keeps_its_memory() {
        let packets: Vec<Arrived<'static>> = Vec::with_capacity(PACKETS_PER_HOLD_MAX);
        let (at, capacity) = (packets.as_ptr() as usize, packets.capacity());
        let again = recycle(packets);
        assert_eq!((again.as_ptr() as usize, again.capacity()), (at, capacity));
    }
}
