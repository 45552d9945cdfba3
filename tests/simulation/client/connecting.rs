//! CONNECT and DISCONNECT.

use std::num::{NonZeroU16, NonZeroU32};

use cloudsignal_broker::{AUTH_METHOD, Access, Credential, Identity, OrgId};
use cloudsignal_core::codec::{
    Auth, Connect, Disconnect, Packet, PublishProperties, ReasonCode, SubscribeFilter, UserProperties, Will,
};
use cloudsignal_core::{Qos, TopicFilter, TopicName};

use super::{Client, Conn};
use crate::link::Link;
use crate::scene::{Publication, Scene};
use crate::settings::Settings;

/// How it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As its user likes.
    Any,
    /// To its session, for good: the run ends.
    Home,
}

impl Client {
    /// Who it is, with a fresh credential now and then.
    pub(crate) fn identity(&mut self, manner: Manner, scene: &mut Scene) -> Identity {
        if self.tokens == 0 || scene.random.chance(30) {
            self.tokens += 1;
            self.is_red = scene.random.chance(80);
        }
        let settings = &self.settings;
        let expires_at = (settings.token_ends && manner == Manner::Any).then(|| {
            let secs = u32::try_from(scene.random.between(1, 100)).expect("invariant: small");
            scene.now.after_secs(secs)
        });
        Identity {
            org: OrgId::new(&format!("org_{}", settings.org)),
            username: format!("u{}", settings.place).into(),
            principal: format!("p{}", settings.place).into(),
            credential: self.credential(),
            claims: vec![("team".into(), if self.is_red { "red" } else { "blue" }.into())],
            expires_at,
            access: if settings.has_full_access {
                Access::Full
            } else {
                Access::Policy
            },
            scope: None,
        }
    }

    /// The credential it showed last.
    pub(crate) fn credential(&self) -> Credential {
        Credential::Token {
            id: format!("t{}-{}", self.number, self.tokens).into(),
        }
    }

    /// Sends CONNECT as the first packet of `link`.
    pub(crate) fn connect(
        &mut self,
        link: &mut Link,
        manner: Manner,
        settings: &Settings,
        scene: &mut Scene,
    ) {
        let mine = self.settings.clone();
        let wants_session = scene.random.chance(mine.persistence) || manner == Manner::Home;
        let is_persistent = wants_session && !self.name.is_empty();
        let clean_start = if mine.version.is_v5() {
            manner == Manner::Any && scene.random.chance(25)
        } else {
            !is_persistent
        };
        let clean_start = clean_start || self.name.is_empty();
        let expiry_secs = *scene.random.pick(&[2, 60, 3_600, u32::MAX]);
        let will = (manner == Manner::Any && scene.random.chance(40)).then(|| will(settings, &mine, scene));
        let name = self.name.clone();
        let mut connect = Connect::new(mine.version, &name);
        connect.clean_start = clean_start;
        connect.keep_alive_secs = if manner == Manner::Any {
            mine.keep_alive_secs
        } else {
            0
        };
        if mine.version.is_v5() {
            connect.session_expiry_secs = is_persistent.then_some(expiry_secs);
            connect.receive_max = mine.receive_max.and_then(NonZeroU16::new);
            connect.packet_bytes_max = mine.packet_bytes_max.and_then(NonZeroU32::new);
            connect.topic_alias_max = mine.topic_alias_max;
            connect.request_problem_info = scene.random.chance(50);
            // A client that takes small packets only may not take the CONNACK that repeats the method.
            link.is_by_method = mine.packet_bytes_max.is_none() && scene.random.chance(60);
            connect.auth_method = link.is_by_method.then_some(AUTH_METHOD);
            connect.request_response_info = mine.packet_bytes_max.is_none() && scene.random.chance(10);
        }
        let publication = will.map(|(number, _)| scene.publications[number].clone());
        let user = publication.as_ref().map_or_else(Vec::new, user_properties);
        if let (Some((number, delay_secs)), Some(publication)) = (will, &publication) {
            link.will = Some(number);
            let topic = TopicName::parse(&publication.topic).expect("invariant: a topic of the run");
            let mut will = Will::new(topic, &publication.payload, publication.qos, publication.retain);
            will.delay_secs = delay_secs;
            will.properties = properties(publication, &user);
            connect.will = Some(will);
        }
        scene.log.note(format_args!(
            "client {} {name:?}: CONNECT on link {} ({:?}, clean start {clean_start}, persistent {is_persistent}, will {:?}, {manner:?})",
            self.number, link.number, mine.version, link.will
        ));
        self.send(&Packet::Connect(Box::new(connect)), link);
        let mut conn = Conn::new(link.number, &mine, clean_start, is_persistent);
        conn.is_by_method = link.is_by_method;
        self.conn = Some(conn);
        link.client = Some(self.number);
        if manner == Manner::Any && scene.random.chance(10) {
            self.hurry(link, settings, scene);
        }
    }

