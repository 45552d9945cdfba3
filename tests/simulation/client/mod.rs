//! A correct, minimal MQTT client, whose user does random things. It keeps what the specification tells a client
//! to keep, respects what the broker announces, and complains about everything that a broker must not send.
//!
//! | file | holds |
//! |---|---|
//! | [`connecting`] | CONNECT and DISCONNECT |
//! | [`publishing`] | PUBLISH, SUBSCRIBE, UNSUBSCRIBE, and what is sent again |
//! | [`receiving`] | everything that comes from the broker, and acknowledging it |

pub(crate) mod connecting;
pub(crate) mod publishing;
pub(crate) mod receiving;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cloudsignal_core::Qos;
use cloudsignal_core::codec::{Decoder, PACKET_BYTES_MAX, Packet};

use crate::link::Link;
use crate::model::SessionKey;
use crate::settings::ClientSettings;

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) settings: ClientSettings,
    /// Its client id; empty until the broker has chosen one.
    pub(crate) name: String,
    pub(crate) memory: Memory,
    pub(crate) conn: Option<Conn>,
    /// Counts its credentials.
    pub(crate) tokens: u32,
    pub(crate) is_red: bool,
}

/// What lives with the session.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    session: Option<SessionKey>,
    /// Messages that it published and that are not finally acknowledged, by packet id.
    pub(crate) outgoing: BTreeMap<u16, Outgoing>,
    /// QoS 2 packet ids that it received and that were not released.
    pub(crate) received: BTreeSet<u16>,
    last_packet_id: u16,
    last_serial: u64,
}

/// A message that is not finally acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub(crate) number: usize,
    pub(crate) qos: Qos,
    /// PUBREC came: PUBREL was sent or is about to be.
    pub(crate) is_released: bool,
    serial: u64,
}

/// What lives with a connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) link: u32,
    inbox: Vec<u8>,
    decoder: Decoder,
    /// CONNACK said yes.
    pub(crate) is_welcome: bool,
    clean_start: bool,
    /// Whether it asked for a session that outlives the connection.
    is_persistent: bool,
    /// What CONNACK announced.
    receive_max: u16,
    topic_alias_max: u16,
    aliases_in: BTreeMap<u16, String>,
    aliases_out: BTreeMap<String, u16>,
    /// Acknowledgements that it owes, each kind in its order.
    owed: BTreeMap<AckWord, VecDeque<u16>>,
    /// QoS 1 and 2 messages of this connection that it has not finally acknowledged.
    unacknowledged: BTreeSet<u16>,
    /// SUBSCRIBE and UNSUBSCRIBE packets without an answer, with how many filters they had.
    asked: BTreeMap<u16, (Asked, usize)>,
    pings: u32,
    /// It came by the authentication method.
    is_by_method: bool,
    /// AUTH packets without an answer.
    reauthentications: u32,
}

/// The four kinds of acknowledgement, each of which keeps its order.
#[expect(clippy::enum_variant_names, reason = "the words of MQTT")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AckWord {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Subscribe,
    Unsubscribe,
}

/// What clients before v5 keep unacknowledged, for want of a Receive Maximum.
const UNACKNOWLEDGED_MAX: u16 = 20;
/// SUBSCRIBE and UNSUBSCRIBE packets that wait for an answer at once.
const QUESTIONS_MAX: usize = 10;

impl Client {
    pub(crate) fn new(number: usize, settings: ClientSettings) -> Self {
        let name = if settings.is_nameless {
            String::new()
        } else {
            format!("c{}", settings.place)
        };
        Self {
            number,
            settings,
            name,
            memory: Memory::default(),
            conn: None,
            tokens: 0,
            is_red: true,
        }
    }

    pub(crate) fn link(&self) -> Option<u32> {
        self.conn.as_ref().map(|conn| conn.link)
    }

    pub(crate) fn is_welcome(&self) -> bool {
        self.conn.as_ref().is_some_and(|conn| conn.is_welcome)
    }

    /// Whether it has acknowledgements to send.
    pub(crate) fn owes(&self) -> bool {
        let mut owed = self.conn.iter().flat_map(|conn| conn.owed.values());
        self.is_welcome() && owed.any(|queue| !queue.is_empty())
    }

    /// Whether it waits for nothing.
    pub(crate) fn is_idle(&self) -> bool {
        let open = |conn: &Conn| conn.asked.is_empty() && conn.pings == 0 && conn.reauthentications == 0;
        !self.owes() && self.memory.outgoing.is_empty() && self.conn.as_ref().is_none_or(open)
    }

    /// Whether it waits for as many answers as it likes.
    fn asks_much(&self) -> bool {
        self.conn
            .as_ref()
            .is_some_and(|conn| conn.asked.len() >= QUESTIONS_MAX)
    }

    fn send(&self, packet: &Packet<'_>, link: &mut Link) {
        let mut bytes = Vec::new();
        packet
            .encode(self.settings.version, &mut bytes)
            .expect("invariant: a client's packets fit");
        link.up.write(bytes);
    }

    /// A packet id that it does not use.
    fn packet_id(&mut self) -> std::num::NonZeroU16 {
        loop {
            // A small range, so that ids are soon used again.
            self.memory.last_packet_id = self.memory.last_packet_id % 60 + 1;
            let id = self.memory.last_packet_id;
            let asked = self
                .conn
                .as_ref()
                .is_some_and(|conn| conn.asked.contains_key(&id));
            if !asked && !self.memory.outgoing.contains_key(&id) {
                return std::num::NonZeroU16::new(id).expect("invariant: from 1 to 60");
            }
        }
    }
}

impl Conn {
    fn new(link: u32, settings: &ClientSettings, clean_start: bool, is_persistent: bool) -> Self {
        let bytes_max = settings.packet_bytes_max.unwrap_or(PACKET_BYTES_MAX);
        Self {
            link,
            inbox: Vec::new(),
            decoder: Decoder::with_version(settings.version, bytes_max),
            is_welcome: false,
            clean_start,
            is_persistent,
            receive_max: UNACKNOWLEDGED_MAX,
            topic_alias_max: 0,
            aliases_in: BTreeMap::new(),
            aliases_out: BTreeMap::new(),
            owed: BTreeMap::new(),
            unacknowledged: BTreeSet::new(),
            asked: BTreeMap::new(),
            pings: 0,
            is_by_method: false,
            reauthentications: 0,
        }
    }
}
