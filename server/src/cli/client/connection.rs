//! One MQTT connection of ours to a broker: packets out, events in, and the question whether it is still there.

use core::num::NonZeroU16;
use std::io;

use tokio::time::{Duration, Interval, MissedTickBehavior, interval, timeout};

use cloudsignal_core::codec::{
    Ack, AckKind, ConnAck, Connect, Decoded, Decoder, Disconnect, PACKET_BYTES_MAX, Packet, PacketId,
    ReasonCode, SubAck,
};
use cloudsignal_core::{Qos, Version};

use super::message::Message;
use super::options::ConnectArgs;
use super::transport::{Route, Transport};
use crate::cli::exit::{Exit, Failure};

/// How long connecting may take from the first packet of TCP to the CONNACK, in seconds.
const OPEN_SECS_MAX: u64 = 30;

/// An open connection.
pub(in crate::cli) struct Connection {
    transport: Transport,
    decoder: Decoder,
    version: Version,
    /// What has arrived; packets before `consumed` are done with.
    inbox: Vec<u8>,
    consumed: usize,
    /// What waits for the next [`flush`](Self::flush).
    outbox: Vec<u8>,
    keep_alive: KeepAlive,
    welcome: Welcome,
}

/// What the broker said when it let us in.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Welcome {
    pub(in crate::cli) session_present: bool,
    /// QoS 1 and 2 messages the broker takes at once.
    pub(in crate::cli) receive_max: u16,
    /// Bytes of the largest packet it takes.
    pub(in crate::cli) packet_bytes_max: u32,
    pub(in crate::cli) qos_max: Qos,
    pub(in crate::cli) retain_available: bool,
}

/// Something the broker said.
#[derive(Clone, Debug)]
pub(in crate::cli) enum Event {
    /// A message for us.
    Message(Message),
    /// An acknowledgement of something of ours.
    Ack {
        kind: AckKind,
        packet_id: PacketId,
        reason: ReasonCode,
        text: String,
    },
    /// The answer to a SUBSCRIBE.
    Subscribed { reasons: Vec<ReasonCode>, text: String },
    /// It is still there.
    Pong,
}

/// When to ask whether the broker is still there.
struct KeepAlive {
    ticks: Interval,
    /// Asked, and not answered yet.
    asked: bool,
}

/// What woke [`Connection::next`].
pub(in crate::cli) enum Wake {
    Event(Event),
    /// Time to call [`Connection::on_tick`].
    Tick,
}

