//! Requests that look through many entries: at most a few of one organization at a time, and a short line behind them.
//!
//! Lists of sessions, the history of connections, the audit trail and the usage are read from the store or by many
//! short looks at the organization. However many of them one organization asks for at once, the others wait for no
//! more than these few.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use cloudsignal_broker::OrgId;

use super::{Api, ApiError};

/// Such requests of one organization that are at work at a time.
const AT_WORK_MAX: usize = 4;
/// Requests of one organization that wait behind them. One more is told to come back.
const WAITING_MAX: usize = 64;
/// When it is told to come back, in seconds.
const RETRY_SECS: u32 = 1;

/// Who reads, by organization. An organization of which nobody reads is not here.
#[derive(Debug, Default)]
pub(super) struct Reads {
    seats: Mutex<HashMap<OrgId, Arc<Semaphore>>>,
}

/// A request at work, or in the line.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    reads: &'a Reads,
    org: OrgId,
    /// `None` while it waits.
    seat: Option<OwnedSemaphorePermit>,
}

impl Api {
    /// Waits for the turn of a request that looks through many entries; it is over when the answer is dropped.
    ///
    /// # Errors
    /// 429 `too_many_searches` when too many of the organization wait already.
    pub(super) async fn reading(&self, org: &OrgId) -> Result<Reading<'_>, ApiError> {
        self.0.reads.enter(org).await
    }
}

impl Reads {
    async fn enter(&self, org: &OrgId) -> Result<Reading<'_>, ApiError> {
        let seats = {
            let mut known = self.seats.lock();
            let seats = known
                .entry(org.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(AT_WORK_MAX)));
            // One hold is the map's own.
            if Arc::strong_count(seats) > AT_WORK_MAX + WAITING_MAX {
                let text = "the organization has too many searches at work; come back in a moment";
                let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_searches", text);
                return Err(error.retry_after(RETRY_SECS));
            }
            Arc::clone(seats)
        };
        // Made before the wait: whoever gives up leaves nothing behind either.
        let mut reading = Reading {
            reads: self,
            org: org.clone(),
            seat: None,
        };
        let seat = seats.acquire_owned().await;
        reading.seat = Some(seat.expect("invariant: nobody closes it"));
        Ok(reading)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        drop(self.seat.take());
        let mut known = self.reads.seats.lock();
        if known
            .get(&self.org)
            .is_some_and(|seats| Arc::strong_count(seats) == 1)
        {
            known.remove(&self.org);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn enter_now<'a>(reads: &'a Reads, org: &OrgId) -> Option<Reading<'a>> {
        match poll(pin!(reads.enter(org))) {
            Poll::Ready(entered) => Some(entered.unwrap()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_few_are_at_work_others_wait_and_another_organization_does_not() {
        let (reads, busy, quiet) = (Reads::default(), OrgId::new("org_a"), OrgId::new("org_b"));
        let mut at_work: Vec<_> = (0..AT_WORK_MAX)
            .map(|_| enter_now(&reads, &busy).expect("there is room"))
            .collect();
        let mut next = pin!(reads.enter(&busy));
        assert!(poll(next.as_mut()).is_pending());
        let elsewhere = enter_now(&reads, &quiet).expect("it waits for nobody");
        at_work.pop();
        let Poll::Ready(Ok(next)) = poll(next.as_mut()) else {
            panic!("a seat is free")
        };
        drop((at_work, next, elsewhere));
        assert!(reads.seats.lock().is_empty(), "nothing is kept");
    }

    #[test]
    fn the_line_is_bounded_and_whoever_gives_up_leaves_it() {
        let (reads, org) = (Reads::default(), OrgId::new("org_a"));
        let at_work: Vec<_> = (0..AT_WORK_MAX).map(|_| enter_now(&reads, &org)).collect();
        let mut line: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(reads.enter(&org))).collect();
        for waiting in &mut line {
            assert!(poll(waiting.as_mut()).is_pending());
        }
        let refused = poll(pin!(reads.enter(&org)));
        assert!(matches!(refused, Poll::Ready(Err(_))), "{refused:?}");
        line.pop();
        assert!(poll(pin!(reads.enter(&org))).is_pending(), "there is room again");
        drop((at_work, line));
        assert!(reads.seats.lock().is_empty(), "nothing is kept");
    }
}
