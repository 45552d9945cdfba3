//! What is shown of a session.

use std::net::IpAddr;

use serde::Serialize;
use utoipa::ToSchema;

use cloudsignal_broker::Org;
use cloudsignal_broker::org::{SessionView, SubscriptionView};

use crate::clock::{Clock, WallTime};
use crate::history::record::protocol_name;
use crate::net::origin::Carrier;
use crate::orgs::cell::Origins;

/// A session in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct SessionSummary {
    /// The client's id.
    pub(super) client_id: String,
    /// The user who opened it last, without `@organization`.
    username: String,
    /// Whether it has a connection.
    connected: bool,
    /// Its connection, if it has one.
    connection: Option<ConnectionDetail>,
    /// Seconds that it outlives its connection; 4294967295 for ever.
    expiry_secs: u32,
    /// When it ends, if its client does not come back.
    expires_at: Option<WallTime>,
    /// How many subscriptions it has.
    subscription_count: usize,
    /// Messages that wait in its queue.
    queue_messages: usize,
    /// Bytes that wait in its queue.
    queue_bytes: usize,
    /// QoS 1 and 2 messages that were sent and not acknowledged.
    in_flight: usize,
}

/// A session with its subscriptions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct SessionDetail {
    #[serde(flatten)]
    summary: SessionSummary,
    /// In the order of filters.
    subscriptions: Vec<SubscriptionDetail>,
}

/// A session's connection.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct ConnectionDetail {
    /// When it was let in.
    connected_at: WallTime,
    /// `3.1`, `3.1.1` or `5.0`.
    protocol: &'static str,
    /// What carries it.
    transport: Carrier,
    /// Whether it is encrypted.
    tls: bool,
    /// Where it comes from.
    #[schema(value_type = String)]
    ip: IpAddr,
    /// The port it comes from.
    port: u16,
    /// Keep alive that holds, in seconds; 0 for none.
    keep_alive_secs: u16,
    /// Whether the client asked for a new session.
    clean_start: bool,
    /// When its credential ends and it is closed.
    credential_ends_at: Option<WallTime>,
    /// PUBLISH packets from the client.
    messages_in: u64,
    /// PUBLISH packets to the client.
    messages_out: u64,
    /// Payload bytes from the client.
    bytes_in: u64,
    /// Payload bytes to the client.
    bytes_out: u64,
}

/// A session's subscription.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct SubscriptionDetail {
    /// The filter, `$share/…` included.
    filter: String,
    /// The QoS that was granted.
    #[schema(minimum = 0, maximum = 2)]
    qos: u8,
    /// Its subscription identifier.
    id: Option<u32>,
    /// Whether it leaves out the client's own messages.
    no_local: bool,
    /// Whether the retain flag comes as it was published.
    retain_as_published: bool,
}

impl SessionSummary {
    pub(super) fn of(view: &SessionView<'_>, origins: Origins<'_>, clock: &Clock) -> Self {
        let wall = |instant| clock.wall_of(instant).whole_secs();
        let connection = view.connection.and_then(|conn| {
            let origin = origins.of(conn.conn)?;
            Some(ConnectionDetail {
                connected_at: wall(conn.connected_at),
                protocol: protocol_name(conn.version),
                transport: origin.carrier,
                tls: origin.carrier.is_encrypted(),
                ip: origin.addr.ip(),
                port: origin.addr.port(),
                keep_alive_secs: conn.keep_alive_secs,
                clean_start: conn.clean_start,
                credential_ends_at: conn.ends_at.map(wall),
                messages_in: conn.traffic.messages_in,
                messages_out: conn.traffic.messages_out,
                bytes_in: conn.traffic.bytes_in,
                bytes_out: conn.traffic.bytes_out,
            })
        });
        Self {
            client_id: view.client_id.into(),
            username: (*view.identity.username).into(),
            connected: view.connected,
            connection,
            expiry_secs: view.expiry_secs,
            expires_at: view.expires_at.map(wall),
            subscription_count: view.subscriptions,
            queue_messages: view.queue_messages,
            queue_bytes: view.queue_bytes,
            in_flight: view.unacknowledged,
        }
    }
}

impl SessionDetail {
    /// `None`: there is no such session.
    pub(super) fn of(org: &Org, client_id: &str, origins: Origins<'_>, clock: &Clock) -> Option<Self> {
        let view = org.session(client_id)?;
        Some(Self {
            summary: SessionSummary::of(&view, origins, clock),
            subscriptions: org.subscriptions(client_id).map(SubscriptionDetail::of).collect(),
        })
    }
}

impl SubscriptionDetail {
    fn of(view: SubscriptionView<'_>) -> Self {
        Self {
            filter: view.filter.into(),
            qos: view.qos.bits(),
            id: view.id,
            no_local: view.no_local,
            retain_as_published: view.retain_as_published,
        }
    }
}