impl Connection {
    /// Connects and logs in. `adjust` may change the CONNECT before it leaves.
    pub(super) async fn open(
        args: &ConnectArgs,
        adjust: impl FnOnce(&mut Connect<'_>),
    ) -> Result<Self, Failure> {
        let password = args.broker.password()?;
        let mut connect = args.connect(password.as_ref());
        adjust(&mut connect);
        let route = Route::new(&args.broker.url, &args.broker.tls);
        Self::open_on(&route.map_err(no_way)?, &connect).await
    }

    /// Connects over a route that is known, and logs in.
    pub(in crate::cli) async fn open_on(route: &Route, connect: &Connect<'_>) -> Result<Self, Failure> {
        let opening = Self::log_in(route, connect);
        match timeout(Duration::from_secs(OPEN_SECS_MAX), opening).await {
            // Before the broker has answered, a lost connection is one that never was.
            Ok(opened) => opened.map_err(|failure| failure.instead_of(Exit::Lost, Exit::Unreachable)),
            Err(_) => {
                let text = format!("{} did not answer within {OPEN_SECS_MAX} s", route.url());
                Err(Failure::because(Exit::Unreachable, text))
            }
        }
    }

    async fn log_in(route: &Route, connect: &Connect<'_>) -> Result<Self, Failure> {
        let transport = Transport::open(route).await;
        let mut connection = Self {
            transport: transport.map_err(no_way)?,
            decoder: Decoder::with_version(connect.version, PACKET_BYTES_MAX),
            version: connect.version,
            inbox: Vec::new(),
            consumed: 0,
            outbox: Vec::new(),
            keep_alive: KeepAlive::new(connect.keep_alive_secs),
            welcome: Welcome::from_connack(&ConnAck::default()),
        };
        connect
            .encode(&mut connection.outbox)
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        connection.flush().await?;
        let bytes = connection.fill().await?;
        let front = &connection.inbox[..bytes];
        let decoded = connection.decoder.decode(front);
        let Ok(Decoded::Packet {
            packet: Packet::ConnAck(connack),
            ..
        }) = decoded
        else {
            return Err(Failure::because(
                Exit::Unreachable,
                format!("{} speaks no MQTT", route.url()),
            ));
        };
        if connack.reason.is_error() {
            let text = with_text(connack.reason, connack.reason_string);
            return Err(Failure::because(
                Exit::LoginRefused,
                format!("the broker refused the login: {text}"),
            ));
        }
        let keep_alive_secs = connack.server_keep_alive_secs.unwrap_or(connect.keep_alive_secs);
        connection.welcome = Welcome::from_connack(&connack);
        connection.keep_alive = KeepAlive::new(keep_alive_secs);
        connection.consumed = bytes;
        Ok(connection)
    }

    /// The bytes' way from here on, for who has packets of its own to send, and what has arrived already.
    pub(in crate::cli) fn into_transport(mut self) -> (Transport, Vec<u8>) {
        (self.transport, self.inbox.split_off(self.consumed))
    }

    pub(in crate::cli) fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Puts a packet behind those that wait to leave. Larger than the broker takes: refused here.
    pub(in crate::cli) fn send(&mut self, packet: &Packet<'_>) -> Result<(), Failure> {
        let start = self.outbox.len();
        packet
            .encode(self.version, &mut self.outbox)
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        let bytes = self.outbox.len() - start;
        let max = self.welcome.packet_bytes_max;
        if bytes as u64 > u64::from(max) {
            self.outbox.truncate(start);
            let name = packet.name();
            let text = format!("a {name} of {bytes} bytes is too large: the broker takes at most {max}");
            return Err(Failure::because(Exit::Refused, text));
        }
        Ok(())
    }

    pub(super) fn send_ack(&mut self, kind: AckKind, packet_id: PacketId) -> Result<(), Failure> {
        let ack = Ack::new(packet_id, ReasonCode::Success);
        self.send(&match kind {
            AckKind::PubAck => Packet::PubAck(ack),
            AckKind::PubRec => Packet::PubRec(ack),
            AckKind::PubRel => Packet::PubRel(ack),
            AckKind::PubComp => Packet::PubComp(ack),
        })
    }

    /// Bytes that wait to leave.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// Sends what waits. Not to be dropped half-way.
    pub(in crate::cli) async fn flush(&mut self) -> Result<(), Failure> {
        if !self.outbox.is_empty() {
            self.transport
                .write(&self.outbox)
                .await
                .map_err(|error| lost(&error))?;
            self.outbox.clear();
        }
        Ok(())
    }

    /// Whether another event has arrived already and [`next`](Self::next) will not wait.
    pub(super) fn has_more(&self) -> bool {
        let mut decoder = self.decoder;
        !matches!(
            decoder.decode(&self.inbox[self.consumed..]),
            Ok(Decoded::Incomplete { .. })
        )
    }

    /// Waits for the next event or tick. Nothing is lost when the future is dropped.
    pub(in crate::cli) async fn next(&mut self) -> Result<Wake, Failure> {
        tokio::select! {
            biased;
            () = self.keep_alive.tick() => return Ok(Wake::Tick),
            bytes = fill(&mut self.transport, &mut self.decoder, &mut self.inbox, &mut self.consumed) => bytes?,
        };
        let event = self.take_event()?;
        if matches!(event, Event::Pong) {
            self.keep_alive.asked = false;
        }
        Ok(Wake::Event(event))
    }

    /// Asks whether the broker is still there, or gives it up when the last question was not answered.
    pub(super) async fn on_tick(&mut self) -> Result<(), Failure> {
        if self.keep_alive.asked {
            return Err(Failure::because(Exit::Lost, "the broker no longer answers"));
        }
        self.keep_alive.asked = true;
        self.send(&Packet::PingReq)?;
        self.flush().await
    }

    /// Says goodbye, so that no will is published.
    pub(in crate::cli) async fn close(mut self) -> Result<(), Failure> {
        self.send(&Packet::Disconnect(Disconnect::default()))?;
        self.flush().await?;
        self.transport.close().await;
        Ok(())
    }

    async fn fill(&mut self) -> Result<usize, Failure> {
        fill(
            &mut self.transport,
            &mut self.decoder,
            &mut self.inbox,
            &mut self.consumed,
        )
        .await
    }

    /// Takes the packet that [`fill`] found at the front.
    fn take_event(&mut self) -> Result<Event, Failure> {
        let front = &self.inbox[self.consumed..];
        let decoded = self
            .decoder
            .decode(front)
            .map_err(|error| Failure::new(Exit::Lost, error))?;
        let Decoded::Packet { packet, bytes } = decoded else {
            return Err(Failure::because(Exit::Failed, "a packet was here and is gone"));
        };
        let event = event(&packet);
        self.consumed += bytes;
        event
    }
}

/// Reads until a whole packet lies at the front, and says how many bytes it has.
async fn fill(
    transport: &mut Transport,
    decoder: &mut Decoder,
    inbox: &mut Vec<u8>,
    consumed: &mut usize,
) -> Result<usize, Failure> {
    loop {
        match decoder.decode(&inbox[*consumed..]) {
            Ok(Decoded::Packet { bytes, .. }) => return Ok(bytes),
            Ok(Decoded::Incomplete { .. }) => {}
            Err(error) => return Err(Failure::new(Exit::Lost, error)),
        }
        inbox.drain(..*consumed);
        *consumed = 0;
        if transport.read(inbox).await.map_err(|error| lost(&error))? == 0 {
            return Err(Failure::because(Exit::Lost, "the broker closed the connection"));
        }
    }
}

/// What a packet means to us.
fn event(packet: &Packet<'_>) -> Result<Event, Failure> {
    let ack = |kind, ack: &Ack<'_>| Event::Ack {
        kind,
        packet_id: ack.packet_id,
        reason: ack.reason,
        text: with_text(ack.reason, ack.reason_string),
    };
    match packet {
        Packet::Publish(publish) => Ok(Event::Message(Message::received(publish))),
        Packet::PubAck(it) => Ok(ack(AckKind::PubAck, it)),
        Packet::PubRec(it) => Ok(ack(AckKind::PubRec, it)),
        Packet::PubRel(it) => Ok(ack(AckKind::PubRel, it)),
        Packet::PubComp(it) => Ok(ack(AckKind::PubComp, it)),
        Packet::SubAck(it) => Ok(subscribed(it)),
        Packet::PingResp => Ok(Event::Pong),
        Packet::Disconnect(goodbye) => {
            let text = with_text(goodbye.reason, goodbye.reason_string);
            Err(Failure::because(
                Exit::Lost,
                format!("the broker ended the connection: {text}"),
            ))
        }
        Packet::Connect(_)
        | Packet::ConnAck(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::UnsubAck(_)
        | Packet::PingReq
        | Packet::Auth(_) => {
            let text = format!("the broker sent a {} that nobody asked for", packet.name());
            Err(Failure::because(Exit::Lost, text))
        }
    }
}

fn subscribed(suback: &SubAck<'_>) -> Event {
    Event::Subscribed {
        reasons: suback.reasons.clone(),
        text: suback.reason_string.unwrap_or_default().to_owned(),
    }
}

/// A reason for people: `not authorized (0x87): topic is not yours`.
pub(in crate::cli) fn with_text(reason: ReasonCode, text: Option<&str>) -> String {
    match text {
        Some(text) if !text.is_empty() => format!("{reason} (0x{:02X}): {text}", reason.byte()),
        Some(_) | None => format!("{reason} (0x{:02X})", reason.byte()),
    }
}

fn no_way(error: anyhow::Error) -> Failure {
    Failure::new(Exit::Unreachable, error)
}

fn lost(error: &io::Error) -> Failure {
    Failure::because(Exit::Lost, format!("the connection is lost: {error}"))
}

impl Welcome {
    fn from_connack(connack: &ConnAck<'_>) -> Self {
        Self {
            session_present: connack.session_present,
            receive_max: connack.receive_max.map_or(u16::MAX, NonZeroU16::get),
            packet_bytes_max: connack.packet_bytes_max.unwrap_or(PACKET_BYTES_MAX),
            qos_max: connack.qos_max.unwrap_or(Qos::ExactlyOnce),
            retain_available: connack.retain_available.unwrap_or(true),
        }
    }
}

impl KeepAlive {
    /// Asks twice in the time the broker was promised; an hour apart when nothing was promised.
    fn new(secs: u16) -> Self {
        let secs = if secs == 0 { 7_200 } else { u64::from(secs) };
        let period = Duration::from_millis((secs * 500).max(1));
        let mut ticks = interval(period);
        ticks.reset(); // The first tick of an interval comes at once; ours comes after one period.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, asked: false }
    }

    async fn tick(&mut self) {
        self.ticks.tick().await;
    }
}
