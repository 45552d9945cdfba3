//! A connection of MQTT 3.1.1 over TCP for measurements: our codec, and nothing between it and the socket.

use anyhow::{Context, Result, bail, ensure};
use cloudsignal_core::Version;
use cloudsignal_core::codec::{Connect, Decoded, Decoder, PACKET_BYTES_MAX, Packet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection and the bytes of it that are not a whole packet yet.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    inbox: Vec<u8>,
}

impl Link {
    /// Connects, and awaits CONNACK.
    ///
    /// # Errors
    /// When there is no broker, or it refuses the client.
    pub async fn connect(address: &str, connect: &Connect<'_>) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .context("is the broker running?")?;
        stream.set_nodelay(true)?;
        let mut link = Self {
            stream,
            inbox: Vec::new(),
        };
        let mut out = Vec::new();
        connect.encode(&mut out)?;
        link.write(&out).await?;
        let mut refused = None;
        link.read_until(|packet| {
            let Packet::ConnAck(connack) = packet else {
                return false;
            };
            refused = connack.reason.is_error().then_some(connack.reason);
            true
        })
        .await?;
        ensure!(refused.is_none(), "CONNECT was refused: {refused:?}");
        Ok(link)
    }

    /// Writes packets.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn write(&mut self, packets: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(packets).await?)
    }

    /// Reads packets until `done` says so.
    ///
    /// # Errors
    /// When the connection is gone, or the broker sends what is no packet.
    pub async fn read_until(&mut self, mut done: impl FnMut(&Packet<'_>) -> bool) -> Result<()> {
        let mut is_done = false;
        while !is_done {
            self.read(|packet| is_done |= done(packet)).await?;
        }
        Ok(())
    }

    /// Reads what is there and hands out the whole packets in it.
    ///
    /// # Errors
    /// As above.
    pub async fn read(&mut self, mut each: impl FnMut(&Packet<'_>)) -> Result<()> {
        if self.stream.read_buf(&mut self.inbox).await? == 0 {
            bail!("the broker closed the connection");
        }
        let mut decoder = Decoder::with_version(Version::V311, PACKET_BYTES_MAX);
        let mut at = 0;
        while let Decoded::Packet { packet, bytes } = decoder.decode(&self.inbox[at..])? {
            each(&packet);
            at += bytes;
        }
        self.inbox.drain(..at);
        Ok(())
    }
}
