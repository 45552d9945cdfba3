//! Our Rust SDK, as it is.

use std::sync::Arc;
use std::time::Duration;

use cloudsignal::{
    AskToken, Builder, Client, Event, Outcome, PublishError, Ticket, Token, TokenError, TokenIssuer,
};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::contestant::{Contestant, Order, TOLD_MAX, Task, Told};
use crate::plan::TOKEN_SECS;

/// Publishes whose outcome is awaited; more than the queue of a client holds.
const TICKETS_MAX: usize = 20_000;

pub(crate) fn start(task: Task) -> Contestant {
    let (orders, told_orders) = mpsc::channel(1);
    let (tell, told) = mpsc::channel(TOLD_MAX);
    tokio::spawn(run(task, told_orders, tell));
    Contestant { orders, told }
}

fn builder(task: &Task, tell: mpsc::Sender<Told>) -> Builder {
    let issuer = TokenIssuer::new(task.api.clone(), task.secret_key.clone());
    let (email, lifetime) = (
        Arc::<str>::from(&*task.email),
        Duration::from_secs(task.token_secs),
    );
    Client::builder(task.url.clone())
        .ca_file(&task.ca_file)
        .token_provider(move |_: AskToken| {
            let (issuer, email, tell) = (issuer.clone(), Arc::clone(&email), tell.clone());
            async move {
                let order = issuer.order(&email).lifetime(Duration::from_secs(TOKEN_SECS));
                let issued = order.create().await.map_err(|_| TokenError::Failed)?;
                let _over = tell.send(Told::Token).await;
                Ok(Token::from(issued).lifetime(lifetime))
            }
        })
}

async fn run(task: Task, mut orders: mpsc::Receiver<Order>, tell: mpsc::Sender<Told>) {
    let client = builder(&task, tell.clone())
        .connect()
        .await
        .expect("it is let in");
    // The first connection is older than whoever could listen.
    let _over = tell.send(Told::Connected).await;
    tokio::spawn(watch(client.clone(), tell.clone()));
    let flow = client.subscribe(task.down.clone()).await;
    tokio::spawn(hear(flow.expect("it is granted"), tell.clone()));
    let _over = tell.send(Told::Ready).await;
    if orders.recv().await != Some(Order::Go) {
        return;
    }
    let (tickets, given) = mpsc::channel(TICKETS_MAX);
    let answers = tokio::spawn(report(given, tell.clone()));
    publish(&client, &task, &tickets).await;
    if orders.recv().await == Some(Order::Finish) {
        let ticket = client.publish(task.up, task.messages.to_string()).send().await;
        let _over = tickets.send((task.messages, ticket)).await;
        drop(tickets);
        answers.await.expect("everything is answered");
        let _nobody = orders.recv().await;
    }
    client.close().await;
}

async fn publish(client: &Client, task: &Task, tickets: &mpsc::Sender<(u64, Asked)>) {
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(task.rate).expect("few"));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..task.messages {
        ticks.tick().await;
        let ticket = client.publish(task.up.clone(), number.to_string()).send().await;
        let _over = tickets.send((number, ticket)).await;
    }
}

type Asked = Result<Ticket, PublishError>;

async fn report(mut tickets: mpsc::Receiver<(u64, Asked)>, tell: mpsc::Sender<Told>) {
    while let Some((number, ticket)) = tickets.recv().await {
        let outcome = match ticket {
            Ok(ticket) => ticket.await,
            Err(error) => Err(error),
        };
        let _over = match outcome {
            Ok(Outcome::Acknowledged(_)) => tell.send(Told::Reported(number)).await,
            other => tell.send(Told::Refused(number, format!("{other:?}"))).await,
        };
    }
}

async fn hear(mut flow: cloudsignal::Subscription, tell: mpsc::Sender<Told>) {
    while let Some(message) = flow.recv().await {
        let text = message.text().expect("a number");
        let number = text.parse().expect("a number");
        let _over = tell.send(Told::Received(number)).await;
    }
}

async fn watch(client: Client, tell: mpsc::Sender<Told>) {
    let mut events = client.events();
    drop(client);
    while let Some(event) = events.recv().await {
        if matches!(event, Event::Connected { .. }) {
            let _over = tell.send(Told::Connected).await;
        }
    }
}
