//! What happens because time passes.

use cloudsignal_core::Instant;
use cloudsignal_core::codec::ReasonCode;

use super::{Org, rearm};
use crate::change::Change;
use crate::sink::{DropReason, Sink};
use crate::timers::Timer;
use crate::turn::Turn;

/// Timers and expired messages dealt with in one turn; the rest is due at once.
const TURN_TIMERS_MAX: usize = 1_000;

impl Org {
    /// Everything that is due by `now`, up to a turn's worth of work; [`Org::poll_timeout`] then says
    /// that more is due.
    pub fn handle_timeout(&mut self, now: Instant, sink: &mut impl Sink) {
        self.desk.changed = false;
        for _ in 0..TURN_TIMERS_MAX {
            let Some(timer) = self.desk.timers.due(now) else {
                break;
            };
            self.on_timer(timer, now, sink);
        }
        for _ in 0..TURN_TIMERS_MAX {
            let Some(message) = self.retained.expire(now) else {
                break;
            };
            self.desk.counters.drop_one(DropReason::Expired);
            let topic = message.topic().as_str().into();
            Turn {
                desk: &mut self.desk,
                now,
                sink: &mut *sink,
            }
            .note(Change::RetainedCleared { topic });
        }
        self.count_retained();
    }

    fn on_timer(&mut self, timer: Timer, now: Instant, sink: &mut impl Sink) {
        match timer {
            Timer::KeepAlive(place) => self.on_silence(place, now, sink),
            Timer::CredentialEnd(place) => {
                if let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() {
                    conn.ends_at = Instant::MAX;
                }
                let why = "the credential has expired";
                self.close_connection(place, ReasonCode::MaximumConnectTime, why, now, sink);
            }
            Timer::SessionExpiry(place) => {
                self.sessions[place as usize].expires_at = Instant::MAX;
                self.end_session(place, now, sink);
            }
            Timer::WillDelay(place) => self.publish_due_will(place, now, sink),
            Timer::Resume(place) => {
                if let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() {
                    conn.resume_at = Instant::MAX;
                }
                self.pump(place, now, sink);
            }
            Timer::Restored(place) => self.review_restored(place, now, sink),
            Timer::Sys => self.publish_sys(now, sink),
            Timer::Deliveries => self.feed_starved(now, sink),
            Timer::Spill => self.spill_stored(now, sink),
            Timer::Sweep => self.sweep_queues(now, sink),
        }
    }

    /// The keep alive timer fires at the earliest moment the client could be too silent; if it spoke
    /// since, or nobody listened, the timer is armed anew. So a packet costs no timer.
    fn on_silence(&mut self, place: u32, now: Instant, sink: &mut impl Sink) {
        let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() else {
            return;
        };
        conn.keep_alive_at = Instant::MAX;
        if !sink.listens(conn.id) {
            conn.heard_at = now;
        }
        let silent_at = conn.silent_at();
        if silent_at > now {
            return rearm(
                &mut self.desk,
                &mut conn.keep_alive_at,
                silent_at,
                Timer::KeepAlive(place),
            );
        }
        let why = "no packet within one and a half keep alive intervals";
        self.close_connection(place, ReasonCode::KeepAliveTimeout, why, now, sink); // [MQTT-3.1.2-22]
    }
}
