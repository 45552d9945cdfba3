use super::*;
use crate::codec::{Auth, Disconnect};

const OK: ReasonCode = ReasonCode::Success;

fn options() -> Options {
    Options {
        login: Login::Token,
        keep_alive_secs: 0,
        ..Options::default()
    }
}

fn token(text: &str, secs: u64) -> Token {
    Token {
        username: Some("eve@org".into()),
        password: text.as_bytes().into(),
        lifetime: Some(Duration::from_secs(secs)),
    }
}

impl Rig {
    fn asked(&mut self) -> (AskId, TokenReason) {
        let mut asked = Vec::new();
        for seen in self.take() {
            if let Seen::Ask(ask, reason) = seen {
                asked.push((ask, reason));
            }
        }
        let [asked] = asked[..] else { panic!("{asked:?}") };
        asked
    }

    fn answer(&mut self, ask: AskId, answer: Result<Token, TokenError>) {
        self.client.handle_token(ask, answer, self.now, &mut self.log);
    }

    fn refuse_token(&mut self, reason: ReasonCode) {
        self.serve(&Packet::ConnAck(ConnAck::new(reason).into()));
    }
}

fn connected() -> Rig {
    let mut rig = Rig::new(options());
    rig.connect();
    let (ask, reason) = rig.asked();
    assert_eq!(reason, TokenReason::Initial);
    rig.answer(ask, Ok(token("one", 100)));
    rig.accept(false);
    rig.take();
    rig
}

#[test]
fn the_token_and_the_connection_are_asked_for_together() {
    let mut rig = Rig::new(options());
    rig.client.connect(rig.now, &mut rig.log);
    let wire = rig.wire();
    let (ask, _) = rig.asked();
    rig.answer(ask, Ok(token("one", 100)));
    assert!(rig.sent().is_empty());
    rig.open();
    assert_eq!(rig.sent(), ["CONNECT V5 method"]);
    assert_eq!(rig.wire(), wire);
}

#[test]
fn it_is_renewed_in_band_before_it_ends() {
    let mut rig = connected();
    rig.wait(Duration::from_secs(79));
    assert!(!rig.take().iter().any(|seen| matches!(seen, Seen::Ask(..))));
    rig.client
        .handle_bytes(rig.wire(), &[0xD0, 0], rig.now, &mut rig.log);
    rig.wait(Duration::from_secs(1));
    let (ask, reason) = rig.asked();
    assert_eq!(reason, TokenReason::Expiring);
    rig.answer(ask, Ok(token("two", 100)));
    assert_eq!(rig.sent(), ["AUTH 0x19"]);
    rig.serve(&Packet::Auth(Auth::new(OK, AUTH_METHOD)));
    rig.client
        .handle_bytes(rig.wire(), &[0xD0, 0], rig.now, &mut rig.log);
    assert_eq!(rig.take(), []);
    assert_eq!(rig.client.state(), State::Connected);
}

#[test]
fn a_token_with_little_life_left_is_used_and_not_asked_for_at_once_again() {
    let mut rig = Rig::new(options());
    rig.connect();
    let (ask, _) = rig.asked();
    rig.answer(ask, Ok(token("short", 3)));
    assert_eq!(rig.sent(), ["CONNECT V5 method"]);
    rig.accept(false);
    assert!(!rig.take().iter().any(|seen| matches!(seen, Seen::Ask(..))));
    rig.wait(Duration::from_secs(3));
    let (ask, reason) = rig.asked();
    assert_eq!(reason, TokenReason::Expiring);
    rig.answer(ask, Ok(token("short", 3)));
    assert_eq!(rig.sent(), ["AUTH 0x19"]);
}

#[test]
fn a_token_that_has_ended_is_a_failure_and_asked_for_after_a_pause() {
    let mut rig = Rig::new(options());
    rig.connect();
    let (ask, _) = rig.asked();
    rig.answer(ask, Ok(token("ended", 0)));
    assert!(matches!(
        rig.client.state(),
        State::Waiting { why: Lost::Token, .. }
    ));
    let mut connected = connected();
    connected.wait(Duration::from_secs(80));
    let (ask, _) = connected.asked();
    connected.answer(ask, Ok(token("ended", 0)));
    let seen = connected.take();
    assert!(!seen.iter().any(|seen| matches!(seen, Seen::Ask(..))), "{seen:?}");
    assert_eq!(connected.client.state(), State::Connected);
}

