//! Messages in both directions at a steady rate, while connections are reset, the broker is killed and started again, and
//! tokens end: none may be lost, and none may come twice.
//!
//! | variable | default | what |
//! |---|---|---|
//! | `CS_TEST_SDK_SECS` | 10 | how long is published, seconds |
//! | `CS_TEST_SDK_RATE` | 200 | messages per second of each direction, over all pairs |
//! | `CS_TEST_SDK_PAIRS` | 2 | pairs of clients, by TLS and by WebSocket in turn |
//! | `CS_TEST_SDK_RESET_MILLIS` | 900 | from one reset of all connections to the next |
//! | `CS_TEST_SDK_RESTART_MILLIS` | 4 000 | from one SIGKILL of the broker to the next |
//! | `CS_TEST_SDK_TOKEN_SECS` | 8 | how long a client believes in a token |
//! | `CS_TEST_SDK_PAUSES` | `short` | `default` leaves the pauses before an attempt to connect as they are |

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cloudsignal::{
    Builder, Client, Continuity, Event, Outcome, Qos, Reconnect, Subscription, Ticket, Token, TokenError,
    TokenIssuer,
};
use cloudsignal_tests::broker::{Broker, BrokerOptions, Listener};
use cloudsignal_tests::proxy::Proxy;
use cloudsignal_tests::tally::Tally;
use cloudsignal_tests::wait;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, timeout};

fn number_from(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else {
        return default;
    };
    text.parse()
        .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}"))
}

/// What the run has done to everybody.
#[derive(Debug, Default)]
struct Faults {
    resets: AtomicUsize,
    restarts: AtomicUsize,
    tokens: AtomicUsize,
}

/// The broker behind proxies.
struct Scene {
    mqtts: Proxy,
    wss: Proxy,
    http: Proxy,
    issuer: TokenIssuer,
    ca: Vec<u8>,
    faults: Arc<Faults>,
}

impl Scene {
    async fn around(broker: &Broker) -> Self {
        let to = async |listener| Proxy::to(broker.addr(listener)).await;
        let first_run = broker.first_run();
        let http = to(Listener::Http).await;
        Self {
            mqtts: to(Listener::Mqtts).await,
            wss: to(Listener::Wss).await,
            issuer: TokenIssuer::new(format!("http://localhost:{}", http.port()), first_run.secret_key),
            http,
            ca: std::fs::read(first_run.ca_file).expect("the first start writes it"),
            faults: Arc::default(),
        }
    }

    fn aim(&self, broker: &Broker) {
        let to = |listener| -> SocketAddr { broker.addr(listener) };
        self.mqtts.aim(to(Listener::Mqtts));
        self.wss.aim(to(Listener::Wss));
        self.http.aim(to(Listener::Http));
    }

    /// The client of one side of a pair.
    fn client(&self, pair: usize, side: &str) -> Builder {
        let url = if pair.is_multiple_of(2) {
            format!("mqtts://localhost:{}", self.mqtts.port())
        } else {
            format!("wss://localhost:{}", self.wss.port())
        };
        let (issuer, faults) = (self.issuer.clone(), Arc::clone(&self.faults));
        let lifetime = Duration::from_secs(number_from("CS_TEST_SDK_TOKEN_SECS", 8));
        let user = format!("{side}{pair}@example.com");
        let builder = Client::builder(url)
            .client_id(format!("{side}-{pair}"))
            .ca_pem(self.ca.clone())
            .token_provider(move |_| {
                let (issuer, faults, user) = (issuer.clone(), Arc::clone(&faults), user.clone());
                async move {
                    let issued = issuer.create(&user).await.map_err(|_| TokenError::Failed)?;
                    faults.tokens.fetch_add(1, Ordering::Relaxed);
                    Ok(Token::from(issued).lifetime(lifetime))
                }
            });
        if std::env::var("CS_TEST_SDK_PAUSES").is_ok_and(|pauses| pauses == "default") {
            return builder;
        }
        builder.reconnect(Reconnect {
            first: Duration::from_millis(50),
            most: Duration::from_millis(500),
            ..Reconnect::default()
        })
    }
}

