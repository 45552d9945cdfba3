use super::*;
use crate::codec::Disconnect;

impl Rig {
    fn refuse(&mut self, reason: ReasonCode, reference: Option<&str>) {
        let mut connack = ConnAck::new(reason);
        connack.server_reference = reference;
        self.serve(&Packet::ConnAck(connack.into()));
    }

    fn goodbye(&mut self, reason: ReasonCode) {
        self.serve(&Packet::Disconnect(Disconnect::new(reason)));
    }

    fn dials(&mut self) -> usize {
        let dials = self
            .take()
            .into_iter()
            .filter(|seen| matches!(seen, Seen::Dial(..)));
        dials.count()
    }
}

#[test]
fn the_first_words() {
    let mut rig = Rig::new(Options::default());
    rig.client.connect(rig.now, &mut rig.log);
    rig.client.connect(rig.now, &mut rig.log);
    let wire = rig.wire();
    assert_eq!(
        rig.take(),
        [Seen::State(State::Connecting), Seen::Dial(wire, None)]
    );
    rig.open();
    assert_eq!(rig.sent(), ["CONNECT V5"]);
    rig.accept(false);
    assert_eq!(
        rig.take(),
        [Seen::State(State::Connected), Seen::Connected(Continuity::New)]
    );
    assert!(rig.client.client_id().starts_with("cs-"));
}

#[test]
fn a_refusal_that_will_be_repeated_is_final() {
    for reason in [
        ReasonCode::ClientIdentifierNotValid,
        ReasonCode::BadUserNameOrPassword,
        ReasonCode::NotAuthorized,
        ReasonCode::Banned,
    ] {
        let mut rig = Rig::new(Options::default());
        rig.connect();
        rig.refuse(reason, None);
        assert_eq!(
            rig.client.state(),
            State::Closed {
                why: Closed::Refused(reason)
            }
        );
        assert_eq!(rig.client.poll_timeout(), None);
        assert_eq!(rig.try_publish("x", Qos::AtLeastOnce), Err(PublishError::Closed));
        rig.client.connect(rig.now, &mut rig.log);
        assert_eq!(rig.client.state(), State::Connecting);
    }
}

#[test]
fn one_that_may_pass_is_waited_out_longer_each_time() {
    let mut rig = Rig::new(Options::default());
    rig.connect();
    let mut longest = Duration::ZERO;
    for _ in 0..12 {
        rig.refuse(ReasonCode::ServerBusy, None);
        let State::Waiting { until, why } = rig.client.state() else {
            panic!("{:?}", rig.client.state());
        };
        assert_eq!(why, Lost::Server(ReasonCode::ServerBusy));
        longest = longest.max(until.since(rig.now));
        rig.wait(Duration::from_secs(60));
        rig.open();
    }
    assert!(
        longest > Duration::from_secs(5) && longest <= Duration::from_secs(30),
        "{longest:?}"
    );
}

#[test]
fn a_connection_that_breaks_again_and_again_is_made_again_soon_unless_it_breaks_at_once() {
    let longest_pause_after = |life: Duration| {
        let mut rig = Rig::connected(Options::default());
        let pauses = (0..50).map(|_| {
            rig.now = rig.now.after(life);
            rig.cut();
            let State::Waiting { until, .. } = rig.client.state() else {
                panic!("{:?}", rig.client.state());
            };
            let pause = until.since(rig.now);
            rig.reconnect(true);
            pause
        });
        pauses.max().expect("some")
    };
    assert!(longest_pause_after(Duration::from_secs(1)) <= Duration::from_millis(500));
    assert!(longest_pause_after(Duration::from_millis(100)) > Duration::from_secs(10));
}

#[test]
fn the_server_may_send_a_client_elsewhere_but_not_for_ever() {
    let mut rig = Rig::new(Options::default());
    rig.connect();
    rig.take();
    for hop in 0..4 {
        rig.refuse(ReasonCode::UseAnotherServer, Some("b.example:8883"));
        let seen = rig.take();
        let wire = rig.wire();
        assert!(
            seen.contains(&Seen::Dial(wire, Some("b.example:8883".into()))),
            "{hop}: {seen:?}"
        );
        rig.open();
    }
    rig.refuse(ReasonCode::UseAnotherServer, Some("c.example:8883"));
    assert!(matches!(rig.client.state(), State::Waiting { .. }));
    rig.wait(Duration::from_secs(60));
    let wire = rig.wire();
    assert!(rig.take().contains(&Seen::Dial(wire, None)));
}

