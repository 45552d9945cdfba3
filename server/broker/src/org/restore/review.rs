//! What becomes of sessions that were read back.

use cloudsignal_core::Instant;

use crate::org::Org;
use crate::sink::Sink;
use crate::timers::Timer;
use crate::turn::Turn;

/// Seconds after a restart in which a client that was connected may come back before its will is published and its
/// session ends, however short its own intervals are.
pub const RETURN_GRACE_SECS: u32 = 5;

impl Org {
    /// The connection that a session had when the last run ended counts as lost now.
    pub(super) fn disconnect_restored(&mut self, place: u32, now: Instant) {
        let session = &self.sessions[place as usize];
        match session.expiry_secs {
            // It ended with its connection.
            0 => self.expire_session(place, now),
            u32::MAX => {}
            secs => self.expire_session(place, now.after_secs(secs.max(RETURN_GRACE_SECS))),
        }
        let session = &self.sessions[place as usize];
        if let Some(will) = session.will.as_deref().filter(|will| will.due_at == Instant::MAX) {
            let secs = will.delay_secs.min(session.expiry_secs).max(RETURN_GRACE_SECS);
            self.delay_will(place, now.after_secs(secs));
        }
        self.desk.timers.arm(now, Timer::Restored(place));
    }

    /// The first look at a session that was read back: what it may no longer have is dropped, for the policy may
    /// have changed meanwhile; and the store is told when it ends.
    pub(in crate::org) fn review_restored(&mut self, place: u32, now: Instant, sink: &mut impl Sink) {
        // It may have ended meanwhile, and its place may be another's.
        let session = self.sessions.get_mut(place as usize);
        let is_due = session.is_some_and(|session| core::mem::take(&mut session.is_restored));
        if !is_due {
            return;
        }
        self.drop_forbidden(place, now, sink);
        let session = &self.sessions[place as usize];
        let will_waits = session
            .will
            .as_ref()
            .is_some_and(|will| will.due_at != Instant::MAX);
        let was_told = session.expires_at == Instant::MAX && !will_waits;
        if was_told || !session.is_persistent() {
            return;
        }
        let changes = [Some(session.change()), session.will_change()];
        let mut turn = Turn {
            desk: &mut self.desk,
            now,
            sink,
        };
        changes.into_iter().flatten().for_each(|change| turn.note(change));
    }
}