/// Breaks things for so long.
async fn break_things(mut broker: Broker, scene: Arc<Scene>, secs: u64) -> Broker {
    let mut resets = interval(Duration::from_millis(number_from(
        "CS_TEST_SDK_RESET_MILLIS",
        900,
    )));
    let mut restarts = interval(Duration::from_millis(number_from(
        "CS_TEST_SDK_RESTART_MILLIS",
        4_000,
    )));
    for ticks in [&mut resets, &mut restarts] {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
    }
    let over = tokio::time::Instant::now() + Duration::from_secs(secs);
    while tokio::time::Instant::now() < over {
        tokio::select! {
            _ = resets.tick() => {
                let cut = scene.mqtts.cut() + scene.wss.cut();
                scene.faults.resets.fetch_add(cut, Ordering::Relaxed);
            }
            _ = restarts.tick() => {
                let restarting = spawn_blocking(move || {
                    broker.kill();
                    broker.start_again()
                });
                broker = restarting.await.expect("it starts again");
                scene.aim(&broker);
                scene.faults.restarts.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    broker
}

/// Publishes numbers to `flow/SIDE/PAIR/QOS`, the two QoS in turn; awaits the server's word on each.
async fn publish(client: Client, to: String, count: u64, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut tickets: Vec<(Qos, Ticket)> = Vec::new();
    for number in 0..count {
        ticks.tick().await;
        let qos = if number % 2 == 0 {
            Qos::AtLeastOnce
        } else {
            Qos::ExactlyOnce
        };
        let topic = format!("{to}/{}", qos.bits());
        let message = client.publish(topic, (number / 2).to_string()).qos(qos);
        tickets.push((qos, message.send().await.expect("the queue takes it, or waits")));
    }
    for (qos, ticket) in tickets {
        let outcome = timeout(wait::DEADLINE, ticket).await.expect("an answer in time");
        assert!(
            matches!(outcome, Ok(Outcome::Acknowledged(_))),
            "{qos:?}: {outcome:?}"
        );
    }
}

/// Hears what the other side publishes, until everything was there.
async fn hear(mut flow: Subscription, count: u64) -> [Tally; 2] {
    let mut tallies = [Tally::new(count.div_ceil(2)), Tally::new(count / 2)];
    while tallies.iter().any(|tally| !tally.is_complete()) {
        let Ok(message) = timeout(wait::DEADLINE, flow.recv()).await else {
            break; // What is missing by now is lost.
        };
        let message = message.expect("the subscription goes on");
        let number = message.text().expect("a number").parse().expect("a number");
        let of_qos2 = message.topic().ends_with("/2");
        tallies[usize::from(of_qos2)].note(number);
    }
    tallies
}

/// Whether a client ever hears that something may have been missed.
async fn watch(client: Client) -> usize {
    let mut events = client.events();
    drop(client);
    let mut lost = 0;
    while let Some(event) = events.recv().await {
        let is_lost = matches!(
            event,
            Event::Connected {
                continuity: Continuity::Lost
            }
        );
        lost += usize::from(is_lost);
    }
    lost
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_whatever_breaks() {
    let secs = number_from("CS_TEST_SDK_SECS", 10);
    let pairs = usize::try_from(number_from("CS_TEST_SDK_PAIRS", 2)).expect("few");
    let rate = number_from("CS_TEST_SDK_RATE", 200);
    let broker = BrokerOptions::default().start();
    let scene = Arc::new(Scene::around(&broker).await);
    let count = rate * secs / pairs as u64;
    let every = Duration::from_secs(secs) / u32::try_from(count).expect("few");
    let (mut hearing, mut publishing, mut watching) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    let mut clients = Vec::new();
    for pair in 0..pairs {
        for (side, other) in [("left", "right"), ("right", "left")] {
            let client = scene.client(pair, side).connect().await.expect("it is let in");
            let flow = client
                .subscribe(format!("flow/{other}/{pair}/+"))
                .qos(Qos::ExactlyOnce)
                .await;
            hearing.spawn(hear(flow.expect("it is granted"), count));
            watching.spawn(watch(client.clone()));
            clients.push((client, format!("flow/{side}/{pair}")));
        }
    }
    for (client, to) in &clients {
        publishing.spawn(publish(client.clone(), to.clone(), count, every));
    }
    let broker = break_things(broker, Arc::clone(&scene), secs).await;
    publishing.join_all().await;
    let mut totals = [Tally::default(), Tally::default()];
    for [qos1, qos2] in hearing.join_all().await {
        totals[0].add(&qos1);
        totals[1].add(&qos2);
    }
    report(&scene.faults, &totals);
    for (client, _) in &clients {
        timeout(wait::DEADLINE, client.flush())
            .await
            .expect("it is answered")
            .expect("it is open");
        client.close().await;
    }
    assert_eq!(
        watching.join_all().await.iter().sum::<usize>(),
        0,
        "no session was lost"
    );
    for tally in &totals {
        let faults = (tally.lost(), tally.duplicates, tally.out_of_order);
        assert_eq!(faults, (0, 0, 0), "{totals:?}");
    }
    let Faults {
        resets,
        restarts,
        tokens,
    } = &*scene.faults;
    assert!(resets.load(Ordering::Relaxed) >= pairs && restarts.load(Ordering::Relaxed) > 0);
    assert!(tokens.load(Ordering::Relaxed) > 2 * pairs, "tokens were renewed");
    drop(broker);
}

#[expect(clippy::print_stdout, reason = "a run prints its figures")]
fn report(faults: &Faults, totals: &[Tally; 2]) {
    println!(
        "{} connections reset, broker killed {} times, {} tokens",
        faults.resets.load(Ordering::Relaxed),
        faults.restarts.load(Ordering::Relaxed),
        faults.tokens.load(Ordering::Relaxed),
    );
    for (qos, tally) in [1, 2].iter().zip(totals) {
        println!(
            "QoS {qos}: {} messages, {} lost, {} duplicates, {} out of order",
            tally.expected(),
            tally.lost(),
            tally.duplicates,
            tally.out_of_order,
        );
    }
}
