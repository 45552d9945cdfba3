//! What stands between a client and the broker: its address stays when the broker's changes, and it cuts connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy, as long as the runtime lives.
#[derive(Clone, Debug)]
pub struct Proxy {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    cuts: watch::Sender<u64>,
}

impl Proxy {
    /// A proxy before a server; it takes a port of its own.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let this = Self {
            address: listener.local_addr().expect("it is bound"),
            target: Arc::new(Mutex::new(target)),
            cuts: watch::Sender::new(0),
        };
        tokio::spawn(this.clone().serve(listener));
        this
    }

    /// Its port of 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Later connections go there.
    pub fn aim(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Resets every connection. Answers how many there were.
    pub fn cut(&self) -> usize {
        let connections = self.cuts.receiver_count();
        self.cuts.send_modify(|cuts| *cuts += 1);
        connections
    }

    async fn serve(self, listener: TcpListener) {
        loop {
            let Ok((client, _)) = listener.accept().await else {
                continue;
            };
            let target = *self.target.lock().unwrap_or_else(PoisonError::into_inner);
            tokio::spawn(carry(client, target, self.cuts.subscribe()));
        }
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr, mut cuts: watch::Receiver<u64>) {
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("an open socket takes options");
    }
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = cuts.changed() => {
            for stream in [&client, &server] {
                stream.set_zero_linger().expect("an open socket takes options");
            }
        }
    }
}