    /// Shows another token, which is mostly good and mostly its own; one at a time.
    pub(crate) fn reauthenticate(&mut self, link: &mut Link, scene: &mut Scene) {
        let Some(conn) = &mut self.conn else { return };
        if !conn.is_by_method || conn.reauthentications > 0 {
            return;
        }
        conn.reauthentications += 1;
        let mut identity = self.identity(Manner::Any, scene);
        if scene.random.chance(3) {
            identity.principal = "stranger".into();
        }
        let is_good = scene.random.chance(95);
        scene.log.note(format_args!(
            "client {}: AUTH on link {} as {} with {:?}, good {is_good}",
            self.number, link.number, identity.principal, identity.credential
        ));
        link.offered.push_back(is_good.then_some(identity));
        let mut auth = Auth::new(ReasonCode::Reauthenticate, AUTH_METHOD);
        auth.data = Some(b"a token");
        self.send(&Packet::Auth(auth), link);
    }

    /// What a client may send before CONNACK comes.
    fn hurry(&mut self, link: &mut Link, settings: &Settings, scene: &mut Scene) {
        if scene.random.chance(50) {
            self.ping(link);
        }
        if scene.random.chance(50) {
            self.subscribe(link, settings, scene);
        }
        if scene.random.chance(50) {
            self.publish_at(Qos::AtMostOnce, link, settings, scene);
        }
    }

    /// Says goodbye; perhaps with its will, perhaps with another session expiry.
    pub(crate) fn disconnect(&mut self, link: &mut Link, scene: &mut Scene) {
        let mut packet = Disconnect::default();
        let is_persistent = self.conn.as_ref().is_some_and(|conn| conn.is_persistent);
        if self.settings.version.is_v5() {
            if scene.random.chance(30) {
                packet.reason = ReasonCode::DisconnectWithWill;
            }
            if is_persistent && scene.random.chance(30) {
                packet.session_expiry_secs = Some(*scene.random.pick(&[0, 5, 1_000]));
            }
        }
        scene.log.note(format_args!(
            "client {}: DISCONNECT {} {:?}",
            self.number, packet.reason, packet.session_expiry_secs
        ));
        self.send(&Packet::Disconnect(packet), link);
        link.up.end();
        self.leave(link);
    }

    /// It has nothing to do with the connection any more.
    pub(crate) fn leave(&mut self, link: &mut Link) {
        self.conn = None;
        link.client = None;
    }
}

/// What somebody sends who uses another one's client id and does not wait for CONNACK. When the broker refuses the
/// CONNECT, the rest must do nothing.
pub(crate) fn intrude(name: &str, link: &mut Link, scene: &mut Scene) {
    let mut bytes = Vec::new();
    let connect = Connect::new(link.version, name);
    let filter = TopicFilter::parse("#").expect("invariant: a filter");
    let subscribe = cloudsignal_core::codec::Subscribe::new(
        NonZeroU16::MIN,
        vec![SubscribeFilter::new(filter, Qos::AtLeastOnce)],
    );
    let number = scene.write(
        Publication {
            org: link.org,
            topic: "a/b".to_owned(),
            payload: Vec::new(),
            qos: Qos::AtMostOnce,
            retain: true,
            expiry_secs: None,
            content_type: None,
            note: None,
        },
        Some(4),
    );
    let publication = &scene.publications[number];
    let topic = TopicName::parse(&publication.topic).expect("invariant: a topic");
    let mut publish = cloudsignal_core::codec::Publish::new(topic, &publication.payload);
    publish.retain = true;
    link.published.push_back(number);
    let packets = [
        Packet::Connect(Box::new(connect)),
        Packet::Subscribe(subscribe),
        Packet::Publish(publish),
    ];
    for packet in packets {
        packet
            .encode(link.version, &mut bytes)
            .expect("invariant: small packets fit");
    }
    link.up.write(bytes);
    link.up.end();
}

/// Makes up a will: the number of its message, and its delay.
fn will(settings: &Settings, mine: &crate::settings::ClientSettings, scene: &mut Scene) -> (usize, u32) {
    let is_v5 = mine.version.is_v5();
    let publication = Publication {
        org: mine.org,
        topic: (*scene.random.pick(&settings.topics)).to_owned(),
        payload: Vec::new(),
        qos: *scene
            .random
            .pick(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]),
        retain: scene.random.chance(30),
        expiry_secs: (is_v5 && scene.random.chance(20)).then_some(30),
        content_type: (is_v5 && scene.random.chance(20)).then_some("text/will"),
        note: None,
    };
    let delay_secs = if is_v5 {
        *scene.random.pick(&[0, 0, 1, 20, 500])
    } else {
        0
    };
    (
        scene.write(publication, Some(settings.payload_bytes[0])),
        delay_secs,
    )
}

/// The user properties of a message, encoded.
pub(super) fn user_properties(publication: &Publication) -> Vec<u8> {
    let mut wire = Vec::new();
    if let Some(note) = publication.note {
        UserProperties::push(&mut wire, "n", note).expect("invariant: short strings");
    }
    wire
}

/// The properties of a message.
pub(super) fn properties<'a>(publication: &'a Publication, user: &'a [u8]) -> PublishProperties<'a> {
    PublishProperties {
        message_expiry_secs: publication.expiry_secs,
        content_type: publication.content_type,
        user_properties: UserProperties::from_wire(user).expect("invariant: just written"),
        ..PublishProperties::default()
    }
}
