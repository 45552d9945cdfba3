//! A live client, and what it has seen when.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cloudsignal_core::Version;
use cloudsignal_core::codec::{Packet, ReasonCode};
use cloudsignal_tests::client::{Client, Got};
use cloudsignal_tests::wait::Deadline;
use tokio::sync::{Notify, mpsc};

/// One clock for everybody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Deadline);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Deadline::start())
    }

    pub(crate) fn now(self) -> Duration {
        self.0.elapsed()
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) at: Duration,
    /// What DISCONNECT said, if one came.
    pub(crate) goodbye: Option<ReasonCode>,
}

/// A client whose connection lives on in a task.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) version: Version,
    seen: Mutex<Seen>,
    news: Notify,
    pings: mpsc::Sender<()>,
}

#[derive(Debug, Default)]
struct Seen {
    messages: u64,
    last_message_at: Duration,
    pongs: u64,
    pings: u64,
    end: Option<Ended>,
}

impl Subject {
    /// Lets a client that is in and has subscribed live on.
    pub(crate) fn watch(
        client: Client,
        name: &str,
        topic: &str,
        version: Version,
        clock: Clock,
    ) -> Arc<Self> {
        let (pings, asked) = mpsc::channel(1);
        let subject = Arc::new(Self {
            name: name.to_owned(),
            topic: topic.to_owned(),
            version,
            seen: Mutex::default(),
            news: Notify::new(),
            pings,
        });
        tokio::spawn(Arc::clone(&subject).live(client, asked, clock));
        subject
    }

    async fn live(self: Arc<Self>, mut client: Client, mut asked: mpsc::Receiver<()>, clock: Clock) {
        let mut goodbye = None;
        loop {
            let got = tokio::select! {
                got = client.next_whenever() => got,
                Some(()) = asked.recv() => {
                    client.send(&Packet::PingReq).await;
                    continue;
                }
            };
            let at = clock.now();
            match got {
                Got::Message { packet_id, .. } => {
                    {
                        let mut seen = self.seen();
                        seen.messages += 1;
                        seen.last_message_at = at;
                    }
                    if let Some(packet_id) = packet_id {
                        client.acknowledge(packet_id).await;
                    }
                }
                Got::Pong => self.seen().pongs += 1,
                Got::Disconnect(reason) => goodbye = Some(reason),
                Got::End => {
                    self.seen().end = Some(Ended { at, goodbye });
                    self.news.notify_waiters();
                    return;
                }
                Got::ConnAck(_) | Got::SubAck(_) | Got::PubAck(..) | Got::Auth(_) => {
                    panic!("{} got {got:?}", self.name)
                }
            }
            self.news.notify_waiters();
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic holds it")
    }

    pub(crate) fn messages(&self) -> u64 {
        self.seen().messages
    }

    pub(crate) fn last_message_at(&self) -> Duration {
        self.seen().last_message_at
    }

    pub(crate) fn end(&self) -> Option<Ended> {
        self.seen().end
    }

    pub(crate) async fn ended(&self) -> Ended {
        self.until("its end", |seen| seen.end).await
    }

    /// Sends PINGREQ and awaits the answer: everything that was sent before it has come.
    pub(crate) async fn ping(&self) {
        let number = {
            let mut seen = self.seen();
            seen.pings += 1;
            seen.pings
        };
        // One that has ended hears nothing, which is seen below.
        let _ended = self.pings.send(()).await;
        let answered = |seen: &Seen| (seen.pongs >= number || seen.end.is_some()).then_some(());
        self.until("a pong", answered).await;
    }

    async fn until<T>(&self, what: &str, ready: impl Fn(&Seen) -> Option<T>) -> T {
        let waiting = Deadline::start();
        loop {
            let news = self.news.notified();
            if let Some(answer) = ready(&self.seen()) {
                return answer;
            }
            assert!(!waiting.is_over(), "{} awaits {what}", self.name);
            let _no_news = tokio::time::timeout(Duration::from_secs(1), news).await;
        }
    }
}