#[test]
fn a_server_without_the_method_sees_another_connection_take_over() {
    let mut rig = Rig::new(options());
    rig.connect();
    let (ask, _) = rig.asked();
    rig.answer(ask, Ok(token("one", 100)));
    rig.refuse_token(ReasonCode::BadAuthenticationMethod);
    rig.take();
    rig.open();
    assert_eq!(rig.sent(), ["CONNECT V5"]);
    rig.accept(false);
    let old = rig.wire();
    rig.queue("x", Qos::AtLeastOnce);
    rig.take();
    rig.now = rig.now.after_secs(80);
    rig.client.handle_timeout(rig.now, &mut rig.log);
    let (ask, _) = rig.asked();
    rig.answer(ask, Ok(token("two", 100)));
    let new = rig.wire();
    assert_eq!(rig.take(), [Seen::Dial(new, None)]);
    // Until the new one greets, the old one works.
    rig.queue("y", Qos::AtLeastOnce);
    assert_eq!(rig.sent_on(old), ["PUBLISH 2 t=y"]);
    rig.open();
    rig.queue("z", Qos::AtLeastOnce);
    assert_eq!(rig.sent_on(old), [""; 0]);
    rig.serve_on(
        old,
        &Packet::Disconnect(Disconnect::new(ReasonCode::SessionTakenOver)),
    );
    assert_eq!(rig.client.state(), State::Connected);
    assert_eq!(rig.take(), [Seen::Hangup(old)]);
    rig.accept(true);
    assert_eq!(
        rig.sent(),
        ["PUBLISH 1 dup t=x", "PUBLISH 2 dup t=y", "PUBLISH 3 t=z"]
    );
    assert_eq!(rig.take(), [Seen::Connected(Continuity::Resumed)]);
}

#[test]
fn a_refused_token_is_replaced_once() {
    let mut rig = Rig::new(options());
    rig.connect();
    let (ask, _) = rig.asked();
    rig.answer(ask, Ok(token("one", 100)));
    rig.refuse_token(ReasonCode::NotAuthorized);
    let (ask, reason) = rig.asked();
    assert_eq!(reason, TokenReason::Rejected);
    rig.open();
    rig.answer(ask, Ok(token("two", 100)));
    assert_eq!(rig.sent(), ["CONNECT V5 method"]);
    rig.refuse_token(ReasonCode::NotAuthorized);
    let why = Closed::Refused(ReasonCode::NotAuthorized);
    assert_eq!(rig.client.state(), State::Closed { why });
}

#[test]
fn who_issues_tokens_may_say_no_or_fail() {
    let mut rig = Rig::new(options());
    rig.connect();
    let (ask, _) = rig.asked();
    rig.answer(ask, Err(TokenError::Refused));
    assert_eq!(
        rig.client.state(),
        State::Closed {
            why: Closed::TokenRefused
        }
    );
    let mut rig = Rig::new(options());
    rig.connect();
    let (ask, _) = rig.asked();
    rig.answer(ask, Err(TokenError::Failed));
    assert!(matches!(
        rig.client.state(),
        State::Waiting { why: Lost::Token, .. }
    ));
    // An answer that comes late is for nobody.
    rig.answer(ask, Ok(token("one", 100)));
    assert!(matches!(rig.client.state(), State::Waiting { .. }));
}

#[test]
fn a_question_without_an_answer_is_asked_again_later() {
    let mut rig = Rig::new(options());
    rig.connect();
    rig.wait(Duration::from_secs(29));
    assert_eq!(rig.client.state(), State::Connecting);
    rig.wait(Duration::from_secs(1));
    assert!(matches!(
        rig.client.state(),
        State::Waiting { why: Lost::Token, .. }
    ));
}

#[test]
fn at_the_end_of_its_time_a_new_one_is_asked_for_at_once() {
    let mut rig = connected();
    rig.now = rig.now.after_secs(60);
    rig.serve(&Packet::Disconnect(Disconnect::new(
        ReasonCode::MaximumConnectTime,
    )));
    let (_, reason) = rig.asked();
    assert_eq!(reason, TokenReason::Expiring);
    assert_eq!(rig.client.state(), State::Connecting);
}
