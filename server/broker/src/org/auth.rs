//! Authentication by a method of MQTT 5, and again while the connection is open.
//!
//! The check needs the directory of accounts, so it is the shell's: at CONNECT before
//! [`Org::handle_connect`], later when [`Sink::verify`] asks for it and [`Org::handle_verified`] brings the
//! answer. Everything else goes on meanwhile, with the rights that the connection has.

use alloc::sync::Arc;

use cloudsignal_core::Instant;
use cloudsignal_core::codec::{Auth, ReasonCode};

use super::packet::Fault;
use super::{Org, rearm};
use crate::authz::LastPermit;
use crate::identity::Identity;
use crate::session::connection::Completes;
use crate::sink::{ConnId, Sink};
use crate::timers::Timer;
use crate::turn::Turn;

/// The method that is offered: the authentication data is the password of a temporary token.
pub const AUTH_METHOD: &str = "cloudsignal-token";
/// Longest authentication data that is looked at, bytes: no password is longer.
pub const AUTH_DATA_BYTES_MAX: usize = 4_096;

/// How far the authentication of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthState {
    /// CONNECT named no method: there is no AUTH. [MQTT-4.12.0-6]
    Without,
    /// Nothing is asked.
    Settled,
    /// The shell is asked about new data.
    Asked,
}

const NOT_AUTHORIZED: ReasonCode = ReasonCode::NotAuthorized;

impl Org {
    pub(super) fn on_auth(&mut self, place: u32, auth: &Auth<'_>, sink: &mut impl Sink) -> Result<(), Fault> {
        let Some(conn) = self.sessions[place as usize].conn.as_deref_mut() else {
            return Ok(());
        };
        match conn.auth {
            AuthState::Without => {
                return Err(Fault::protocol("AUTH without an authentication method")); // [MQTT-4.12.0-7]
            }
            AuthState::Asked => {
                return Err(Fault::protocol("AUTH while the last one is not answered"));
            }
            AuthState::Settled => {}
        }
        if auth.reason != ReasonCode::Reauthenticate {
            // We never ask for more, so there is nothing to continue. [MQTT-4.12.0-3]
            return Err(Fault::protocol("AUTH that does not begin anew"));
        }
        if auth.method != Some(AUTH_METHOD) {
            return Err(Fault::protocol("another authentication method than in CONNECT")); // [MQTT-4.12.1-1]
        }
        let Some(data) = auth.data.filter(|data| data.len() <= AUTH_DATA_BYTES_MAX) else {
            return Err(Fault {
                reason: NOT_AUTHORIZED,
                what: "AUTH without a token", // [MQTT-4.12.1-2]
            });
        };
        conn.auth = AuthState::Asked;
        sink.verify(conn.id, data);
        Ok(())
    }

    /// What became of the data that [`Sink::verify`] asked about: who it speaks for, or why for nobody.
    ///
    /// The connection lives on as `identity`, which must be the same principal: the client gets AUTH and keeps
    /// its session, subscriptions and messages. Otherwise the connection is closed. Answers whether it lives.
    pub fn handle_verified(
        &mut self,
        conn: ConnId,
        verified: Result<Identity, ReasonCode>,
        now: Instant,
        sink: &mut impl Sink,
    ) -> bool {
        self.desk.changed = false;
        let Some(place) = self.place_of(conn) else {
            return false;
        };
        let session = &mut self.sessions[place as usize];
        let Some(asked) = session
            .conn
            .as_deref_mut()
            .filter(|it| it.auth == AuthState::Asked)
        else {
            return false;
        };
        asked.auth = AuthState::Settled;
        let is_same = |identity: &Identity| {
            identity.org == asked.identity.org && identity.principal == asked.identity.principal
        };
        let (reason, what) = match verified {
            Ok(identity) if is_same(&identity) => {
                let identity = self.identities.share(Arc::new(identity));
                self.adopt(place, identity, now, sink);
                return true;
            }
            Ok(_) => (NOT_AUTHORIZED, "re-authentication as somebody else"),
            // DISCONNECT has no code of its own for a bad password.
            Err(ReasonCode::BadUserNameOrPassword) => (NOT_AUTHORIZED, "re-authentication failed"),
            Err(reason) => (reason, "re-authentication failed"),
        };
        self.on_fault(place, Fault { reason, what }, now, sink); // [MQTT-4.12.1-2]
        false
    }

    /// A connection goes on with another credential of its principal.
    fn adopt(&mut self, place: u32, identity: Arc<Identity>, now: Instant, sink: &mut impl Sink) {
        let session = &mut self.sessions[place as usize];
        let Some(conn) = session.conn.as_deref_mut() else {
            return;
        };
        self.owners.leave(place, &conn.identity);
        self.owners.enter(place, &identity);
        let ends_at = identity.expires_at.unwrap_or(Instant::MAX);
        rearm(
            &mut self.desk,
            &mut conn.ends_at,
            ends_at,
            Timer::CredentialEnd(place),
        );
        let has_same_rights = conn.identity.has_rights_of(&identity);
        conn.identity = Arc::clone(&identity);
        session.identity = identity;
        if !has_same_rights {
            conn.last_permit = LastPermit::default();
            self.refresh_permits(place);
            self.drop_forbidden(place, now, sink);
        }
        self.desk.counters.reauthentications += 1;
        let Self { sessions, desk, .. } = self;
        let mut turn = Turn { desk, now, sink };
        let session = &mut sessions[place as usize];
        if session.is_persistent() {
            turn.note(session.change());
        }
        if let Some(conn) = session.conn.as_deref_mut() {
            let packet = Auth::new(ReasonCode::Success, AUTH_METHOD); // [MQTT-4.12.0-5]
            let version = conn.version;
            conn.reply(&mut turn, Completes::Nothing, |out| packet.encode(version, out));
        }
        if let Some(conn) = self.sessions[place as usize].conn.as_deref() {
            let id = conn.id;
            self.close_outgrown(id, now, sink);
        }
    }
}
