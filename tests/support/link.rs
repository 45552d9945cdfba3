//! A connection over TCP for measurements: our codec, and nothing between it and the socket.

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
    version: Version,
    session_present: bool,
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
            version: connect.version,
            session_present: false,
        };
        let mut out = Vec::new();
        connect.encode(&mut out)?;
        link.write(&out).await?;
        let (mut refused, mut session_present) = (None, false);
        link.read_until(|packet| {
            let Packet::ConnAck(connack) = packet else {
                return false;
            };
            refused = connack.reason.is_error().then_some(connack.reason);
            session_present = connack.session_present;
            true
        })
        .await?;
        ensure!(refused.is_none(), "CONNECT was refused: {refused:?}");
        link.session_present = session_present;
        Ok(link)
    }

    /// Whether the broker goes on with an earlier session.
    #[must_use]
    pub const fn session_present(&self) -> bool {
        self.session_present
    }

    /// Writes packets.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn write(&mut self, packets: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(packets).await?)
    }

    /// Reads packets until `done` says so. Those after it wait for the next call.
    ///
    /// # Errors
    /// When the connection is gone, or the broker sends what is no packet.
    pub async fn read_until(&mut self, mut done: impl FnMut(&Packet<'_>) -> bool) -> Result<()> {
        while !self.hand_out(&mut done)? {
            self.fill().await?;
        }
        Ok(())
    }

    /// Hands out the whole packets that are there; when there are none, reads first. Nothing is lost when the wait is given
    /// up.
    ///
    /// # Errors
    /// As above.
    pub async fn read(&mut self, mut each: impl FnMut(&Packet<'_>)) -> Result<()> {
        let mut is_any = false;
        let mut every = |packet: &Packet<'_>| {
            each(packet);
            is_any = true;
            false
        };
        self.hand_out(&mut every)?;
        if !is_any {
            self.fill().await?;
            self.hand_out(|packet| {
                each(packet);
                false
            })?;
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.inbox).await? == 0 {
            bail!("the broker closed the connection");
        }
        Ok(())
    }

    /// Hands out whole packets until one is the last that is wanted. Answers whether there was one.
    fn hand_out(&mut self, mut is_last: impl FnMut(&Packet<'_>) -> bool) -> Result<bool> {
        let mut decoder = Decoder::with_version(self.version, PACKET_BYTES_MAX);
        let (mut at, mut has_last) = (0, false);
        while !has_last && let Decoded::Packet { packet, bytes } = decoder.decode(&self.inbox[at..])? {
            has_last = is_last(&packet);
            at += bytes;
        }
        self.inbox.drain(..at);
        Ok(has_last)
    }
}