#[test]
fn an_old_server_is_spoken_to_in_its_own_words() {
    let mut rig = Rig::new(Options::default());
    rig.connect();
    rig.refuse(ReasonCode::UnsupportedProtocolVersion, None);
    rig.version = Version::V311;
    rig.take();
    rig.open();
    assert_eq!(rig.sent(), ["CONNECT V311"]);
    rig.accept(false);
    rig.queue("x", Qos::AtLeastOnce);
    assert_eq!(rig.sent(), ["PUBLISH 1 t=x"]);
}

#[test]
fn another_client_with_the_same_name_ends_this_one() {
    let mut rig = Rig::connected(Options::default());
    rig.goodbye(ReasonCode::SessionTakenOver);
    assert_eq!(
        rig.client.state(),
        State::Closed {
            why: Closed::TakenOver
        }
    );
}

#[test]
fn silence_is_noticed() {
    // [MQTT-3.1.2-20]
    let mut rig = Rig::connected(Options::default());
    rig.wait(Duration::from_secs(30));
    assert_eq!(rig.sent(), ["PingReq"]);
    rig.wait(Duration::from_secs(9));
    assert_eq!(rig.client.state(), State::Connected);
    rig.wait(Duration::from_secs(1));
    assert!(matches!(
        rig.client.state(),
        State::Waiting {
            why: Lost::Silence,
            ..
        }
    ));
}

#[test]
fn a_wake_up_tests_the_connection_or_makes_one_at_once() {
    let mut rig = Rig::connected(Options::default());
    rig.client.handle_wake(Wake::Now, rig.now, &mut rig.log);
    assert_eq!(rig.sent(), ["PingReq"]);
    rig.wait(Duration::from_secs(2));
    assert!(matches!(
        rig.client.state(),
        State::Waiting {
            why: Lost::Silence,
            ..
        }
    ));
    rig.take();
    rig.client.handle_wake(Wake::Now, rig.now, &mut rig.log);
    assert_eq!(rig.dials(), 1);
}

#[test]
fn a_connection_that_is_never_made_is_given_up() {
    let mut rig = Rig::new(Options::default());
    rig.client.connect(rig.now, &mut rig.log);
    rig.wait(Duration::from_secs(19));
    assert_eq!(rig.client.state(), State::Connecting);
    rig.wait(Duration::from_secs(2));
    assert!(!matches!(rig.client.state(), State::Connected));
    assert!(rig.take().iter().any(|it| matches!(it, Seen::Hangup(_))));
}

#[test]
fn suspending_keeps_the_session_and_closing_can_end_it() {
    let mut rig = Rig::connected(Options::default());
    let wire = rig.wire();
    rig.queue("x", Qos::AtLeastOnce);
    rig.client.suspend(rig.now, &mut rig.log);
    assert_eq!(rig.sent_on(wire), ["PUBLISH 1 t=x", "DISCONNECT 0x00"]);
    assert_eq!(rig.take(), [Seen::Hangup(wire), Seen::State(State::Suspended)]);
    assert_eq!(rig.client.poll_timeout(), None);
    rig.connect();
    rig.accept(true);
    assert_eq!(rig.sent(), ["CONNECT V5", "PUBLISH 1 dup t=x"]);
    rig.take();
    rig.client.close(End::ForgetSession, rig.now, &mut rig.log);
    assert_eq!(
        rig.client.state(),
        State::Closed {
            why: Closed::ByCaller
        }
    );
    rig.connect();
    rig.accept(false);
    assert!(rig.take().contains(&Seen::Connected(Continuity::New)));
}

#[test]
fn nonsense_costs_the_connection_and_nothing_else() {
    for bytes in [
        &[0x00, 0x00][..],
        &[0x20, 0x03, 0x09, 0x00, 0x00],
        &[0xFF; 8],
        &[0x30, 0xFF, 0xFF, 0xFF, 0xFF],
    ] {
        let mut rig = Rig::connected(Options::default());
        let wire = rig.wire();
        rig.client.handle_bytes(wire, bytes, rig.now, &mut rig.log);
        assert!(
            matches!(
                rig.client.state(),
                State::Waiting {
                    why: Lost::Nonsense,
                    ..
                }
            ),
            "{bytes:?}"
        );
        // Whatever comes late on that connection is not heard.
        rig.client.handle_bytes(wire, bytes, rig.now, &mut rig.log);
        rig.client.handle_closed(wire, rig.now, &mut rig.log);
    }
    let mut rig = Rig::new(Options::default());
    rig.connect();
    rig.serve(&Packet::PingResp);
    assert!(matches!(
        rig.client.state(),
        State::Waiting {
            why: Lost::Nonsense,
            ..
        }
    ));
}
