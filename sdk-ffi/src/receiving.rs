//! Subscriptions: each is a task that hands messages over, so many ahead of what the application is done with.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloudsignal::{Client, Ended, SUBSCRIPTIONS_MAX, SubscribeError, Subscription};
use tokio::sync::{Notify, Semaphore};

use crate::error::{ClientError, Problem, closed};
use crate::event::Event;
use crate::listener::Desk;
use crate::message::{Message, SubscribeOptions};

/// Messages that the application has, and is not done with.
#[derive(Default)]
pub(crate) struct Receiving {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    messages: HashMap<u64, Held>,
    subscriptions: HashMap<u64, Ear>,
    last_message: u64,
}

struct Held {
    /// Dropping it acknowledges it.
    message: cloudsignal::Message,
    subscription: u64,
}

/// A subscription as the application sees it.
struct Ear {
    /// How many more messages may be handed over.
    room: Arc<Semaphore>,
    leave: Arc<Notify>,
}

impl Receiving {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new subscription, before the broker is asked.
    pub(crate) fn open(
        self: &Arc<Self>,
        id: u64,
        options: &SubscribeOptions,
        desk: &Arc<Desk>,
    ) -> Result<Listening, ClientError> {
        let mut inner = self.inner();
        if inner.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(ClientError::limit(
                "as many subscriptions as there may be exist already",
            ));
        }
        let room = Arc::new(Semaphore::new(options.ahead_messages()));
        let leave = Arc::new(Notify::new());
        let ear = Ear {
            room: Arc::clone(&room),
            leave: Arc::clone(&leave),
        };
        inner.subscriptions.insert(id, ear);
        Ok(Listening {
            id,
            room,
            leave,
            receiving: Arc::clone(self),
            desk: Arc::clone(desk),
        })
    }

    /// The application does not want it any more.
    pub(crate) fn leave(&self, id: u64) {
        if let Some(ear) = self.inner().subscriptions.get(&id) {
            ear.leave.notify_one();
        }
    }

    /// The application is done with these. What is not known is passed over: its subscription has ended.
    pub(crate) fn done(&self, ids: &[u64]) {
        let mut inner = self.inner();
        for id in ids {
            let Some(held) = inner.messages.remove(id) else {
                continue;
            };
            if let Some(ear) = inner.subscriptions.get(&held.subscription) {
                ear.room.add_permits(1);
            }
            drop(held.message);
        }
    }

    fn hold(&self, subscription: u64, message: cloudsignal::Message) -> u64 {
        let mut inner = self.inner();
        inner.last_message += 1;
        let id = inner.last_message;
        let held = Held {
            message,
            subscription,
        };
        inner.messages.insert(id, held);
        id
    }

    /// Lets go of what a subscription has handed over.
    fn forget(&self, subscription: u64) {
        let mut inner = self.inner();
        inner.subscriptions.remove(&subscription);
        inner.messages.retain(|_, held| held.subscription != subscription);
    }

    /// Lets go of everything, when nobody is there any more who could acknowledge it.
    pub(crate) fn clear(&self) {
        let inner = std::mem::take(&mut *self.inner());
        drop(inner);
    }
}

/// The task of a subscription.
pub(crate) struct Listening {
    id: u64,
    room: Arc<Semaphore>,
    leave: Arc<Notify>,
    receiving: Arc<Receiving>,
    desk: Arc<Desk>,
}

/// What comes next.
enum Next {
    Leave,
    Granted(Result<cloudsignal::Qos, SubscribeError>),
    Message(Option<cloudsignal::Message>),
}

impl Listening {
    pub(crate) async fn run(self, client: Client, options: SubscribeOptions) {
        let subscribed = options.prepare(&client).begin().await;
        drop(client);
        let problem = match subscribed {
            Ok(subscription) => self.listen(subscription).await,
            Err(error) => Some(error.into()),
        };
        self.receiving.forget(self.id);
        self.desk.put(Event::SubscriptionEnded {
            subscription: self.id,
            problem,
        });
    }

    async fn listen(&self, mut subscription: Subscription) -> Option<Problem> {
        let mut grant = pin!(subscription.grant());
        let (mut is_granted, mut dropped) = (false, 0);
        loop {
            let next = tokio::select! {
                biased;
                () = self.leave.notified() => Next::Leave,
                grant = &mut grant, if !is_granted => Next::Granted(grant),
                message = self.next(&mut subscription) => Next::Message(message),
            };
            self.tell_dropped(subscription.dropped(), &mut dropped);
            match next {
                Next::Leave => {
                    // What the application has is of no use to it any more: it is acknowledged with the rest.
                    self.receiving.forget(self.id);
                    subscription.unsubscribe().await;
                    return None;
                }
                Next::Granted(answer) => {
                    is_granted = true;
                    if let Ok(qos) = answer {
                        self.desk.put(Event::SubscriptionGranted {
                            subscription: self.id,
                            qos: qos.into(),
                        });
                    }
                }
                Next::Message(Some(message)) => self.deliver(message),
                Next::Message(None) => return subscription.ended().and_then(problem),
            }
        }
    }

    /// The next message, as soon as the application has room for it. Dropping the future loses nothing.
    async fn next(&self, subscription: &mut Subscription) -> Option<cloudsignal::Message> {
        // The semaphore is never closed.
        let place = self.room.acquire().await.ok()?;
        let message = subscription.recv().await?;
        place.forget();
        Some(message)
    }

    fn deliver(&self, arrived: cloudsignal::Message) {
        let mut message = Message::new(0, self.id, &arrived);
        message.id = self.receiving.hold(self.id, arrived);
        self.desk.put(Event::MessageArrived { message });
    }

    fn tell_dropped(&self, now: u64, before: &mut u64) {
        let messages = now.saturating_sub(*before);
        *before = now;
        if messages > 0 {
            self.desk.put(Event::MessagesDropped {
                subscription: self.id,
                messages,
            });
        }
    }
}

fn problem(ended: Ended) -> Option<Problem> {
    match ended {
        Ended::Unsubscribed => None,
        Ended::Refused(reason) => Some(SubscribeError::Refused(reason).into()),
        Ended::Closed(why) => Some(closed(why)),
    }
}
