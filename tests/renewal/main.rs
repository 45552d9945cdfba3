//! Clients whose tokens live for a minute and whose connections live on, under traffic in both directions: nobody has
//! to reconnect, and no message is lost, repeated or out of order.
//!
//! Half of the clients speak MQTT 3.1.1. These, and half of the others, renew by `POST /v2/tokens/refresh`; the rest
//! came in by the authentication method `cloudsignal-token` and renew in band by AUTH. Some clients that renew nothing
//! show that the end of a token is one.
//!
//! | file | holds |
//! |---|---|
//! | [`side`] | the broker: the program in real time, or in this process in virtual time |
//! | [`member`] | one client |
//!
//! An ordinary run lets ten minutes pass in virtual time. Against the program, in real time:
//!
//! ```text
//! CS_TEST_RENEWAL_SECS=600 CS_TEST_RENEWAL_CLIENTS=200 cargo test -p cloudsignal-tests --test renewal -- --nocapture
//! ```
#![expect(clippy::print_stdout, reason = "a run prints its figures")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a client awaits few things among many"
)]

mod member;
mod side;

use cloudsignal_core::Version;
use cloudsignal_core::codec::{PacketId, ReasonCode};
use cloudsignal_tests::client::{Client, Got, Login};

use member::{Member, Renewal};
use side::Side;

/// How long every token lives, seconds: the least there is.
const TOKEN_SECS: u64 = 60;
/// Clients of an ordinary run.
const CLIENTS_DEFAULT: usize = 40;
/// All of them have a message under way at once, and 256 may be.
const CLIENTS_MAX: usize = 250;
/// Seconds of an ordinary run, in virtual time.
const VIRTUAL_SECS: u64 = 600;

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn clients() -> usize {
    let wanted = number_from("CS_TEST_RENEWAL_CLIENTS").map_or(CLIENTS_DEFAULT, |number| {
        usize::try_from(number).expect("a number of clients")
    });
    assert!(wanted <= CLIENTS_MAX, "at most {CLIENTS_MAX} clients");
    wanted
}

#[tokio::test]
async fn renewed_tokens_keep_their_connections_in_virtual_time() {
    let side = Side::memory().await;
    Run::begin(side, clients()).await.last(VIRTUAL_SECS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_tokens_keep_their_connections_in_real_time() {
    let Some(secs) = number_from("CS_TEST_RENEWAL_SECS") else {
        println!("renewal in real time: not asked for by CS_TEST_RENEWAL_SECS");
        return;
    };
    let side = Side::process();
    Run::begin(side, clients()).await.last(secs).await;
}

struct Run {
    side: Side,
    members: Vec<Member>,
    /// Clients that renew nothing.
    idlers: Vec<Member>,
    /// Publishes to every client and hears from every client.
    centre: Client,
    messages: usize,
}

impl Run {
    async fn begin(mut side: Side, count: usize) -> Self {
        let mut members = Vec::new();
        for number in 0..count {
            let renewal = match number % 4 {
                0 | 1 => Renewal::ByRefresh(Version::V311),
                2 => Renewal::ByRefresh(Version::V5),
                _ => Renewal::ByAuth,
            };
            members.push(Member::join(&mut side, number, renewal).await);
        }
        let mut idlers = Vec::new();
        for (at, renewal) in [
            Renewal::ByRefresh(Version::V311),
            Renewal::ByRefresh(Version::V5),
            Renewal::ByAuth,
        ]
        .into_iter()
        .enumerate()
        {
            idlers.push(Member::join(&mut side, count + at, renewal).await);
        }
        let mut centre = Client::new(side.open().await, Version::V5);
        let username = format!("server@{}", side.org);
        let login = Login::Password(&username, &side.secret_key);
        assert_eq!(
            centre.connect("centre", login).await,
            Got::ConnAck(ReasonCode::Success)
        );
        centre.subscribe("up/+").await;
        Self {
            side,
            members,
            idlers,
            centre,
            messages: 0,
        }
    }

    async fn last(mut self, secs: u64) {
        for second in 1..=secs {
            self.side.next_second().await;
            for member in &mut self.members {
                member.renew_if_due(&mut self.side, second).await;
            }
            self.pass_down(second).await;
            self.pass_up(second).await;
            if second == TOKEN_SECS + 5 {
                for idler in &mut self.idlers {
                    idler.expect_time_is_up().await;
                }
            }
        }
        self.print(secs);
    }

    /// One message to every client.
    async fn pass_down(&mut self, second: u64) {
        let payload = second.to_string();
        for member in &self.members {
            let topic = format!("down/{}", member.number);
            self.centre
                .publish(&topic, payload.as_bytes(), packet_id(member.number))
                .await;
        }
        for member in &self.members {
            let acknowledged = Got::PubAck(packet_id(member.number), ReasonCode::Success);
            assert_eq!(self.centre.next().await, acknowledged);
        }
        for member in &mut self.members {
            member.expect_message(&payload).await;
            self.messages += 1;
        }
    }

    /// One message from every client.
    async fn pass_up(&mut self, second: u64) {
        let payload = second.to_string();
        for member in &mut self.members {
            member.say(&payload).await;
            let Got::Message {
                topic,
                payload: heard,
                packet_id: Some(packet_id),
            } = self.centre.next().await
            else {
                panic!("the message of client {} is lost", member.number);
            };
            assert_eq!(
                (topic, heard),
                (format!("up/{}", member.number), payload.clone().into_bytes())
            );
            self.centre.acknowledge(packet_id).await;
            self.messages += 1;
        }
    }

    fn print(&self, secs: u64) {
        let of = |wanted: fn(&Renewal) -> bool| {
            let members = self.members.iter().filter(|member| wanted(&member.renewal));
            members.fold((0, 0), |(count, renewals), member| {
                (count + 1, renewals + member.renewals)
            })
        };
        println!("| clients | renew by | count | renewals | reconnects | lost |");
        println!("|---|---|---|---|---|---|");
        for (name, means, (count, renewals)) in [
            (
                "3.1.1",
                "refresh",
                of(|it| *it == Renewal::ByRefresh(Version::V311)),
            ),
            ("5", "refresh", of(|it| *it == Renewal::ByRefresh(Version::V5))),
            ("5", "AUTH", of(|it| *it == Renewal::ByAuth)),
        ] {
            println!("| {name} | {means} | {count} | {renewals} | 0 | 0 |");
            let least = secs.saturating_sub(TOKEN_SECS) / TOKEN_SECS;
            assert!(
                renewals >= least * count,
                "every client has renewed its token again and again"
            );
        }
        println!("{secs} s, {} messages", self.messages);
    }
}

/// The packet identifier of a client's messages.
fn packet_id(number: usize) -> PacketId {
    let number = u16::try_from(number + 1).expect("invariant: few clients");
    PacketId::new(number).expect("invariant: not 0")
}
