use super::*;

impl Rig {
    fn ask(&mut self, question: &str) -> RequestId {
        let topic = TopicName::parse("ask").expect("a topic");
        let question = Publication::new(topic, question.as_bytes(), Qos::AtMostOnce);
        let patience = Duration::from_secs(5);
        let asked = self.client.request(&question, patience, self.now, &mut self.log);
        asked.expect("asked")
    }

    fn reply(&mut self, to: u64, payload: &str) {
        let correlation = to.to_be_bytes();
        let topic = std::format!("response/{}", self.client.client_id());
        let mut publish = Publish::new(TopicName::parse(&topic).expect("a topic"), payload.as_bytes());
        publish.qos = Qos::AtLeastOnce;
        publish.packet_id = PacketId::new(9);
        publish.properties.correlation_data = Some(&correlation);
        self.serve(&Packet::Publish(publish));
    }
}

#[test]
fn a_question_has_one_answer() {
    let mut rig = Rig::connected(Options::default());
    let (first, second) = (rig.ask("one"), rig.ask("two"));
    let sent = rig.sent();
    assert!(sent[0].starts_with("SUBSCRIBE 1 response/cs-"), "{sent:?}");
    assert_eq!(sent[1..], ["PUBLISH 2 ask=one", "PUBLISH 3 ask=two"]);
    rig.grant(1);
    rig.take();
    rig.reply(second.0, "yes");
    rig.reply(second.0, "yes again");
    rig.reply(77, "to nobody");
    assert_eq!(rig.sent(), ["PUBACK 9 0x00"; 3]);
    assert_eq!(rig.take(), [Seen::Replied(second, b"yes".into())]);
    rig.wait(Duration::from_secs(5));
    assert_eq!(rig.take(), [Seen::Failed(first, Unanswered::TimedOut)]);
    rig.reply(first.0, "late");
    assert_eq!(rig.take(), []);
}

#[test]
fn where_nobody_listens_the_question_ends_at_once() {
    let mut rig = Rig::connected(Options::default());
    let request = rig.ask("one");
    rig.grant(1);
    rig.take();
    rig.ack(AckKind::PubAck, 2, ReasonCode::NoMatchingSubscribers);
    assert!(
        rig.take()
            .contains(&Seen::Failed(request, Unanswered::NobodyListens))
    );
    let refused = rig.ask("two");
    rig.ack(AckKind::PubAck, 1, ReasonCode::NotAuthorized);
    let why = Unanswered::Refused(ReasonCode::NotAuthorized);
    assert!(rig.take().contains(&Seen::Failed(refused, why)));
}

#[test]
fn who_may_not_hear_answers_may_ask_again_later() {
    let mut rig = Rig::connected(Options::default());
    let request = rig.ask("one");
    let id = PacketId::new(1).expect("not zero");
    rig.serve(&Packet::SubAck(SubAck::new(
        id,
        [ReasonCode::NotAuthorized].into(),
    )));
    let why = Unanswered::Refused(ReasonCode::NotAuthorized);
    assert!(rig.take().contains(&Seen::Failed(request, why)));
    rig.ask("two");
    assert!(rig.sent().iter().any(|packet| packet.starts_with("SUBSCRIBE")));
}

#[test]
fn questions_are_bounded_and_end_with_the_client() {
    let mut rig = Rig::connected(Options {
        requests_max: 1,
        ..Options::default()
    });
    let request = rig.ask("one");
    let topic = TopicName::parse("ask").expect("a topic");
    let question = Publication::new(topic, b"", Qos::AtMostOnce);
    let asked = rig
        .client
        .request(&question, Duration::from_secs(1), rig.now, &mut rig.log);
    assert_eq!(asked, Err(PublishError::QueueFull));
    assert!(rig.client.cancel_request(request));
    assert!(!rig.client.cancel_request(request));
    let request = rig.ask("two");
    rig.client.close(End::KeepSession, rig.now, &mut rig.log);
    assert!(rig.take().contains(&Seen::Failed(request, Unanswered::Closed)));
}
