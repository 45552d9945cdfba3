//! Our Rust SDK.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use cloudsignal::{Client, Outcome, Qos, Ticket};
use cloudsignal_tests::feeder::PAYLOAD;

use crate::rust::{IN_FLIGHT, Measured, Row, Watch, Work};

/// Publishes whose outcome is awaited later.
const TICKETS_MAX: usize = 4_096;

pub(crate) async fn measure(work: Work) -> Result<Measured> {
    let client = Client::builder(format!("mqtt://127.0.0.1:{}", work.port))
        .inflight_max(IN_FLIGHT)
        .connect()
        .await?;
    let mut watch = Watch::start()?;
    match work.row {
        Row::Publish0 => publish_qos_0(&client, &work, &mut watch).await?,
        Row::Publish1 => publish_qos_1(&client, &work).await?,
        Row::Receive0 | Row::Receive1 => receive(&client, &work).await?,
        Row::RoundTrip => round_trips(&client, &work, &mut watch).await?,
    }
    let measured = watch.stop(work.count)?;
    client.close().await;
    Ok(measured)
}

async fn publish_qos_0(client: &Client, work: &Work, watch: &mut Watch) -> Result<()> {
    let mut done = client.subscribe("done").await?;
    *watch = Watch::start()?;
    let sink = work.sink();
    for _ in 0..work.count {
        let message = client.publish(&*sink, PAYLOAD.to_vec()).qos(Qos::AtMostOnce);
        drop(message.send().await?);
    }
    done.recv().await.context("everything arrives")?;
    Ok(())
}

async fn publish_qos_1(client: &Client, work: &Work) -> Result<()> {
    let sink = work.sink();
    let mut tickets: VecDeque<Ticket> = VecDeque::new();
    for _ in 0..work.count {
        tickets.push_back(client.publish(&*sink, PAYLOAD.to_vec()).send().await?);
        if tickets.len() >= TICKETS_MAX {
            take(&mut tickets).await?;
        }
    }
    while !tickets.is_empty() {
        take(&mut tickets).await?;
    }
    Ok(())
}

async fn take(tickets: &mut VecDeque<Ticket>) -> Result<()> {
    let ticket = tickets.pop_front().context("there is one")?;
    ensure!(matches!(ticket.await?, Outcome::Acknowledged(_)));
    Ok(())
}

async fn receive(client: &Client, work: &Work) -> Result<()> {
    let qos = match work.row {
        Row::Receive1 => Qos::AtLeastOnce,
        Row::Publish0 | Row::Publish1 | Row::Receive0 | Row::RoundTrip => Qos::AtMostOnce,
    };
    let mut heard = client.subscribe(work.feed()).qos(qos).buffer(work.count).await?;
    for _ in 0..work.count {
        heard.recv().await.context("it goes on")?;
    }
    Ok(())
}

async fn round_trips(client: &Client, work: &Work, watch: &mut Watch) -> Result<()> {
    let sink = work.sink();
    for _ in 0..work.count {
        let begin = Instant::now();
        client.publish(&*sink, PAYLOAD.to_vec()).await?;
        watch.round_trip(begin.elapsed());
    }
    Ok(())
}
