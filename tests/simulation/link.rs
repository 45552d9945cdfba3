//! One connection between a client and the broker, with what each end has at hand.

use std::collections::{BTreeMap, VecDeque};

use cloudsignal_broker::{CloseCause, ConnId, Identity};
use cloudsignal_core::codec::{Decoder, PACKET_BYTES_MAX, ReasonCode};
use cloudsignal_core::{Instant, Version};

use crate::ledger::Claim;
use crate::model::SessionKey;
use crate::model::connecting::Welcome;
use crate::net::Pipe;

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) number: u32,
    pub(crate) org: usize,
    /// The client at the other end; `None` once it has gone away, and for strangers.
    pub(crate) client: Option<usize>,
    pub(crate) conn: ConnId,
    pub(crate) version: Version,
    /// Who authentication found it to be.
    pub(crate) identity: Identity,
    /// Client to broker.
    pub(crate) up: Pipe,
    /// Broker to client.
    pub(crate) down: Pipe,
    /// The numbers of the PUBLISH packets in `up`, in order.
    pub(crate) published: VecDeque<usize>,
    /// The number of the will's message.
    pub(crate) will: Option<usize>,
    /// Whether its CONNECT named the authentication method.
    pub(crate) is_by_method: bool,
    /// Who the tokens in `up` speak for, in order; `None` for a token that is not good.
    pub(crate) offered: VecDeque<Option<Identity>>,
    /// The entries of the PUBLISH packets on their way to the client, in order.
    pub(crate) claims: VecDeque<Claim>,
    pub(crate) broker_end: BrokerEnd,
    pub(crate) tap: Tap,
}

/// What the shell keeps for a connection.
#[derive(Debug)]
pub(crate) struct BrokerEnd {
    /// What was received and is not decoded.
    pub(crate) inbox: Vec<u8>,
    pub(crate) decoder: Decoder,
    pub(crate) phase: Phase,
    /// What the organization gave and the network has not taken.
    pub(crate) outbox: VecDeque<u8>,
    /// Whether the organization was told that the outbox is full, and waits to hear otherwise.
    pub(crate) was_full: bool,
}

/// How far a connection is, at the broker's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// CONNECT has not come.
    Fresh,
    Open,
    /// The organization wants it closed once the outbox is empty.
    Closing(CloseCause),
    /// Closed; the organization knows, and its number may be used again.
    Gone,
}

/// What was seen of everything that the organization sent on a connection.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) decoder: Decoder,
    pub(crate) aliases: BTreeMap<u16, String>,
    /// Replies that are due, in order.
    pub(crate) expected: VecDeque<Expected>,
    /// PUBREL packets that answer a PUBREC, with the ticket each one waits for.
    pub(crate) releases: Vec<(u16, Option<u64>)>,
    pub(crate) is_welcome: bool,
    pub(crate) said_goodbye: Option<ReasonCode>,
    /// The session it belongs to.
    pub(crate) session: Option<SessionKey>,
}

/// A reply that is due.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) reply: Reply,
    /// The ticket whose changes must be stored before.
    pub(crate) ticket: Option<u64>,
}

/// What a reply must say.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Welcome(Welcome),
    Refusal(ReasonCode),
    PubAck(u16, Told),
    PubRec(u16, Told),
    PubComp(u16, ReasonCode),
    SubAck(u16, Vec<ReasonCode>),
    UnsubAck(u16, Vec<ReasonCode>),
    PingResp,
    Auth,
}

/// What a publisher must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    No(ReasonCode),
    /// Accepted; nobody subscribed.
    Nobody,
    /// Accepted.
    Yes,
}

impl Link {
    pub(crate) fn new(number: u32, org: usize, version: Version, identity: Identity) -> Self {
        Self {
            number,
            org,
            client: None,
            conn: ConnId(u32::MAX),
            version,
            identity,
            up: Pipe::default(),
            down: Pipe::default(),
            published: VecDeque::new(),
            will: None,
            is_by_method: false,
            offered: VecDeque::new(),
            claims: VecDeque::new(),
            broker_end: BrokerEnd {
                inbox: Vec::new(),
                decoder: Decoder::new(PACKET_BYTES_MAX),
                phase: Phase::Fresh,
                outbox: VecDeque::new(),
                was_full: false,
            },
            tap: Tap {
                decoder: Decoder::with_version(version, PACKET_BYTES_MAX),
                aliases: BTreeMap::new(),
                expected: VecDeque::new(),
                releases: Vec::new(),
                is_welcome: false,
                said_goodbye: None,
                session: None,
            },
        }
    }

    /// The largest packet that its client accepts.
    pub(crate) fn set_bounds(&mut self, packet_bytes_max: Option<u32>) {
        self.tap
            .decoder
            .set_packet_bytes_max(packet_bytes_max.unwrap_or(PACKET_BYTES_MAX));
    }

    /// Whether the broker's end reads: it does not while its client does not.
    pub(crate) fn may_upload(&self, output_bytes_max: usize, now: Instant) -> bool {
        let reads = match self.broker_end.phase {
            Phase::Fresh | Phase::Open => self.broker_end.outbox.len() < output_bytes_max,
            Phase::Closing(_) => true,
            Phase::Gone => false,
        };
        reads && self.up.is_ready(now)
    }

    /// Whether the broker's end has something to write, or to close.
    pub(crate) fn may_drain(&self) -> bool {
        match self.broker_end.phase {
            Phase::Fresh => false,
            Phase::Open => !self.broker_end.outbox.is_empty() && self.client.is_some(),
            Phase::Closing(_) => true,
            Phase::Gone => false,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.broker_end.phase == Phase::Gone && self.client.is_none()
    }
}
