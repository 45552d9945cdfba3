//! `$SYS/…`: what the broker tells about this organization, to those of it who may know.
//!
//! Nothing is published until somebody has subscribed to a filter that begins with `$SYS`.

use alloc::format;

use cloudsignal_core::codec::PublishProperties;
use cloudsignal_core::{Instant, Qos, TopicFilter, TopicName};

use super::{Org, rearm};
use crate::authz::PublishPermit;
use crate::message::Publication;
use crate::sink::Sink;
use crate::timers::Timer;

impl Org {
    /// Begins the rounds when the first subscription asks for them; the first one follows at once.
    pub(super) fn start_sys(&mut self, filter: TopicFilter<'_>, now: Instant) {
        let wants = filter.levels().next() == Some("$SYS");
        if wants && self.sys_at == Instant::MAX && self.desk.limits.sys_interval_secs > 0 {
            rearm(&mut self.desk, &mut self.sys_at, now, Timer::Sys);
        }
    }

    pub(super) fn publish_sys(&mut self, now: Instant, sink: &mut impl Sink) {
        let counters = &self.desk.counters;
        let values = [
            ("clients/connected", counters.connections_now),
            ("clients/total", counters.sessions_now),
            ("subscriptions/count", counters.subscriptions_now),
            ("retained messages/count", counters.retained_messages_now),
            ("messages/received", counters.messages_received.iter().sum()),
            ("messages/sent", counters.messages_sent.iter().sum()),
            ("messages/dropped", counters.dropped.iter().sum()),
            ("bytes/received", counters.bytes_received),
            ("bytes/sent", counters.bytes_sent),
            ("queue/messages", counters.queue_messages_now),
            ("queue/bytes", counters.queue_bytes_now),
        ];
        for (name, value) in values {
            self.publish_own(
                &format!("$SYS/broker/{name}"),
                format!("{value}").as_bytes(),
                now,
                sink,
            );
        }
        let at = now.after_secs(self.desk.limits.sys_interval_secs.max(1));
        self.sys_at = Instant::MAX;
        rearm(&mut self.desk, &mut self.sys_at, at, Timer::Sys);
    }

    fn publish_own(&mut self, topic: &str, payload: &[u8], now: Instant, sink: &mut impl Sink) {
        let Ok(topic) = TopicName::parse(topic) else {
            return;
        };
        let Some(permit) = PublishPermit::of_broker(topic) else {
            return;
        };
        let publication = Publication {
            topic,
            payload,
            properties: PublishProperties::default(),
            qos: Qos::AtMostOnce,
            retain: false,
            expires_at: None,
            publisher: 0,
            is_numbered: false,
            wire: None,
        };
        self.route(&permit, &publication, None, now, sink);
    }
}
