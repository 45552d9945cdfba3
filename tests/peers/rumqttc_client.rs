//! rumqttc, with MQTT 5, and without the delay of small packets that its sockets have by default.

use std::time::{Duration, Instant};

use anyhow::Result;
use cloudsignal_tests::feeder::PAYLOAD;
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};

use crate::rust::{IN_FLIGHT, Measured, Row, Watch, Work};

/// Requests on their way to the event loop, as many as our client has room for.
const REQUESTS_MAX: usize = 256;

pub(crate) async fn measure(work: Work) -> Result<Measured> {
    let mut options = MqttOptions::new("rumqttc", "127.0.0.1", work.port);
    options.set_keep_alive(Duration::from_secs(30));
    options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
    until(&mut events, |packet| matches!(packet, Packet::ConnAck(_))).await?;
    let mut watch = Watch::start()?;
    match work.row {
        Row::Publish0 => {
            subscribe(&client, &mut events, "done", QoS::AtMostOnce).await?;
            watch = Watch::start()?;
            publish(client, &work, QoS::AtMostOnce);
            until(&mut events, |packet| matches!(packet, Packet::Publish(_))).await?;
        }
        Row::Publish1 => {
            publish(client, &work, QoS::AtLeastOnce);
            let mut left = work.count;
            until(&mut events, |packet| {
                left -= usize::from(matches!(packet, Packet::PubAck(_)));
                left == 0
            })
            .await?;
        }
        Row::Receive0 => receive(&client, &mut events, &work, QoS::AtMostOnce).await?,
        Row::Receive1 => receive(&client, &mut events, &work, QoS::AtLeastOnce).await?,
        Row::RoundTrip => {
            for _ in 0..work.count {
                let begin = Instant::now();
                client
                    .publish(work.sink(), QoS::AtLeastOnce, false, PAYLOAD.to_vec())
                    .await?;
                until(&mut events, |packet| matches!(packet, Packet::PubAck(_))).await?;
                watch.round_trip(begin.elapsed());
            }
        }
    }
    watch.stop(work.count)
}

/// Lets the event loop work until a packet has come.
async fn until(events: &mut EventLoop, mut is_it: impl FnMut(&Packet) -> bool) -> Result<()> {
    loop {
        if let Event::Incoming(packet) = events.poll().await?
            && is_it(&packet)
        {
            return Ok(());
        }
    }
}

async fn subscribe(client: &AsyncClient, events: &mut EventLoop, filter: &str, qos: QoS) -> Result<()> {
    client.subscribe(filter, qos).await?;
    until(events, |packet| matches!(packet, Packet::SubAck(_))).await
}

/// Publishes beside the event loop, as its documentation says.
fn publish(client: AsyncClient, work: &Work, qos: QoS) {
    let (sink, count) = (work.sink(), work.count);
    tokio::spawn(async move {
        for _ in 0..count {
            client.publish(sink.clone(), qos, false, PAYLOAD.to_vec()).await?;
        }
        anyhow::Ok(())
    });
}

async fn receive(client: &AsyncClient, events: &mut EventLoop, work: &Work, qos: QoS) -> Result<()> {
    client.subscribe(work.feed(), qos).await?;
    let mut left = work.count;
    until(events, |packet| {
        left -= usize::from(matches!(packet, Packet::Publish(_)));
        left == 0
    })
    .await
}
