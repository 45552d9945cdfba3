//! The log lines of an organization: who came and went, what was denied, and which bounds were met.

use cloudsignal_broker::{CloseCause, OrgId, Quota, Report};

use crate::config::ConnectionLog;

/// A report, kept until it can be written without anybody waiting.
#[derive(Debug)]
pub(super) enum Line {
    Connected {
        client_id: Box<str>,
        username: Box<str>,
        session_present: bool,
    },
    Disconnected {
        client_id: Box<str>,
        cause: CloseCause,
    },
    Denied {
        client_id: Box<str>,
        action: &'static str,
        topic: Box<str>,
    },
    Fault {
        client_id: Box<str>,
        what: &'static str,
    },
    QuotaExceeded {
        client_id: Box<str>,
        quota: Quota,
        times: u64,
    },
    SessionEnded {
        client_id: Box<str>,
    },
}

impl Line {
    /// The line, if anybody would read it.
    pub(super) fn of(report: Report<'_>, log: ConnectionLog) -> Option<Self> {
        let about_connections = match log {
            ConnectionLog::Info => tracing::enabled!(tracing::Level::INFO),
            ConnectionLog::Debug => tracing::enabled!(tracing::Level::DEBUG),
        };
        let decisions = tracing::enabled!(tracing::Level::DEBUG);
        match report {
            Report::Connected {
                conn: _,
                client_id,
                username,
                session_present,
            } => about_connections.then(|| Self::Connected {
                client_id: client_id.into(),
                username: username.into(),
                session_present,
            }),
            Report::Disconnected {
                conn: _,
                client_id,
                cause,
                username: _,
                version: _,
                connected_at: _,
                traffic: _,
            } => about_connections.then(|| Self::Disconnected {
                client_id: client_id.into(),
                cause,
            }),
            Report::Denied {
                client_id,
                action,
                topic,
            } => decisions.then(|| Self::Denied {
                client_id: client_id.into(),
                action,
                topic: topic.into(),
            }),
            Report::Fault { client_id, what } => decisions.then(|| Self::Fault {
                client_id: client_id.into(),
                what,
            }),
            Report::QuotaExceeded {
                client_id,
                quota,
                times,
            } => tracing::enabled!(tracing::Level::WARN).then(|| Self::QuotaExceeded {
                client_id: client_id.into(),
                quota,
                times,
            }),
            Report::SessionEnded { client_id } => decisions.then(|| Self::SessionEnded {
                client_id: client_id.into(),
            }),
        }
    }

    pub(super) fn write(self, org: &OrgId, log: ConnectionLog) {
        match (self, log) {
            (
                Self::Connected {
                    client_id: client,
                    username,
                    session_present,
                },
                ConnectionLog::Info,
            ) => {
                tracing::info!(%org, client, username, session_present, "connected");
            }
            (
                Self::Connected {
                    client_id: client,
                    username,
                    session_present,
                },
                ConnectionLog::Debug,
            ) => {
                tracing::debug!(%org, client, username, session_present, "connected");
            }
            (
                Self::Disconnected {
                    client_id: client,
                    cause,
                },
                ConnectionLog::Info,
            ) => {
                tracing::info!(%org, client, %cause, "disconnected");
            }
            (
                Self::Disconnected {
                    client_id: client,
                    cause,
                },
                ConnectionLog::Debug,
            ) => {
                tracing::debug!(%org, client, %cause, "disconnected");
            }
            (
                Self::Denied {
                    client_id: client,
                    action,
                    topic,
                },
                _,
            ) => {
                tracing::debug!(%org, client, action, topic, "denied");
            }
            (
                Self::Fault {
                    client_id: client,
                    what,
                },
                _,
            ) => {
                tracing::debug!(%org, client, what, "protocol broken");
            }
            (
                Self::QuotaExceeded {
                    client_id,
                    quota,
                    times,
                },
                _,
            ) => warn_of_quota(org, &client_id, quota, times),
            (Self::SessionEnded { client_id: client }, _) => {
                tracing::debug!(%org, client, "session ended");
            }
        }
    }
}

/// What an operator can act on: who ran into which bound, how often since the last time.
fn warn_of_quota(org: &OrgId, client: &str, quota: Quota, times: u64) {
    let quota = quota.name();
    tracing::warn!(%org, client, quota, times, "a quota was exceeded");
}
