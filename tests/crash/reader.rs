//! Looks at every retained topic, as a client does that has just come.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use cloudsignal_core::codec::{
    Ack, Connect, Packet, PacketId, Publish, ReasonCode, Subscribe, SubscribeFilter,
};
use cloudsignal_core::{Qos, TopicFilter, TopicName, Version};
use tokio::time::timeout;

use crate::connection::{Connection, Got, NoConnection, Retain};
use crate::ledger::Ledger;
use crate::member::Login;
use crate::plan::Plan;
use crate::trace::Trace;

/// Retained topics with their payloads. Reads until everything is as it must be, else until a message of its own has
/// come back and nothing has come for `patience` since.
///
/// # Errors
/// What kept it from looking.
pub(crate) async fn read(
    addr: SocketAddr,
    plan: &Plan,
    login: &Login,
    trace: &Trace,
    ledger: &Ledger,
    patience: Duration,
) -> Result<Vec<(String, Vec<u8>)>, NoConnection> {
    let client_id = format!("{}/reader", plan.base).replace('/', "-");
    let mut connect = Connect::new(Version::V5, &client_id);
    connect.username = login.username.as_deref();
    connect.password = login.password.as_deref().map(str::as_bytes);
    let (mut connection, _) = Connection::open(addr, connect, trace.of("reader")).await?;
    let filter = plan.retained_filter();
    let filter = TopicFilter::parse(&filter).expect("a filter of ours");
    let filters = vec![SubscribeFilter::new(filter, Qos::AtLeastOnce)];
    connection.send(&Packet::Subscribe(Subscribe::new(PacketId::MIN, filters)));
    let own = format!("{}/r/end", plan.base);
    let mut publish = Publish::new(TopicName::parse(&own).expect("a topic of ours"), b"");
    publish.qos = Qos::AtLeastOnce;
    publish.packet_id = Some(PacketId::MAX);
    connection.send(&Packet::Publish(publish));
    let mut seen = Seen::default();
    loop {
        connection.flush().await?;
        while let Some(got) = connection.next().map_err(NoConnection::Protocol)? {
            seen.take(got, &own, &mut connection);
        }
        connection.flush().await?;
        let found: Vec<_> = seen.found.clone().into_iter().collect();
        if seen.has_own && ledger.with(|books| books.wrong_retained(&found)).is_empty() {
            return Ok(found);
        }
        match timeout(patience, connection.fill()).await {
            Ok(filled) => filled?,
            Err(_) if seen.has_own => return Ok(found),
            Err(_) => return Err(NoConnection::Protocol("no message of its own".to_owned())),
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    found: BTreeMap<String, Vec<u8>>,
    has_own: bool,
}

impl Seen {
    fn take(&mut self, got: Got, own: &str, connection: &mut Connection) {
        let Got::Publish {
            retain,
            topic,
            payload,
            packet_id,
            ..
        } = got
        else {
            return;
        };
        if let Some(id) = packet_id {
            connection.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success)));
        }
        match retain {
            Retain::Stored => drop(self.found.insert(topic, payload)),
            Retain::New => self.has_own |= topic == own,
        }
    }
}
